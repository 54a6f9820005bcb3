"""Parts: one file per analysed video, from which the tables are composed.

A part is a Parquet file. It holds the video's timeline, and in its metadata the video's rows of the small tables. It
does not hold the video's name, so that a renamed or moved video need not be analysed again. The name is added when the
tables are composed.
"""

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

from fervid.errors import BadResults, OutputError
from fervid.files.atomic import atomic_path
from fervid.files.private_folder import remove_damaged
from fervid.results.schema import ANALYSED, PART, TIMELINE

_ROWS = b"fervid.rows"
"""Key of the metadata that hold the rows of the small tables, as JSON."""

Row = dict[str, Any]
"""One row of a small table: column → value."""


@dataclass(frozen=True)
class Entry:
    """One input in the tables.

    Attributes:
        name: Its name in the tables.
        part: Its part; None if it has none.
        row: Its manifest row, used if it has no part.
    """

    name: str
    part: Path | None
    row: Row


def write_part(path: Path, timeline: pa.Table, rows: Mapping[str, list[Row]]) -> None:
    """Write the part of one video.

    Args:
        path: The file to write.
        timeline: Arrow table of the schema PART.
        rows: The video's rows of the small tables, by table name.

    Raises:
        OutputError: The file cannot be written.
    """
    table = timeline.cast(PART).replace_schema_metadata({_ROWS: json.dumps(rows)})
    with atomic_path(path, path.parent) as partial:  # the store removes what killed runs left
        pq.write_table(table, partial, compression="zstd")


def read_part(path: Path) -> tuple[pa.Table, dict[str, list[Row]]]:
    """Read a part.

    Args:
        path: The file; it is removed if it is damaged.

    Returns:
        The timeline (schema PART), and the rows of the small tables by table name.

    Raises:
        BadResults: The part is damaged.
    """
    with _damage_removed(path), pq.ParquetFile(path) as file:
        table, rows = file.read(use_threads=False), _checked(json.loads(file.schema_arrow.metadata[_ROWS]), path)
        if not table.schema.equals(PART) or not set(table["video_id"].unique().to_pylist()) <= {path.stem}:
            raise ValueError("these are not the rows of this video")
        return table, rows


def read_rows(path: Path) -> dict[str, list[Row]]:
    """Read only the rows of the small tables from a part, which is fast.

    Args:
        path: The file; it is removed if it is damaged.

    Returns:
        The rows by table name.

    Raises:
        BadResults: The part is damaged.
    """
    with _damage_removed(path), pa.OSFile(str(path)) as file:  # opening by path, or reading the schema, takes longer
        footer = pq.ParquetFile(file).metadata
        if footer.schema.names != PART.names:
            raise ValueError("these are not the columns of a part")
        return _checked(json.loads(footer.metadata[_ROWS]), path)


def _checked(rows: Any, path: Path) -> dict[str, list[Row]]:
    """The rows of the small tables, if they are those of the video that the file is named after."""
    found = {str(name): [dict(row) for row in table] for name, table in dict(rows).items()}
    (manifest,) = found["videos"]
    if manifest["video_id"] != path.stem or manifest["status"] not in ANALYSED:
        raise ValueError("these are not the rows of this video")
    return found


@contextlib.contextmanager
def _damage_removed(part: Path) -> Iterator[None]:
    """Remove the part if the block finds it damaged, so that its video counts as new."""
    try:
        if part.is_symlink() or not part.is_file():  # opening a pipe would wait for ever
            raise ValueError("not a file")
        yield
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, OSError, pa.ArrowException) as error:
        if isinstance(error, OSError) and error.errno is not None:  # such as too many open files: not damage
            raise OutputError(f"cannot read {part}: {error.strerror or error}") from error
        remove_damaged(part)
        raise BadResults(f"{part} was damaged and has been removed; the next run analyses its video again") from error


def copy_of(name: str, video_id: str) -> Row:
    """Build the manifest row of an input with the same content as another one.

    Args:
        name: Name of the other input; only its row has the statistics.
        video_id: Fingerprint of both.

    Returns:
        The row, without a name.
    """
    return {"video_id": video_id, "status": "skipped", "message": f"same content as {name}"}


def by_video(timeline: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """Split a timeline into videos.

    Args:
        timeline: Rows of several videos; the rows of one video are adjacent.

    Yields:
        The fingerprint and the rows of each video.
    """
    ids = timeline["video_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    edges = [0, *(np.flatnonzero(np.diff(ids)) + 1).tolist(), len(ids)]
    for start, end in itertools.pairwise(edges):
        if end > start:
            rows = timeline.slice(start, end - start)
            yield rows["video_id"][0].as_py(), rows


def named(table: pa.Table, name: str) -> pa.Table:
    """Add the name of the video to the rows of a part, or replace it.

    Args:
        table: Timeline rows of one video, with or without the column ``video``.
        name: The name.

    Returns:
        The rows in the columns of the schema TIMELINE.
    """
    columns = {column: table[column] for column in PART.names}
    return pa.table({"video": pa.array([name] * len(table), pa.string()), **columns}).select(TIMELINE.names)
