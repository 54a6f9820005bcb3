"""Source video → a small picture of each of its faces."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fervid.errors import UnreadableVideo
from fervid.files.fingerprint import fingerprint
from fervid.runtime.opencv import cv2
from fervid.types import ByteArray
from fervid.video.index import VideoIndex, read_index
from fervid.video.reader import VideoReader
from fervid.video.sampling import TIME_TOLERANCE, SeekPoint

SIDE = 112
"""Pixels of a thumbnail's side: sharp at 56 on a dense screen."""

MARGIN = 0.3
"""Of the box's longer side, around it."""

FAR = 20.0
"""Seconds of film that are rather decoded than gone past."""

MAX_THUMBNAILS = 400
"""A page holds at most so many, those of the faces with the most samples."""


@dataclass(frozen=True)
class Wanted:
    """A face to show: as it is in frame ``frame``, at ``time`` seconds, in the box x, y, width, height in shown
    pixels."""

    face_id: int
    frame: int
    time: float
    box: tuple[float, float, float, float]


def thumbnails(path: Path, video_id: str, wanted: Iterable[Wanted]) -> dict[int, str]:
    """face_id → JPEG as a data URI, as far as the frames can be decoded.

    Raises UnreadableVideo, also where the content is no longer that of ``video_id``.
    """
    if fingerprint(path) != video_id:
        raise UnreadableVideo("changed since it was analysed")
    found: dict[int, str] = {}
    for begin, faces in visits(path, wanted):
        by_frame: dict[int, list[Wanted]] = {}
        for face in faces:
            by_frame.setdefault(face.frame, []).append(face)
        with VideoReader(path, seek_point=begin) as reader:
            for frame in reader.frames():
                for face in by_frame.pop(frame.index, []):
                    found[face.face_id] = _encode(cut_out(frame.image, face.box))
                if not by_frame:
                    break
    return found


def visits(path: Path, wanted: Iterable[Wanted]) -> list[tuple[SeekPoint | None, list[Wanted]]]:
    """Where to begin reading, and what to cut out from there on; None: at the beginning of the film.

    What is more than ``FAR`` seconds from what is wanted before it is gone to, in films that can be entered there.
    """
    groups: list[list[Wanted]] = []
    last = 0.0
    for face in sorted(wanted, key=lambda face: face.frame):
        if not groups or face.time - last > FAR:
            groups.append([])
        groups[-1].append(face)
        last = face.time
    if all(group[0].time <= FAR for group in groups):
        return [(None, group) for group in groups]
    known = read_index(path, 0.0)
    found: list[tuple[SeekPoint | None, list[Wanted]]] = []
    for group in groups:
        begin = _entry(known, group[0]) if known and group[0].time > FAR else None
        if begin is None and found:
            found[-1][1].extend(group)
        else:
            found.append((begin, group))
    return found


def _entry(known: VideoIndex, face: Wanted) -> SeekPoint | None:
    """Where to enter the film for a face, if it has that very frame there."""
    key = int(np.searchsorted(known.key_times, face.time, "right")) - 1
    if key < 0 or face.frame >= len(known.times) or abs(known.times[face.frame] - face.time) > TIME_TOLERANCE:
        return None
    return SeekPoint(int(known.keys[key]), face.frame, float(known.times[face.frame]), 0.0)


def cut_out(image: ByteArray, box: tuple[float, float, float, float]) -> ByteArray:
    """The square around a face, with a margin: (SIDE, SIDE, 3) uint8. Beyond the picture its border goes on."""
    x, y, width, height = box
    side = max(2.0, (1 + 2 * MARGIN) * max(width, height))
    left, top = x + width / 2 - side / 2, y + height / 2 - side / 2
    if side > SIDE:  # shrinking needs the mean over an area, which an affine warp does not take
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
