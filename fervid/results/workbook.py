"""Writing tables as sheets of one Excel workbook, a few rows at a time."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fervid.errors import MissingLibrary, printable
from fervid.files.atomic import atomic_path, temporary_files_beside

if TYPE_CHECKING:
    import pandas as pd  # slow to import; a run with nothing to do avoids it

MAX_ROWS = 1_048_575
"""Rows of a sheet of Excel, without its header."""

MAX_TEXT = 32_767
"""Characters of a cell of Excel."""

DATES = "docProps/core.xml"
"""The part of a workbook that says when it was made."""

_STEP = 10_000
"""Rows that are in memory as objects at a time."""


def refuse_without_openpyxl() -> None:
    """Check that workbooks can be written.

    Raises:
        MissingLibrary: The package openpyxl is not installed.
    """
    try:
        import openpyxl  # noqa: F401
    except ImportError as error:
        raise MissingLibrary("Excel files need the package openpyxl: pip install 'fervid[excel]'") from error


def write_workbook(target: Path, tables: Iterable[tuple[str, pd.DataFrame]], rows: int = MAX_ROWS) -> None:
    """Write one sheet for each table. A table with more rows than a sheet holds goes on in the next sheet.

    Texts are cells of text, also those that a spreadsheet would otherwise run as formulas. Memory does not grow with
    the rows, because openpyxl writes each row to the disk at once.

    Args:
        target: The .xlsx file to write. Its folder must exist.
        tables: Name of the sheet, and its table. Every table has a sheet, also an empty one.
        rows: Rows of a sheet, without its header.

    Raises:
        MissingLibrary: The package openpyxl is not installed.
        OutputError: The file cannot be written.
    """
    with atomic_path(target) as partial:
        fill_workbook(partial, tables, rows)


def fill_workbook(partial: Path, tables: Iterable[tuple[str, pd.DataFrame]], rows: int = MAX_ROWS) -> None:
    """Write a workbook to an unfinished file; see ``write_workbook``.

    Args:
        partial: What ``atomic_path`` yielded.
        tables: See ``write_workbook``.
        rows: See ``write_workbook``.

    Raises:
        MissingLibrary: The package openpyxl is not installed.
        OutputError: A temporary file cannot be made.
    """
    refuse_without_openpyxl()
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell

    book = Workbook(write_only=True)
    with temporary_files_beside(partial):
        for name, table in _sheets(tables, rows):
            sheet = book.create_sheet(name)
            sheet.freeze_panes = "A2"
            for cells in _rows(table):
                for place, value in enumerate(cells):
                    if isinstance(value, str) and value[:1] in ("=", "#"):
                        cells[place] = WriteOnlyCell(sheet, value)
                        cells[place].data_type = "s"
                sheet.append(cells)
        book.save(partial)


def is_same_workbook(one: Path, other: Path) -> bool:
    """Whether two workbooks hold the same. Dates of their making do not count.

    Args:
        one: A workbook.
        other: A file of any kind.

    Returns:
        Whether all parts but the dates have the same names, lengths and checksums.
    """
    if not other.is_file():  # reading a pipe would wait for ever
        return False
    try:
        return _parts(one) == _parts(other)
    except (OSError, zipfile.BadZipFile, NotImplementedError):
        return False


def _parts(workbook: Path) -> list[tuple[str, int, int]]:
    with zipfile.ZipFile(workbook) as archive:
        parts = [(part.filename, part.file_size, part.CRC) for part in archive.infolist()]
    return sorted(part for part in parts if part[0] != DATES)


def _sheets(tables: Iterable[tuple[str, pd.DataFrame]], rows: int) -> Iterator[tuple[str, pd.DataFrame]]:
    """The names of the sheets and their rows."""
    for name, table in tables:
        for number, start in enumerate(range(0, max(len(table), 1), rows), start=1):
            yield name if number == 1 else f"{name} {number}", table.iloc[start : start + rows]


def _rows(table: pd.DataFrame) -> Iterator[list[Any]]:
    """The header and the rows of a sheet."""
    yield [_value(name) for name in table.columns]
    for start in range(0, len(table), _STEP):
        part = table.iloc[start : start + _STEP].astype(object)
        for row in part.itertuples(index=False, name=None):
            yield [_value(value) for value in row]


def _value(value: Any) -> Any:
    """The value of a cell; None for an empty one."""
    import pandas as pd

    if isinstance(value, str):
        return printable(value)[:MAX_TEXT]
    return None if pd.isna(value) else value
