"""The faces of one video, read back from the rows of its timeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fervid.results.schema import FRAME_SIZE
from fervid.types import EMOTIONS, MEASURES, DoubleArray, FloatArray, Track

Rows = npt.NDArray[np.int64]
"""Indices of rows of a timeline, by time."""

_BOX = ("face_x", "face_y", "face_width", "face_height")


def sampled_frames(table: pa.Table) -> tuple[npt.NDArray[np.int64], DoubleArray, npt.NDArray[np.int32]]:
    """List the sampled frames of a video.

    Args:
        table: Its rows of the timeline.

    Returns:
        (n,) int64 indices, (n,) float64 times in seconds, and (n, 2) int32 widths and heights.
    """
    frames, first = np.unique(table["frame"].to_numpy(), return_index=True)
    sizes = np.column_stack([table[name].to_numpy()[first] for name in FRAME_SIZE])
    return frames, table["time"].to_numpy()[first], sizes.astype(np.int32)


def rows_of_faces(table: pa.Table) -> dict[int, Rows]:
    """Find the rows of each face.

    Args:
        table: A video's rows of the timeline.

    Returns:
        Face → its rows by time, in the order of the faces.
    """
    numbers, times = table["face_id"].fill_null(-1).to_numpy(), table["time"].to_numpy()
    rows = np.flatnonzero(numbers >= 0)
    rows = rows[np.lexsort((times[rows], numbers[rows]))]
    ids, first = np.unique(numbers[rows], return_index=True)
    return dict(zip(ids.tolist(), np.split(rows, first[1:]), strict=True)) if len(ids) else {}


def persons_of(table: pa.Table, faces: Mapping[int, Rows]) -> dict[int, int | None]:
    """Look up the person of each face.

    Args:
        table: A video's rows of the timeline.
        faces: Face → its rows.

    Returns:
        Face → person; None if it is unknown.
    """
    owners = table["person"].take(pa.array([rows[0] for rows in faces.values()], pa.int64())).to_pylist()
    return dict(zip(faces, owners, strict=True))


def columns_of(table: pa.Table, names: Sequence[str]) -> FloatArray:
    """Stack columns of the timeline.

    Args:
        table: Rows of the timeline.
        names: Columns.

    Returns:
        (rows, columns) float32.
    """
    return np.column_stack([table[name].to_numpy() for name in names]).astype(np.float32)


def tracks_of(
    table: pa.Table, faces: Mapping[int, Rows], persons: Mapping[int, int | None]
) -> tuple[list[Track], list[FloatArray]]:
    """Build the tracks of faces, without crops.

    Args:
        table: A video's rows of the timeline.
        faces: Face → its rows by time.
        persons: Face → person.

    Returns:
        The tracks by face, and the raw probabilities of each, (samples, 7) float32.
    """
    boxes, raw, measures = (columns_of(table, names) for names in (_BOX, EMOTIONS, MEASURES))
    scores, qualities = columns_of(table, ("face_score", "face_quality")).T
    frames, times = table["frame"].to_numpy(), table["time"].to_numpy()
    none = np.zeros((0, 1, 1), np.uint8)
    ordered = sorted(faces.items())
    tracks = [
        Track(
            face,
            frames[rows],
            times[rows],
            boxes[rows],
            scores[rows],
            qualities[rows],
            none,
            persons[face],
            measures=measures[rows],
        )
        for face, rows in ordered
    ]
    return tracks, [raw[rows] for _, rows in ordered]
