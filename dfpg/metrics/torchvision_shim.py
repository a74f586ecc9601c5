"""Import of ``lpips`` where torch and torchvision are of different builds.

``lpips`` imports torchvision. The CPU build of torch and the index's build of torchvision do not
load each other's operators ("operator torchvision::nms does not exist"). torchvision only needs
the names of two operators, which this project never calls, so they are declared first. No other
module imports torchvision or ``lpips``.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

# Operators that torchvision's Python code refers to when it is imported.
_SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
_declared: list[Any] = []  # an operator lives as long as its library


def declare_torchvision_operators() -> list[str]:
    """Declare the operators that torchvision's own library does not bring.

    Returns:
        Names that were declared; empty if the two builds fit or torchvision is loaded already.
    """
    if "torchvision" in sys.modules:
        return []
    _load_own_operators()
    missing = [name for name in _SCHEMAS if not _exists(name)]
    if missing:
        library: Any = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
        _declared.append(library)
        for name in missing:
            library.define(_SCHEMAS[name])
    return missing


def _load_own_operators() -> None:
    spec = find_spec("torchvision")
    if spec is None or spec.origin is None:
        return
    for library in Path(spec.origin).parent.glob("_C.*"):
        with suppress(OSError):  # linked against another build of torch
            torch.ops.load_library(library)  # type: ignore[no-untyped-call]


def _exists(name: str) -> bool:
    return hasattr(torch.ops.torchvision, name)


def import_lpips() -> Any:
    """The package ``lpips``, importable whichever build of torchvision is installed."""
    declare_torchvision_operators()
    import lpips

    return lpips
