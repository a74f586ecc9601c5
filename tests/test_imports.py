"""What is imported when: a command starts fast, and no package is needed that it does not use."""

from __future__ import annotations

import subprocess
import sys


def run(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )


def test_finding_assets_needs_no_torch():
    result = run("import sys, dfpg.pretrained.assets.store\nassert 'torch' not in sys.modules")
    assert result.returncode == 0, result.stderr
