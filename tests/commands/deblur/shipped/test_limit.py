"""The table of limits: validation people alone, 13 versions, and counts that can be known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.kernels import copy_kernels
from helpers.places import ROOT

from dfpg.commands.deblur.shipped import limit
from dfpg.commands.deblur.shipped.limit import LIMITS, limit_table, validation_faces, versions
from dfpg.data.faces.dataset import EMBEDDED, load_faces

CPU = torch.device("cpu")
PEOPLE = 20  # embedded validation people


@pytest.fixture(autouse=True)
def _project(config, tmp_path, monkeypatch):
    (tmp_path / "data").symlink_to(ROOT / "data")
    monkeypatch.chdir(tmp_path)
    copy_kernels(config, limit.KERNELS)


class Darker:
    """Takes away 3 grey levels: any face loses by it but those that are much blurred."""

    def __init__(self, *_: object) -> None:
        pass

    def change(self, pictures):
        return np.full(pictures.shape, -3, np.float32)


def test_every_validation_person_is_shown_once(config):
    faces = validation_faces(config)
    assert faces.shape == (PEOPLE, config.image_size, config.image_size, 3)
    assert len(set(load_faces(EMBEDDED, "val").people)) == PEOPLE
    assert len(np.unique(faces.reshape(PEOPLE, -1), axis=0)) == PEOPLE


def test_the_versions_are_the_sharp_faces_and_twelve_that_are_worse(config):
    sharp = validation_faces(config)
    found = list(versions(config, sharp))
    assert len(found) == 13
    assert np.array_equal(found[0], sharp)
    assert all(version.shape == sharp.shape for version in found)
    errors = [float(np.square(version.astype(float) - sharp).mean()) for version in found]
    assert errors[0] == 0 < errors[1] < errors[2] < errors[3]  # Gaussian blur, growing
    splines = errors[4:9]
    assert splines == sorted(splines)
    assert errors[11] == pytest.approx(25, rel=0.1)  # noise of 5 grey levels
    assert errors[12] != errors[6]  # JPEG


def test_a_change_of_3_grey_levels_is_left_from_4_on(config, monkeypatch):
    monkeypatch.setattr(limit, "Restorer", Darker)
    lines = limit_table(config, Path("any"), CPU).splitlines()
    assert len(lines) == 2 + len(LIMITS)
    assert f"{PEOPLE} people" in lines[0]
    harmed = int(lines[2].split("|")[2].split(" of ")[1])
    helped = int(lines[2].split("|")[3].split(" of ")[1])
    assert PEOPLE < harmed <= 13 * PEOPLE - helped
    for line, level in zip(lines[2:], LIMITS, strict=True):
        counts = (harmed, helped) if level > 3 else (0, 0)
        assert line == f"| {level:g} | {counts[0]} of {harmed} | {counts[1]} of {helped} |"
