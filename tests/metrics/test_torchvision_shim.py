from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.places import ROOT


def run(code, first: Path | None = None):
    """Run code in an interpreter of its own; ``first`` is where it looks for modules first."""
    path = os.pathsep.join(map(str, [first, ROOT] if first else [ROOT]))
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "PYTHONPATH": path},
    )


def stand_in(folder: Path, code: str) -> Path:
    """A torchvision that does as some build of it does when it is imported."""
    (folder / "torchvision").mkdir()
    (folder / "torchvision" / "__init__.py").write_text(f"import torch\n{code}")
    return folder


def test_lpips_loads_and_a_second_import_declares_nothing():
    result = run(
        "from dfpg.metrics.torchvision_shim import import_lpips, import_torchvision\n"
        "assert import_lpips().LPIPS\n"
        "assert import_torchvision() == []\n"
    )
    assert result.returncode == 0, result.stderr


# Its operators come when it is imported, from a library of whatever name (`_C.so`,
# `_C_stable.so`); one that was declared before would be defined twice.
FITS = """
own = torch.library.Library("torchvision", "DEF")
own.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""
# Its library did not load, and its Python code names an operator of it.
HALF = """
from . import extension
import torchvision.extension
torchvision.extension.loaded
torch.library.register_fake("torchvision::nms", lambda *_: None)
"""
OTHER_CUDA = 'raise RuntimeError("compiled with different CUDA major versions.\\nReinstall")'


def test_nothing_is_declared_where_torchvision_brings_its_operators(tmp_path):
    result = run(
        "from dfpg.metrics.torchvision_shim import import_torchvision\n"
        "assert import_torchvision() == []\n",
        stand_in(tmp_path, FITS),
    )
    assert result.returncode == 0, result.stderr


def test_operators_are_declared_where_torchvision_lacks_them(tmp_path):
    folder = stand_in(tmp_path, HALF)
    (folder / "torchvision" / "extension.py").write_text("loaded = False\n")
    result = run(
        "from dfpg.metrics.torchvision_shim import import_torchvision\n"
        "assert import_torchvision() == ['nms', 'qnms']\n",
        folder,
    )
    assert result.returncode == 0, result.stderr


def test_builds_that_do_not_work_together_are_one_line(tmp_path):
    result = run(
        "from dfpg.core.errors import UserError\n"
        "from dfpg.metrics.torchvision_shim import import_torchvision\n"
        "try:\n    import_torchvision()\n"
        "except UserError as error:\n    print(error)\n",
        stand_in(tmp_path, OTHER_CUDA),
    )
    assert result.returncode == 0, result.stderr
    (line,) = result.stdout.splitlines()
    assert "(compiled with different CUDA major versions.): install the pair" in line


@pytest.mark.parametrize(
    "modules",
    [
        "dfpg.metrics, dfpg.metrics.psnr, dfpg.metrics.ssim, dfpg.metrics.d_vgg",
        "dfpg.pretrained.assets.store, dfpg.cli",
    ],
)
def test_torchvision_stays_out_of_other_imports(modules):
    result = run(f"import sys, {modules}\nassert 'torchvision' not in sys.modules")
    assert result.returncode == 0, result.stderr


def test_finding_assets_needs_no_torch():
    result = run("import sys, dfpg.pretrained.assets.store\nassert 'torch' not in sys.modules")
    assert result.returncode == 0, result.stderr
