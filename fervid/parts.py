"""Parts: what is known of one video, in one file; and the tables, composed of the parts of a batch.

A part is a Parquet file: the video's timeline, and in its metadata the video's rows of the small tables. It
does not name the video, so that a file may be moved without being analysed again; the names come in when
the tables are composed.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from fervid.errors import BadResults, OutputError, UsageError, writing
from fervid.store import store_folder
from fervid.tables import COMMON, SMALL, TIMELINE, is_folder, plain, replacing, small_path, sync_folder

_ROWS = b"fervid.rows"

ROW_GROUP = 1 << 16
"""Rows that are gathered from small videos before they are written as one row group."""

SMALL_ROWS = 1 << 12
"""Rows of a small table that are written at once."""

Row = dict[str, Any]


def write_part(path: Path, timeline: pa.Table, rows: Mapping[str, list[Row]]) -> None:
    """Write a video's timeline and its ``rows`` of the small tables, by table name; raises OutputError."""
    nameless = timeline.drop_columns(["video"]).replace_schema_metadata({_ROWS: json.dumps(rows)})
    with replacing(path) as beside:
        pq.write_table(nameless, beside, compression="zstd")


def read_rows(path: Path) -> dict[str, list[Row]]:
    """A part's rows of the small tables; raises BadResults where it is damaged, and removes it."""
    try:
        with pa.OSFile(str(path)) as file:  # a path, or a schema, takes longer
            return dict(json.loads(pq.ParquetFile(file).metadata.metadata[_ROWS]))
    except (OSError, KeyError, TypeError, ValueError, pa.ArrowException) as error:
        raise _damaged(path) from error


def _damaged(part: Path) -> BadResults:
    """Removes a part that cannot be read, so that its video counts as new."""
    with contextlib.suppress(OSError):
        part.unlink(missing_ok=True)
    return BadResults(f"{part} was damaged and is removed; its video is to be analysed again")


@dataclass(frozen=True)
class Entry:
    """One input in the tables: its ``name``, and its part or, where it has none, its manifest row."""

    name: str
    part: Path | None
    row: Row


def copy_of(name: str, video_id: str) -> Row:
    """The manifest row of an input with the same content as ``name``; the figures stand in that one's alone."""
    return {"video_id": video_id, "status": "skipped", "message": f"same content as {name}"}


def refuse_foreign(out: Path) -> None:
    """Raise OutputError where something lies at ``out`` that fervid did not write and would have to replace, and
    UsageError where the small tables there belong to results of the other ending."""
    if is_folder(out):
        ours = ("video_id=*", COMMON)
        if any(not any(map(entry.match, ours)) for entry in (out / "timeline").glob("*")):
            raise OutputError(f"cannot write {out / 'timeline'}: it holds files that are not fervid's")
    elif out.is_dir():
        raise OutputError(f"cannot write {out}: it is a folder")
    else:
        twin = out.with_suffix({".parquet": ".csv", ".csv": ".parquet"}[out.suffix])
        merged = twin.exists() and not out.exists() and all(small_path(out, name).exists() for name in SMALL)
        if merged or store_folder(twin, False).exists():
            raise UsageError(f"{twin.name} has small tables of the same names; choose another --out")


def compose(out: Path, entries: Iterable[Entry], metadata: Mapping[str, str], spool: Path) -> None:
    """Write the four tables at ``out`` from ``entries``, in their order.

    Each table replaces its forerunner when it is complete; after an error all are as they were. ``spool``
    is a folder on the disk of ``out`` for what is not yet complete. Raises OutputError and BadResults.
    """
    with writers(out, metadata, spool) as (timeline, small):
        for entry in entries:
            rows: dict[str, list[Row]] = {"videos": [entry.row]}
            if entry.part is not None:
                table, rows = _read_part(entry.part)
                timeline.add(named(table, entry.name))
            for name in SMALL:
                small[name].add([{**row, "video": entry.name} for row in rows.get(name, [])])


def _read_part(path: Path) -> tuple[pa.Table, dict[str, list[Row]]]:
    """A part's timeline, which no video's name is in yet, and its rows; raises as ``read_rows``."""
    try:
        with pq.ParquetFile(path) as file:
            return file.read(use_threads=False), dict(json.loads(file.schema_arrow.metadata[_ROWS]))
    except (OSError, KeyError, TypeError, ValueError, pa.ArrowException) as error:
        raise _damaged(path) from error


class _Timeline(Protocol):
    def add(self, table: pa.Table) -> None:
        """The rows of one more video."""


@contextlib.contextmanager
def writers(out: Path, metadata: Mapping[str, str], spool: Path) -> Iterator[tuple[_Timeline, dict[str, _Small]]]:
    """Writers of the four tables; what they wrote takes its place when all of it is complete, the timeline last."""
    places = {name: small_path(out, name) for name in SMALL} | {"timeline": out / "timeline" if is_folder(out) else out}
    fresh = {name: spool / f"new-{name}" for name in places}
    with writing(out):
        with contextlib.ExitStack() as stack:
            timeline = stack.enter_context(_timeline(out, fresh["timeline"], metadata))
            small = {name: stack.enter_context(_small(fresh[name], schema)) for name, schema in SMALL.items()}
            yield timeline, small
        for path in fresh.values():
            for file in [path, *path.rglob("*")]:
                sync_folder(file) if file.is_dir() else _sync(file)
        for name, place in places.items():
            _move(fresh[name], place, spool / "before")
            sync_folder(place.parent)


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _move(fresh: Path, place: Path, before: Path) -> None:
    """Put a file or folder in its place; a folder is swapped for the one that is there."""
    if fresh.is_dir() and place.exists():
        place.rename(before)
    try:
        fresh.rename(place)
    except OSError:
        if before.exists():
            before.rename(place)
        raise


@contextlib.contextmanager
def _csv(path: Path, schema: pa.Schema) -> Iterator[Any]:
    with pa_csv.CSVWriter(path, plain(schema.empty_table()).schema) as writer:
        yield writer


@contextlib.contextmanager
def _small(path: Path, schema: pa.Schema) -> Iterator[_Small]:
    with _csv(path, schema) as writer:
        small = _Small(writer, schema)
        yield small
        small.flush()


class _Small:
    """Gathers rows of a small table: each video has only a few."""

    def __init__(self, writer: Any, schema: pa.Schema) -> None:
        self._writer, self._schema = writer, schema
        self._gathered: list[Row] = []

    def add(self, rows: Iterable[Row]) -> None:
        self._gathered.extend(rows)
        if len(self._gathered) >= SMALL_ROWS:
            self.flush()

    def flush(self) -> None:
        if self._gathered:
            self._writer.write_table(plain(pa.Table.from_pylist(self._gathered, self._schema)))
        self._gathered = []


@contextlib.contextmanager
def _timeline(out: Path, path: Path, metadata: Mapping[str, str]) -> Iterator[_Timeline]:
    """What writes the timeline of ``out`` to ``path``, a file or folder that is not there yet."""
    named = {f"fervid.{key}": value for key, value in metadata.items()}
    if is_folder(out):
        path.mkdir()
        yield _Partitions(path, named)
    elif out.suffix == ".csv":
        with _csv(path, TIMELINE) as writer:
            yield _Csv(writer)
    else:
        schema = TIMELINE.with_metadata(named)
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            groups = _RowGroups(writer, schema)
            yield groups
            groups.flush()


class _Csv:
    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def add(self, table: pa.Table) -> None:
        self._writer.write_table(plain(table))


class _RowGroups:
    """Gathers small videos, so that a file of many has row groups of a useful size."""

    def __init__(self, writer: Any, schema: pa.Schema) -> None:
        self._writer, self._schema = writer, schema
        self._gathered: list[pa.Table] = []
        self._count = 0

    def add(self, table: pa.Table) -> None:
        self._gathered.append(table.cast(self._schema))
        self._count += len(table)
        if self._count >= ROW_GROUP:
            self.flush()

    def flush(self) -> None:
        if self._gathered:
            self._writer.write_table(pa.concat_tables(self._gathered).combine_chunks())
        self._gathered, self._count = [], 0


class _Partitions:
    def __init__(self, folder: Path, metadata: Mapping[str, str]) -> None:
        self._folder, self._metadata = folder, metadata
        pq.write_metadata(TIMELINE.with_metadata(metadata), folder / COMMON)

    def add(self, table: pa.Table) -> None:
        if not len(table):
            return
        video_id = table["video_id"][0].as_py()
        if not re.fullmatch(r"[0-9a-f]{32}", video_id):  # it becomes the name of a folder
            raise BadResults(f"not a fingerprint of a video: {video_id!r}")
        target = self._folder / f"video_id={video_id}"
        target.mkdir()
        nameless = table.drop_columns(["video_id"]).replace_schema_metadata(self._metadata)
        pq.write_table(nameless, target / "part-0.parquet", compression="zstd")


def by_video(timeline: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """Fingerprint and rows of each run of rows of one video."""
    ids = timeline["video_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    edges = [0, *(np.flatnonzero(np.diff(ids)) + 1).tolist(), len(ids)]
    for start, end in itertools.pairwise(edges):
        if end > start:
            rows = timeline.slice(start, end - start)
            yield rows["video_id"][0].as_py(), rows


def named(table: pa.Table, name: str) -> pa.Table:
    """The rows of a timeline as those of the video ``name``."""
    others = [column for column in table.column_names if column != "video"]
    column = pa.array([name] * len(table), pa.string())
    return table.select(others).append_column("video", column).select(TIMELINE.names)
