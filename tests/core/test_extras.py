from __future__ import annotations

from email.message import Message
from importlib import metadata
from importlib.util import find_spec

import pytest
from packaging.requirements import Requirement

from dfpg.core import extras
from dfpg.core.errors import error_line
from dfpg.core.extras import missing_module_line


@pytest.fixture
def package(monkeypatch):
    """What an installed package says of itself."""
    facts = Message()
    facts["Requires-Dist"] = "numpy>=2.2"
    facts["Requires-Dist"] = 'scikit-learn>=1.6; extra == "repro"'
    facts["Requires-Dist"] = 'ruamel.yaml.clib>=0.2; extra == "repro"'
    facts["Requires-Dist"] = 'openvino>=2025.2; extra == "generate"'
    facts["Provides-Extra"] = "repro"
    facts["Provides-Extra"] = "generate"
    monkeypatch.setattr(metadata, "metadata", lambda _: facts)


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    ("module", "line"),
    [
        (
            "sklearn.metrics",
            "scikit-learn is not installed: run `pip install -e '.[repro]'` in the clone",
        ),
        ("openvino", "openvino is not installed: run `pip install -e '.[generate]'` in the clone"),
        ("numpy", "numpy is not installed: run `pip install -e .` in the clone"),
        ("dfpg.no_such_module", None),
    ],
)
def test_a_missing_module_is_named_with_what_installs_it(module, line):
    assert error_line(ModuleNotFoundError(f"No module named {module!r}", name=module)) == line


def test_without_an_installed_package_nothing_is_said(monkeypatch):
    monkeypatch.setattr(extras, "PROJECT", "no-such-distribution-dfpg")
    assert missing_module_line("sklearn") is None


def test_every_requirement_has_a_module_of_its_name_or_a_known_one():
    """Else an import of it that fails would end in a traceback."""
    for line in metadata.requires(extras.PROJECT) or []:
        requirement = Requirement(line)
        name = extras.MODULES.get(requirement.name, requirement.name)
        needed = requirement.marker is None or requirement.marker.evaluate({"extra": "repro"})
        if needed and name != "ruamel.yaml.clib":  # which only makes another package faster
            assert find_spec(name) is not None, name
