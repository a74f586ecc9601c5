from __future__ import annotations

import subprocess
import sys

import pytest


def run(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )


def test_lpips_loads_and_a_second_import_declares_nothing():
    result = run(
        "from dfpg.metrics.torchvision_shim import import_lpips, import_torchvision\n"
        "assert import_lpips().LPIPS\n"
        "assert import_torchvision() == []\n"
    )
    assert result.returncode == 0, result.stderr


FAILING = """
import builtins, sys, types
import dfpg.metrics.torchvision_shim as shim
plain, tries = builtins.__import__, []
def fake(name, *rest, **options):
    if name != "torchvision":
        return plain(name, *rest, **options)
    tries.append(name)
    if len(tries) == 1:
        sys.modules["torchvision.half"] = types.ModuleType("half")
        raise RuntimeError({message!r})
    assert "torchvision.half" not in sys.modules
    return types.ModuleType("torchvision")
builtins.__import__ = fake
"""


def test_operators_are_declared_where_the_builds_do_not_fit():
    result = run(
        FAILING.format(message="operator torchvision::nms does not exist")
        + "assert shim.import_torchvision() == ['nms', 'qnms'] and len(tries) == 2\n"
        "import torch; assert torch.ops.torchvision.nms\n"
    )
    assert result.returncode == 0, result.stderr


def test_another_fault_of_torchvision_is_not_hidden():
    result = run(FAILING.format(message="no kernel image") + "shim.import_torchvision()\n")
    assert "RuntimeError: no kernel image" in result.stderr


def test_nothing_is_declared_where_the_plain_import_works():
    result = run(
        "import sys, types\n"
        "sys.modules['torchvision'] = types.ModuleType('torchvision')\n"
        "from dfpg.metrics.torchvision_shim import import_torchvision\n"
        "assert import_torchvision() == []\n"
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
