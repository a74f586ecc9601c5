"""Parsing maps of faces: what each pixel shows, in 19, 11 or 4 classes.

The 19 classes are those of CelebAMask-HQ in the order of the released BiSeNet (the data set's own
files have another order: :data:`CELEBAMASK_ORDER`). Left and right are the person's: ``l_eye`` is
on the right of an unmirrored picture.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from dfpg.core.device import Precision, autocast
from dfpg.core.errors import UserError, within_memory
from dfpg.core.files import atomic_write, write_image
from dfpg.core.progress import Progress
from dfpg.pretrained.bisenet import BiSeNet

# name: (class of eleven, class of four, colour on the sheet)
#
# Eleven are the classes of the Helen labels (Smith et al. 2013) that Shen et al. 2018 use. Four are
# those of Lee et al. 2020: background, skin, hair, inner parts. How CelebAMask-HQ's other classes
# fall into them is assumed: ears count as skin, glasses as skin or (as they hide the eyes) inner
# parts, and neck, clothes, hats and jewellery as background.
_TABLE: dict[str, tuple[str, str, tuple[int, int, int]]] = {
    "background": ("background", "background", (0, 0, 0)),
    "skin": ("skin", "skin", (255, 205, 148)),
    "l_brow": ("l_brow", "inner", (120, 60, 20)),
    "r_brow": ("r_brow", "inner", (190, 110, 30)),
    "l_eye": ("l_eye", "inner", (0, 90, 255)),
    "r_eye": ("r_eye", "inner", (0, 200, 255)),
    "glasses": ("skin", "inner", (255, 255, 0)),
    "l_ear": ("skin", "skin", (255, 120, 90)),
    "r_ear": ("skin", "skin", (255, 160, 30)),
    "earring": ("background", "background", (220, 220, 220)),
    "nose": ("nose", "inner", (0, 200, 80)),
    "mouth": ("mouth", "inner", (255, 255, 255)),
    "u_lip": ("u_lip", "inner", (255, 0, 80)),
    "l_lip": ("l_lip", "inner", (160, 0, 60)),
    "neck": ("background", "background", (200, 150, 200)),
    "necklace": ("background", "background", (130, 130, 130)),
    "cloth": ("background", "background", (70, 90, 60)),
    "hair": ("hair", "hair", (120, 0, 200)),
    "hat": ("background", "background", (0, 110, 110)),
}
CLASSES = tuple(_TABLE)
SHEN11 = (
    "background",
    "skin",
    "l_brow",
    "r_brow",
    "l_eye",
    "r_eye",
    "nose",
    "u_lip",
    "mouth",  # inside of the mouth, with the teeth
    "l_lip",
    "hair",
)
FOUR = ("background", "skin", "hair", "inner")
_TO_SHEN11 = tuple(SHEN11.index(eleven) for eleven, _, _ in _TABLE.values())
_TO_FOUR = tuple(FOUR.index(four) for _, four, _ in _TABLE.values())
# Class 0, 1, ... of the masks of CelebAMask-HQ.
CELEBAMASK_ORDER = (
    "background",
    "skin",
    "nose",
    "glasses",
    "l_eye",
    "r_eye",
    "l_brow",
    "r_brow",
    "l_ear",
    "r_ear",
    "mouth",
    "u_lip",
    "l_lip",
    "hair",
    "hat",
    "earring",
    "necklace",
    "neck",
    "cloth",
)
PAIRS = (("l_brow", "r_brow"), ("l_eye", "r_eye"), ("l_ear", "r_ear"))  # change place in a mirror

PART = 0.2  # share of the largest of two parts below which the other is taken for a crumb of it
SIDE = 512  # px: the input on which BiSeNet was trained
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


def to_shen11(labels: Tensor) -> Tensor:
    """Labels [N, H, W] of ``CLASSES`` to those of ``SHEN11``, uint8."""
    return _map_labels(labels, _TO_SHEN11)


def to_four(labels: Tensor) -> Tensor:
    """Labels [N, H, W] of ``CLASSES`` to those of ``FOUR``, uint8."""
    return _map_labels(labels, _TO_FOUR)


def swap_sides(labels: Tensor) -> Tensor:
    """Left and right classes exchanged, as a mirrored face needs it; pixels stay in place."""
    order = list(range(len(CLASSES)))
    for left, right in PAIRS:
        one, two = CLASSES.index(left), CLASSES.index(right)
        order[one], order[two] = two, one
    return _map_labels(labels, order)


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """Labels [N, H, W] to float32 [N, classes, H, W], 1 where a pixel is of the class."""
    numbers = torch.arange(classes, device=labels.device).reshape(1, -1, 1, 1)
    return (labels.unsqueeze(1) == numbers).to(torch.float32)


def from_celebamask(masks: Tensor) -> Tensor:
    """Masks [N, H, W] of CelebAMask-HQ to labels of ``CLASSES``, uint8."""
    return _map_labels(masks, [CLASSES.index(name) for name in CELEBAMASK_ORDER])


def assign_sides(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Labels [H, W] of one upright face with left and right assigned by place.

    The released network finds brows, eyes and ears, but on a face that it was not trained on it
    says left or right by chance. Here the right one of the two largest parts in the picture is the
    person's left one; a part without a partner is assigned by the nose.
    """
    result = labels.copy()
    across = np.arange(labels.shape[1])
    for names in PAIRS:
        left, right = map(CLASSES.index, names)
        parts, count = ndimage.label(np.isin(labels, (left, right)))
        if not count:
            continue
        columns = np.stack([(parts == part + 1).sum(0) for part in range(count)])
        areas = columns.sum(1)
        centres = columns @ across / areas
        largest = np.argsort(-areas, kind="stable")[:2]
        if count > 1 and areas[largest[1]] >= PART * areas[largest[0]]:
            middle = centres[largest].mean()
        else:
            nose = np.nonzero(labels == CLASSES.index("nose"))[1]
            middle = nose.mean() if len(nose) else across.mean()
        sides = np.where(centres > middle, left, right)
        result[parts > 0] = sides[parts[parts > 0] - 1]
    return result


@within_memory("prior.parsing_size")
def parse_faces(
    pictures: NDArray[np.uint8],
    network: BiSeNet,
    batch: int = 4,
    precision: Precision = "fp32",
    side: int = SIDE,
) -> NDArray[np.uint8]:
    """Labels uint8 [N, S, S] of upright RGB faces uint8 [N, S, S, 3], in FFHQ or a closer framing.

    Args:
        pictures: faces; drawn at ``side`` px for the network, labels reduced by nearest neighbour.
        network: BiSeNet, on the device to compute on.
        batch: pictures at a time.
        precision: "bf16" is faster where computed natively; 0.2 % of the pixels differ.
        side: px, a multiple of 32; at 256 the maps are coarser and quicker (93 % of the pixels of
            24 generated faces stay as they are), at 128 they are useless (52 %).
    """
    labels = np.empty(pictures.shape[:3], np.uint8)
    device = next(network.parameters()).device
    mean = torch.tensor(IMAGENET_MEAN, device=device).reshape(1, 3, 1, 1)
    deviation = torch.tensor(IMAGENET_DEVIATION, device=device).reshape(1, 3, 1, 1)
    with torch.inference_mode(), Progress("parse faces", len(pictures), "face") as progress:
        for first in range(0, len(pictures), batch):
            part = torch.from_numpy(pictures[first : first + batch]).to(device)
            images = part.permute(0, 3, 1, 2).to(torch.float32) / 255
            images = F.interpolate(
                images, (side, side), mode="bilinear", align_corners=False, antialias=True
            )
            with autocast(device, precision):
                found = network((images - mean) / deviation).argmax(1, keepdim=True)
            reduced = F.interpolate(
                found.to(torch.float32), pictures.shape[1:3], mode="nearest-exact"
            )
            raw = reduced[:, 0].to(torch.uint8).cpu().numpy()
            labels[first : first + batch] = np.stack([assign_sides(one) for one in raw])
            progress.advance(len(part))
    return labels


def save_labels(path: Path, labels: NDArray[np.uint8]) -> None:
    """Write labels [N, S, S] as a compressed NumPy file: maps are flat, a thirtieth remains."""
    with atomic_write(path) as stream:
        np.savez_compressed(stream, labels=labels)


def label_file(folder: Path, source: str) -> Path:
    """Where the stage ``parsing`` keeps the maps of one source's training faces."""
    return folder / f"{source}.npz"


def load_labels(folder: Path, sources: Sequence[str]) -> NDArray[np.uint8]:
    """Labels [N, S, S] that the stage ``parsing`` wrote, of the sources one after the other.

    Raises:
        UserError: the stage has not run, or its file is damaged.
    """
    parts = []
    for path in (label_file(folder, source) for source in sources):
        try:
            with np.load(path) as arrays:
                parts.append(arrays["labels"])
        except FileNotFoundError as error:
            raise UserError(f"{path}: missing; run `dvc repro parsing`") from error
        except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error) as error:
            raise UserError(f"{path}: damaged; run `dvc repro -f parsing`") from error
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def draw_parsing_sheet(
    pictures: NDArray[np.uint8], labels: NDArray[np.uint8], path: Path, columns: int = 6
) -> None:
    """Draw every face beside its parsing map, as PNG.

    Args:
        pictures: RGB uint8 [N, S, S, 3].
        labels: uint8 [N, S, S], of ``CLASSES``.
        path: file to write.
        columns: faces per row.
    """
    colours = np.array([colour for _, _, colour in _TABLE.values()], np.uint8)
    count, side = pictures.shape[:2]
    tiles = np.concatenate([pictures, colours[labels]], 2)
    rows = -(-count // columns)
    sheet = np.full((rows * columns, side, 2 * side, 3), 255, np.uint8)
    sheet[:count] = tiles
    grid = sheet.reshape(rows, columns, side, 2 * side, 3).transpose(0, 2, 1, 3, 4)
    write_image(path, grid.reshape(rows * side, columns * 2 * side, 3))


def _map_labels(labels: Tensor, numbers: Sequence[int]) -> Tensor:
    table = torch.tensor(numbers, dtype=torch.uint8, device=labels.device)
    return table[labels.long()]
