"""Sheet of really blurred faces and what every trained run makes of them.

There is no sharp picture to compare with, so nothing is scored: the sheet is for looking at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from dfpg.core.config import Config
from dfpg.core.device import select_device
from dfpg.core.errors import UserError
from dfpg.core.files import read_image, write_image
from dfpg.core.listing import list_images, normalise_name
from dfpg.core.progress import Progress
from dfpg.data.blur.degrade import quantise
from dfpg.evaluation.restore import load_restore

CELL = 128  # px: larger pictures are reduced on the sheet
GAP, LINE, FONT = 4, 16, 11  # px
IGNORED = ("artifacts", "scratch")  # folders of the project that git ignores

Images = list[NDArray[np.uint8]]


def real_blur_sheet(
    config: Config,
    folder: Path,
    out: Path,
    weights: Path,
    beside: Mapping[str, Path],
) -> int:
    """Restore every picture of a folder with every trained run and draw them side by side.

    Args:
        config: names the runs, in the order of the columns.
        folder: blurred faces; each may have its own size.
        out: PNG file to write; it shows real people, so inside the project only an ignored folder
            is taken.
        weights: folder with ``RUN.safetensors``; runs without a file are left out.
        beside: further columns: heading and folder of pictures with the same file stems.

    Returns:
        Number of pictures.

    Raises:
        UserError: no pictures, no weights, or the sheet would lie in the repository.
    """
    check_output_path(out)
    files = list_images(folder).require_images("name a folder of blurred faces")
    runs = [run for run in config.runs if (weights / f"{run}.safetensors").exists()]
    if not runs:
        raise UserError(f"{weights}: no weights of any run: train one first (`dvc repro`)")
    blurred = [read_image(folder / file) for file in files]
    columns = {"blurred": blurred}
    for heading, other in beside.items():
        columns[heading] = read_same_stems(other, files)
    with Progress("real blur", len(runs), "run") as progress:
        for run in runs:
            columns[run] = restore_images(config, blurred, weights / f"{run}.safetensors")
            progress.advance()
    write_image(out, draw(columns, [Path(file).stem for file in files]))
    return len(files)


def check_output_path(out: Path) -> None:
    """Refuse a file in the working tree outside of the folders that git ignores."""
    root, place = Path.cwd().resolve(), out.resolve()
    if place.is_relative_to(root) and place.relative_to(root).parts[0] not in IGNORED:
        raise UserError(
            f"{out}: pictures of real people stay out of the repository: "
            f"write below {' or '.join(IGNORED)}, or outside the project"
        )


def read_same_stems(folder: Path, files: Sequence[str]) -> Images:
    """Pictures of a folder with the file stems of others, in their order.

    Raises:
        UserError: one is missing.
    """
    found = {normalise_name(Path(file).stem): folder / file for file in list_images(folder).images}
    stems = [normalise_name(Path(file).stem) for file in files]
    for stem in stems:
        if stem not in found:
            raise UserError(f"{folder}: no picture {stem}: add it")
    return [read_image(found[stem]) for stem in stems]


def restore_images(config: Config, blurred: Sequence[NDArray[np.uint8]], weights: Path) -> Images:
    """Pictures RGB uint8 [H, W, 3] restored one by one, at their own size."""
    device = select_device()
    restore = load_restore(config, weights, device)
    found = []
    for picture in blurred:
        image = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].to(device)
        result = quantise(restore(image.float() / 127.5 - 1))
        found.append(result[0].permute(1, 2, 0).cpu().numpy())
    return found


def draw(columns: Mapping[str, Images], names: Sequence[str]) -> NDArray[np.uint8]:
    """Sheet with a heading over each column and a name below each row's first picture."""
    font = ImageFont.load_default(FONT)
    step = CELL + GAP
    size = (len(columns) * step, LINE + len(names) * (step + LINE))
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    for number, (heading, pictures) in enumerate(columns.items()):
        pen.text((number * step, 1), heading, "black", font)
        for row, (picture, name) in enumerate(zip(pictures, names, strict=True)):
            image = Image.fromarray(picture)
            image.thumbnail((CELL, CELL), Image.Resampling.LANCZOS)
            top = LINE + row * (step + LINE)
            sheet.paste(image, (number * step, top))
            if not number:
                pen.text((0, top + CELL + 1), name, "black", font)
    return np.asarray(sheet)
