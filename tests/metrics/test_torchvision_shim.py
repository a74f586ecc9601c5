from __future__ import annotations

import subprocess
import sys

import pytest


def run(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )


def test_lpips_loads_and_a_second_declaration_does_nothing():
    result = run(
        "from dfpg.metrics.torchvision_shim import declare_torchvision_operators, import_lpips\n"
        "assert import_lpips().LPIPS\n"
        "assert declare_torchvision_operators() == []\n"
    )
    assert result.returncode == 0, result.stderr


def test_nothing_is_declared_where_torchvision_brings_its_operators():
    # Stands for builds that fit: the operators exist before torchvision is imported.
    result = run(
        "import torch, sys\n"
        "own = torch.library.Library('torchvision', 'FRAGMENT')\n"
        "import dfpg.metrics.torchvision_shim as compat\n"
        "compat._load_own_operators()\n"
        "for name, schema in compat._SCHEMAS.items():\n"
        "    if not compat._exists(name):\n"
        "        own.define(schema)\n"
        "assert compat.declare_torchvision_operators() == []\n"
        "assert 'torchvision' not in sys.modules\n"
        "assert compat.import_lpips().LPIPS\n"
    )
    assert result.returncode == 0, result.stderr


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
