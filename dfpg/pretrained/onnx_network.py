"""Networks that lie as ONNX files, run by InsightFace on the CPU."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

# ONNX Runtime from 1.32 on reports to its maker unless this is set before it is imported.
NO_REPORTS = "ORT_DISABLE_TELEMETRY"


def open_network(path: Path) -> Any:
    """InsightFace's model of a file, which nobody is told about; None where it knows no such model.

    Raises:
        Exception: of ONNX Runtime's own, where the file holds no network.
    """
    os.environ[NO_REPORTS] = "1"
    from insightface.model_zoo import get_model

    return get_model(str(path), providers=["CPUExecutionProvider"])
