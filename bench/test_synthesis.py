"""Blur synthesis: one batch of motion kernels on the device."""

from __future__ import annotations

import torch

from dfpg.blur.degrade import blur


def test_blur(measure, images, device):
    kernels = torch.full((len(images), 15, 15), 1 / 225, device=device)
    blurred = measure(lambda: blur(images, kernels))
    assert blurred.shape == images.shape
    assert blurred.std() < images.std() / 5
