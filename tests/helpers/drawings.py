"""Face-like pictures drawn from a seed."""

from __future__ import annotations

import torch
from torch.nn import functional


def draw_faces(count, size, seed=0):
    """Smooth coloured heads with eyes and mouth on a textured background, uint8 [N, 3, S, S]."""
    rng = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, size, dtype=torch.float64)] * 2, indexing="ij")
    pictures = []
    for _ in range(count):

        def number(low, high):
            return low + (high - low) * torch.rand((), generator=rng, dtype=torch.float64)

        coarse = torch.rand(1, 1, 24, 24, generator=rng, dtype=torch.float64)
        texture = functional.interpolate(coarse, (size, size), mode="bicubic")[0, 0]
        luminance = 60 + 90 * texture
        head = torch.sigmoid(20 * (1 - (x / number(0.5, 0.7)) ** 2 - (y / 0.85) ** 2))
        luminance = luminance * (1 - head) + head * (170 + 25 * x * number(-1, 1))
        for side in (-0.28, 0.28):
            eye = torch.sigmoid(60 * (0.015 - (x - side) ** 2 - 2 * (y + 0.2) ** 2))
            luminance = luminance - 110 * eye
        mouth = torch.sigmoid(80 * (0.03 - (x / 2) ** 2 - 4 * (y - 0.45) ** 2))
        luminance = luminance - 60 * mouth
        tint = torch.stack([number(0.9, 1.2), number(0.75, 0.95), number(0.6, 0.85)])
        pictures.append(luminance * tint[:, None, None])
    noise = 2 * torch.randn(count, 3, size, size, generator=rng, dtype=torch.float64)
    return (torch.stack(pictures) + noise).round().clamp(0, 255).to(torch.uint8)


def blur_box(images, size=7):
    """The same images, blurred by a horizontal box."""
    padded = functional.pad(images.double(), (size // 2, size // 2, 0, 0), mode="reflect")
    return functional.avg_pool2d(padded, (1, size), stride=1).round().to(torch.uint8)
