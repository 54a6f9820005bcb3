"""One file for each analysed video, of which the tables are composed."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fervid.errors import BadResults
from fervid.files.atomic import atomic_path
from fervid.results.schema import TIMELINE

_ROWS = b"fervid.rows"

Row = dict[str, Any]


def write_part(path: Path, timeline: pa.Table, rows: Mapping[str, list[Row]]) -> None:
    """Write a video's timeline and its ``rows`` of the small tables, by table name; raises OutputError."""
    nameless = timeline.drop_columns(["video"]).replace_schema_metadata({_ROWS: json.dumps(rows)})
    with atomic_path(path) as beside:
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


def read_part(path: Path) -> tuple[pa.Table, dict[str, list[Row]]]:
    """A part's timeline, which no video's name is in yet, and its rows; raises as ``read_rows``."""
    try:
        with pq.ParquetFile(path) as file:
            return file.read(use_threads=False), dict(json.loads(file.schema_arrow.metadata[_ROWS]))
    except (OSError, KeyError, TypeError, ValueError, pa.ArrowException) as error:
        raise _damaged(path) from error


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
