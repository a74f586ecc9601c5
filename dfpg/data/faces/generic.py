"""Pictures without faces: dead leaves, and photographs that scikit-image ships in its package."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dfpg.core.seeds import generator
from dfpg.data.faces.dataset import FaceSet

PHOTOGRAPHS = ("coffee", "hubble_deep_field", "ihc", "motorcycle", "retina", "rocket")
LEAVES = "dead_leaves"
PHOTOGRAPH_SHARE = 0.25  # of the pictures (assumed)
LEAST_CROP = 128  # px of a photograph that are shown at least
COUNT = 1000  # leaves per picture: hardly any background is left
RADII = (0.03, 0.35)  # share of the picture's side
POWER = 3.0  # radii are distributed as r ** -3: the same at every scale (Lee et al. 2001)
CORNERS = (3, 7)  # least and greatest number of a polygon's
POLYGONS = 0.5  # share of leaves that are polygons; the others are discs
OVERSAMPLING = 2


def generic_pictures(seed: int, count: int, side: int) -> FaceSet:
    """Pictures [count, side, side, 3] without faces, each a function of seed, index and side.

    Names are ``dead_leaves_00000`` and so on; ``people`` holds what the picture is made of: a
    photograph's name or "dead_leaves". There are no landmarks: they are 0.
    """
    photographs = _load_photographs()
    pictures, people = [], []
    for index in range(count):
        rng = generator(seed, "generic", index)
        if rng.random() < PHOTOGRAPH_SHARE:
            people.append(PHOTOGRAPHS[rng.integers(len(PHOTOGRAPHS))])
            pictures.append(_crop(rng, photographs[people[-1]], side))
        else:
            people.append(LEAVES)
            pictures.append(dead_leaves(rng, side))
    names = tuple(f"{name}_{index:05d}" for index, name in enumerate(people))
    landmarks = np.zeros((count, 5, 2), np.float32)
    return FaceSet(np.stack(pictures), tuple(people), names, landmarks)


def dead_leaves(rng: np.random.Generator, side: int) -> NDArray[np.uint8]:
    """Opaque discs and polygons that cover each other, RGB uint8 [side, side, 3].

    Every leaf has a colour, a slope of brightness and a grating of its own.
    """
    large = side * OVERSAMPLING
    leaf = _leaf_numbers(rng, large)
    colours = rng.uniform(0, 255, (COUNT + 1, 3))
    colours = colours.mean(1, keepdims=True) + (
        rng.random((COUNT + 1, 1)) * (colours - colours.mean(1, keepdims=True))
    )
    # In grey levels; the slope over the whole picture.
    slopes = rng.normal(0, 40, (COUNT + 1, 2)).astype(np.float32)
    strengths = rng.exponential(6, COUNT + 1).astype(np.float32)
    waves = 10 ** rng.uniform(0.5, 1.8, COUNT + 1)  # periods over the whole picture
    angles, phases = rng.uniform(0, 2 * math.pi, (2, COUNT + 1))
    line = np.arange(large, dtype=np.float32) / large - 0.5
    y, x = line[:, None], line[None, :]
    across, down = (
        (2 * math.pi * waves * part).astype(np.float32) for part in (np.cos(angles), np.sin(angles))
    )
    grating = strengths[leaf] * np.sin(
        across[leaf] * x + down[leaf] * y + phases.astype(np.float32)[leaf]
    )
    shade = grating + slopes[leaf, 0] * x + slopes[leaf, 1] * y
    picture = (colours.astype(np.float32)[leaf] + shade[:, :, None]).clip(0, 255)
    boxes = picture.reshape(side, OVERSAMPLING, side, OVERSAMPLING, 3).mean((1, 3))
    result: NDArray[np.uint8] = np.rint(boxes).astype(np.uint8)
    return result


def _leaf_numbers(rng: np.random.Generator, side: int) -> NDArray[np.int32]:
    """Number [side, side] of the leaf that is seen: 1 the lowest, 0 where there is none."""
    import cv2

    numbers = np.zeros((side, side), np.int32)
    low, high = (radius ** (1 - POWER) for radius in RADII)
    radii = (low + (high - low) * rng.random(COUNT)) ** (1 / (1 - POWER)) * side
    places = rng.uniform(-0.1, 1.1, (COUNT, 2)) * side
    is_polygon = rng.random(COUNT) < POLYGONS
    corners = rng.integers(CORNERS[0], CORNERS[1] + 1, COUNT)
    turns = rng.random((COUNT, CORNERS[1]))
    for number in range(COUNT):
        radius, place = radii[number], places[number]
        if is_polygon[number]:
            angles = 2 * math.pi * np.sort(turns[number, : corners[number]])
            points = place + radius * np.stack([np.cos(angles), np.sin(angles)], 1)
            cv2.fillPoly(numbers, [np.rint(points).astype(np.int32)], number + 1)
        else:
            centre = np.rint(place).astype(int).tolist()
            cv2.circle(numbers, centre, max(1, round(radius)), number + 1, cv2.FILLED)
    return numbers


def _load_photographs() -> dict[str, NDArray[np.uint8]]:
    """The colour photographs of the package without a face (not the astronaut, not the cat)."""
    from skimage import data

    loaders: dict[str, Callable[[], NDArray[np.uint8]]] = {
        "coffee": data.coffee,
        "hubble_deep_field": data.hubble_deep_field,
        "ihc": data.immunohistochemistry,
        "motorcycle": lambda: data.stereo_motorcycle()[0],  # type: ignore[no-untyped-call]
        "retina": data.retina,
        "rocket": data.rocket,
    }
    return {name: loaders[name]() for name in PHOTOGRAPHS}


def _crop(rng: np.random.Generator, photograph: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """A square of random size and place, mirrored by chance, brought to ``side`` px."""
    import cv2

    height, width = photograph.shape[:2]
    shares = rng.random(4)
    size = round(LEAST_CROP * (min(height, width) / LEAST_CROP) ** shares[0])
    top, left = round(shares[1] * (height - size)), round(shares[2] * (width - size))
    square = photograph[top : top + size, left : left + size]
    if shares[3] < 0.5:
        square = square[:, ::-1]
    method = cv2.INTER_AREA if size > side else cv2.INTER_CUBIC
    resized: NDArray[np.uint8] = np.asarray(
        cv2.resize(np.ascontiguousarray(square), (side, side), interpolation=method), np.uint8
    )
    return resized
