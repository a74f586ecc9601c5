"""Import of ``lpips`` where torch and torchvision are of different builds.

``lpips`` imports torchvision. The CPU build of torch and the index's build of torchvision do not
load each other's operators ("operator torchvision::nms does not exist"). torchvision's Python code
only needs the names of two operators, which this project never calls. So it is imported as it is
first; where that fails, the two are declared and it is imported again. No other module imports
torchvision or ``lpips``.
"""

from __future__ import annotations

import sys
from typing import Any

import torch

# Operators that torchvision's Python code refers to when it is imported.
_SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
_declared: list[Any] = []  # an operator lives as long as its library


def import_torchvision() -> list[str]:
    """Import torchvision, whichever build of it is installed.

    Returns:
        Names of the operators that had to be declared; empty where the two builds fit.

    Raises:
        ImportError: torchvision is not installed.
        RuntimeError: it does not load for another reason.
    """
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        # What a failed import leaves behind would be taken for the whole.
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        missing = _declare_missing()
        import torchvision  # noqa: F401

        return missing
    return []


def _declare_missing() -> list[str]:
    missing = [name for name in _SCHEMAS if not hasattr(torch.ops.torchvision, name)]
    library: Any = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    _declared.append(library)
    for name in missing:
        library.define(_SCHEMAS[name])
    return missing


def import_lpips() -> Any:
    """The package ``lpips``, importable whichever build of torchvision is installed."""
    import_torchvision()
    import lpips

    return lpips
