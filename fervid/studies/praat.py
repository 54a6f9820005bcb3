"""Reading Praat TextGrid files, in the long and the short text form, and in the binary form.

The text forms are defined by Praat's manual ("TextGrid file formats"): what counts are quoted texts, free-standing
numbers and flags in angle brackets; all other words are comments. pympi's reader is not used, because it misreads
numbers with a sign or an exponent. The binary form holds the same values in the same order, with the most significant
byte first; the tests compare it with files that Praat wrote.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from fervid.errors import BadStudy
from fervid.results.text_tables import first_bytes, read_text
from fervid.studies.events import Event

_BINARY = b"ooBinaryFile"
"""The first bytes of a binary file."""

_TOKEN = re.compile(r'"((?:[^"]|"")*)"|<(\w+)>|(?<!\S)([+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)(?=\s|$)|(?:![^\n]*)')
"""A quoted text, a flag, a free-standing number, or a comment."""


def read_textgrid(path: Path, tiers: Iterable[str] = ()) -> Iterator[Event]:
    """Read labelled intervals and points as events. The label is the trial type.

    Args:
        path: The file: text in UTF-8 or UTF-16, or binary.
        tiers: Tiers to read; none: all.

    Yields:
        The events. The video is the one with the file's stem.

    Raises:
        InputNotFound: There is no such file.
        BadStudy: The file is not such a file, or a tier is missing.
    """
    values = _opened(path)
    wanted, known = set(tiers), set()
    found: list[Event] = []
    values.number(), values.number(), values.flag()
    for _ in range(values.count()):
        kind, name = values.kind(), values.text()
        known.add(name)
        values.number(), values.number()
        for _ in range(values.count()):
            start, place = values.number(), values.place
            end = values.number() if kind == "IntervalTier" else start
            label = values.text().strip()
            if end < start:
                raise BadStudy(f"{place}: the interval ends before it starts")
            if label and (not wanted or name in wanted):
                found.append(Event(place, start, end - start, label, path.stem, "", name, {"tier": name}))
    if missing := sorted(wanted - known):
        raise BadStudy(f"{path}: no tier {missing[0]!r}; its tiers are {', '.join(sorted(known))}")
    yield from found


class _Values(Protocol):
    """The values of a file in order. Each method raises BadStudy if the next value is another one."""

    @property
    def place(self) -> str: ...
    def kind(self) -> str: ...
    def text(self) -> str: ...
    def flag(self) -> object: ...
    def number(self) -> float: ...
    def count(self) -> int: ...


def _opened(path: Path) -> _Values:
    """The values of a file, behind the class of the object."""
    values: _Values
    if first_bytes(path, len(_BINARY)) == _BINARY:
        values = _Binary(path, path.read_bytes())
        kind = values.kind()
    else:
        text = read_text(path)
        if "TextGrid" not in text.split("\n", 4)[0] + text[:200]:
            raise BadStudy(f"{path}, line 1: it is not a TextGrid file")
        values = _Tokens(path, text)
        values.text()  # "ooTextFile"
        kind = values.text()
    if kind != "TextGrid":
        raise BadStudy(f"{path} holds a {kind[:40]!r} and not a TextGrid")
    return values


class _Binary:
    """The values of a binary file."""

    def __init__(self, path: Path, data: bytes) -> None:
        self._path, self._data, self._at = path, data, len(_BINARY)

    @property
    def place(self) -> str:
        """The file and the byte, for messages."""
        return f"{self._path}, byte {self._at}"

    def kind(self) -> str:
        """The next value, which must be the name of a class."""
        return self._take(*self._unpack("B")).decode("latin-1")

    def text(self) -> str:
        """The next value, which must be a text: of one byte a character, or in UTF-16."""
        (length,) = self._unpack("h")
        if length >= 0:
            return self._take(length).decode("latin-1")
        units = b""
        for _ in range(self._unpack("H")[0]):
            units += self._take(2)
            if 0xD8 <= units[-2] <= 0xDB:  # the length counts characters, and this one has a second half
                units += self._take(2)
        try:
            return units.decode("utf-16-be")
        except UnicodeDecodeError as error:
            raise BadStudy(f"{self.place}: a text is damaged") from error

    def flag(self) -> object:
        """The next value, which must be a truth value."""
        return self._unpack("?")[0]

    def number(self) -> float:
        """The next value, which must be a number."""
        number = float(self._unpack("d")[0])
        if not math.isfinite(number):
            raise BadStudy(f"{self.place}: the number is too large")
        return number

    def count(self) -> int:
        """The next value, which must be a whole number."""
        return int(self._unpack("i")[0])

    def _unpack(self, form: str) -> tuple[int, ...]:
        return struct.unpack(f">{form}", self._take(struct.calcsize(f">{form}")))

    def _take(self, count: int) -> bytes:
        part = self._data[self._at : self._at + count]
        if len(part) < count:
            raise BadStudy(f"{self.place}: the file ends too early")
        self._at += count
        return part


class _Tokens:
    """The texts, numbers and flags of a file, in order."""

    def __init__(self, path: Path, text: str) -> None:
        self._path, self._text = path, text
        self._matches = _TOKEN.finditer(text)
        self._at = self._counted = 0
        self._line = 1

    @property
    def place(self) -> str:
        """The file and the line of the last token, for messages."""
        return f"{self._path}, line {self.line}"

    @property
    def line(self) -> int:
        """The line of the last token."""
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line

    def text(self) -> str:
        """The next token, which must be a quoted text."""
        return self._next(1, "a text in quotes").replace('""', '"')

    def kind(self) -> str:
        """The next token, which must be the name of a class."""
        return self.text()

    def flag(self) -> object:
        """The next token, which must be a flag."""
        return self._next(2, "<exists>")

    def number(self) -> float:
        """The next token, which must be a number."""
        number = float(self._next(3, "a number"))
        if not math.isfinite(number):
            raise BadStudy(f"{self._path}, line {self.line}: the number is too large")
        return number

    def count(self) -> int:
        """The next token, which must be a whole number."""
        number = self.number()
        if number != int(number):
            raise BadStudy(f"{self._path}, line {self.line}: {number} is not a whole number")
        return int(number)

    def _next(self, group: int, wanted: str) -> str:
        for match in self._matches:
            if match.lastindex is None:  # a comment
                continue
            self._at = match.start()
            if match.lastindex != group:
                raise BadStudy(f"{self._path}, line {self.line}: {wanted} is missing before {match[0][:20]!r}")
            return match[group]
        self._at = len(self._text)
        raise BadStudy(f"{self._path}, line {self.line}: the file ends where {wanted} is missing")
