"""Tables as CSV."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.csv as pa_csv

from fervid.files.atomic import atomic_path
from fervid.results.schema import STILLS

if TYPE_CHECKING:
    import pandas as pd  # a run that finds nothing new to do does without it


def write_image_table(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write the rows of ``fervid classify`` as CSV; raises OutputError."""
    write_table_csv(path, pa.Table.from_pylist(rows, STILLS))


def write_table_csv(path: Path, table: pa.Table) -> None:
    """Write a table as CSV, cells that a spreadsheet would run as a formula made safe; raises OutputError."""
    with atomic_path(path) as beside:
        pa_csv.write_csv(csv_safe(table), beside)


def write_frame_csv(path: Path, frame: pd.DataFrame) -> None:
    """The same of a pandas frame, without its index; its header without quotes, which other tools may not expect."""
    table = csv_safe(pa.Table.from_pandas(frame, preserve_index=False))
    with atomic_path(path) as beside, beside.open("wb") as file:
        file.write((",".join(table.column_names) + "\n").encode())
        pa_csv.write_csv(table, file, pa_csv.WriteOptions(include_header=False))


def csv_safe(table: pa.Table) -> pa.Table:
    """The table as CSV can hold it: labels as strings, none of which begins like a formula."""
    for index, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type) or pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
            values = [_harmless(value) for value in table.column(index).to_pylist()]
            table = table.set_column(index, field.name, pa.array(values, pa.string()))
    return table


def _harmless(text: str | None) -> str | None:
    return f"'{text}" if text and text[0] in "=+-@\t\r'" else text


def _restored(table: pa.Table) -> pa.Table:
    """The table with the strings that ``_plain`` made safe as they were."""
    for index, field in enumerate(table.schema):
        if field.type == pa.string():
            values = [value.removeprefix("'") if value else value for value in table.column(index).to_pylist()]
            table = table.set_column(index, field.name, pa.array(values, pa.string()))
    return table


def read_csv(path: Path, schema: pa.Schema, fill: bool = False) -> pa.Table:
    """What ``_plain`` made of a table of that schema, with its strings as they were; with ``fill``, columns that
    an earlier version did not write are null."""
    parse = pa_csv.ParseOptions(newlines_in_values=True)
    options = pa_csv.ConvertOptions(
        column_types=schema,
        strings_can_be_null=True,
        null_values=[""],
        include_columns=schema.names if fill else [],
        include_missing_columns=fill,
    )
    return _restored(pa_csv.read_csv(path, parse_options=parse, convert_options=options))
