"""Parts: one file per analysed video, from which the tables are composed.

A part is a Parquet file. It holds the video's timeline, and in its metadata the video's rows of the small tables. It
does not hold the video's name, so that a renamed or moved video need not be analysed again. The name is added when the
tables are composed.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import re
import sys
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
from fervid.results.store_files import seal_name, sealed, unsealed

_ROWS = b"fervid.rows"
"""Key of the metadata that hold the rows of the small tables, as sealed JSON."""

_DIGEST = "fervid.sha256"
"""Key of the metadata that hold the digest of the file. It is computed with ``_BLANK`` in place of itself."""

_BLANK = b"0" * 64

_DIGEST_IN_FILE = re.compile(_DIGEST.encode() + rb"..([0-9a-f]{64})", re.DOTALL)
"""Key and digest as they lie in the file; between them are the type and the length of the text."""

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
    table = timeline.cast(PART).replace_schema_metadata({_ROWS: sealed(seal_name(path), rows)})
    buffer = pa.BufferOutputStream()
    with pq.ParquetWriter(buffer, table.schema, compression="zstd") as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({_DIGEST: _BLANK.decode()})
    data = memoryview(buffer.getvalue())
    place, digest = _digest(path, data)
    with atomic_path(path, path.parent) as partial, partial.open("wb") as file:  # the store removes what kills leave
        for piece in (data[:place], digest, data[place + len(_BLANK) :]):
            file.write(piece)


def read_part(path: Path) -> tuple[pa.Table, dict[str, list[Row]]]:
    """Read a part.

    Args:
        path: The file; it is removed if it is damaged.

    Returns:
        The timeline (schema PART), and the rows of the small tables by table name.

    Raises:
        BadResults: The part is damaged.
    """
    with _damage_removed(path):
        data = memoryview(path.read_bytes())
        place, digest = _digest(path, data)
        if data[place : place + len(_BLANK)] != digest:  # before Arrow decodes it, which trusts what it reads
            raise ValueError("it was changed, or written for another place")
        file = pq.ParquetFile(pa.BufferReader(data))
        table, rows = file.read(use_threads=False), _checked(file.schema_arrow.metadata[_ROWS], path)
        if not table.schema.equals(PART) or not set(table["video_id"].unique().to_pylist()) <= {path.stem}:
            raise ValueError("these are not the rows of this video")
        return table, rows


def read_rows(path: Path, removes_damage: bool = True) -> dict[str, list[Row]]:
    """Read only the rows of the small tables from a part, which is fast.

    Args:
        path: The file.
        removes_damage: Whether to remove it if it is damaged.

    Returns:
        The rows by table name.

    Raises:
        BadResults: The part is damaged.
    """
    # opening by path, or reading the schema, takes longer
    with _damage_removed(path, removes_damage), pa.OSFile(str(path)) as file:
        footer = pq.ParquetFile(file).metadata
        if footer.schema.names != PART.names:
            raise ValueError("these are not the columns of a part")
        if _DIGEST.encode() not in footer.metadata:
            raise ValueError("the file has no digest")
        return _checked(footer.metadata[_ROWS], path)


def _digest(path: Path, data: memoryview) -> tuple[int, bytes]:
    """Where the digest of a part lies in its content, and what it should be. Raises ValueError if there is none."""
    footer = int.from_bytes(data[-8:-4], "little") + 8
    start = max(0, len(data) - footer)
    found = [match.start(1) for match in _DIGEST_IN_FILE.finditer(bytes(data[start:]))]
    if not found:
        raise ValueError("it has no digest")
    place = start + found[-1]
    digest = hashlib.sha256(f"{seal_name(path)}\n".encode())
    for piece in (data[:place], _BLANK, data[place + len(_BLANK) :]):
        digest.update(piece)
    return place, digest.hexdigest().encode()


def _checked(sealed_rows: bytes, path: Path) -> dict[str, list[Row]]:
    """The rows of the small tables, if they are those of the video that the file is named after."""
    rows = unsealed(seal_name(path), sealed_rows.decode())
    # each JSON text has its own copies of the names of the columns, which take more memory than the values
    found = {
        str(name): [{sys.intern(key): value for key, value in row.items()} for row in table]
        for name, table in rows.items()
    }
    (manifest,) = found["videos"]
    if manifest["video_id"] != path.stem or manifest["status"] not in ANALYSED:
        raise ValueError("these are not the rows of this video")
    return found


@contextlib.contextmanager
def _damage_removed(part: Path, removes: bool = True) -> Iterator[None]:
    """Remove the part if the block finds it damaged, so that its video counts as new, unless ``removes`` is false."""
    try:
        if part.is_symlink() or not part.is_file():  # opening a pipe would wait for ever
            raise ValueError("not a file")
        yield
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, OSError, pa.ArrowException) as error:
        if isinstance(error, OSError) and error.errno is not None:  # such as too many open files: not damage
            raise OutputError(f"cannot read {part}: {error.strerror or error}") from error
        if not removes:
            raise BadResults(f"{part} is damaged; the next run analyses its video again") from error
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
