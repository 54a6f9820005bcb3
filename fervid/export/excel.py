"""Exporting all tables as one Excel workbook."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from fervid.errors import MissingLibrary, printable
from fervid.export.output_files import Values, writing_file
from fervid.export.pyfeat_openface import timeline_frame
from fervid.results.reader import Results

MAX_ROWS = 1_048_575
"""Rows of a sheet of Excel, without its header."""

MAX_TEXT = 32_767
"""Characters of a cell of Excel."""


def refuse_without_openpyxl() -> None:
    """Check that workbooks can be written.

    Raises:
        MissingLibrary: The package openpyxl is not installed.
    """
    try:
        import openpyxl  # noqa: F401
    except ImportError as error:
        raise MissingLibrary("Excel files need the package openpyxl: pip install 'fervid[excel]'") from error


def write_excel(tables: Results, target: Path, values: Values | None, rows: int = MAX_ROWS) -> None:
    """Write one sheet for each table. A table with more rows than a sheet holds goes on in the next sheet.

    Texts are cells of text, also those that a spreadsheet would otherwise run as formulas.

    Args:
        tables: The results.
        target: The .xlsx file to write.
        values: Probabilities of the timeline to write; None: both.
        rows: Rows of a sheet, without its header.

    Raises:
        OutputError: The file cannot be written.
    """
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell

    book = Workbook(write_only=True)
    for name, table in _sheets(tables, values, rows):
        sheet = book.create_sheet(name)
        sheet.freeze_panes = "A2"
        sheet.append(list(table.columns))
        for row in table.astype(object).itertuples(index=False, name=None):
            cells = [_value(value) for value in row]
            for place, value in enumerate(cells):
                if isinstance(value, str):
                    cells[place] = WriteOnlyCell(sheet, value)
                    cells[place].data_type = "s"
            sheet.append(cells)
    with writing_file(target) as partial:
        book.save(partial)


def _sheets(tables: Results, values: Values | None, rows: int) -> Iterator[tuple[str, pd.DataFrame]]:
    """The names of the sheets and their rows. Every table has a sheet, also an empty one."""
    everything = {
        "timeline": timeline_frame(tables.timeline, values),
        "episodes": tables.episodes,
        "summary": tables.summary,
        "persons": tables.persons,
        "shots": tables.shots,
        "doubts": tables.doubts,
        "videos": tables.videos,
    }
    for name, table in everything.items():
        for number, start in enumerate(range(0, max(len(table), 1), rows), start=1):
            yield name if number == 1 else f"{name} {number}", table.iloc[start : start + rows]


def _value(value: Any) -> Any:
    """The value of a cell; None for an empty one."""
    if isinstance(value, str):
        return printable(value)[:MAX_TEXT]
    return None if pd.isna(value) else value
