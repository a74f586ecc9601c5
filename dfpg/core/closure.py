"""What code a stage runs: the import closure of its file, and one hash of what that code means."""

from __future__ import annotations

import ast
import hashlib
import io
import tokenize
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import grimp

PACKAGE = "dfpg"
FOLDER = Path(__file__).resolve().parents[1]
REGISTRY = "dfpg.methods.registry"  # imports a method only when a run asks for it
# Modules that only check what comes in, or say something to the user. An edited bound or message
# changes no result, so they are in no closure; what they import is. tests/core/test_checks.py holds
# them to it: values of params.yaml leave them as they stand there, and no default decides one.
CHECKS = frozenset(
    {
        "dfpg.core.closure",  # names the code that runs
        "dfpg.core.config",  # reads params.yaml, whose values are parameters of the stages
        "dfpg.core.errors",  # words of a refusal
        "dfpg.core.extras",
        "dfpg.core.params_base",  # bounds of values in params.yaml
        "dfpg.core.params_data",
        "dfpg.core.params_runs",
        "dfpg.core.progress",  # shows how far work is
        "dfpg.core.renamed",  # words of a refusal
        "dfpg.core.terminal",  # what a terminal can show
    }
)
RESOURCES = ("files", "PackageLoader")  # calls that read a package's other files


def closure(*modules: str) -> list[Path]:
    """Every file of this package that decides what these modules compute, sorted.

    These are the files that importing them can run or read, but for :data:`CHECKS`. Imports inside
    functions count, those for type checking alone do not. A package's ``__init__`` counts with each
    of its modules, but not that of the whole package, which only hands on the Python interface.
    Where a module of the closure reads the files beside a package's modules
    (``importlib.resources.files("dfpg.paper")``), these count too.

    Args:
        modules: dotted names, ``dfpg.stages.train``.

    Returns:
        Absolute paths.

    Raises:
        ValueError: there is no such module.
    """
    graph = _graph()
    todo = list(modules)
    found: set[str] = set()
    while todo:
        module = todo.pop()
        if module in found:
            continue
        if module not in graph.modules:
            raise ValueError(f"{module}: no such module")
        found.add(module)
        todo += graph.find_modules_directly_imported_by(module)
        if "." in module:
            todo.append(module.rpartition(".")[0])
    paths = {_path(module) for module in found - CHECKS - {PACKAGE}}
    return sorted(paths.union(*(_resources(path) for path in paths)))


def needs_registry(module: str) -> bool:
    """Whether a module reaches the registry, so that methods' files decide what it does, too."""
    return module == REGISTRY or REGISTRY in _graph().find_upstream_modules(module)


def file_digests(paths: Iterable[Path]) -> dict[str, str]:
    """SHA-256 of what each file means, by its path from the package's folder, or its name.

    Comments, docstrings, blank lines and trailing spaces of Python files do not count.
    """
    return {_name(path): _digest(path, path.stat().st_mtime_ns) for path in paths}


def digest(paths: Iterable[Path]) -> str:
    """One SHA-256 of all :func:`file_digests`, 64 hexadecimal digits."""
    lines = [f"{name} {found}\n" for name, found in sorted(file_digests(paths).items())]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def strip_comments(source: str) -> str:
    """A Python source without comments, docstrings, blank lines and trailing spaces.

    The rest is kept as it is written, so that every Python version gives the same text.

    Raises:
        SyntaxError: it is no Python.
    """
    lines = source.splitlines(keepends=True)
    blanks = [
        (token.start, token.end)
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    ]
    blanks += _docstrings(source)
    for (first, start), (last, end) in sorted(blanks, reverse=True):
        tail = lines[last - 1][end:]
        lines[first - 1 : last] = [lines[first - 1][:start] + tail]
    kept = (line.rstrip() for line in lines)
    return "".join(f"{line}\n" for line in kept if line)


def _docstrings(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Where docstrings start and end: (row from 1, column in characters), twice."""
    lines = source.splitlines()
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        # A string that stands alone says something of what is above it.
        for statement in node.body:
            value = statement.value if isinstance(statement, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                last, end = value.end_lineno or 0, value.end_col_offset or 0
                start = value.lineno, _column(lines, value.lineno, value.col_offset)
                found.append((start, (last, _column(lines, last, end))))
    return found


def _column(lines: list[str], row: int, byte: int) -> int:
    """The character that a byte of a row is in: ``ast`` counts bytes."""
    return len(lines[row - 1].encode()[:byte].decode())


@cache
def _graph() -> grimp.ImportGraph:
    return grimp.build_graph(PACKAGE, exclude_type_checking_imports=True, cache_dir=None)


def _path(module: str) -> Path:
    path = FOLDER.joinpath(*module.split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _name(path: Path) -> str:
    return path.relative_to(FOLDER).as_posix() if path.is_relative_to(FOLDER) else path.name


def _resources(path: Path) -> set[Path]:
    """Files without code in the packages whose resources a module reads."""
    if path.suffix != ".py":
        return set()
    found: set[Path] = set()
    for package in _packages_read(path, path.stat().st_mtime_ns):
        folder = FOLDER.joinpath(*package.split(".")[1:])
        beside = (entry for entry in folder.rglob("*") if entry.is_file())
        found |= {entry for entry in beside if entry.suffix not in (".py", ".pyc")}
    return found


@cache
def _packages_read(path: Path, changed: int) -> frozenset[str]:  # noqa: ARG001 (remembered)
    """Packages whose resources a module reads, by their dotted names."""
    source = path.read_text(encoding="utf-8")
    if not any(f"{name}(" in source for name in RESOURCES):
        return frozenset()
    found = set()
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else None
        name = node.func.id if isinstance(node.func, ast.Name) else name
        package = node.args[0].value if isinstance(node.args[0], ast.Constant) else None
        if name in RESOURCES and isinstance(package, str) and package.startswith(f"{PACKAGE}."):
            found.add(package)
    return frozenset(found)


@cache
def _digest(path: Path, changed: int) -> str:  # noqa: ARG001 (part of what is remembered)
    content = path.read_bytes()
    if path.suffix == ".py":
        content = strip_comments(content.decode()).encode()
    return hashlib.sha256(content).hexdigest()
