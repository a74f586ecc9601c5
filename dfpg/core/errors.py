"""The one exception that a user sees as a sentence, and how the system's own become it."""

from __future__ import annotations

import errno
import os
import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dfpg.core.extras import missing_module_line

# Control and format characters move the cursor, change colours, or reorder what follows; lone
# surrogates are bytes of a file name that is not UTF-8.
UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


class UserError(Exception):
    """Bad input: one line that says what is wrong, where, and what to do.

    The command line prints it without a traceback and exits with ``exit_code``.
    """

    exit_code = 2

    def __init__(self, message: str) -> None:
        """Keep the message as :func:`escape_text` shows it: file names stand in it."""
        super().__init__(escape_text(message))


def escape_text(text: object) -> str:
    r"""A name or a message as one line that a terminal shows as it is.

    Characters that would act on the terminal are written as Python writes them (``\x1b``), and so
    are the bytes of a file name that is not UTF-8.
    """
    return "".join(
        escape_character(character) if unicodedata.category(character) in UNSAFE else character
        for character in str(text)
    )


def escape_character(character: str) -> str:
    r"""A character as an escape in ASCII; a byte that is no character as ``\xff``."""
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how Python holds an undecodable byte of a file name
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")


ADVICE = {
    errno.ENOSPC: "free space there",
    errno.EDQUOT: "free space there, or have your quota raised",
    errno.EACCES: "you may not: name another place, or have its permissions changed",
    errno.EPERM: "you may not: name another place, or have its permissions changed",
    errno.EROFS: "nothing can be written there: name another place",
    errno.ENOTDIR: "a file is where a folder should be: move it, or name another place",
    errno.EEXIST: "a file is where a folder should be: move it, or name another place",
    errno.EISDIR: "a folder is where a file should be: move it, or name another place",
    errno.ENAMETOOLONG: "name it shorter",
    errno.ENOENT: "it is not there: look at its name, or make it first",
    errno.EMFILE: "too many open files: raise the limit with `ulimit -n`",
}


def advice(error: OSError) -> str:
    """What the user can do about a system error."""
    return ADVICE.get(error.errno or 0, "look at the disk and its permissions, then run again")


def file_error(path: Path, action: str, error: OSError, state: str = "") -> UserError:
    """What to raise where the system refuses an action on a path that is known.

    Args:
        path: file or folder.
        action: in the infinitive, e.g. ``"read"``.
        error: the refusal.
        state: what holds of the path now, where that is in doubt.
    """
    reason = error.strerror or error
    then = f"{state}: " if state else ""
    return UserError(f"{path}: cannot {action} ({reason}); {then}{advice(error)}")


def os_error_line(error: OSError) -> str:
    """One line for a system error that nobody said more about: file, reason, what to do."""
    named = error.filename2 or error.filename
    where = os.fsdecode(named) if isinstance(named, str | bytes | Path) else "input or output"
    reason = error.strerror or error or type(error).__name__
    return escape_text(f"{where}: {reason}: {advice(error)}")


# What NumPy, PyTorch (CPU and GPU), OpenCV, ONNX Runtime and C++ say where memory is lacking.
_NO_MEMORY = re.compile(
    r"out of memory|not enough memory|can't allocate memory|failed to allocate|unable to allocate"
    r"|bad_alloc|bad allocation|insufficient memory",
    re.IGNORECASE,
)
_ASKED = re.compile(r"allocate (\d[\d.]* ?(?:[KMGTPE]i?B|bytes))")


def lacks_memory(error: BaseException) -> bool:
    """Whether an exception says that an allocation failed."""
    if isinstance(error, MemoryError):
        return True
    return not isinstance(error, UserError) and bool(_NO_MEMORY.search(str(error)))


def requested_memory(error: BaseException) -> str:
    """``, 12.0 GiB asked for`` where an exception says how much could not be had; else nothing."""
    found = _ASKED.search(str(error))
    return f", {found[1]} asked for" if found else ""


def error_line(error: BaseException) -> str | None:
    """What a command says instead of a traceback; None where the fault is the program's own."""
    if isinstance(error, UserError):
        return str(error)
    if lacks_memory(error):
        return f"not enough memory{requested_memory(error)}: end other programs, or ask for less"
    if isinstance(error, ModuleNotFoundError) and error.name:
        return missing_module_line(error.name)
    if isinstance(error, UnicodeEncodeError) and 0xDC80 <= ord(error.object[error.start]) <= 0xDCFF:
        return no_utf8_line(error)
    if isinstance(error, ImportError) and _NO_LIBRARY in str(error):
        return missing_library_line(error)
    return os_error_line(error) if isinstance(error, OSError) else None


def no_utf8_line(error: UnicodeEncodeError) -> str:
    """One line for a file name whose bytes are no UTF-8, where text was to be made of it."""
    before = error.object[: error.start].rpartition("\n")[2][-40:]
    after = error.object[error.start :].partition("\n")[0][:40]
    return f"{escape_text(before + after)}: its name is not UTF-8: rename it"


_NO_LIBRARY = "cannot open shared object file"


def missing_library_line(error: ImportError) -> str:
    """One line for a library of the system that a package wants and that is not there."""
    library = str(error).partition(":")[0]
    return (
        f"{library}: missing on this system, and OpenCV wants it: install libgl1, libglib2.0-0 and "
        "libxcb1 (Debian, Ubuntu), or, without being root, run `python -m pip install "
        "--force-reinstall --no-deps opencv-python-headless`: the same, but without windows"
    )


@contextmanager
def within_memory(parameters: str) -> Iterator[None]:
    """Turn an allocation that fails inside into one line; a decorator of functions, too.

    Args:
        parameters: those that decide how much is needed, e.g. ``"training.batch_size"``.

    Raises:
        UserError: an allocation failed.
    """
    try:
        yield
    except Exception as error:
        if not lacks_memory(error):
            raise
        raise UserError(
            f"not enough memory{requested_memory(error)}: lower {parameters} in params.yaml, "
            "or end other programs"
        ) from error
