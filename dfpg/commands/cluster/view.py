"""All runs in one view: a line each on a terminal, elsewhere those at work every few seconds."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal

from tqdm import tqdm

from dfpg.core.errors import escape_text
from dfpg.core.progress import LINE_INTERVAL_S
from dfpg.core.terminal import print_error

Phase = Literal["waiting", "running", "done", "failed"]
PHASES: tuple[Phase, ...] = ("done", "running", "waiting", "failed")


@dataclass(frozen=True)
class State:
    """Of one run: its phase, and in words where it is and what it does."""

    phase: Phase
    words: str = ""


class View(AbstractContextManager["View"]):
    """Shows the states of runs on stderr.

    Args:
        label: what is run.
        names: of the runs, in the order to show them.
    """

    def __init__(self, label: str, names: Sequence[str]) -> None:
        self._label = label
        self._shown = ""
        self._due = 0.0
        self._bars: list[Any] = []
        if sys.stderr.isatty():
            self._bars = [
                tqdm(total=0, position=place, bar_format="{desc}", dynamic_ncols=True, leave=True)
                for place in range(len(names) + 1)
            ]

    def show(self, states: Mapping[str, State]) -> None:
        """Bring the view up to date."""
        if self._bars:
            lines = [summary(self._label, states), *map(_line, states, states.values())]
            for bar, line in zip(self._bars, lines, strict=True):
                bar.set_description_str(line)
            return
        text = "\n".join(running_lines(self._label, states))
        if text != self._shown and time.monotonic() >= self._due:
            for line in text.split("\n"):
                print_error(line)
            self._shown, self._due = text, time.monotonic() + LINE_INTERVAL_S

    def say(self, line: str) -> None:
        """Print what happened, above the view."""
        if self._bars:
            tqdm.write(escape_text(line), file=sys.stderr)
        else:
            print_error(line)

    def __exit__(self, *_: Any) -> None:
        for bar in self._bars:
            bar.close()


def summary(label: str, states: Mapping[str, State]) -> str:
    """How many runs are in which phase."""
    count = Counter(state.phase for state in states.values())
    return f"{label}: " + ", ".join(f"{count[phase]} {phase}" for phase in PHASES if count[phase])


def running_lines(label: str, states: Mapping[str, State]) -> list[str]:
    """The summary, and a line for each run that is at work."""
    working = {name: state for name, state in states.items() if state.phase == "running"}
    return [summary(label, states), *map(_line, working, working.values())]


def _line(name: str, state: State) -> str:
    return escape_text(f"  {name:<18} {state.words or state.phase}")
