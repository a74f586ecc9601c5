"""Executes docs/tour.ipynb as a reader would, and holds its stored outputs against that."""

from __future__ import annotations

import os
import re
from typing import Any

import pytest
from helpers.places import ROOT

from dfpg.pretrained.assets.store import FOLDER

nbformat = pytest.importorskip("nbformat", reason="needs the extra `test`")
nbclient = pytest.importorskip("nbclient", reason="needs the extra `test`")

TOUR = ROOT / "docs" / "tour.ipynb"

pytestmark = [
    pytest.mark.smoke,
    pytest.mark.skipif(not (ROOT / FOLDER).exists(), reason="needs the assets: dfpg fetch"),
]


def code_cells(book: Any) -> list[Any]:
    return [cell for cell in book.cells if cell.cell_type == "code"]


def printed(book: Any) -> str:
    outputs = [output for cell in code_cells(book) for output in cell.outputs]
    return "\n".join(output.get("text", "") for output in outputs)


@pytest.fixture(scope="module")
def stored() -> Any:
    return nbformat.read(TOUR, 4)


@pytest.fixture(scope="module")
def executed() -> Any:
    book = nbformat.read(TOUR, 4)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    folder = {"metadata": {"path": str(TOUR.parent)}}
    nbclient.NotebookClient(book, timeout=600, resources=folder).execute(env=environment)
    return book


def test_the_tiny_network_removes_blur(executed):
    blurred, restored = re.findall(r"(?:blurred|restored) ([\d.]+) dB", printed(executed))
    assert float(restored) > float(blurred) + 0.2


def test_step_0_is_the_identity_and_the_row_is_shown(executed):
    assert "identity at step 0: True" in printed(executed)
    table = next(
        output.data["text/html"]
        for cell in reversed(code_cells(executed))
        for output in cell.outputs
        if "data" in output and "text/html" in output.data
    )
    assert "<td>b4</td>" in table
    assert "ci_low" in table


def test_stored_outputs_are_of_the_kind_that_executing_gives(stored, executed):
    for before, after in zip(code_cells(stored), code_cells(executed), strict=True):
        kinds = [
            [sorted(output.get("data", {output.output_type: 0})) for output in cell.outputs]
            for cell in (before, after)
        ]
        assert kinds[0] == kinds[1], before.source
        assert all(output.get("name") != "stderr" for output in after.outputs), before.source


def test_stored_outputs_name_the_conventions_that_executing_gives(stored, executed):
    pattern = r"(?:lpips|ssim|d_vgg)_\w+"
    named = [sorted(re.findall(pattern, str(book.cells))) for book in (stored, executed)]
    assert named[0] == named[1]


def test_stored_outputs_are_small_and_name_no_folder(stored):
    assert TOUR.stat().st_size < 300_000
    assert not re.search(r"/(?:work|home|root|tmp)\b", printed(stored))
