"""The one exception that a user sees as a sentence, and names as a terminal may show them."""

from __future__ import annotations

import unicodedata

# Control and format characters move the cursor, change colours, or reorder what follows; lone
# surrogates are bytes of a file name that is not UTF-8.
UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


class UserError(Exception):
    """Bad input: one line that says what is wrong, where, and what to do.

    The command line prints it without a traceback and exits with ``exit_code``.
    """

    exit_code = 2

    def __init__(self, message: str) -> None:
        """Keep the message as :func:`printable` shows it: file names stand in it."""
        super().__init__(printable(message))


def printable(text: object) -> str:
    r"""A name or a message as one line that a terminal shows as it is.

    Characters that would act on the terminal are written as Python writes them (``\x1b``), and so
    are the bytes of a file name that is not UTF-8.
    """
    return "".join(
        escaped(character) if unicodedata.category(character) in UNSAFE else character
        for character in str(text)
    )


def escaped(character: str) -> str:
    r"""A character as an escape in ASCII; a byte that is no character as ``\xff``."""
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how Python holds an undecodable byte of a file name
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
