"""Sheet of test faces: blurred, restored by every run, sharp."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from dfpg.core.config import Config, ProtocolName, check_runs
from dfpg.core.device import select_device
from dfpg.core.errors import UserError
from dfpg.core.files import write_image
from dfpg.core.paths import ARTIFACTS, TESTSETS
from dfpg.data.blur.degrade import quantise
from dfpg.data.testsets import TestSet, open_testset
from dfpg.evaluation.restore import load_restore
from dfpg.evaluation.score import Restore
from dfpg.metrics.psnr import psnr
from dfpg.paper.rows import evaluation_protocols

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

SIDE = 128  # px: pictures are enlarged by a whole factor, up to this
GAP = 4  # px
LABELS = 72  # px: width of the rows' labels
LINE, FONT = 18, 12  # px
CHUNK = 256  # images in memory at once


class Example(NamedTuple):
    """A test image of the sheet: its number in the test set, and its row's label."""

    image: int
    label: str


class SheetColumn(NamedTuple):
    """One picture per example, uint8 RGB [N, H, W, 3], under a heading."""

    heading: str
    pictures: NDArray[np.uint8]


def examples(testset: TestSet) -> list[Example]:
    """The images that were blurred least, middling and most, for each framing.

    Measured is the PSNR of the blurred image; between equal ones the lower number goes first. Of
    an even number of images the lower one of the middle two is taken.
    """
    found = []
    for mode, index in testset.index.groupby("mode", sort=True):
        images, sharp = index["image"].to_numpy(), index["sharp"].to_numpy()
        parts = [
            image_psnr(testset.blurred[images[i : i + CHUNK]], testset.sharp[sharp[i : i + CHUNK]])
            for i in range(0, len(images), CHUNK)
        ]
        order = images[np.lexsort((images, np.concatenate(parts)))]
        places = {"best": len(order) - 1, "median": (len(order) - 1) // 2, "worst": 0}
        found += [Example(int(order[i]), f"{mode}\n{name}") for name, i in places.items()]
    return found


def columns(
    testset: TestSet,
    chosen: Sequence[Example],
    restores: Mapping[str, Restore],
    device: torch.device,
) -> list[SheetColumn]:
    """Blurred, restored by every method on ``device``, and sharp pictures of the chosen images."""
    images = [example.image for example in chosen]
    rows = testset.index.set_index("image").loc[images, "sharp"].to_numpy()
    blurred, sharp = testset.blurred[images], testset.sharp[rows]
    found = [SheetColumn("blurred", blurred)]
    for name, restore in restores.items():
        restored = restore(_tensor(blurred).to(device).float() / 127.5 - 1)
        pictures = quantise(restored).permute(0, 2, 3, 1).cpu().numpy()
        found.append(SheetColumn(name, pictures))
    return [*found, SheetColumn("sharp", sharp)]


def draw(path: Path, title: str, chosen: Sequence[Example], shown: Sequence[SheetColumn]) -> None:
    """Draw the columns as PNG, with the PSNR of every picture below it.

    Args:
        path: PNG file to write.
        title: above the columns, in as many lines as their width asks for.
        chosen: examples in the order of the columns' pictures.
        shown: columns of one picture size; the last one holds the sharp pictures.
    """
    side = shown[0].pictures.shape[1]
    factor = max(1, SIDE // side)
    cell, font = factor * side, ImageFont.load_default(FONT)
    width = LABELS + len(shown) * (cell + GAP)
    lines = wrap_text(title, width - 2 * GAP, font)
    head = (len(lines) + 1) * LINE
    sheet = Image.new("RGB", (width, head + len(chosen) * (cell + LINE + GAP)), "white")
    pen = ImageDraw.Draw(sheet)
    for number, line in enumerate(lines):
        pen.text((GAP, number * LINE + 1), line, "black", font)
    for row, example in enumerate(chosen):
        pen.text((GAP, head + row * (cell + LINE + GAP)), example.label, "black", font)
    for number, column in enumerate(shown):
        left = LABELS + number * (cell + GAP)
        pen.text((left + cell / 2, head - LINE), column.heading, "black", font, anchor="ma")
        values = image_psnr(column.pictures, shown[-1].pictures)
        for row, (picture, score) in enumerate(zip(column.pictures, values, strict=True)):
            top = head + row * (cell + LINE + GAP)
            enlarged = picture.repeat(factor, axis=0).repeat(factor, axis=1)
            sheet.paste(Image.fromarray(enlarged), (left, top))
            if number < len(shown) - 1:
                place = (left + cell / 2, top + cell + 1)
                pen.text(place, f"{score:.2f} dB", "black", font, anchor="ma")
    write_image(path, np.asarray(sheet))


def wrap_text(text: str, width: float, font: Font) -> list[str]:
    """Lines of whole words, each at most ``width`` px wide unless one word is wider."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".lstrip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def image_psnr(restored: NDArray[np.uint8], sharp: NDArray[np.uint8]) -> NDArray[np.float64]:
    """PSNR in dB of images [N, H, W, 3], float64 [N]."""
    values: NDArray[np.float64] = psnr(_tensor(restored), _tensor(sharp)).numpy()
    return values


def _tensor(images: NDArray[np.uint8]) -> torch.Tensor:
    """[N, H, W, 3] as a tensor [N, 3, H, W]."""
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))


def restored_examples(
    config: Config, runs: Sequence[str] = ()
) -> Iterator[tuple[ProtocolName, list[Example], list[SheetColumn]]]:
    """Per protocol the images that a rule chooses, blurred, restored by the runs, and sharp.

    Args:
        config: of ``params.yaml``.
        runs: keys of ``runs``, in the order of the columns; none: all that have weights.

    Raises:
        UserError: an unknown run, or no run has weights.
    """
    check_runs(config, runs)
    weights = {run: ARTIFACTS / "weights" / f"{run}.safetensors" for run in runs or config.runs}
    weights = {run: path for run, path in weights.items() if path.exists()}
    if not weights:
        raise UserError(f"{ARTIFACTS / 'weights'}: no weights of any run; train one first")
    device = select_device()
    restores = {run: load_restore(config, path, device) for run, path in weights.items()}
    for name in config.protocols:
        scored = {
            run: r for run, r in restores.items() if name in evaluation_protocols(config, run)
        }
        if not scored:
            continue
        testset = open_testset(TESTSETS / name)
        chosen = examples(testset)
        yield name, chosen, columns(testset, chosen, scored, device)
