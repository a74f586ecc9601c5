"""LFW's pairs, read where the user keeps them; nothing is written there."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dfpg.core.config import PARAMS
from dfpg.core.errors import UserError
from dfpg.core.files import expand_home, read_image
from dfpg.data.faces.source import read_lines

PICTURES, PAIRS = "lfw_funneled", "pairs.txt"
SIDE = 250  # px of LFW's pictures
# The middle holds the face with room to align it; drawn at the benchmark's 128 px.
MIDDLE = slice(45, 205)
DRAWN = 128  # px


class LfwPair(NamedTuple):
    """Two pictures, and whether they show one person."""

    one: Path
    two: Path
    same: bool


def list_pairs(folder: str | Path) -> list[LfwPair]:
    """Pairs of the ten folds, in the order of ``pairs.txt``: fold by fold, each half positive.

    Args:
        folder: holds ``lfw_funneled`` and ``pairs.txt``, itself or in ``lfw_home``, where
            scikit-learn keeps them.

    Raises:
        UserError: something is missing or damaged; says which file.
    """
    root = expand_home(Path(folder))
    if not root.is_dir():
        raise UserError(f"{PARAMS}: recognition.lfw: {root}: no such folder: name LFW's, or null")
    home = root / "lfw_home" if (root / "lfw_home").is_dir() else root
    for path in (home / PICTURES, home / PAIRS):
        if not path.exists():
            raise UserError(
                f"{PARAMS}: recognition.lfw: {path}: missing: unpack LFW there "
                "(vis-www.cs.umass.edu/lfw), or set it to null"
            )
    first, *lines = read_lines(home / PAIRS)
    try:
        folds, per_fold = map(int, first.split())
        pairs = [_parse(home / PICTURES, line.split()) for line in lines]
        complete = len(pairs) == 2 * folds * per_fold
    except (ValueError, IndexError) as error:
        raise UserError(f"{home / PAIRS}: not LFW's list of pairs: restore it") from error
    if not complete:
        raise UserError(
            f"{home / PAIRS}: {len(pairs)} pairs instead of {2 * folds * per_fold}: restore it"
        )
    named = {path for pair in pairs for path in (pair.one, pair.two)}
    missing = sorted(path for path in named if not path.is_file())
    if missing:
        raise UserError(
            f"{missing[0]}: missing ({len(missing)} of {len(named)} pictures are): unpack LFW again"
        )
    return pairs


def read_middle(path: Path) -> NDArray[np.uint8]:
    """The middle of one of LFW's pictures, RGB uint8 [128, 128, 3].

    Raises:
        UserError: damaged, or not of LFW's size.
    """
    picture = read_image(path)
    if picture.shape[:2] != (SIDE, SIDE):
        height, width = picture.shape[:2]
        raise UserError(f"{path}: {width} x {height} px instead of {SIDE} x {SIDE}: restore it")
    middle = Image.fromarray(picture[MIDDLE, MIDDLE])
    return np.asarray(middle.resize((DRAWN, DRAWN), Image.Resampling.BICUBIC))


def _parse(folder: Path, words: list[str]) -> LfwPair:
    """``NAME 1 2`` are two pictures of a person, ``NAME 1 OTHER 2`` those of two people."""
    if len(words) == 3:
        name, one, two = words
        return LfwPair(_picture(folder, name, one), _picture(folder, name, two), True)
    name, one, other, two = words
    return LfwPair(_picture(folder, name, one), _picture(folder, other, two), False)


def _picture(folder: Path, name: str, number: str) -> Path:
    return folder / name / f"{name}_{int(number):04d}.jpg"
