"""Reading large results a few videos at a time, so that memory does not grow with their number."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fervid.errors import BadResults
from fervid.results.belonging import TimelineDigest, contradiction
from fervid.results.collector import TableCollector
from fervid.results.reader import Results, as_timeline, read_checked, read_small, tidy_frame
from fervid.results.schema import COMMON, NOTES, PARTITION, RECORD, SMALL
from fervid.results.timeline_files import (
    changed_tables,
    changed_timeline,
    decoded_metadata,
    footer,
    identity,
    read_rows,
)
from fervid.results.validate import missing_rows, validated

PART_ROWS, PART_VIDEOS = 200_000, 2_000
"""Rows of the timeline, and videos, that are in memory at a time. A longer video is read alone."""


@dataclass(frozen=True)
class _Piece:
    """Whole videos that can be read without others.

    Attributes:
        ids: Their fingerprints in the order of their rows.
        rows: About how many rows they have.
        place: The number of a row group of a Parquet file; -1 for a partition of a folder.
    """

    ids: tuple[str, ...]
    rows: int
    place: int = -1


def read_in_parts(
    path: str | os.PathLike[str],
    rows: int = PART_ROWS,
    videos: int = PART_VIDEOS,
    columns: Mapping[str, Collection[str]] | None = None,
) -> Iterator[Results]:
    """Read results a few videos at a time.

    Every check of ``read_results`` is made. Small results, CSV files and results that were edited so that their videos
    cannot be told apart are read at once.

    Args:
        path: What ``analyze`` or ``merge`` wrote.
        rows: Rows of the timeline that are in memory at a time.
        videos: Videos that are in memory at a time.
        columns: Table → the columns to yield; a table that is not named has no rows then. None: everything. All columns
            are checked.

    Yields:
        The tables of some videos, in the order of the results. Videos without a timeline come with the first ones. What
        was edited is in the notes of the last ones.

    Raises:
        InputNotFound: There is nothing at ``path``.
        BadResults: fervid did not write what is there, it is incomplete, or it was replaced while it was read.
    """
    out = Path(path)
    before = identity(out)
    try:
        parts = _divided(out, rows, videos)
    except (BadResults, pa.ArrowException, OSError, KeyError, ValueError):
        parts = []  # the reader of whole results says what is wrong
    if len(parts) < 2:
        read = read_checked(out)
        tables = _wanted(read.tables, columns)
        frames = {name: tidy_frame(table) for name, table in tables.items()}
        whole = Results(**frames, metadata=read.metadata, notes=read.notes, is_intact=read.is_intact)
        del read, tables, frames
        pa.default_memory_pool().release_unused()
        yield whole
        return
    try:
        yield from _read_parts(out, parts, columns)
    except (BadResults, pa.ArrowException, OSError, KeyError, ValueError) as error:
        if before == identity(out):
            raise error if isinstance(error, BadResults) else BadResults(f"{out} cannot be read: {error}") from error
    if before != identity(out):
        raise BadResults(f"{out} was replaced while it was read; run the same command again")


def _divided(out: Path, rows: int, videos: int) -> list[list[_Piece]]:
    """The pieces of results in parts; fewer than two parts if they must be read at once."""
    if out.is_dir():
        pieces = _partitions(out)
    elif out.suffix == ".parquet" and out.is_file():
        pieces = _row_groups(out)
    else:
        return []
    listed = {video_id for video_id in read_small(out, "videos")["video_id"].to_pylist() if video_id is not None}
    if any(video_id not in listed for piece in pieces for video_id in piece.ids):
        return []  # rows of the manifest were deleted
    parts: list[list[_Piece]] = []
    size = count = 0
    for piece in pieces:
        if not parts or size + piece.rows > rows or count + len(piece.ids) > videos:
            parts.append([])
            size = count = 0
        parts[-1].append(piece)
        size, count = size + piece.rows, count + len(piece.ids)
    return parts


def _partitions(out: Path) -> list[_Piece]:
    """One piece for each partition, in the order of the manifest."""
    found = {path.name.removeprefix(PARTITION) for path in (out / "timeline").glob(f"{PARTITION}*")}
    manifest = read_small(out, "videos")
    columns = (manifest[name].to_pylist() for name in ("video_id", "frames_sampled"))
    sizes = {video_id: count or 0 for video_id, count in zip(*columns, strict=True) if video_id in found}
    extra = dict.fromkeys(sorted(found - sizes.keys()), 0)
    return [_Piece((video_id,), count) for video_id, count in (sizes | extra).items()]


def _row_groups(out: Path) -> list[_Piece]:
    """One piece for each row group; none if a video has rows in two of them, or its rows are not together."""
    file = pq.ParquetFile(out)
    pieces: list[_Piece] = []
    for place in range(file.num_row_groups):
        column = file.read_row_group(place, ["video_id"])["video_id"].cast(pa.string())
        codes = column.combine_chunks().dictionary_encode()
        if codes.null_count:
            return []
        numbers = np.asarray(codes.indices)
        begins = np.flatnonzero(np.diff(numbers, prepend=-1))
        pieces.append(_Piece(tuple(codes.dictionary.take(pa.array(numbers[begins])).to_pylist()), len(numbers), place))
    every = [video_id for piece in pieces for video_id in piece.ids]
    return pieces if len(set(every)) == len(every) else []


def _read_parts(
    out: Path, parts: Sequence[Sequence[_Piece]], columns: Mapping[str, Collection[str]] | None
) -> Iterator[Results]:
    raw = footer(out / "timeline" / COMMON if out.is_dir() else out)
    metadata = decoded_metadata(out, raw)
    record, inherited = metadata.pop(RECORD, None), metadata.pop(NOTES, [])
    small = {name: read_small(out, name) for name in SMALL}
    changed = [*inherited, *changed_tables(out, record)]
    digest = TimelineDigest()
    every = pa.array([video_id for part in parts for piece in part for video_id in piece.ids], pa.string())
    waiting: tuple[dict[str, pa.Table], list[str]] | None = None
    for number, part in enumerate(parts):
        timeline = as_timeline(out, _rows(out, part))
        digest.add(timeline)
        ids = pa.array([video_id for piece in part for video_id in piece.ids], pa.string())
        tables = {"timeline": timeline} | {name: _own(table, ids, every, number == 0) for name, table in small.items()}
        if waiting is not None:
            yield _results(*waiting, metadata, not changed)
        checked, notes = _checked(out, tables, trusted=not changed)
        waiting = _wanted(checked, columns), notes
    assert waiting is not None
    late = [*changed, *changed_timeline(out, record, digest)]
    del small, timeline, tables, checked
    last = _results(waiting[0], [*waiting[1], *late], metadata, not late)
    del waiting
    pa.default_memory_pool().release_unused()
    yield last


def _rows(out: Path, part: Sequence[_Piece]) -> pa.Table:
    """The rows of a part."""
    if out.is_file():
        return pq.ParquetFile(out).read_row_groups([piece.place for piece in part])
    rows = TableCollector()
    for piece in part:
        (video_id,) = piece.ids
        for path in sorted((out / "timeline" / f"{PARTITION}{video_id}").glob("*.parquet")):
            table = read_rows(path)
            rows.add(table.append_column("video_id", pa.array([video_id] * len(table), pa.string())))
    return rows.table()


def _own(table: pa.Table, ids: pa.Array, every: pa.Array, is_first: bool) -> pa.Table:
    """The rows of a small table that belong to some videos; to the first also those of videos without a timeline."""
    own = pc.is_in(table["video_id"], ids)
    if is_first:
        own = pc.or_(own, pc.invert(pc.is_in(table["video_id"], every)))
    return table.filter(own)


def _checked(out: Path, tables: dict[str, pa.Table], trusted: bool) -> tuple[dict[str, pa.Table], list[str]]:
    """The tables without videos whose rows cannot be right, and a sentence for each of these."""
    tables, notes = validated(tables, str(out), whole=False)
    if missing := missing_rows(tables, trusted):
        raise BadResults(f"{out} is incomplete: {missing}; analyse again")
    if reason := contradiction(tables):
        raise BadResults(f"{out}: its tables do not belong together: {reason}; analyse again, or use `correct`")
    return tables, notes


def _wanted(tables: dict[str, pa.Table], columns: Mapping[str, Collection[str]] | None) -> dict[str, pa.Table]:
    """The tables with the columns that are wanted."""
    if columns is None:
        return tables
    return {
        name: table.select([one for one in table.column_names if one in columns[name]])
        if name in columns
        else table[:0]
        for name, table in tables.items()
    }


def _results(tables: dict[str, pa.Table], notes: list[str], metadata: dict[str, Any], is_unchanged: bool) -> Results:
    frames = {name: tidy_frame(table) for name, table in tables.items()}
    return Results(**frames, metadata=metadata, notes=tuple(notes), is_intact=is_unchanged and not notes)
