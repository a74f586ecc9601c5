"""Progress of long work: a bar on a terminal, one line every few seconds elsewhere."""

from __future__ import annotations

import io
import sys
from types import TracebackType
from typing import TextIO

from tqdm import tqdm

from dfpg.core.errors import escape_text

LINE_INTERVAL_S = 10.0


class _Lines(io.TextIOBase):
    """Turns tqdm's redrawn line into whole lines, for logs and pipes."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        line = text.strip()
        if line:
            self._stream.write(f"{line}\n")
            self._stream.flush()
        return len(text)


class Progress:
    """Counts ``total`` units of work and shows rate and remaining time on stderr.

    Args:
        label: what is being done.
        total: number of units.
        unit: name of a unit, e.g. ``"image"``.
        initial: units done before (a resumed run).
    """

    def __init__(self, label: str, total: int, unit: str = "it", initial: int = 0) -> None:
        terminal = sys.stderr.isatty()
        self._bar = tqdm(
            total=total,
            initial=initial,
            desc=label,
            unit=unit,
            file=sys.stderr if terminal else _Lines(sys.stderr),
            dynamic_ncols=terminal,
            mininterval=0.1 if terminal else LINE_INTERVAL_S,
            maxinterval=LINE_INTERVAL_S,
            bar_format=None
            if terminal
            else "{desc}: {n_fmt}/{total_fmt} {unit}, {rate_fmt}, {remaining} left{postfix}",
        )

    def advance(self, count: int = 1, **figures: float) -> None:
        """Report ``count`` further units and the latest figures (shown beside the rate)."""
        if figures:
            self._bar.set_postfix(
                {name: f"{value:.4g}" for name, value in figures.items()}, refresh=False
            )
        self._bar.update(count)

    def return_to(self, done: int) -> None:
        """Go back to ``done`` units: the work after them is done again."""
        self._bar.update(done - self._bar.n)

    def say(self, line: str) -> None:
        """Print a line on stderr without breaking the bar; file names may stand in it."""
        self._bar.write(escape_text(line), file=sys.stderr)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._bar.close()
