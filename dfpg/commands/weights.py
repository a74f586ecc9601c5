"""``dfpg weights check``: what a file of published weights is, and whether it works."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dfpg.core.config import Config
from dfpg.core.errors import UserError
from dfpg.core.files import write_image
from dfpg.core.paths import TESTSETS
from dfpg.core.profile import OFFICIAL, resolve_profile
from dfpg.data.augmentation import face_views
from dfpg.data.blur.degrade import blur, quantise, quantise_unit, to_signed, to_unit
from dfpg.data.blur.kernels import make_kernels
from dfpg.data.faces.dataset import EMBEDDED, load_faces
from dfpg.data.testsets import MANIFEST, open_testset
from dfpg.methods.base import Method
from dfpg.methods.names import method_names
from dfpg.methods.official import load_published
from dfpg.methods.registry import build_method
from dfpg.metrics.psnr import psnr
from dfpg.paper.weights import PUBLISHED

TEST_SET = TESTSETS / "b"
NOMINAL = 21  # px: size of the kernel that blurs an embedded face


class Pair(NamedTuple):
    """One test image: uint8 [1, 3, H, W], and where it comes from."""

    sharp: Tensor
    blurred: Tensor
    origin: str


def check_weights(name: str, path: Path, out: Path | None = None) -> str:
    """Read published weights into their method and restore one test image.

    Args:
        name: of the method.
        path: the user's file or folder.
        out: PNG for blurred, restored and sharp image side by side.

    Returns:
        What the file is, its hash, the options that fit it, how to use it, and the PSNR.

    Raises:
        UserError: unknown method, or the method refuses the file.
    """
    if name not in method_names():
        known = ", ".join(method_names())
        raise UserError(f"weights check {name}: no such method; there are {known}")
    config = resolve_profile(OFFICIAL)[0]
    own = [run for run, settings in config.runs.items() if settings.method == name]
    rows = [run for run in own if PUBLISHED[run].trained]
    run = config.runs[own[0]]

    def build(options: dict[str, Any]) -> Method:
        settings = run.model_copy(update={"options": run.options | options})
        only = config.model_copy(update={"runs": {own[0]: settings}})
        return build_method(only, own[0], prior=None)

    fits = build({}).official_options(path)
    method = build(fits)
    digest = load_published(method, path)
    options = method.options.model_dump(mode="json")
    fitting = ", ".join(f"{key}: {options[key]}" for key in fits)
    size = sum(p.numel() for p in method.networks["generator"].parameters()) / 1e6
    pair = example_pair(config)
    restored = quantise(method.restore(to_signed(pair.blurred)))
    before, after = (float(psnr(x, pair.sharp)) for x in (pair.blurred, restored))
    lines = [
        f"{path}: published weights of {name}, {size:.2f} M parameters",
        f"SHA-256 {digest}",
        f"options that fit: methods.{name}: {{{fitting}}}",
        f"restored {pair.origin}: {before:.2f} dB blurred, {after:.2f} dB restored",
        f"use them: dfpg profile use {OFFICIAL} --weights RUN={path}, RUN of {', '.join(rows)}",
    ]
    if out is not None:
        strip = torch.cat([pair.blurred, restored, pair.sharp], dim=3)[0]
        write_image(out, strip.permute(1, 2, 0).numpy())
        lines.append(f"{out}: blurred, restored and sharp")
    return "\n".join(lines)


def example_pair(config: Config) -> Pair:
    """First image of the project's test set, where it has one of the right size; else a made one.

    Raises:
        UserError: the test set is damaged, or there are no embedded faces here.
    """
    if (TEST_SET / MANIFEST).is_file():
        testset = open_testset(TEST_SET)
        if testset.blurred.shape[1] == config.image_size:
            row = int(testset.index["sharp"].iloc[0])
            return Pair(
                torch.from_numpy(testset.sharp[row].copy()).permute(2, 0, 1)[None],
                torch.from_numpy(testset.blurred[0].copy()).permute(2, 0, 1)[None],
                f"the first image of {TEST_SET}",
            )
    protocol = config.protocols["b"]
    pictures = torch.from_numpy(load_faces(EMBEDDED, "test").pictures[:1].copy())
    view = face_views(pictures, protocol.crop, protocol.augmentation, config.image_size, None)
    sharp = quantise(view)
    spline = config.kernels.spline.model_copy(update={"test": 1})
    kernels = config.kernels.model_copy(update={"spline": spline})
    one = make_kernels(config.model_copy(update={"kernels": kernels}), "spline", "test", NOMINAL)
    blurred = quantise_unit(blur(to_unit(sharp), torch.from_numpy(one)))
    return Pair(sharp, blurred, f"an embedded face, kernel of {NOMINAL} px")
