"""Import of ``lpips``, which imports torchvision, whatever builds of it and of torch are there.

Builds that fit are imported as they are. The CPU build of torch and the index's build of
torchvision do not load each other's operators ("operator torchvision::nms does not exist").
torchvision only needs the names of two operators, which this project never calls, so they are
declared and the import is tried again. No other module imports torchvision or ``lpips``.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

import torch

from dfpg.core.errors import UserError

# Operators that torchvision's Python code refers to when it is imported.
_SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
_declared: list[Any] = []  # an operator lives as long as its library


def import_torchvision() -> list[str]:
    """Import torchvision; where its own operators do not load, declare their names first.

    The plain import comes first: an operator that is declared before torchvision's library loads
    would be defined twice, which ends the process.

    Returns:
        Names that were declared; empty if the two builds fit or torchvision is loaded already.

    Raises:
        UserError: torch and torchvision do not work together in another way.
    """
    try:
        importlib.import_module("torchvision")
        return []
    except RuntimeError:
        # What has been imported of it would not be set as attributes of a second import.
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
    missing = [name for name in _SCHEMAS if not hasattr(torch.ops.torchvision, name)]
    if missing:
        library: Any = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
        _declared.append(library)
        for name in missing:
            library.define(_SCHEMAS[name])
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        raise UserError(
            f"torchvision does not load with torch {torch.__version__} "
            f"({str(error).splitlines()[0]}): install the pair of constraints.txt"
        ) from error
    return missing


def import_lpips() -> Any:
    """The package ``lpips``, importable whichever build of torchvision is installed."""
    import_torchvision()
    import lpips

    return lpips
