"""The optional table of face meshes: its rows, its file in the store, and reading it.

The table can be a hundred times as large as the others. So it is written and read piece by piece, and each video has a
file of its own in the store. The part of the video holds the hash of that file.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fervid.errors import BadResults, OutputError
from fervid.files.atomic import atomic_path
from fervid.files.fingerprint import sha256
from fervid.results.schema import MESH, PREFIX, mesh_path
from fervid.runtime.special_files import refuse_special
from fervid.types import Track

ROWS = 1 << 12
"""Rows that are written at once: 12 MB."""

MESH_NAME = "mesh"
"""Name of the table in records and workspaces."""

Row = dict[str, Any]


def part_path(part: Path) -> Path:
    """Name the file that holds the meshes of a video in the store.

    Args:
        part: The part of the video.

    Returns:
        A path beside it.
    """
    return part.with_suffix(".mesh.parquet")


def write_part_meshes(part: Path, video_id: str, tracks: Sequence[Track]) -> Row:
    """Write the meshes of one video into the store.

    Args:
        part: The part of the video, which is written afterwards.
        video_id: Fingerprint of the video.
        tracks: Its faces, with their meshes.

    Returns:
        What the part must say of the file.

    Raises:
        OutputError: The file cannot be written.
    """
    path = part_path(part)
    with atomic_path(path, path.parent) as partial:
        with pq.ParquetWriter(partial, MESH, compression="zstd") as writer:
            for table in _rows(video_id, tracks):
                writer.write_table(table)
        digest = sha256(partial)
    return {"sha256": digest}


def _rows(video_id: str, tracks: Sequence[Track]) -> Iterator[pa.Table]:
    """The rows of all tracks, without the name of the video."""
    for track in tracks:
        assert track.meshes is not None
        for first in range(0, len(track.times), ROWS):
            rows = slice(first, first + ROWS)
            values = track.meshes[rows]
            points, more = np.ascontiguousarray(values[:, :-3]), values[:, -3:].astype(np.float32)
            lists = pa.FixedSizeListArray.from_arrays(pa.array(points.ravel(), pa.float16()), points.shape[1])
            columns = {
                "video": pa.nulls(len(values), pa.string()),
                "video_id": pa.array([video_id] * len(values), pa.string()),
                "frame": pa.array(track.frames[rows], pa.int64()),
                "time": pa.array(track.times[rows], pa.float64()),
                "face_id": pa.array(np.full(len(values), track.face_id), pa.int32()),
                "eye_open_right": pa.array(more[:, 0], from_pandas=True),
                "eye_open_left": pa.array(more[:, 1], from_pandas=True),
                "presence": pa.array(more[:, 2]),
                "points": lists,
            }
            yield pa.table({name: columns[name] for name in MESH.names}, schema=MESH)


def part_meshes(part: Path, rows: Mapping[str, Sequence[Row]], name: str) -> Iterator[pa.Table]:
    """Read the meshes of one video from the store.

    Args:
        part: The part of the video.
        rows: What the part holds; see ``read_part``.
        name: Name of the video, for the column ``video``.

    Yields:
        Rows in the columns of the schema MESH.

    Raises:
        BadResults: The file is damaged. It is removed with the part, so the next run analyses the video again.
    """
    path = part_path(part)
    (promised,) = rows.get(MESH_NAME) or [{"sha256": None}]
    if path.is_symlink() or not path.is_file() or sha256(path) != promised["sha256"]:
        for one in (part, path):
            if os.path.lexists(one) and not (one.is_dir() and not one.is_symlink()):
                one.unlink()
        raise BadResults(f"{path} was damaged and has been removed; the next run analyses its video again")
    yield from (renamed(table, name) for table in _pieces(path))


def renamed(table: pa.Table, name: str) -> pa.Table:
    """Set the name of the video in rows of the table of meshes.

    Args:
        table: Rows of one video.
        name: The name.

    Returns:
        The rows.
    """
    return table.set_column(0, MESH.field("video"), pa.array([name] * len(table), pa.string()))


class MeshWriter:
    """Writes the table of meshes of results.

    Args:
        path: The file; it is empty if there is no table, which tells ``publish`` to remove an old one.
        kept: Whether there is a table.
        metadata: Key → value, stored in the file.
    """

    def __init__(self, path: Path, kept: bool, metadata: Mapping[str, str]) -> None:
        self._path = path
        self._writer: Any = None
        if kept:
            schema = MESH.with_metadata({f"{PREFIX}{key}": value for key, value in metadata.items()})
            self._writer = pq.ParquetWriter(path, schema, compression="zstd")
        else:
            path.touch()

    @property
    def is_kept(self) -> bool:
        """Whether there is a table."""
        return self._writer is not None

    def add(self, tables: Iterable[pa.Table]) -> None:
        """Write rows, if there is a table.

        Args:
            tables: Rows in the columns of the schema MESH.
        """
        if self._writer is not None:
            for table in tables:
                self._writer.write_table(table.cast(self._writer.schema))

    def close(self) -> dict[str, str]:
        """Finish the file.

        Returns:
            What the record of the results must say of it: its SHA-256, or nothing.
        """
        if self._writer is None:
            return {}
        self._writer.close()
        return {MESH_NAME: sha256(self._path)}


def has_meshes(out: Path) -> bool:
    """Whether results lie with a table of meshes.

    Args:
        out: The results.

    Returns:
        Whether its file exists.
    """
    return mesh_path(out).is_file()


def refuse_foreign_meshes(out: Path) -> None:
    """Refuse to write results if that would replace a file that is no table of meshes.

    Args:
        out: The path at which results are to be written.

    Raises:
        OutputError: fervid did not write what is there.
    """
    path = mesh_path(out)
    if not os.path.lexists(path):
        return
    try:
        refuse_special(path, BadResults)
        if pq.read_schema(path).remove_metadata() == MESH:
            return
    except (pa.ArrowException, BadResults, OSError, ValueError):
        pass
    raise OutputError(f"cannot write {path}: fervid did not write what is there; move it away")


def read_meshes(out: Path, video_id: str | None = None) -> Iterator[pa.Table]:
    """Read the table of meshes piece by piece.

    Args:
        out: The results.
        video_id: The video whose rows are read; None: all.

    Yields:
        Rows in the columns of the schema MESH: those of one face after another, each in order of time.

    Raises:
        BadResults: There is no such table, or fervid did not write it.
    """
    path = mesh_path(out)
    if not has_meshes(out):
        raise BadResults(f"{out} lies without its meshes, {path}; analyse with `mesh` to keep them")
    refuse_special(path, BadResults)
    for table in _pieces(path, video_id):
        if len(table):
            yield table


def read_points(
    out: Path, video_id: str
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], npt.NDArray[np.float16]]]:
    """Read the points of the meshes of one video piece by piece.

    Args:
        out: The results.
        video_id: The video.

    Yields:
        (n,) frames, (n,) faces, and (n, 468, 3) float16 x, y and depth in pixels.

    Raises:
        BadResults: There is no such table, or fervid did not write it.
    """
    for table in read_meshes(out, video_id):
        flat = table["points"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        yield table["frame"].to_numpy(), table["face_id"].to_numpy(), flat.reshape(len(table), -1, 3)


def _pieces(path: Path, video_id: str | None = None) -> Iterator[pa.Table]:
    """The rows of a file, one row group after another; those of one video only if it is named."""
    try:
        file = pq.ParquetFile(path)
        if file.schema_arrow.remove_metadata() != MESH:
            raise ValueError("other columns")
        column = MESH.get_field_index("video_id")
        for number in range(file.num_row_groups):
            found = file.metadata.row_group(number).column(column).statistics
            if video_id and found is not None and found.has_min_max and not found.min <= video_id <= found.max:
                continue
            table = file.read_row_group(number, use_threads=False).replace_schema_metadata(None)
            yield table if video_id is None else table.filter(pc.equal(table["video_id"], video_id))
    except (pa.ArrowException, ValueError, OSError) as error:
        raise BadResults(f"{path} is not a table of meshes that fervid wrote") from error


def with_faces(tables: Iterable[pa.Table], before: pa.Table, after: pa.Table) -> Iterator[pa.Table]:
    """Give the rows of a corrected video the numbers that its faces have now, and leave out excluded ones.

    A sample is known by its frame and its box, which corrections do not change.

    Args:
        tables: Rows of the video in the table of meshes.
        before: Its rows of the timeline before the corrections.
        after: The same after them.

    Yields:
        The rows that are left.
    """
    place = ("frame", "face_x", "face_y", "face_width", "face_height")
    numbers = {tuple(key): face for *key, face in _columns(after, (*place, "face_id")) if face is not None}
    old = {(key[0], face): numbers.get(tuple(key)) for *key, face in _columns(before, (*place, "face_id"))}
    for table in tables:
        faces = [old.get(key) for key in _columns(table, ("frame", "face_id"))]
        field = MESH.get_field_index("face_id")
        changed = table.set_column(field, MESH.field("face_id"), pa.array(faces, pa.int32()))
        yield changed.filter(pc.is_valid(changed["face_id"]))


def _columns(table: pa.Table, names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    return zip(*(table[name].to_pylist() for name in names), strict=True)
