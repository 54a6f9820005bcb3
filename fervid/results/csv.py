"""Reading and writing tables as CSV."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.csv as pa_csv

from fervid.errors import BadResults
from fervid.files.atomic import atomic_path
from fervid.results.schema import STILLS
from fervid.runtime.special_files import refuse_special

if TYPE_CHECKING:
    import pandas as pd  # slow to import; a run with nothing to do avoids it


FORMULA_STARTS = "=+-@\t\r'"
"""A text that begins with one of these is written with an apostrophe before it. Most make a spreadsheet run it."""


def write_image_table(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write the table of ``fervid classify``.

    Args:
        path: The CSV file to write.
        rows: Column → value for each row, in the columns of the schema STILLS.

    Raises:
        OutputError: The file cannot be written.
    """
    write_table_csv(path, pa.Table.from_pylist(rows, STILLS))


def write_table_csv(path: Path, table: pa.Table) -> None:
    """Write an Arrow table as CSV, without cells that a spreadsheet would run as formulas.

    Args:
        path: The file to write.
        table: The table.

    Raises:
        OutputError: The file cannot be written.
    """
    with atomic_path(path) as partial:
        pa_csv.write_csv(csv_safe(table), partial)


def write_frame_csv(path: Path, frame: pd.DataFrame) -> None:
    """Write a pandas frame as CSV, without its index and without cells that a spreadsheet would run as formulas.

    The header has no quotes, because some tools do not expect them.

    Args:
        path: The file to write.
        frame: The frame.

    Raises:
        OutputError: The file cannot be written.
    """
    write_frames_csv(path, [frame])


def write_frames_csv(path: Path, frames: Iterable[pd.DataFrame]) -> None:
    """Write several frames as one CSV file, one after another, so that memory is that of one of them.

    Args:
        path: The file to write.
        frames: At least one frame, all with the same columns.

    Raises:
        OutputError: The file cannot be written.
    """
    with atomic_path(path) as partial, partial.open("wb") as file:
        for number, frame in enumerate(frames):
            table = csv_safe(pa.Table.from_pandas(frame, preserve_index=False))
            if not number:
                file.write((",".join(table.column_names) + "\n").encode())
            pa_csv.write_csv(table, file, pa_csv.WriteOptions(include_header=False))


def csv_safe(table: pa.Table) -> pa.Table:
    """Convert a table to what CSV can hold.

    Args:
        table: Any Arrow table.

    Returns:
        The table with labels as strings. A string that a spreadsheet would run as a formula begins with an apostrophe.
    """
    for index, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type) or pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
            values = [_escape(value) for value in table.column(index).to_pylist()]
            table = table.set_column(index, field.name, pa.array(values, pa.string()))
    return table


def _escape(text: str | None) -> str | None:
    return f"'{text}" if text and text[0] in FORMULA_STARTS else text


def _unescape(table: pa.Table) -> pa.Table:
    """Undo the escaping of ``csv_safe``."""
    for index, field in enumerate(table.schema):
        if field.type == pa.string():
            values = [value.removeprefix("'") if value else value for value in table.column(index).to_pylist()]
            table = table.set_column(index, field.name, pa.array(values, pa.string()))
    return table


def read_csv_rows(path: Path, schema: pa.Schema) -> list[dict[str, Any]]:
    """Read a small CSV file that fervid wrote as plain values. Unlike ``read_csv`` this does not import pandas.

    Args:
        path: The file.
        schema: Its columns, of strings and numbers.

    Returns:
        Column → value of each row. Empty cells, and columns that the file lacks, are None.

    Raises:
        ValueError: The file does not match the schema.
        OSError: The file cannot be read.
        BadResults: It is a pipe, a device or a socket.
    """
    refuse_special(path, BadResults)
    kinds = {field.name: _KINDS[field.type] for field in schema}
    with path.open(encoding="utf-8", newline="") as file:
        try:
            reader = csv.DictReader(file, strict=True)
            if schema.names[0] not in (reader.fieldnames or ()):
                raise ValueError(f"no column {schema.names[0]}")
            return [
                {name: kind(text) if (text := row.get(name)) else None for name, kind in kinds.items()}
                for row in reader
            ]
        except csv.Error as error:
            raise ValueError(str(error)) from error


_KINDS: dict[pa.DataType, Callable[[str], Any]] = {
    pa.string(): lambda text: text.removeprefix("'") or None,
    pa.int32(): int,
    pa.int64(): int,
    pa.float64(): float,
}
"""Type of a column → how a cell is read."""


def read_csv(path: Path, schema: pa.Schema, fill: bool = False) -> pa.Table:
    """Read a CSV file that fervid wrote.

    Args:
        path: The file.
        schema: Its columns and their types.
        fill: Accept a file that lacks columns of the schema, and fill these with nulls.

    Returns:
        The table, with its strings as they were before escaping.

    Raises:
        ArrowException: The file does not match the schema.
        OSError: The file cannot be read.
        BadResults: It is a pipe, a device or a socket.
    """
    refuse_special(path, BadResults)
    parse = pa_csv.ParseOptions(newlines_in_values=True)
    options = pa_csv.ConvertOptions(
        column_types=schema,
        strings_can_be_null=True,
        null_values=[""],
        include_columns=schema.names if fill else [],
        include_missing_columns=fill,
    )
    return _unescape(pa_csv.read_csv(path, parse_options=parse, convert_options=options))
