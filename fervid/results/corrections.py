"""Corrections files: what a person changes about results, one change a line.

A corrections file is a CSV file with the columns ``video``, ``face_id``, ``action``, ``start``, ``end`` and ``value``.
Further columns are ignored. The changes apply in the order of the lines.

===========  ======================  ===================================================================================
action       cells                   what it does
===========  ======================  ===================================================================================
``person``   value                   The face belongs to the person with this number. ``new``: to a person of its own.
``name``     value                   The person of the face is this participant.
``role``     value                   The person of the face has this role, such as ``interviewer``.
``split``    start                   From this time in seconds on, the face is another one. Its number is the largest of
                                     the video plus one.
``join``     value                   The face with this number is the same face, in the same shot.
``exclude``  start, end, value       The face was not seen from start to end; without them, at all. The value is the
                                     reason.
===========  ======================  ===================================================================================
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fervid.errors import BadCorrections, InputNotFound
from fervid.results.csv import FORMULA_STARTS
from fervid.runtime.special_files import refuse_special

COLUMNS = ("video", "face_id", "action", "start", "end", "value")
"""The columns of a corrections file."""

ACTIONS = {
    "person": ("value",),
    "name": ("value",),
    "role": ("value",),
    "split": ("start",),
    "join": ("value",),
    "exclude": (),
}
"""Action → the cells that it needs, in addition to the video and the face."""

OPTIONAL = {"exclude": ("start", "end", "value")}
"""Action → the cells that it may have."""

NEW = "new"
"""The value of ``person`` that makes a face a person of its own."""

MAX_NUMBER = 2**31 - 1
"""Largest number of a face or a person."""


@dataclass(frozen=True)
class Correction:
    """One line of a corrections file.

    Attributes:
        place: The file and the line, for messages.
        video: Name of the video in the results.
        face_id: The face.
        action: One of ACTIONS.
        start: Time in seconds; None if the cell is empty.
        end: Time in seconds; None if the cell is empty.
        value: The text of the cell; empty if there is none.
    """

    place: str
    video: str
    face_id: int
    action: str
    start: float | None = None
    end: float | None = None
    value: str = ""

    def number(self) -> int:
        """Read the value as the number of a face or a person.

        Returns:
            The number.

        Raises:
            BadCorrections: It is not a number.
        """
        return _integer(self.value, f"{self.place}, column value")

    def wrong(self, column: str, reason: str) -> BadCorrections:
        """Build the error for this line.

        Args:
            column: The column that is wrong.
            reason: Why.

        Returns:
            The error to raise.
        """
        return BadCorrections(f"{self.place}, column {column}: {reason}")


@dataclass(frozen=True)
class Record:
    """A line of a corrections file, and the text that it is made of.

    Attributes:
        text: The text of the file that holds it; several lines if a cell contains line breaks.
        correction: What it says.
    """

    text: str
    correction: Correction


@dataclass(frozen=True)
class CorrectionsText:
    """The content of a corrections file.

    Attributes:
        header: Its first line as text.
        columns: The names in that line, in lower case.
        separator: What separates two cells.
        records: Its corrections in order.
    """

    header: str
    columns: tuple[str, ...]
    separator: str
    records: tuple[Record, ...]


def read_corrections(path: Path) -> list[Correction]:
    """Read a corrections file and check every line.

    Spreadsheets of some countries separate columns with semicolons; these and tabs are accepted too.

    Args:
        path: The file, in UTF-8.

    Returns:
        The corrections in order.

    Raises:
        InputNotFound: There is no such file.
        BadCorrections: The file cannot be read, or a line is wrong.
    """
    if not path.exists():
        raise InputNotFound(f"no such corrections file: {path}")
    refuse_special(path, BadCorrections)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadCorrections(f"{path} cannot be read as text in UTF-8: {error}") from error
    return [record.correction for record in parse_corrections(path, text).records]


def parse_corrections(path: Path, text: str) -> CorrectionsText:
    """Read the text of a corrections file and check every line.

    Args:
        path: The file, for messages.
        text: Its content.

    Returns:
        The corrections, and how the file is written.

    Raises:
        BadCorrections: A line is wrong.
    """
    header = text.split("\n", 1)[0]
    separator = max(",;\t", key=header.count)
    lines = list(io.StringIO(text, newline=""))
    reader = csv.reader(iter(lines), delimiter=separator, strict=True)
    try:
        columns = _header(path, next(reader, []))
        first = reader.line_num
        records = tuple(_records(path, columns, reader, lines))
    except csv.Error as error:
        raise BadCorrections(f"{path}: {error}") from error
    return CorrectionsText("".join(lines[:first]), columns, separator, records)


def _header(path: Path, cells: list[str]) -> tuple[str, ...]:
    header = [name.strip().lower() for name in cells]
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        raise BadCorrections(f"{path}, line 1: no column {', '.join(missing)}; the columns are {', '.join(COLUMNS)}")
    doubled = [name for name in COLUMNS if header.count(name) > 1]
    if doubled:
        raise BadCorrections(f"{path}, line 1: column {doubled[0]} is there twice")
    return tuple(header)


def _records(path: Path, header: tuple[str, ...], reader: Any, lines: list[str]) -> Iterator[Record]:
    """The corrections of the lines that are not empty."""
    begin = reader.line_num
    for cells in reader:
        place = f"{path}, line {reader.line_num}"
        begin, text = reader.line_num, "".join(lines[begin : reader.line_num])
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) > len(header):
            raise BadCorrections(f"{place}: {len(cells)} cells for {len(header)} columns")
        cells += [""] * (len(header) - len(cells))
        yield Record(text, _correction(place, {name: cells[header.index(name)] for name in COLUMNS}))


def _correction(place: str, cells: dict[str, str]) -> Correction:
    """The correction of one line. The name of a video may begin or end with spaces."""
    cells = {name: text if name == "video" else text.strip() for name, text in cells.items()}
    action = cells["action"].lower()
    if action not in ACTIONS:
        raise BadCorrections(f"{place}, column action: {action!r} is none of {', '.join(ACTIONS)}")
    allowed = ("video", "face_id", "action", *ACTIONS[action], *OPTIONAL.get(action, ()))
    for name in ("video", "face_id", *ACTIONS[action]):
        if not cells[name]:
            raise BadCorrections(f"{place}, column {name}: {action!r} needs it")
    for name in COLUMNS:
        if cells[name] and name not in allowed:
            raise BadCorrections(f"{place}, column {name}: {action!r} does not use it; leave it empty")
    times = {name: _time(cells[name], f"{place}, column {name}") for name in ("start", "end")}
    face_id = _integer(cells["face_id"], f"{place}, column face_id")
    found = Correction(place, _unescaped(cells["video"]), face_id, action, value=_unescaped(cells["value"]), **times)
    if found.start is not None and found.end is not None and found.end < found.start:
        raise found.wrong("end", "it is before the start")
    if action == "join" or (action == "person" and found.value.lower() != NEW):
        found.number()
    if action in ("name", "role") and not found.value.isprintable():
        raise found.wrong("value", "it contains characters that cannot be printed")
    return found


def _unescaped(text: str) -> str:
    """A cell without the apostrophe that keeps spreadsheets from running it as a formula."""
    return text[1:] if len(text) > 1 and text[0] == "'" and text[1] in FORMULA_STARTS else text


def _integer(text: str, place: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 10 and int(text) <= MAX_NUMBER):
        raise BadCorrections(f"{place}: {text!r} is not a number of a face or person (0, 1, 2 ...)")
    return int(text)


def _time(text: str, place: str) -> float | None:
    if not text:
        return None
    try:
        time = float(text)
    except ValueError:
        time = math.nan
    if not math.isfinite(time):
        raise BadCorrections(f"{place}: {text!r} is not a time in seconds, such as 12.4")
    return time
