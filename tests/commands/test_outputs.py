from __future__ import annotations

import pytest

from dfpg.commands.outputs import new_png
from dfpg.core.errors import UserError


def test_a_picture_in_a_folder_that_is_there_is_taken(tmp_path):
    for name in ("sheet.png", "sheet.PNG"):
        assert new_png(tmp_path / name) == tmp_path / name
    assert new_png(None) is None


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("sheet.txt", r"sheet\.txt: name a file that ends in \.png"),
        ("sheet", r"sheet: name a file that ends in \.png"),
        ("nothing/sheet.png", "nothing: no such folder"),
        ("README.md/sheet.png", r"README\.md: no such folder"),
        ("folder.png", r"folder\.png: is a folder: name a file"),
    ],
)
def test_other_paths_are_refused(tmp_path, name, fault):
    (tmp_path / "README.md").touch()
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(UserError, match=fault):
        new_png(tmp_path / name)
