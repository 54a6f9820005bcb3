"""Writing the tables: they are composed from the parts of a batch, and replace earlier tables when complete."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from fervid.errors import BadResults
from fervid.files.atomic import writing
from fervid.files.fingerprint import sha256
from fervid.results.belonging import TimelineDigest
from fervid.results.collector import TableCollector
from fervid.results.csv import csv_safe
from fervid.results.mesh_table import MESH_NAME, MeshWriter, part_meshes
from fervid.results.parts import Entry, Row, named, read_part
from fervid.results.publish import NEW, TIMELINE_NAME, publish
from fervid.results.schema import (
    COMMON,
    PARTITION,
    PREFIX,
    RECORD,
    SMALL,
    TIMELINE,
    is_folder,
    is_video_id,
    small_path,
    timeline_path,
)

ROW_GROUP = 1 << 16
"""Rows of short videos are collected up to this number before they are written as one row group."""

SMALL_ROWS = 1 << 12
"""Rows of a small table are collected up to this number before they are written."""


BeforeMoving = Callable[[dict[str, str], dict[str, Path]], None]
"""Called when new tables are complete, before they replace earlier ones, with their metadata and, for each table, its
name in the outputs and where it still lies."""


def compose(
    out: Path,
    entries: Iterable[Entry],
    metadata: Mapping[str, str],
    scratch: Path,
    mesh: bool = False,
    before_moving: BeforeMoving = lambda *_: None,
) -> None:
    """Write the tables from the parts of a batch.

    The tables replace the earlier ones when all are complete. After an error all tables are as they were before.

    Args:
        out: The results to write: a Parquet file, a CSV file or a folder.
        entries: The inputs, in the order of the rows.
        metadata: Key → value, stored in the timeline.
        scratch: Private folder on the same disk as ``out``, for incomplete files. After a kill,
            ``publish.finish_interrupted`` finishes what it holds.
        mesh: Whether to write the table of meshes, which the parts must have.
        before_moving: See BeforeMoving. The metadata have the hashes of the small tables.

    Raises:
        OutputError: The tables cannot be written.
        BadResults: A part is damaged.
    """
    with writers(out, metadata, scratch, mesh, before_moving) as tables:
        for entry in entries:
            rows: dict[str, list[Row]] = {"videos": [entry.row]}
            if entry.part is not None:
                table, rows = read_part(entry.part)
                tables.timeline.add(named(table, entry.name))
                if mesh:
                    tables.mesh.add(part_meshes(entry.part, rows, entry.name))
            for name in SMALL:
                tables.small[name].add([{**row, "video": entry.name} for row in rows.get(name, [])])


class TimelineWriter(Protocol):
    """Writes the timeline in one of the formats."""

    def add(self, table: pa.Table) -> None:
        """Write the rows of one more video.

        Args:
            table: Arrow table of the schema TIMELINE.

        Raises:
            BadResults: The fingerprint of the video is not one.
        """

    def finish(self, metadata: Mapping[str, str]) -> None:
        """Write what is left, and the metadata.

        Args:
            metadata: Key → value, with the record of the small tables.
        """


@dataclass(frozen=True)
class TableWriters:
    """The open tables.

    Attributes:
        timeline: Writes the timeline.
        small: Writer of each small table, by name.
        mesh: Writes the table of meshes, if there is one.
        metadata: Key → value of the timeline; the hashes of the small tables are added when these are complete.
    """

    timeline: TimelineWriter
    small: dict[str, SmallTableWriter]
    mesh: MeshWriter
    metadata: dict[str, str]


@contextlib.contextmanager
def writers(
    out: Path,
    metadata: Mapping[str, str],
    scratch: Path,
    mesh: bool = False,
    before_moving: BeforeMoving = lambda *_: None,
) -> Iterator[TableWriters]:
    """Open writers of the tables. The tables replace earlier ones when all are complete.

    Args:
        out: See ``compose``.
        metadata: See ``compose``.
        scratch: See ``compose``.
        mesh: Whether there is a table of meshes.
        before_moving: See ``compose``.

    Yields:
        The writers.

    Raises:
        OutputError: The tables cannot be written.
    """
    new = scratch / NEW
    with writing(out):
        new.mkdir()
        with _timeline(out, new / TIMELINE_NAME, metadata) as opened:
            timeline = _Digested(opened)
            with contextlib.ExitStack() as stack:
                small = {name: stack.enter_context(_small(new / name, schema)) for name, schema in SMALL.items()}
                tables = TableWriters(timeline, small, MeshWriter(new / MESH_NAME, mesh, metadata), dict(metadata))
                yield tables
            record = {name: sha256(new / name) for name in SMALL} | {"timeline": timeline.digest.text()}
            record |= tables.mesh.close()
            tables.metadata[RECORD] = json.dumps(record)
            timeline.finish(tables.metadata)
        complete = {timeline_path(out).name: new / TIMELINE_NAME}
        before_moving(tables.metadata, complete | {small_path(out, name).name: new / name for name in SMALL})
        publish(out, scratch)


@contextlib.contextmanager
def _csv(path: Path, schema: pa.Schema) -> Iterator[Any]:
    with pa_csv.CSVWriter(path, csv_safe(schema.empty_table()).schema) as writer:
        yield writer


@contextlib.contextmanager
def _small(path: Path, schema: pa.Schema) -> Iterator[SmallTableWriter]:
    with _csv(path, schema) as writer:
        small = SmallTableWriter(writer, schema)
        yield small
        small.flush()


class SmallTableWriter:
    """Writes a small table as CSV. Rows are collected first, since each video has only a few."""

    def __init__(self, writer: Any, schema: pa.Schema) -> None:
        self._writer, self._schema = writer, schema
        self._collected: list[Row] = []

    def add(self, rows: Iterable[Row]) -> None:
        """Write more rows.

        Args:
            rows: Column → value for each row; missing columns are null.
        """
        self._collected.extend(rows)
        if len(self._collected) >= SMALL_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write the collected rows."""
        if self._collected:
            self._writer.write_table(csv_safe(pa.Table.from_pylist(self._collected, self._schema)))
        self._collected = []


@contextlib.contextmanager
def _timeline(out: Path, path: Path, metadata: Mapping[str, str]) -> Iterator[TimelineWriter]:
    """Open a writer of the timeline to ``path``, in the format of ``out``."""
    if is_folder(out):
        path.mkdir()
        yield _PartitionedTimeline(path)
    elif out.suffix == ".csv":
        with _csv(path, TIMELINE) as writer:
            yield _CsvTimeline(writer)
    else:
        schema = TIMELINE.with_metadata(_prefixed(metadata))
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            yield _ParquetTimeline(writer, schema)


class _Digested:
    """Writes to another writer, and computes the digest of what it writes."""

    def __init__(self, writer: TimelineWriter) -> None:
        self._writer, self.digest = writer, TimelineDigest()

    def add(self, table: pa.Table) -> None:
        self.digest.add(table)
        self._writer.add(table)

    def finish(self, metadata: Mapping[str, str]) -> None:
        self._writer.finish(metadata)


def _prefixed(metadata: Mapping[str, str]) -> dict[str, str]:
    return {f"{PREFIX}{key}": value for key, value in metadata.items()}


class _CsvTimeline:
    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def add(self, table: pa.Table) -> None:
        self._writer.write_table(csv_safe(table))

    def finish(self, metadata: Mapping[str, str]) -> None:
        """Write nothing: CSV holds no metadata; the store beside it does."""


class _ParquetTimeline:
    """Collects short videos, so that row groups have a useful size."""

    def __init__(self, writer: Any, schema: pa.Schema) -> None:
        self._writer, self._schema, self._rows = writer, schema, TableCollector()

    def add(self, table: pa.Table) -> None:
        self._rows.add(table.cast(self._schema))
        if len(self._rows) >= ROW_GROUP:
            self._flush()

    def finish(self, metadata: Mapping[str, str]) -> None:
        self._flush()
        self._writer.add_key_value_metadata(_prefixed({RECORD: metadata[RECORD]}))  # the rest is in the schema

    def _flush(self) -> None:
        if len(self._rows):
            self._writer.write_table(self._rows.table().combine_chunks())
        self._rows = TableCollector()


class _PartitionedTimeline:
    """Writes one Parquet file per video."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, table: pa.Table) -> None:
        if not len(table):
            return
        video_id = table["video_id"][0].as_py()
        if not is_video_id(video_id):  # it becomes part of a path
            raise BadResults(f"the fingerprint of a video must be 32 hex digits, not {video_id!r}")
        target = self._folder / f"{PARTITION}{video_id}"
        target.mkdir()
        columns = table.drop_columns(["video_id"]).replace_schema_metadata(None)
        pq.write_table(columns, target / "part-0.parquet", compression="zstd")

    def finish(self, metadata: Mapping[str, str]) -> None:
        pq.write_metadata(TIMELINE.with_metadata(_prefixed(metadata)), self._folder / COMMON)
