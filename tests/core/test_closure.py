from __future__ import annotations

import ast
import subprocess
import sys

import pytest
from helpers.places import ROOT

from dfpg.core.closure import (
    CHECKS,
    FOLDER,
    closure,
    digest,
    file_digests,
    needs_registry,
    strip_comments,
)


def names(*modules: str) -> set[str]:
    return {path.relative_to(FOLDER).as_posix() for path in closure(*modules)}


STAGES = ("kernels", "train", "tables")
# Imports each module in a process of its own. What others wrote is loaded before: it takes seconds.
LOADED = """
import importlib, os, sys
import pandas, scipy.stats, torch
assert not any(name[:4] == "dfpg" for name in sys.modules)
for module in sys.argv[1:]:
    if os.fork() == 0:
        importlib.import_module(module)
        print(*(name for name in sys.modules if name[:4] == "dfpg"), flush=True)
        os._exit(0)
    os.wait()
"""


@pytest.fixture(scope="module")
def loaded() -> dict[str, set[str]]:
    """Modules of the package that an interpreter has after importing a stage's, by stage."""
    modules = [f"dfpg.stages.{stage}" for stage in STAGES]
    command = [sys.executable, "-c", LOADED, *modules]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    lines = run.stdout.splitlines()
    return {stage: set(line.split()) for stage, line in zip(STAGES, lines, strict=True)}


@pytest.mark.parametrize("stage", STAGES)
def test_all_that_importing_a_stage_loads_is_in_its_closure(stage, loaded):
    module = f"dfpg.stages.{stage}"
    stems = {name.removesuffix(".py").removesuffix("__init__") for name in names(module)}
    found = {f"dfpg/{stem}".rstrip("/").replace("/", ".") for stem in stems}
    assert module in loaded[stage]
    own = {name for name in loaded[stage] if ".methods." not in name}
    assert own <= found | CHECKS | {"dfpg"}


def test_a_method_is_in_the_closure_of_the_run_that_names_it():
    assert needs_registry("dfpg.stages.train")
    assert not needs_registry("dfpg.stages.kernels")
    assert not any(
        name.endswith(("nafnet.py", "dfpgnet.py")) for name in names("dfpg.stages.train")
    )
    own = names("dfpg.stages.train", "dfpg.methods.nafnet")
    assert "methods/nafnet.py" in own
    assert "methods/dfpgnet.py" not in own


def test_files_beside_the_modules_count_where_they_are_read():
    assert "paper/table2.csv" in names("dfpg.stages.tables")
    assert "report/templates/report.css" in names("dfpg.stages.report")
    assert "data/faces/embedded.sha256" in names("dfpg.stages.verify")
    assert not any(name.endswith(".csv") for name in names("dfpg.stages.kernels"))


def test_an_unknown_module_is_refused():
    with pytest.raises(ValueError, match=r"dfpg\.absent"):
        closure("dfpg.absent")


def test_comments_docstrings_and_blank_lines_have_no_meaning():
    said = '"""Why."""\n# one\nx = "# text"  # two\n\n\ndef f(a):\n    """Ü."""\n    return a  \n'
    assert strip_comments(said) == 'x = "# text"\ndef f(a):\n    return a\n'


def test_every_other_change_has_a_meaning():
    source = (FOLDER / "core" / "seeds.py").read_text()
    plain = strip_comments(source)
    for old, new in (("sha256", "sha512"), ("(", "( ")):
        assert strip_comments(source.replace(old, new, 1)) != plain, (old, new)


def test_meaning_keeps_what_the_code_computes():
    """Without docstrings, the trees of source and meaning are the same."""
    for path in sorted(FOLDER.glob("*/*.py")):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(getattr(node, "body", None), list):
                body = [s for s in node.body if not is_text(s)]
                if not body and node.body:
                    break  # a body of nothing but a docstring has no tree without it
                node.body = body
        else:
            assert ast.dump(ast.parse(strip_comments(path.read_text()))) == ast.dump(tree), path


def is_text(statement: ast.stmt) -> bool:
    value = getattr(statement, "value", None) if isinstance(statement, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def test_digests_tell_which_file_changed(tmp_path):
    one, two = tmp_path / "one.py", tmp_path / "two.csv"
    one.write_text("x = 1\n")
    two.write_text("a\n")
    before, whole = file_digests([one, two]), digest([two, one])
    assert whole == digest([one, two])
    two.write_text("b\n")
    after = file_digests([one, two])
    assert [name for name in before if before[name] != after[name]] == ["two.csv"]
    assert digest([one, two]) != whole
