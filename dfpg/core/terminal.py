"""Output that any terminal, pipe or log takes."""

from __future__ import annotations

import codecs
import io
import os
import sys
import unicodedata
from contextlib import suppress
from typing import TextIO

from dfpg.core.errors import escape_character, escape_text

ERRORS = "dfpg.plain"
PLAIN = {
    "−": "-",  # noqa: RUF001 (the minus sign)
    "–": "-",  # noqa: RUF001 (the dash)
    "—": "-",
    "×": "x",  # noqa: RUF001
    "±": "+-",
    "…": "...",
    "→": "->",
    "↑": "^",
    "↓": "v",
    "←": "<-",
    "≤": "<=",
    "≥": ">=",
    "≈": "~",
    "“": '"',
    "”": '"',
    "‘": "'",  # noqa: RUF001
    "’": "'",  # noqa: RUF001
    "µ": "u",
    "Δ": "delta ",
}


def to_ascii(text: str) -> str:
    r"""ASCII in place of characters that a terminal cannot show.

    Letters lose their accents; a byte of a file name that is no UTF-8 is written as ``\x80``.
    """
    shown = []
    for character in text:
        if 0xDC80 <= ord(character) <= 0xDCFF:  # how Python keeps such a byte
            shown.append(escape_character(character))
            continue
        letters = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
        shown.append(PLAIN.get(character) or letters or "?")
    return "".join(shown)


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return to_ascii(error.object[error.start : error.end]), error.end


def accept_any_text() -> None:
    """Let stdout and stderr print every character, whatever their encoding."""
    codecs.register_error(ERRORS, _replace)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=ERRORS)


def flush_output() -> None:
    """Write out what stdout still holds back: a full disk refuses it only then.

    Raises:
        OSError: stdout cannot be written; what it held is dropped.
    """
    if sys.stdout is None:  # started with it closed
        return
    try:
        sys.stdout.flush()
    except OSError as error:
        _drop(sys.stdout)
        error.filename = "standard output"
        raise


def say(text: str) -> None:
    """Print what a command found on stdout, its lines as :func:`escape_text` shows them."""
    print("\n".join(map(escape_text, text.split("\n"))), flush=True)


def print_error(line: str) -> None:
    """Print a line on stderr, if it can be written, as :func:`escape_text` shows it."""
    try:
        print(escape_text(line), file=sys.stderr, flush=True)
    except OSError:
        _drop(sys.stderr)


def _drop(stream: TextIO) -> None:
    """Send what a stream still holds nowhere, so that Python does not try again as it ends."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
