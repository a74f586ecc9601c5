from __future__ import annotations

import os
import subprocess
import sys

from helpers.places import ROOT

from dfpg.pretrained.assets.store import asset_path
from dfpg.pretrained.onnx_network import NO_SPINNING, open_network


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


def test_no_thread_of_a_session_spins():
    model = open_network(asset_path("scrfd"))
    model.prepare(ctx_id=-1, input_size=(640, 640))  # opens the session anew
    options = model.session.get_session_options()
    assert [options.get_session_config_entry(key) for key in NO_SPINNING] == ["0", "0"]
