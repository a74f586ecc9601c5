"""Generated people: MobileStyleGAN (distilled from StyleGAN2 on FFHQ), run with OpenVINO.

A person is one style vector; a further picture of the same person mixes in a share of another
style. Every picture is a pure function of (seed, person, picture).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dfpg.core.errors import UserError
from dfpg.core.seeds import generator as random_stream

STYLE_SIZE = 512
TRUNCATION = 0.8  # w = mean + 0.8 (w_z - mean)
MIX = 0.3  # further pictures: 0.7 w + 0.3 w'
MEAN_SAMPLES = 4096
MAPPING_FILE = "mobilestylegan_ffhq_mnet.xml"
SYNTHESIS_FILE = "mobilestylegan_ffhq_snet.xml"

Style = NDArray[np.float32]


class FaceGenerator:
    """Draws faces of people who do not exist.

    Args:
        folder: folder with the four ``mobilestylegan_ffhq_*`` files (asset ``mobilestylegan``).
        seed: seed of every style; the committed faces use 0.

    Raises:
        UserError: OpenVINO is not installed, or a network file is missing.
    """

    def __init__(self, folder: Path, seed: int = 0) -> None:
        import openvino

        for name in (MAPPING_FILE, SYNTHESIS_FILE):
            if not (folder / name).is_file():
                raise UserError(f"{folder / name} is missing: run `dfpg fetch mobilestylegan`")
        core = openvino.Core()
        options = {"INFERENCE_PRECISION_HINT": "f32"}
        self._mapping = core.compile_model(str(folder / MAPPING_FILE), "CPU", options)
        self._synthesis = core.compile_model(str(folder / SYNTHESIS_FILE), "CPU", options)
        self.seed = seed
        stream = random_stream(seed, "faces", "mean")
        self._mean = np.mean(
            [self._map(stream) for _ in range(MEAN_SAMPLES)], axis=0, dtype=np.float64
        ).astype(np.float32)

    def _map(self, stream: np.random.Generator) -> Style:
        latent = stream.standard_normal((1, STYLE_SIZE)).astype(np.float32)
        return cast(Style, self._mapping(latent)[0])

    def _truncate(self, *axes: str | int) -> Style:
        style = self._map(random_stream(self.seed, "faces", *axes))
        return self._mean + np.float32(TRUNCATION) * (style - self._mean)

    def style(self, person: int, picture: int) -> Style:
        """Style vector, float32 [1, 512], of one picture of one person (both counted from 0)."""
        own = self._truncate("person", person)
        if picture == 0:
            return own
        other = self._truncate("person", person, "picture", picture)
        return np.float32(1 - MIX) * own + np.float32(MIX) * other

    def picture(self, person: int, picture: int, size: int) -> NDArray[np.uint8]:
        """One picture, RGB uint8 [size, size, 3], in FFHQ's framing (1024 px, Lanczos-reduced)."""
        raw: NDArray[Any] = self._synthesis(self.style(person, picture))[0][0]
        pixels = np.clip(np.rint((raw.transpose(1, 2, 0) + 1) * 127.5), 0, 255).astype(np.uint8)
        image = Image.fromarray(pixels).resize((size, size), Image.Resampling.LANCZOS)
        return np.asarray(image)
