"""The pinned versions can be installed with every Python that the project names."""

from __future__ import annotations

import tomllib
from importlib.metadata import PackageNotFoundError, metadata, version

import pytest
from helpers.places import ROOT
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

PINS = [
    Requirement(line)
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if line and not line.startswith("#")
]


def oldest_python() -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (oldest,) = SpecifierSet(project["requires-python"])
    return f"{oldest.version}.0"  # Debian 12 has 3.11.2


@pytest.mark.parametrize("pin", PINS, ids=lambda pin: pin.name)
def test_a_pin_admits_the_oldest_python(pin: Requirement) -> None:
    try:
        wanted = metadata(pin.name)["Requires-Python"]
    except PackageNotFoundError:
        pytest.skip(f"{pin.name} is not installed here")
    assert pin.specifier.contains(version(pin.name), prereleases=True)
    assert oldest_python() in SpecifierSet(wanted or "")
