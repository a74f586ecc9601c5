"""Output to terminals and pipes that cannot show every character."""

from __future__ import annotations

import codecs
import io
import sys

from dfpg.core.errors import escaped

HANDLER = "dfpg"
ASCII = {"↑": "^", "↓": "v", "→": "->", "←": "<-", "±": "+-", "×": "x", "–": "-", "−": "-"}  # noqa: RUF001


def never_fail() -> None:
    """Let stdout and stderr write ASCII in place of what their encoding lacks."""
    codecs.register_error(HANDLER, _in_ascii)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=HANDLER)


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    unknown = error.object[error.start : error.end]
    return "".join(ASCII.get(character) or escaped(character) for character in unknown), error.end
