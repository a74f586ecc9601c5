from __future__ import annotations

import os
import subprocess
import sys

from helpers.places import ROOT

from dfpg.pretrained.assets.store import asset_path


def test_the_runtime_reports_nothing_and_leaves_nothing_in_the_cache(tmp_path):
    code = (
        "import sys; from pathlib import Path; from dfpg.pretrained.detector import FaceDetector\n"
        "FaceDetector(Path(sys.argv[1]))"
    )
    homes = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    subprocess.run(
        [sys.executable, "-c", code, str(asset_path("scrfd").resolve())],
        cwd=ROOT,
        env={**os.environ, **homes},
        check=True,
    )
    assert list(tmp_path.iterdir()) == []
