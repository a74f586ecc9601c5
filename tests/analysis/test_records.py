from __future__ import annotations

import json
import math

import pytest
from pydantic import ValidationError

from dfpg.analysis.records import (
    Count,
    Fixed5,
    PValue,
    Record,
    Shortest,
    csv_lines,
    csv_text,
    json_text,
    read_records,
)
from dfpg.core.errors import UserError


class Line(Record):
    name: str
    value: Fixed5 = math.nan
    p: PValue = math.nan
    margin: Shortest = math.nan
    count: Count = None


LINES = [
    Line(name='a, "b"', value=1.234565, p=0.00012345, margin=0.05, count=3),
    Line(name="none"),
    Line(name="ends", value=-math.inf, p=math.inf, count=0),
    Line(name="zero", value=-0.000001, margin=3.0),
]


def test_numbers_are_written_by_their_format_and_absent_ones_as_empty_fields():
    assert csv_text(Line, LINES).splitlines() == [
        "name,value,p,margin,count",
        '"a, ""b""",1.23456,1.23e-04,0.05,3',
        "none,,,,",
        "ends,,,,0",
        "zero,0.00000,,3,",
    ]


def test_no_records_leave_the_header():
    assert csv_text(Line, []) == "name,value,p,margin,count\n"


def test_reading_gives_back_what_was_written(tmp_path):
    path = tmp_path / "lines.csv"
    path.write_text(csv_text(Line, LINES))
    found = read_records(Line, path)
    assert found[0] == LINES[0].model_copy(update={"value": 1.23456, "p": 0.000123})
    assert [line.count for line in found] == [3, None, 0, None]
    assert [math.isnan(line.value) for line in found] == [False, True, True, False]
    path.write_text(csv_text(Line, found))
    assert csv_text(Line, read_records(Line, path)) == csv_text(Line, LINES)


def test_columns_that_are_not_known_are_passed_over_and_optional_ones_may_be_absent(tmp_path):
    path = tmp_path / "lines.csv"
    path.write_text("other,name\nx,y\n")
    assert [line.name for line in read_records(Line, path)] == ["y"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"lines\.csv: cannot be read; run `dvc repro` first"),
        ("", r"lines\.csv: no column 'name'; run `dvc repro` again"),
        ("value\n1\n", r"lines\.csv: no column 'name'"),
        ("name,value\na,1\nb,one\n", r"lines\.csv, line 3: value: .*'one'"),
        ("name,count\na,1.5\n", r"lines\.csv, line 2: count: .*'1\.5'"),
        ("name,value\n\xff\xfe", r"lines\.csv: cannot be read"),
    ],
)
def test_bad_files_get_one_line(tmp_path, text, message):
    path = tmp_path / "lines.csv"
    if text is not None:
        path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=message) as caught:
        read_records(Line, path)
    assert "\n" not in str(caught.value)


def test_a_text_is_no_number_of_a_record_and_a_wrong_name_is_refused():
    with pytest.raises(ValidationError):
        Line(name=3)  # type: ignore[arg-type]
    with pytest.raises(ValidationError):
        Line(name="a", vaule=1.0)  # type: ignore[call-arg]
    with pytest.raises(ValidationError):
        LINES[0].count = 4  # type: ignore[misc]


def test_a_field_that_a_line_lacks_is_empty():
    assert csv_lines(["a", "b"], [{"b": "1"}, {"a": "2", "b": "3"}]) == "a,b\n,1\n2,3\n"


def test_json_holds_finite_numbers_alone():
    assert json.loads(json_text({"b": 1.5, "a": [2]})) == {"b": 1.5, "a": [2]}
    with pytest.raises(ValueError, match="JSON"):
        json_text({"a": math.nan})
