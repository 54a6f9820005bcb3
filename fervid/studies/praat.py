"""Reading Praat TextGrid files, in the long and the short text form.

The form is defined by Praat's manual ("TextGrid file formats"): what counts are quoted texts, free-standing numbers and
flags in angle brackets; all other words are comments. pympi's reader is not used, because it misreads numbers with a
sign or an exponent.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from fervid.errors import BadStudy
from fervid.results.text_tables import first_bytes, read_text
from fervid.studies.events import Event

_TOKEN = re.compile(r'"((?:[^"]|"")*)"|<(\w+)>|(?<!\S)([+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)(?=\s|$)|(?:![^\n]*)')
"""A quoted text, a flag, a free-standing number, or a comment."""


def read_textgrid(path: Path, tiers: Iterable[str] = ()) -> Iterator[Event]:
    """Read labelled intervals and points as events. The label is the trial type.

    Args:
        path: The file, in UTF-8 or UTF-16.
        tiers: Tiers to read; none: all.

    Yields:
        The events. The video is the one with the file's stem.

    Raises:
        InputNotFound: There is no such file.
        BadStudy: The file is not such a file, or a tier is missing.
    """
    if first_bytes(path, 12) == b"ooBinaryFile":
        raise BadStudy(f"{path} is a binary TextGrid; save it in Praat as a text file")
    text = read_text(path)
    if "TextGrid" not in text.split("\n", 4)[0] + text[:200]:
        raise BadStudy(f"{path}, line 1: it is not a TextGrid file")
    tokens = _Tokens(path, text)
    wanted, known = set(tiers), set()
    found: list[Event] = []
    tokens.text(), tokens.text()  # "ooTextFile" and "TextGrid"
    tokens.number(), tokens.number(), tokens.flag()
    for _ in range(tokens.count()):
        kind, name = tokens.text(), tokens.text()
        known.add(name)
        tokens.number(), tokens.number()
        for _ in range(tokens.count()):
            start, line = tokens.number(), tokens.line
            end = tokens.number() if kind == "IntervalTier" else start
            label = tokens.text().strip()
            if end < start:
                raise BadStudy(f"{path}, line {line}: the interval ends before it starts")
            if label and (not wanted or name in wanted):
                place = f"{path}, line {line}"
                found.append(Event(place, start, end - start, label, path.stem, "", name, {"tier": name}))
    if missing := sorted(wanted - known):
        raise BadStudy(f"{path}: no tier {missing[0]!r}; its tiers are {', '.join(sorted(known))}")
    yield from found


class _Tokens:
    """The texts, numbers and flags of a file, in order."""

    def __init__(self, path: Path, text: str) -> None:
        self._path, self._text = path, text
        self._matches = _TOKEN.finditer(text)
        self._at = self._counted = 0
        self._line = 1

    @property
    def line(self) -> int:
        """The line of the last token."""
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line

    def text(self) -> str:
        """The next token, which must be a quoted text."""
        return self._next(1, "a text in quotes").replace('""', '"')

    def flag(self) -> str:
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
