"""Whether the tables of results belong together: a digest of the timeline, and figures that must agree."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fervid.errors import printable
from fervid.results.schema import TIMELINE
from fervid.types import EMOTIONS

Words = npt.NDArray[np.uint64]

_FACTOR, _NULL = np.uint64(0x9E3779B97F4A7C15), np.uint64(0x5851F42D4C957F2D)
_MIX = ((30, np.uint64(0xBF58476D1CE4E5B9)), (27, np.uint64(0x94D049BB133111EB)))
"""Constants of SplitMix64 (Steele, Lea and Flood, 2014), and a number that stands for a null."""

_TOLERANCE = 1e-6
"""By how much times, shares and probabilities of two tables may differ."""


class TimelineDigest:
    """A number that changes if any value of a timeline changes, but not with the order of the rows.

    It finds edits, not forgeries: a 64-bit hash of each row, summed. A million rows take 0.3 s.
    """

    def __init__(self) -> None:
        self._sum, self._rows = 0, 0

    def add(self, table: pa.Table) -> None:
        """Add rows.

        Args:
            table: Rows in the columns of the schema TIMELINE.
        """
        hashes = np.zeros(len(table), np.uint64)
        with np.errstate(over="ignore"):
            for name in TIMELINE.names:
                hashes = hashes * _FACTOR + _words(table[name])
            for shift, factor in _MIX:
                hashes = (hashes ^ (hashes >> np.uint64(shift))) * factor
        self._sum = (self._sum + int(hashes.sum(dtype=np.uint64))) % 2**64
        self._rows += len(table)

    def text(self) -> str:
        """Write the digest down.

        Returns:
            Hex digits and the number of rows.
        """
        return f"{self._sum:016x}-{self._rows}"


def _words(column: pa.ChunkedArray) -> Words:
    """(n,) a number for each value; equal values have equal numbers."""
    kind = column.type
    if pa.types.is_dictionary(kind) or pa.types.is_string(kind):
        encoded = column.cast(pa.string()).combine_chunks().dictionary_encode()
        known = [_word(text) for text in encoded.dictionary.to_pylist()]
        codes = np.asarray(pc.fill_null(encoded.indices, len(known)))
        return np.asarray(np.array([*known, _NULL], np.uint64)[codes])
    values = np.ascontiguousarray(pc.fill_null(column, 0).to_numpy())
    words = values.view(f"u{values.itemsize}").astype(np.uint64)
    if column.null_count:
        words[np.asarray(pc.is_null(column).to_numpy(), bool)] = _NULL
    return words


def _word(text: str) -> np.uint64:
    return np.uint64(int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big"))


def contradiction(tables: Mapping[str, pa.Table]) -> str:
    """Find a figure that two tables state differently, as after one of them was edited by hand.

    Args:
        tables: The tables by name, as ``validated`` returns them.

    Returns:
        The first contradiction as a sentence; empty if there is none.
    """
    return next(_contradictions(tables), "")


def _contradictions(tables: Mapping[str, pa.Table]) -> Iterator[str]:
    ids = tables["videos"]["video_id"].unique().drop_null()
    seen, summary, episodes = tables["timeline"], tables["summary"], tables["episodes"]
    seen = seen.filter(pc.is_valid(seen["face_id"]))
    faces = _Index(summary, ids, "face_id", "summary")
    yield from faces.doubled()
    rows, owners = faces.find(seen), faces.find(episodes)
    yield from faces.unknown(seen, rows, "timeline")
    yield from faces.unknown(episodes, owners, "episodes")
    yield from _of_faces(seen, summary, rows)
    yield from _of_rows(seen)
    yield from _of_episodes(episodes, summary, owners)
    yield from _of_persons(tables, ids)


class _Index:
    """The rows of a small table by video and number.

    Args:
        table: The table.
        ids: All fingerprints.
        column: The column of the number: ``face_id`` or ``person``.
        name: Name of the table.
    """

    def __init__(self, table: pa.Table, ids: pa.Array, column: str, name: str) -> None:
        self._table, self._ids, self._column, self._name = table, ids, column, name
        keys = self._keys(table)
        self._order = np.argsort(keys, kind="stable")
        self._sorted = keys[self._order]

    def _keys(self, table: pa.Table) -> npt.NDArray[np.int64]:
        videos = np.asarray(pc.fill_null(pc.index_in(table["video_id"], self._ids), -1)).astype(np.int64)
        return videos * 2**32 + _numbers(table[self._column]).astype(np.int64)

    def find(self, table: pa.Table) -> npt.NDArray[np.int64]:
        """(n,) the row of this table for each row of another one; -1 if there is none."""
        keys = self._keys(table)
        if not len(self._sorted):
            return np.full(len(keys), -1)
        places = np.minimum(np.searchsorted(self._sorted, keys), len(self._sorted) - 1)
        return np.where(self._sorted[places] == keys, self._order[places], -1)

    def doubled(self) -> Iterator[str]:
        """What is there twice."""
        again = self._order[1:][self._sorted[1:] == self._sorted[:-1]]
        if len(again):
            yield f"{_place(self._table, self._column, int(again[0]))} is there twice in the {self._name} table"

    def unknown(self, table: pa.Table, rows: npt.NDArray[np.int64], name: str) -> Iterator[str]:
        """What another table has, but not this one. ``rows``: see ``find``."""
        missing = np.flatnonzero(rows < 0)
        if len(missing):
            place = _place(table, self._column, int(missing[0]))
            yield f"{place} is in the {name} table, but not in the {self._name} table"


def _of_faces(seen: pa.Table, summary: pa.Table, rows: npt.NDArray[np.int64]) -> Iterator[str]:
    """What the summary and the timeline say of a face. ``rows``: the row of the summary for each of the timeline."""
    times = _numbers(seen["time"])
    samples = np.bincount(rows, minlength=len(summary))
    first, last = np.full(len(summary), np.nan), np.full(len(summary), np.nan)
    first[rows[::-1]], last[rows] = times[::-1], times  # the rows of a face are in order of time
    quality = np.bincount(rows, _numbers(seen["face_quality"]), len(summary)) / np.maximum(samples, 1)
    found = {"samples": samples, "first_seen": first, "last_seen": last, "mean_quality": quality}
    for name, values in found.items():
        tolerance = 1e-4 if name == "mean_quality" else _TOLERANCE
        expected = _numbers(summary[name])
        for row in np.flatnonzero(~(np.abs(values - expected) <= tolerance))[:1].tolist():
            said = f"{name} is {expected[row]:.6g} in the summary table, {values[row]:.6g} in the timeline"
            yield f"{_place(summary, 'face_id', row)}: {said}"
    for name in ("person", "participant"):
        own, of_face = _words(seen[name]), _words(summary[name])
        for row in np.flatnonzero(own != of_face[rows])[:1].tolist():
            here, there = (_shown(table[name][at]) for table, at in ((seen, row), (summary, int(rows[row]))))
            yield f"{_place(seen, 'face_id', row)}: {name} is {there} in the summary table, {here} in the timeline"


def _of_rows(seen: pa.Table) -> Iterator[str]:
    """What a row of the timeline says of its emotion, and its smoothed probabilities."""
    smoothed = np.column_stack([_numbers(seen[f"{name}_smooth"]) for name in EMOTIONS])
    largest = smoothed.max(axis=1, initial=0.0)
    leading = np.asarray(pc.fill_null(pc.index_in(seen["emotion"].cast(pa.string()), pa.array(EMOTIONS)), -1))
    wrong = (leading < 0) | (smoothed[np.arange(len(seen)), leading] < largest - _TOLERANCE)
    wrong |= ~(np.abs(_numbers(seen["confidence"]) - largest) <= _TOLERANCE)
    for row in np.flatnonzero(wrong)[:1].tolist():
        said = f"{_shown(seen['emotion'][row])} with {_shown(seen['confidence'][row])}"
        best = f"{EMOTIONS[int(smoothed[row].argmax())]} with {largest[row]:.6g}"
        place = _place(seen, "face_id", row)
        yield f"{place} at {seen['time'][row].as_py():.3f} s: the emotion is {said}, but the smoothed values say {best}"


def _of_episodes(episodes: pa.Table, summary: pa.Table, owners: npt.NDArray[np.int64]) -> Iterator[str]:
    """Episodes begin while their face is seen. ``owners``: the row of the summary for each episode."""
    onset = _numbers(episodes["onset"])
    first, last = (_numbers(summary[name])[owners] for name in ("first_seen", "last_seen"))
    for row in np.flatnonzero((onset < first - _TOLERANCE) | (onset > last + _TOLERANCE))[:1].tolist():
        yield f"{_place(episodes, 'face_id', row)}: an episode begins at {onset[row]:.3f} s, when it is not seen"


def _of_persons(tables: Mapping[str, pa.Table], ids: pa.Array) -> Iterator[str]:
    """What the summary and the persons table say of a person."""
    persons, summary = tables["persons"], tables["summary"]
    summary = summary.filter(pc.is_valid(summary["person"]))
    people = _Index(persons, ids, "person", "persons")
    yield from people.doubled()
    rows = people.find(summary)
    yield from people.unknown(summary, rows, "summary")
    found = {"faces": np.bincount(rows, minlength=len(persons))}
    found["samples"] = np.bincount(rows, _numbers(summary["samples"]), len(persons))
    for name, values in found.items():
        expected = _numbers(persons[name])
        for row in np.flatnonzero(values != expected)[:1].tolist():
            said = f"{expected[row]:.0f} {name} in the persons table, {values[row]:.0f} in the summary table"
            yield f"{_place(persons, 'person', row)}: {said}"
    differs = _words(persons["participant"])[rows] != _words(summary["participant"])
    for row in np.flatnonzero(differs)[:1].tolist():
        yield f"{_place(summary, 'person', row)} is called differently in the summary and the persons table"


def _numbers(column: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    """(n,) float64; a null is -1."""
    return np.asarray(pc.fill_null(column, -1).to_numpy(), np.float64)


def _place(table: pa.Table, column: str, row: int) -> str:
    """Such as ``face 3 of a.mp4``."""
    return f"{column.removesuffix('_id')} {table[column][row]} of {printable(str(table['video'][row]))}"


def _shown(value: Any) -> str:
    return "empty" if value.as_py() is None else printable(str(value.as_py()))[:40]
