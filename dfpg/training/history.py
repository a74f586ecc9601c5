"""The course of a training, one row per validation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass
class History:
    """Rows of ``history.csv`` and the sums of the row that is being gathered."""

    rows: list[dict[str, float]] = field(default_factory=list)
    sums: dict[str, float] = field(default_factory=dict)
    count: int = 0

    def add(self, losses: Mapping[str, float]) -> None:
        """Take one step's losses into the current row."""
        self.count += 1
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, 0.0) + value

    def close_row(self, step: int, lr: float, **figures: float) -> None:
        """End the row at ``step``: means of the losses since the last row, then ``figures``."""
        means = {name: total / self.count for name, total in self.sums.items()}
        self.rows.append({"step": step, "lr": lr, **means, **figures})
        self.sums, self.count = {}, 0

    def csv(self) -> str:
        """CSV of all rows: six significant digits and no times, so equal runs give equal bytes."""
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        lines = [
            ",".join(f"{row[name]:.6g}" if name in row else "" for name in names)
            for row in self.rows
        ]
        return "\n".join([",".join(names), *lines]) + "\n"
