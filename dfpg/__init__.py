"""DFPG-Bench: the reproducibility benchmark suite for face deblurring.

The names below are the Python interface, :mod:`dfpg.api`; each is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dfpg.api import blur, load_restorer, metric, sample_kernels, score_folders

    __version__: str

__all__ = ["__version__", "blur", "load_restorer", "metric", "sample_kernels", "score_folders"]


def __getattr__(name: str) -> Any:
    """Import a name of the interface."""
    if name == "__version__":
        from importlib.metadata import version

        return version("dfpg-bench")
    if name in __all__:
        # By its name: no other module of the package depends on the interface.
        from importlib import import_module

        return getattr(import_module("dfpg.api"), name)
    raise AttributeError(f"module 'dfpg' has no attribute {name!r}")
