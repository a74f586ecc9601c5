"""Stage ``kernels``: seeded blur kernels of both protocols."""

from __future__ import annotations

from pathlib import Path

from dfpg.core.config import load_config
from dfpg.core.paths import KERNELS
from dfpg.data.blur.kernels import build_kernels, kernel_report, kernel_sheet, load_bank


def kernels(sheet: Path | None) -> str:
    """Stage ``kernels``: make both families; returns their figures as text."""
    build_kernels(load_config(), KERNELS)
    banks = [load_bank(family) for family in ("spline", "trajectory")]
    if sheet is not None:
        for bank in banks:
            kernel_sheet(bank, sheet.with_stem(f"{sheet.stem}_{bank.family}"))
    return "\n\n".join(kernel_report(bank).to_string(index=False) for bank in banks)
