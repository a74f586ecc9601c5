"""Names of the methods, found by their files; no method is imported, nor anything heavy."""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from functools import cache
from pathlib import Path

from dfpg.core.errors import UserError

FOLDER = Path(__file__).parent
CLASS = re.compile(r"^class (\w+)\(([^)]*)\)", re.MULTILINE)


@cache
def method_names() -> tuple[str, ...]:
    """Names of all methods, sorted.

    A method is a file beside this one that defines a class of ``Method``, or of another method's
    class. A file whose name starts with an underscore may hold what methods share; it is none.
    """
    defined = {
        path.stem: dict(CLASS.findall(path.read_text(encoding="utf-8")))
        for path in FOLDER.glob("*.py")
    }
    methods: set[tuple[str, str]] = set()  # file and class
    while found := {
        (stem, name)
        for stem, classes in defined.items()
        for name, bases in classes.items()
        if (stem, name) not in methods and _derives(stem, classes, bases, methods)
    }:
        methods |= found
    return tuple(sorted({stem for stem, _ in methods if not stem.startswith("_")}))


def check_name(name: str, where: str) -> None:
    """Refuse what is no method's name.

    Args:
        name: ``dfpg/methods/<name>.py`` should define it.
        where: what asked for it, for the message.

    Raises:
        UserError: there is no such file, or it defines no method.
    """
    if name in method_names():
        return
    known = ", ".join(method_names())
    if name.isidentifier() and (FOLDER / f"{name}.py").is_file():
        raise UserError(f"{where}: dfpg/methods/{name}.py defines no method; there are {known}")
    raise UserError(f"{where}: unknown method {name!r}; there are {known}")


def _derives(
    stem: str, classes: Mapping[str, str], bases: str, methods: Set[tuple[str, str]]
) -> bool:
    """Whether one of a class's bases, as they are written, is ``Method`` or one of ``methods``."""
    for base in bases.split(","):
        name = base.strip().rpartition(".")[2]
        if name in classes:  # of the same file
            if (stem, name) in methods:
                return True
        elif name == "Method" or name in {known for _, known in methods}:
            return True
    return False
