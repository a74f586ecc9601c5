"""Files of scores that a process has checked are not checked again.

The tables, the charts and the seeds' folders read many of the same files, and checking every cell
of one takes several times as long as reading it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import pandas as pd

Reader = Callable[[Path], pd.DataFrame]
KEPT = 256  # files, of a few hundred rows each in the embedded profile


class _Content:
    """A file that equals another one whose bytes are the same."""

    def __init__(self, path: Path, data: bytes) -> None:
        self.path, self._digest = path, sha256(data).digest()

    def __hash__(self) -> int:
        return hash(self._digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Content) and self._digest == other._digest


def read_once(reader: Reader, path: Path) -> pd.DataFrame:
    """What ``reader`` makes of a file, from memory where it has read the same bytes before.

    Raises:
        UserError: the reader's own.
    """
    try:
        content = _Content(path, path.read_bytes())
    except OSError:
        return reader(path)  # which says what is wrong
    return _read(reader, content).copy()


@lru_cache(maxsize=KEPT)
def _read(reader: Reader, content: _Content) -> pd.DataFrame:
    return reader(content.path)
