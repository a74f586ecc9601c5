"""``dfpg sheet``: test faces, or really blurred ones, as every trained run restores them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dfpg.core.config import load_config
from dfpg.core.errors import UserError
from dfpg.core.paths import ARTIFACTS
from dfpg.report.real_blur import real_blur_sheet
from dfpg.report.sheet import draw, restored_examples

UNRESTORED = ("blurred", "sharp")  # columns of every sheet


def sheet(out: Path, runs: Sequence[str] = ()) -> str:
    """Restored test faces of some runs, or of all that have weights; says where.

    One PNG for each protocol that a run of them is tested on.
    """
    config = load_config()
    lines = []
    for name, chosen, shown in restored_examples(config, runs):
        subsets = config.protocols[name].test.subsets.values()
        sources = sorted({subset.source for subset in subsets})
        title = (
            f"Test set {name}, profile {config.profile}, faces: {', '.join(sources)}. "
            "Per framing the images of best, median and worst PSNR when blurred."
        )
        path = out.with_name(f"{out.stem}_{name}.png")
        draw(path, title, chosen, shown)
        lines.append(f"{path}: {len(chosen)} images, {len(shown) - len(UNRESTORED)} runs")
    return "\n".join(lines)


def real_blur(folder: Path, out: Path, beside: list[str]) -> str:
    """Really blurred faces as every run with weights restores them; nothing is scored.

    Args:
        folder: pictures.
        out: PNG file to write.
        beside: ``HEADING=FOLDER`` of further columns.
    """
    pairs = [given.partition("=") for given in beside]
    for heading, sign, place in pairs:
        if not (heading and sign and place):
            raise UserError(f"--beside {heading}{sign}{place}: write HEADING=FOLDER")
    others = {heading: Path(place) for heading, _, place in pairs}
    count = real_blur_sheet(load_config(), folder, out, ARTIFACTS / "weights", others)
    return f"{out}: {count} images"
