from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from dfpg.core.errors import UserError
from dfpg.report.pictures import write_pictures
from dfpg.report.sheet import Example, SheetColumn
from dfpg.report.tiles import LARGEST_ERROR, error_map, read_tiles


def decoded(uri: str) -> np.ndarray:
    head, data = uri.split(",")
    assert head == "data:image/webp;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


def test_pictures_come_back_as_they_were_written(tmp_path):
    noise = np.random.default_rng(0)
    names = ("blurred", "run", "sharp")
    shown = [SheetColumn(n, noise.integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)) for n in names]
    chosen = [Example(3, "center\nbest"), Example(7, "random\nworst")]
    write_pictures(tmp_path / "a.png", chosen, shown)
    groups = read_tiles(tmp_path / "a.png")
    assert [group.title for group in groups] == [
        "Center view, least blurred image, number 3",
        "Random view, most blurred image, number 7",
    ]
    for row, group in enumerate(groups):
        assert [tile.name for tile in group.tiles] == list(names)
        for tile, column in zip(group.tiles, shown, strict=True):
            assert np.array_equal(decoded(tile.picture), column.pictures[row])
            error = column.pictures[row].astype(float) - shown[-1].pictures[row]
            expected = 10 * np.log10(255**2 / np.mean(error**2)) if error.any() else None
            assert tile.psnr == (f"{expected:.2f} dB" if expected else "")


def test_error_maps_brighten_with_the_error_up_to_their_limit():
    sharp = np.full((1, 4, 3), 100, np.uint8)
    levels = np.array([0, LARGEST_ERROR // 2, LARGEST_ERROR, LARGEST_ERROR + 50])
    drawn = decoded(error_map((sharp + levels[None, :, None]).astype(np.uint8), sharp))[0]
    brightness = drawn.astype(int).sum(axis=1)
    assert brightness[0] < brightness[1] < brightness[2] == brightness[3]


def test_no_pictures_are_no_groups(tmp_path):
    assert read_tiles(tmp_path / "a.png") == []


def test_a_foreign_json_is_refused(tmp_path):
    shown = [SheetColumn("sharp", np.zeros((1, 8, 8, 3), np.uint8))]
    write_pictures(tmp_path / "a.png", [Example(0, "center\nbest")], shown)
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(UserError, match=r"a.png: its JSON is not of these pictures"):
        read_tiles(tmp_path / "a.png")
