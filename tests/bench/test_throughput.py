from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from bench import throughput
from bench.throughput import COLUMNS, main, table, text, write
from dfpg.core.errors import UserError


def entry(**changes: Any) -> dict[str, Any]:
    """A measurement as pytest-benchmark reports it."""
    facts: dict[str, Any] = dict.fromkeys(COLUMNS)
    facts |= {
        "benchmark": "restore",
        "subject": "dfpgnet",
        "variant": "fp32",
        "image_size": 128,
        "batch": 1,
        "best_s": 0.6123456,
        "median_s": 0.65,
        "device": "cpu",
        "device_name": "Some(R) CPU",
    }
    return {"fullname": "bench/test_restore.py::test_restore", "extra_info": facts | changes}


def report(tmp_path, *entries):
    path = tmp_path / "report.json"
    path.write_text(json.dumps({"benchmarks": entries}))
    return path


def test_one_sorted_row_per_measurement_whatever_the_order(tmp_path):
    entries = [
        entry(batch=16),
        entry(subject="b", batch=1),
        entry(subject="b", batch=16),
        entry(subject="b", batch=2),
        entry(image_size=64),
    ]
    path = write(report(tmp_path, *entries), tmp_path)
    first = path.read_bytes()
    assert path.name == "throughput-cpu-some-cpu.csv"
    rows = list(csv.DictReader(io.StringIO(first.decode())))
    assert list(rows[0]) == list(COLUMNS)
    assert [(row["subject"], row["image_size"], row["batch"]) for row in rows] == [
        ("b", "128", "1"),
        ("b", "128", "2"),
        ("b", "128", "16"),
        ("dfpgnet", "64", "1"),
        ("dfpgnet", "128", "16"),
    ]
    assert write(report(tmp_path, *reversed(entries)), tmp_path).read_bytes() == first
    assert b"\r" not in first


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [
        (0.6123456, 4, "0.6123"),
        (123456.0, 4, "123500"),
        (0.0000012346, 4, "0.000001235"),
        (1e-7, 4, "0.0000001"),
        (0.0, 4, "0"),
        (16, 4, "16"),
        (None, 4, ""),
        ("bf16", 0, "bf16"),
        (7, 0, "7"),
    ],
)
def test_fixed_format_without_exponents(value, digits, expected):
    assert text(value, digits) == expected


def test_a_measurement_without_its_facts_is_refused():
    bad = entry()
    del bad["extra_info"]["commit"]
    with pytest.raises(UserError, match=r"test_restore: no commit beside its times"):
        table({"benchmarks": [entry(), bad]})


def test_figures_of_two_devices_are_not_mixed(tmp_path):
    path = report(tmp_path, entry(), entry(device="cuda"))
    with pytest.raises(UserError, match="several devices"):
        write(path, tmp_path)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", ["", "{", "{}", '{"benchmarks": []}'])
def test_bad_reports_give_one_line_and_exit_code_2(tmp_path, monkeypatch, capsys, content):
    monkeypatch.setattr(throughput, "ROOT", tmp_path)
    path = tmp_path / "report.json"
    path.write_text(content)
    assert main([str(path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "results").exists()


def test_command_writes_into_results(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(throughput, "ROOT", tmp_path)
    assert main([str(report(tmp_path, entry()))]) == 0
    path = tmp_path / "results" / "throughput-cpu-some-cpu.csv"
    assert path.exists()
    assert capsys.readouterr().out.strip() == str(path)
