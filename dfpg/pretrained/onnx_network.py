"""Networks that lie as ONNX files, run by InsightFace on the CPU."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

# ONNX Runtime from 1.32 on reports to its maker unless this is set before it is imported.
NO_REPORTS = "ORT_DISABLE_TELEMETRY"
# Between two calls its threads would spin and take the cores from whatever else runs.
NO_SPINNING = ("session.intra_op.allow_spinning", "session.inter_op.allow_spinning")


def session_options() -> Any:
    """Options of every ONNX Runtime session: its threads wait for work without spinning."""
    os.environ[NO_REPORTS] = "1"
    import onnxruntime

    options = onnxruntime.SessionOptions()
    for key in NO_SPINNING:
        options.add_session_config_entry(key, "0")
    return options


def open_network(path: Path) -> Any:
    """InsightFace's model of a file, which nobody is told about; None where it knows no such model.

    Raises:
        Exception: of ONNX Runtime's own, where the file holds no network.
    """
    options = session_options()
    from insightface.model_zoo import get_model

    return get_model(str(path), providers=["CPUExecutionProvider"], sess_options=options)
