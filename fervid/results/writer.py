"""Parts: what is known of one video, in one file; and the tables, composed of the parts of a batch.

A part is a Parquet file: the video's timeline, and in its metadata the video's rows of the small tables. It
does not name the video, so that a file may be moved without being analysed again; the names come in when
the tables are composed.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from fervid.errors import BadResults
from fervid.files.atomic import sync_file, sync_folder, writing
from fervid.results.csv import csv_safe
from fervid.results.parts import Entry, Row, named, read_part
from fervid.results.schema import COMMON, SMALL, TIMELINE, is_folder, small_path

ROW_GROUP = 1 << 16
"""Rows that are gathered from small videos before they are written as one row group."""

SMALL_ROWS = 1 << 12
"""Rows of a small table that are written at once."""


def compose(out: Path, entries: Iterable[Entry], metadata: Mapping[str, str], scratch: Path) -> None:
    """Write the four tables at ``out`` from ``entries``, in their order.

    Each table replaces its forerunner when it is complete; after an error all are as they were. ``scratch``
    is a folder on the disk of ``out`` for what is not yet complete. Raises OutputError and BadResults.
    """
    with writers(out, metadata, scratch) as (timeline, small):
        for entry in entries:
            rows: dict[str, list[Row]] = {"videos": [entry.row]}
            if entry.part is not None:
                table, rows = read_part(entry.part)
                timeline.add(named(table, entry.name))
            for name in SMALL:
                small[name].add([{**row, "video": entry.name} for row in rows.get(name, [])])


class _Timeline(Protocol):
    def add(self, table: pa.Table) -> None:
        """The rows of one more video."""


@contextlib.contextmanager
def writers(out: Path, metadata: Mapping[str, str], scratch: Path) -> Iterator[tuple[_Timeline, dict[str, _Small]]]:
    """Writers of the four tables; what they wrote takes its place when all of it is complete, the timeline last."""
    places = {name: small_path(out, name) for name in SMALL} | {"timeline": out / "timeline" if is_folder(out) else out}
    fresh = {name: scratch / f"new-{name}" for name in places}
    with writing(out):
        with contextlib.ExitStack() as stack:
            timeline = stack.enter_context(_timeline(out, fresh["timeline"], metadata))
            small = {name: stack.enter_context(_small(fresh[name], schema)) for name, schema in SMALL.items()}
            yield timeline, small
        for path in fresh.values():
            for file in [path, *path.rglob("*")]:
                sync_folder(file) if file.is_dir() else sync_file(file)
        for name, place in places.items():
            _move(fresh[name], place, scratch / "before")
            sync_folder(place.parent)


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
    with pa_csv.CSVWriter(path, csv_safe(schema.empty_table()).schema) as writer:
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
            self._writer.write_table(csv_safe(pa.Table.from_pylist(self._gathered, self._schema)))
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
        self._writer.write_table(csv_safe(table))


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
