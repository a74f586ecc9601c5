"""The package ``lpips``, the official code of that metric, to compare with."""

from __future__ import annotations

from typing import Any

import pytest

# Operators that torchvision's Python code refers to when it is imported, and that nothing calls.
OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_declared: list[Any] = []  # an operator lives as long as its library


def import_lpips() -> Any:
    """Import the package; skip the test where it is not installed.

    It imports torchvision. The CPU build of torch and the index's build of torchvision do not load
    each other's operators; there the two that are asked for are declared.
    """
    try:
        import torchvision  # noqa: F401
    except ImportError:
        pytest.skip("needs the package torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        _declare()
    return pytest.importorskip("lpips")


def _declare() -> None:
    import sys

    import torch

    # What a failed import leaves behind would be taken for the whole.
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    library: Any = torch.library.Library("torchvision", "FRAGMENT")
    _declared.append(library)
    for schema in OPERATORS:
        if not hasattr(torch.ops.torchvision, schema.partition("(")[0]):
            library.define(schema)
