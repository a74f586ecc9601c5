"""Each checks against a project or machine in which one thing is wrong."""

from __future__ import annotations

import builtins
import shutil
import subprocess
from pathlib import Path

import pytest
from helpers.places import ROOT
from packaging.requirements import Requirement

from dfpg.commands.doctor import checks
from dfpg.commands.doctor.checks import (
    Machine,
    check_assets,
    check_data,
    check_libraries,
    check_machine,
    check_packages,
    check_parameters,
    check_sources,
    check_tools,
    describe_machine,
)
from dfpg.core.profile import use_profile

GOOD = Machine(4, "a processor", 16.0, 8.0, 50.0, 0.1)


def small(**facts: float) -> Machine:
    return Machine(**{**vars(GOOD), **facts})


def test_a_good_machine_has_no_problem():
    assert check_machine(GOOD) == []


@pytest.mark.parametrize(
    ("facts", "named"), [({"memory_gb": 1.0}, "memory"), ({"disk_free_gb": 0.5}, "disk")]
)
def test_too_small_a_machine_is_named(facts, named):
    (problem,) = check_machine(small(**facts))
    assert problem.text.startswith(named)


def test_this_machine_has_sensible_facts():
    machine = describe_machine()
    assert machine.cores >= 1
    assert 0 < machine.memory_free_gb <= machine.memory_gb
    assert (machine.accelerator is None) == (machine.device == "cpu")
    assert machine.precision == ("bf16" if machine.bf16_native else "fp32")


def test_versions_are_compared_with_the_pins(tmp_path, monkeypatch):
    versions = {"torch": "2.13.0+cpu", "numpy": "9.9", "typer": None}
    monkeypatch.setattr(checks, "installed_version", versions.get)
    monkeypatch.setattr(checks, "requirements", list)
    pins = tmp_path / "constraints.txt"
    pins.write_text("# a comment\ntorch==2.13.0\nnumpy==2.4.6\ntyper==0.29.2\n")
    found, problems = check_packages(pins)
    assert found["pinned"] == 3
    assert found["other"] == {"numpy": {"installed": "9.9", "pinned": "2.4.6"}}
    assert found["absent"] == ["typer"]
    assert problems == []


@pytest.mark.parametrize(("version", "met"), [("2.8", True), ("2.7", False), (None, False)])
def test_an_unmet_requirement_is_a_problem(tmp_path, monkeypatch, version, met):
    monkeypatch.setattr(checks, "installed_version", lambda _: version)
    monkeypatch.setattr(checks, "requirements", lambda: [Requirement("torch>=2.8")])
    _, problems = check_packages(tmp_path / "none.txt")
    assert [("torch" in p.text, "make setup" in p.todo) for p in problems] == [(True, True)] * (
        not met
    )


def test_the_projects_own_requirements_are_met_here():
    names = {requirement.name for requirement in checks.requirements()}
    assert {"torch", "dvc"} <= names
    assert "pytest" not in names
    assert check_packages(ROOT / "constraints.txt")[1] == []


def test_git_or_no_scm_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/make")
    if any((parent / ".git").exists() for parent in tmp_path.parents):
        pytest.skip("the temporary folder is in a repository")
    assert [problem.todo for problem in check_tools(tmp_path)] == ["dvc config core.no_scm true"]
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text("[core]\n    no_scm = true\n")
    assert check_tools(tmp_path) == []
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert [problem.todo for problem in check_tools(tmp_path)] == ["install make"]


def test_a_repository_of_another_user_has_a_remedy(tmp_path, monkeypatch):
    folder = tmp_path / "a clone"
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    assert check_tools(folder) == []
    monkeypatch.setenv("GIT_CONFIG_COUNT", "0")  # tests trust every folder
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # as in a container
    (problem,) = check_tools(folder)
    assert "belongs to another user" in problem.text
    assert problem.todo == f"git config --global --add safe.directory '{folder}'"


def test_a_library_that_the_system_lacks_is_a_problem(monkeypatch):
    assert check_libraries() == []
    plain = builtins.__import__

    def without_gl(name: str, *rest: object, **options: object) -> object:
        if name == "cv2":
            raise ImportError("libGL.so.1: cannot open shared object file: No such file")
        return plain(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without_gl)
    (problem,) = check_libraries()
    assert "libgl1" in problem.text


def test_assets_are_present_changed_or_missing(tmp_path, monkeypatch):
    source = ROOT / "artifacts" / "assets" / "scrfd.onnx"
    if not source.exists():
        pytest.skip("the asset scrfd is not fetched")
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "artifacts" / "assets"
    folder.mkdir(parents=True)
    shutil.copy(source, folder)
    (folder / "mobilefacenet.onnx").write_bytes(b"other")
    states, (problem,) = check_assets()
    assert states["scrfd"] == "present"
    assert states["mobilefacenet"] == "changed"
    assert states["bisenet"] == states["mobilestylegan"] == "missing"
    assert problem.todo == "dfpg fetch"
    assert "mobilefacenet changed" in problem.text
    assert "mobilestylegan" not in problem.text  # optional


def test_data_are_checked_and_restored_by_git(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (problem,) = check_data()[1]
    assert problem.todo == "git checkout -- data"


def test_parameters_are_checked_with_the_methods_options(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    use_profile("smoke")
    assert check_parameters()[1] == []
    text = Path("params.yaml").read_text().replace("{variant: b2}", "{variant: b9}")
    Path("params.yaml").write_text(text)
    config, (problem,) = check_parameters()
    assert config is None
    assert "runs.b2.options.variant" in problem.text


def test_sources_of_the_profile_must_be_there(config, tmp_path):
    celeba = config.faces["celeba"].model_copy(update={"path": str(tmp_path / "absent")})
    unused = config.model_copy(update={"faces": {**config.faces, "celeba": celeba}})
    states, problems = check_sources(unused)
    assert states["faces.celeba.path"].endswith("absent: missing")
    assert states["faces.ffhq.path"] == "not given"
    assert problems == []
    prior = config.prior.model_copy(update={"source": "celeba"})
    (problem,) = check_sources(unused.model_copy(update={"prior": prior}))[1]
    assert "faces.celeba.path" in problem.text


def test_a_named_vggface_must_be_there(config, tmp_path):
    for path, count in ((tmp_path / "vgg.pth", 1), (tmp_path, 0)):
        prior = config.prior.model_copy(update={"vggface": str(path)})
        states, problems = check_sources(config.model_copy(update={"prior": prior}))
        assert "prior.vggface" in states
        assert len(problems) == count
