"""Reading tables that people and other tools write: any usual separator, encoding and decimal sign."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fervid.errors import BadStudy, InputNotFound
from fervid.results.csv import FORMULA_STARTS
from fervid.results.workbook import refuse_without_openpyxl
from fervid.runtime.special_files import refuse_special

EMPTY = ("", "n/a", "N/A", "NaN", "nan", "NA")
"""Cells that stand for no value. ``n/a`` is that of BIDS, the others are those of R, pandas and spreadsheets."""


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        path: The file.
        line: Its line in the file, from 1.
        cells: Text by column name; empty cells are empty texts.
    """

    path: Path
    line: int
    cells: dict[str, str]

    @property
    def place(self) -> str:
        """The file and the line, for messages."""
        return f"{self.path}, line {self.line}"

    def wrong(self, column: str, reason: str) -> BadStudy:
        """Build the error for a cell.

        Args:
            column: The column that is wrong.
            reason: Why.

        Returns:
            The error to raise.
        """
        return BadStudy(f"{self.place}, column {column}: {reason}")

    def get(self, *columns: str) -> str:
        """Get the first cell that is not empty.

        Args:
            *columns: Names of columns, the preferred one first. They need not exist.

        Returns:
            The text; empty if there is none.
        """
        return next((self.cells[name] for name in columns if self.cells.get(name)), "")

    def number(self, column: str) -> float:
        """Read a cell as a number. A decimal comma is accepted.

        Args:
            column: The column.

        Returns:
            A finite number.

        Raises:
            BadStudy: The cell is empty or is not a number.
        """
        text = self.cells.get(column, "")
        if not text:
            raise self.wrong(column, "it is empty; it must be a time in seconds, such as 12.4")
        value = parse_number(text)
        if value is None:
            raise self.wrong(column, f"{text!r} is not a number of seconds, such as 12.4")
        return value


@dataclass(frozen=True)
class TextTable:
    """A table.

    Attributes:
        path: The file.
        columns: Names of the columns in order.
        rows: The lines that are not empty.
    """

    path: Path
    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    def require(self, *names: str) -> None:
        """Check that columns are there.

        Args:
            *names: Names of columns.

        Raises:
            BadStudy: One is missing, or the table has no rows.
        """
        missing = [name for name in names if name not in self.columns]
        if missing:
            raise BadStudy(
                f"{self.path}, line 1: no column {', '.join(missing)}; the columns are {', '.join(self.columns)}"
            )
        if not self.rows:
            raise BadStudy(f"{self.path}, line 2: the table has no rows")


def parse_number(text: str) -> float | None:
    """Read a number with a decimal point or a decimal comma.

    Args:
        text: The text.

    Returns:
        The number; None if the text is not a finite number.
    """
    if not re.fullmatch(r"\s*[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?\s*", text, re.ASCII):
        return None
    value = float(text.replace(",", "."))
    return value if math.isfinite(value) else None


def read_text(path: Path) -> str:
    """Read a text file in UTF-8, or in UTF-16 if it begins with a byte order mark.

    Args:
        path: The file.

    Returns:
        The text without the mark.

    Raises:
        InputNotFound: There is no such file.
        BadStudy: It cannot be read as text.
    """
    refuse_special(path, BadStudy)
    try:
        data = path.read_bytes()
        encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        text = data.decode(encoding)
    except FileNotFoundError as error:
        raise InputNotFound(f"no such file: {path}") from error
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise BadStudy(f"{path}, line {line}: this is not UTF-8 text; save the file as UTF-8") from error
    except OSError as error:
        raise BadStudy(f"{path} cannot be read: {error.strerror or error}") from error
    if "\0" in text:
        raise BadStudy(f"{path} is not a text file")
    if not text.strip():
        raise BadStudy(f"{path}, line 1: the file is empty")
    return text


def first_bytes(path: Path, count: int) -> bytes:
    """Read the first bytes of a file.

    Args:
        path: The file.
        count: How many bytes.

    Returns:
        The bytes; none if the file cannot be read, which ``read_text`` explains.

    Raises:
        BadStudy: It is a pipe, a device or a socket.
    """
    refuse_special(path, BadStudy)
    try:
        with path.open("rb") as file:
            return file.read(count)
    except OSError:
        return b""


def read_table(path: Path) -> TextTable:
    """Read a table whose columns are separated by tabs, semicolons or commas, or the first sheet of an Excel workbook.

    Args:
        path: The file. ``.xlsx`` is a workbook.

    Returns:
        The table. Names of columns are in lower case with underscores for spaces; cells that mean "no value" are empty.

    Raises:
        InputNotFound: There is no such file.
        BadStudy: The file is empty, is not text, or a line does not fit the header.
        MissingLibrary: It is a workbook, and the package openpyxl is not installed.
    """
    if path.suffix.lower() == ".xlsx":
        return _table(path, _sheet_lines(path))
    return parse_table(path, read_text(path))


def parse_table(path: Path, text: str) -> TextTable:
    """Read a table from its text; see ``read_table``.

    Args:
        path: The file, for messages.
        text: Its content.

    Returns:
        The table.

    Raises:
        BadStudy: A line does not fit the header.
    """
    header = next(line for line in text.splitlines() if line.strip())
    separator = max("\t;,", key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        return _table(path, ((reader.line_num, cells) for cells in reader))
    except csv.Error as error:
        raise BadStudy(f"{path}, line {reader.line_num}: {error}") from error


def _table(path: Path, lines: Iterable[tuple[int, Sequence[str]]]) -> TextTable:
    """The table of lines; the first one that is not empty names the columns."""
    columns: tuple[str, ...] = ()
    rows: list[Row] = []
    for line, cells in lines:
        if not any(cell.strip() for cell in cells):
            continue
        if columns:
            rows.append(_row(path, line, columns, cells))
        else:
            columns = _column_names(path, line, cells)
    if not columns:
        raise BadStudy(f"{path}, line 1: the file is empty")
    return TextTable(path, columns, tuple(rows))


def _sheet_lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The lines of the first sheet of a workbook."""
    refuse_special(path, BadStudy)
    if not path.exists():
        raise InputNotFound(f"no such file: {path}")
    refuse_without_openpyxl()
    import openpyxl

    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        try:
            for line, cells in enumerate(book.worksheets[0].iter_rows(values_only=True), start=1):
                yield line, [_cell_text(cell) for cell in cells]
        finally:
            book.close()
    except BadStudy:
        raise
    except Exception as error:  # openpyxl has no error of its own for a damaged workbook
        raise BadStudy(f"{path} cannot be read as a workbook: {str(error) or type(error).__name__}") from error


def _cell_text(cell: object) -> str:
    """The text of a cell. Whole numbers have no decimal point."""
    if cell is None:
        return ""
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15 else str(cell)


def _column_names(path: Path, line: int, cells: Sequence[str]) -> tuple[str, ...]:
    names = tuple(re.sub(r"\s+", "_", cell.strip().lower()) for cell in cells)
    while names and not names[-1]:  # separators at the end of the header, as spreadsheets write them
        names = names[:-1]
    doubled = [name for name in names if names.count(name) > 1]
    if doubled:
        raise BadStudy(f"{path}, line {line}: column {doubled[0] or '(without a name)'} is there twice")
    return names


def _row(path: Path, line: int, columns: Sequence[str], cells: Sequence[str]) -> Row:
    if any(cell.strip() for cell in cells[len(columns) :]):
        hint = "; a decimal comma needs quotes or another separator" if len(cells) > len(columns) else ""
        raise BadStudy(f"{path}, line {line}: {len(cells)} cells for {len(columns)} columns{hint}")
    filled = [_clean(cell) for cell in cells[: len(columns)]] + [""] * (len(columns) - len(cells))
    return Row(path, line, dict(zip(columns, filled, strict=True)))


def _clean(cell: str) -> str:
    """A cell without surrounding spaces, and without the apostrophe that keeps spreadsheets from running it."""
    text = cell.strip()
    if len(text) > 1 and text[0] == "'" and text[1] in FORMULA_STARTS:
        text = text[1:]
    return "" if text in EMPTY else text
