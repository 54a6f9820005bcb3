"""Thumbnails of faces, cut out of their videos."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fervid.errors import UnreadableVideo
from fervid.runtime.opencv import cv2
from fervid.settings import OpenOptions
from fervid.types import Box, ByteArray
from fervid.video.index import VideoIndex, read_index
from fervid.video.reader import VideoReader
from fervid.video.sampling import TIME_TOLERANCE, SeekPoint

SIDE = 112
"""Width and height of a thumbnail in pixels: twice the 56 at which it is shown, for dense screens."""

MARGIN = 0.3
"""Margin around the box on each side, as a fraction of its longer side."""

SEEK_SECONDS = 20.0
"""Two faces further apart than this are reached by seeking; closer ones by decoding all frames in between."""

MAX_THUMBNAILS = 400
"""Largest number of thumbnails in a page. If there are more faces, those with the most samples have one."""


@dataclass(frozen=True)
class Wanted:
    """A thumbnail to make.

    Attributes:
        face_id: Number of the face.
        frame: Index of the frame that shows it.
        time: Time of that frame in seconds.
        box: The face, in pixels of the frame as shown.
    """

    face_id: int
    frame: int
    time: float
    box: Box


def make_thumbnails(path: Path, wanted: Iterable[Wanted], options: OpenOptions | None = None) -> dict[int, str]:
    """Make thumbnails of the faces of one video.

    Args:
        path: The video.
        wanted: The faces.
        options: How the video was opened when it was analysed; None: with the defaults.

    Returns:
        face_id → JPEG as a data URI, without the faces whose frames cannot be decoded.

    Raises:
        UnreadableVideo: The video cannot be decoded.
    """
    found: dict[int, str] = {}
    options = options or OpenOptions()
    for seek_point, faces in read_ranges(path, wanted, options.stream):
        by_frame: dict[int, list[Wanted]] = {}
        for face in faces:
            by_frame.setdefault(face.frame, []).append(face)
        with VideoReader(path, seek_point=seek_point, options=options) as reader:
            for frame in reader.frames():
                for face in by_frame.pop(frame.index, []):
                    found[face.face_id] = _encode(cut_out(frame.image, face.box))
                if not by_frame:
                    break
    return found


def read_ranges(
    path: Path, wanted: Iterable[Wanted], stream: int | None = None
) -> list[tuple[SeekPoint | None, list[Wanted]]]:
    """Decide where to start reading a video, so that few unneeded frames are decoded.

    Args:
        path: The video.
        wanted: The faces to cut out.
        stream: Number of the stream; see ``choose_stream``.

    Returns:
        One entry per range of frames to read: where it starts (None: at the beginning of the video), and the faces
        in it. A video without safe seek points is read from its beginning.
    """
    groups: list[list[Wanted]] = []
    last = 0.0
    for face in sorted(wanted, key=lambda face: face.frame):
        if not groups or face.time - last > SEEK_SECONDS:
            groups.append([])
        groups[-1].append(face)
        last = face.time
    if all(group[0].time <= SEEK_SECONDS for group in groups):
        return [(None, group) for group in groups]
    index = read_index(path, 0.0, stream)
    ranges: list[tuple[SeekPoint | None, list[Wanted]]] = []
    for group in groups:
        seek_point = _seek_point(index, group[0]) if index and group[0].time > SEEK_SECONDS else None
        if seek_point is None and ranges:
            ranges[-1][1].extend(group)
        else:
            ranges.append((seek_point, group))
    return ranges


def _seek_point(index: VideoIndex, face: Wanted) -> SeekPoint | None:
    """The last seek point before a face; None if the index has another frame at the time of the face."""
    key = int(np.searchsorted(index.key_times, face.time, "right")) - 1
    if key < 0 or face.frame >= len(index.times) or abs(index.times[face.frame] - face.time) > TIME_TOLERANCE:
        return None
    return SeekPoint(int(index.keys[key]), face.frame, float(index.times[face.frame]), 0.0)


def cut_out(image: ByteArray, box: Box) -> ByteArray:
    """Cut out the square around a face, with a margin.

    Args:
        image: (h, w, 3) uint8 frame, in any colour order.
        box: The face.

    Returns:
        (SIDE, SIDE, 3) uint8 in the same colour order. Beyond the frame, its border pixels are repeated.
    """
    x, y, width, height = box
    side = max(2.0, (1 + 2 * MARGIN) * max(width, height))
    left, top = x + width / 2 - side / 2, y + height / 2 - side / 2
    if side > SIDE:  # shrinking needs the mean over an area, which an affine warp does not compute
        rows, columns = image.shape[:2]
        square = cv2.copyMakeBorder(
            image[max(0, int(top)) : int(top + side) + 1, max(0, int(left)) : int(left + side) + 1],
            max(0, -int(top)),
            max(0, int(top + side) + 1 - rows),
            max(0, -int(left)),
            max(0, int(left + side) + 1 - columns),
            cv2.BORDER_REPLICATE,
        )
        return np.asarray(cv2.resize(square, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)
    scale = SIDE / side
    matrix = np.array([[scale, 0, -left * scale], [0, scale, -top * scale]])
    shown = cv2.warpAffine(image, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(shown, np.uint8)


def _encode(image: ByteArray) -> str:
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 78, cv2.IMWRITE_JPEG_OPTIMIZE, 1])
    if not done:
        raise UnreadableVideo("a face cannot be encoded as JPEG")
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode("ascii")
