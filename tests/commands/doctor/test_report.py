"""What the doctor says of machines that this one is not, and one real run."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from helpers.places import ROOT

from dfpg.commands.doctor.checks import Machine, Problem
from dfpg.commands.doctor.forecast import Forecast, Probe
from dfpg.commands.doctor.report import Report, diagnose, format_duration, render
from dfpg.core.profile import resolve_profile

GPU = Machine(16, "a processor", 128.0, 100.0, 500.0, 0.5, "a GPU", True, "cuda", "bf16", 16)
PACKAGES = {"pinned": 2, "other": {"torch": {"installed": "1", "pinned": "2"}}, "absent": []}
PROBE = Probe("b1", 64, 8, 5, 0.25, 1.7)
FORECASTS = (
    Forecast("embedded", 2400.0, 7200.0, 2, {"b1": 100.0}, True, (PROBE, PROBE)),
    Forecast("paper", 9e5, 9e6, 1, {"b1": 1e6}, False, (PROBE,)),
)


def report(machine: Machine = GPU, problems: tuple[Problem, ...] = ()) -> Report:
    return Report(machine, PACKAGES, {"scrfd": "present"}, "1762 files", {}, "embedded",
                  FORECASTS, problems)  # fmt: skip


def test_a_ready_project_is_told_to_run():
    text = render(report())
    assert text.splitlines()[-1].split(maxsplit=1) == ["next", "make repro"]
    assert "accelerator: a GPU" in text
    assert "torch 1 (2)" in text
    assert "embedded: 40 min to 2.0 h, the whole pipeline, 2 runs side by side" in text
    assert "paper: 10 days to 104 days, trainings alone\n" in text
    assert text.count("b1 at 64 px: 0.25 s a step of 8 (fastest of 5), 1.7 times the recorded") == 1
    assert "busy" not in text


def test_the_first_problem_decides_what_is_next():
    problems = (Problem("assets: scrfd missing", "dfpg fetch"), Problem("disk", "free it"))
    found = report(problems=problems)
    assert not found.ready
    assert found.next == "dfpg fetch"
    assert render(found).splitlines()[-1].endswith("dfpg fetch")


def test_a_busy_machine_and_one_without_torch_are_said_to_be():
    machine = Machine(2, "unknown", 4.0, 1.0, 9.0, 5.0)
    text = render(report(machine))
    assert "busy: load 5" in text
    assert "torch does not load" in text


def test_the_record_is_json_and_complete():
    record = json.loads(json.dumps(report().record()))
    assert record["ready"] is True
    assert record["machine"]["device"] == "cuda"
    assert record["forecasts"][0]["measured"][0]["run"] == "b1"


def test_a_fake_machine_that_is_too_small_is_not_ready(monkeypatch):
    monkeypatch.chdir(ROOT)
    small = Machine(**{**vars(GPU), "memory_gb": 1.0})
    found = diagnose(small, measure=False)
    assert not found.ready
    assert any(problem.text.startswith("memory") for problem in found.problems)
    assert found.profile == "embedded"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (35, "35 s"),
        (100, "1.7 min"),
        (3000, "50 min"),
        (9000, "2.5 h"),
        (90e5, "104 days"),
        (1e8, "3.2 years"),
    ],
)
def test_durations_have_the_fitting_unit(seconds, text):
    assert format_duration(seconds) == text


@pytest.mark.slow
def test_a_real_run_measures_every_profile_and_its_exit_code_says_whether_it_is_ready():
    result = subprocess.run(
        [sys.executable, "-m", "dfpg", "doctor", "--json"],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    record = json.loads(result.stdout)
    assert result.returncode == (0 if record["ready"] else 1), result.stderr
    found = {forecast["profile"]: forecast for forecast in record["forecasts"]}
    assert set(found) == {"smoke", "embedded", "research", "paper"}
    assert all(0 < forecast["low"] < forecast["high"] for forecast in found.values())
    assert found["embedded"]["high"] < found["research"]["low"] < found["paper"]["low"]
    assert found["embedded"]["trainings"].keys() == resolve_profile("embedded")[0].runs.keys()


def test_a_folder_without_the_project_is_not_ready(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = diagnose(measure=False)
    assert not found.ready
    assert found.next
