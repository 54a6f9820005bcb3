"""Writing the four tables: they are composed from the parts of a batch, and replace earlier tables when complete."""

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
"""Rows of short videos are collected up to this number before they are written as one row group."""

SMALL_ROWS = 1 << 12
"""Rows of a small table are collected up to this number before they are written."""


def compose(out: Path, entries: Iterable[Entry], metadata: Mapping[str, str], scratch: Path) -> None:
    """Write the four tables from the parts of a batch.

    Each table replaces the earlier one when it is complete. After an error all tables are as they were before.

    Args:
        out: The results to write: a Parquet file, a CSV file or a folder.
        entries: The inputs, in the order of the rows.
        metadata: Key → value, stored in the timeline.
        scratch: Folder on the same disk as ``out``, for incomplete files.

    Raises:
        OutputError: The tables cannot be written.
        BadResults: A part is damaged.
    """
    with writers(out, metadata, scratch) as (timeline, small):
        for entry in entries:
            rows: dict[str, list[Row]] = {"videos": [entry.row]}
            if entry.part is not None:
                table, rows = read_part(entry.part)
                timeline.add(named(table, entry.name))
            for name in SMALL:
                small[name].add([{**row, "video": entry.name} for row in rows.get(name, [])])


class TimelineWriter(Protocol):
    """Writes the timeline in one of the formats."""

    def add(self, table: pa.Table) -> None:
        """Write the rows of one more video.

        Args:
            table: Arrow table of the schema TIMELINE.

        Raises:
            BadResults: The fingerprint of the video is not one.
        """


@contextlib.contextmanager
def writers(
    out: Path, metadata: Mapping[str, str], scratch: Path
) -> Iterator[tuple[TimelineWriter, dict[str, SmallTableWriter]]]:
    """Open writers of the four tables. The tables replace earlier ones when all are complete, the timeline last.

    Args:
        out: See ``compose``.
        metadata: See ``compose``.
        scratch: See ``compose``.

    Yields:
        The writer of the timeline, and the writers of the small tables by name.

    Raises:
        OutputError: The tables cannot be written.
    """
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
    """Rename a file or folder to its final name. An existing folder is moved away first, and back after an error."""
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
    prefixed = {f"fervid.{key}": value for key, value in metadata.items()}
    if is_folder(out):
        path.mkdir()
        yield _PartitionedTimeline(path, prefixed)
    elif out.suffix == ".csv":
        with _csv(path, TIMELINE) as writer:
            yield _CsvTimeline(writer)
    else:
        schema = TIMELINE.with_metadata(prefixed)
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            groups = _ParquetTimeline(writer, schema)
            yield groups
            groups.flush()


class _CsvTimeline:
    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def add(self, table: pa.Table) -> None:
        self._writer.write_table(csv_safe(table))


class _ParquetTimeline:
    """Collects short videos, so that row groups have a useful size."""

    def __init__(self, writer: Any, schema: pa.Schema) -> None:
        self._writer, self._schema = writer, schema
        self._collected: list[pa.Table] = []
        self._count = 0

    def add(self, table: pa.Table) -> None:
        self._collected.append(table.cast(self._schema))
        self._count += len(table)
        if self._count >= ROW_GROUP:
            self.flush()

    def flush(self) -> None:
        if self._collected:
            self._writer.write_table(pa.concat_tables(self._collected).combine_chunks())
        self._collected, self._count = [], 0


class _PartitionedTimeline:
    """Writes one Parquet file per video."""

    def __init__(self, folder: Path, metadata: Mapping[str, str]) -> None:
        self._folder, self._metadata = folder, metadata
        pq.write_metadata(TIMELINE.with_metadata(metadata), folder / COMMON)

    def add(self, table: pa.Table) -> None:
        if not len(table):
            return
        video_id = table["video_id"][0].as_py()
        if not re.fullmatch(r"[0-9a-f]{32}", video_id):  # it becomes part of a path
            raise BadResults(f"the fingerprint of a video must be 32 hex digits, not {video_id!r}")
        target = self._folder / f"video_id={video_id}"
        target.mkdir()
        columns = table.drop_columns(["video_id"]).replace_schema_metadata(self._metadata)
        pq.write_table(columns, target / "part-0.parquet", compression="zstd")
