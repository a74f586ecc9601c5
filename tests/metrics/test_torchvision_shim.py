from __future__ import annotations

import os
import subprocess
import sys
import traceback

from helpers.toys import forkserver


def run(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )


def fork(code, log):
    """The same in a process that has torch already: its exit code and standard error."""
    process = forkserver().Process(target=_child, args=(code, log))
    process.start()
    process.join(120)
    process.kill()
    return process.exitcode, log.read_text()


def _child(code, log):
    with log.open("w", buffering=1) as sys.stderr:
        try:
            exec(code, {})
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    os._exit(0)


def test_lpips_loads_and_a_second_import_declares_nothing(tmp_path):
    code, said = fork(
        "import sys\n"
        "assert 'torchvision' not in sys.modules and 'lpips' not in sys.modules\n"
        "from dfpg.metrics.torchvision_shim import import_lpips, import_torchvision\n"
        "assert import_lpips().LPIPS\n"
        "assert import_torchvision() == []\n",
        tmp_path / "said",
    )
    assert code == 0, said


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


def test_operators_are_declared_where_the_builds_do_not_fit(tmp_path):
    code, said = fork(
        FAILING.format(message="operator torchvision::nms does not exist")
        + "assert shim.import_torchvision() == ['nms', 'qnms'] and len(tries) == 2\n"
        "import torch; assert torch.ops.torchvision.nms\n",
        tmp_path / "said",
    )
    assert code == 0, said


def test_another_fault_of_torchvision_is_not_hidden(tmp_path):
    _, said = fork(
        FAILING.format(message="no kernel image") + "shim.import_torchvision()\n",
        tmp_path / "said",
    )
    assert "RuntimeError: no kernel image" in said


def test_nothing_is_declared_where_the_plain_import_works(tmp_path):
    code, said = fork(
        "import sys, types\n"
        "sys.modules['torchvision'] = types.ModuleType('torchvision')\n"
        "from dfpg.metrics.torchvision_shim import import_torchvision\n"
        "assert import_torchvision() == []\n",
        tmp_path / "said",
    )
    assert code == 0, said


def test_finding_assets_needs_no_torch_and_other_metrics_no_torchvision():
    result = run(
        "import sys, dfpg.pretrained.assets.store, dfpg.cli\n"
        "assert 'torch' not in sys.modules\n"
        "import dfpg.metrics.psnr, dfpg.metrics.ssim, dfpg.metrics.d_vgg\n"
        "assert 'torch' in sys.modules and 'torchvision' not in sys.modules\n"
    )
    assert result.returncode == 0, result.stderr
