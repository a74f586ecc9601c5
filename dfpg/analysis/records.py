"""Typed records of CSV files: numbers until they are written, numbers once they are read.

:mod:`dfpg.analysis.result_records` has the columns of every file in ``results/``. A number that
does not exist is NaN, a count that does not exist None; both are written as an empty field.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, ValidationError

from dfpg.core.config import validation_message
from dfpg.core.csv_files import from_cell, to_cell
from dfpg.core.errors import UserError
from dfpg.core.renamed import absent_column, old_column


def _parse_float(field: object) -> object:
    return (float(field) if field else math.nan) if isinstance(field, str) else field


def _parse_int(field: object) -> object:
    return (int(field) if field else None) if isinstance(field, str) else field


def _format(spec: str) -> Callable[[float], str]:
    return lambda value: format(value, spec) if math.isfinite(value) else ""


# Numbers by how they are written; z: a negative zero is written as zero.
Fixed1 = Annotated[float, BeforeValidator(_parse_float), PlainSerializer(_format("z.1f"))]
Fixed2 = Annotated[float, BeforeValidator(_parse_float), PlainSerializer(_format("z.2f"))]
Fixed3 = Annotated[float, BeforeValidator(_parse_float), PlainSerializer(_format("z.3f"))]
Fixed4 = Annotated[float, BeforeValidator(_parse_float), PlainSerializer(_format("z.4f"))]
Fixed5 = Annotated[float, BeforeValidator(_parse_float), PlainSerializer(_format("z.5f"))]
Shortest = Annotated[float, BeforeValidator(_parse_float), PlainSerializer(_format("g"))]
PValue = Annotated[float, BeforeValidator(_parse_float), PlainSerializer(_format(".2e"))]
Count = Annotated[
    int | None,
    BeforeValidator(_parse_int),
    PlainSerializer(lambda value: "" if value is None else str(value)),
]


class Record(BaseModel):
    """One line of a CSV file; its fields are the columns, in order."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


R = TypeVar("R", bound=Record)


def csv_text(kind: type[Record], records: Iterable[Record]) -> str:
    """Records of one kind as CSV; the header alone where there are none."""
    return csv_lines(list(kind.model_fields), (record.model_dump() for record in records))


def csv_lines(columns: Sequence[str], lines: Iterable[Mapping[str, object]]) -> str:
    """CSV of lines whose columns only the data decide; a field that a line lacks is empty."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: to_cell(str(cell)) for name, cell in line.items()} for line in lines)
    return stream.getvalue()


def read_records(kind: type[R], path: Path) -> list[R]:
    """Read what :func:`csv_text` wrote; columns that ``kind`` does not know are passed over.

    Raises:
        UserError: the file is missing or no text, lacks a column, or a field is no number.
    """
    try:
        reader = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline=""))
        columns, lines = reader.fieldnames or (), list(reader)
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read; run `dvc repro` first") from error
    absent = [
        name
        for name, field in kind.model_fields.items()
        if name not in columns and (field.is_required() or old_column(name, columns))
    ]
    if absent:
        raise UserError(f"{path}: {absent_column(absent[0], columns)}; run `dvc repro` again")
    records = []
    for number, line in enumerate(lines, 2):
        fields = {name: line.get(name) for name in kind.model_fields}
        known = {name: from_cell(cell) for name, cell in fields.items() if cell is not None}
        try:
            records.append(kind.model_validate(known))
        except ValidationError as error:
            where = f"{path}, line {number}"
            raise UserError(f"{validation_message(where, error)}; run `dvc repro` again") from error
    return records


def json_text(content: Mapping[str, Any]) -> str:
    """JSON of finite numbers, keys in the order given."""
    return json.dumps(content, indent=2, allow_nan=False) + "\n"
