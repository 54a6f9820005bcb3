"""Reading some frames of a video by their numbers, without decoding all others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from fervid.settings import OpenOptions
from fervid.types import Frame
from fervid.video.index import VideoIndex, read_index
from fervid.video.reader import VideoReader
from fervid.video.sampling import TIME_TOLERANCE, SeekPoint

SEEK_SECONDS = 20.0
"""Two frames further apart than this are reached by seeking; closer ones by decoding all frames in between."""


class WantedFrame(Protocol):
    """Something that is wanted of one frame."""

    @property
    def frame(self) -> int:
        """Index of the frame."""
        ...

    @property
    def time(self) -> float:
        """Time of the frame in seconds."""
        ...


W = TypeVar("W", bound=WantedFrame)


def read_wanted(path: Path, wanted: Iterable[W], options: OpenOptions | None = None) -> Iterator[tuple[Frame, list[W]]]:
    """Decode the frames of which something is wanted.

    Args:
        path: The video.
        wanted: What is wanted.
        options: How the video was opened when its frames were numbered; None: with the defaults.

    Yields:
        Each frame, in order of time, and what is wanted of it. Frames that cannot be decoded are left out.

    Raises:
        UnreadableVideo: The video cannot be decoded.
    """
    options = options or OpenOptions()
    for seek_point, parts in read_ranges(path, wanted, options.stream):
        by_frame: dict[int, list[W]] = {}
        for one in parts:
            by_frame.setdefault(one.frame, []).append(one)
        with VideoReader(path, seek_point=seek_point, options=options) as reader:
            for frame in reader.frames():
                if found := by_frame.pop(frame.index, []):
                    yield frame, found
                if not by_frame:
                    break


def read_ranges(path: Path, wanted: Iterable[W], stream: int | None = None) -> list[tuple[SeekPoint | None, list[W]]]:
    """Decide where to start reading a video, so that few unneeded frames are decoded.

    Args:
        path: The video.
        wanted: What is wanted.
        stream: Number of the stream; see ``choose_stream``.

    Returns:
        One entry per range of frames to read: where it starts (None: at the beginning of the video), and what is
        wanted of it. A video without safe seek points is read from its beginning.
    """
    groups: list[list[W]] = []
    last = 0.0
    for one in sorted(wanted, key=lambda one: one.frame):
        if not groups or one.time - last > SEEK_SECONDS:
            groups.append([])
        groups[-1].append(one)
        last = one.time
    if all(group[0].time <= SEEK_SECONDS for group in groups):
        return [(None, group) for group in groups]
    index = read_index(path, 0.0, stream)
    ranges: list[tuple[SeekPoint | None, list[W]]] = []
    for group in groups:
        seek_point = _seek_point(index, group[0]) if index and group[0].time > SEEK_SECONDS else None
        if seek_point is None and ranges:
            ranges[-1][1].extend(group)
        else:
            ranges.append((seek_point, group))
    return ranges


def _seek_point(index: VideoIndex, one: WantedFrame) -> SeekPoint | None:
    """The last seek point before a frame; None if the index has another frame at its time."""
    key = int(np.searchsorted(index.key_times, one.time, "right")) - 1
    if key < 0 or one.frame >= len(index.times) or abs(index.times[one.frame] - one.time) > TIME_TOLERANCE:
        return None
    return SeekPoint(int(index.keys[key]), one.frame, float(index.times[one.frame]), 0.0)
