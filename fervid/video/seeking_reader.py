"""Reading only the samples of a video: seek to the keyframe before each, and leave out what lies between.

This pays if samples are further apart than keyframes. Only files with an index (see fervid.video.index) are read so:
their frame numbers, frame times and safe seek points are known without decoding. Damaged frames count in the numbers,
also where they are not decoded.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fervid.settings import ScanSettings
from fervid.types import Frame
from fervid.video.index import VideoIndex, read_index
from fervid.video.needed_packets import SkippingFailed
from fervid.video.reader import VideoReader
from fervid.video.sampling import TIME_TOLERANCE, SamplingGrid, SeekPoint

SEEK_COST = 25
"""Cost of a seek in decoded frames: the file is opened again."""
MAX_SHARE = 0.5
"""Share of the cost of decoding every frame up to which seeking pays."""


@dataclass(frozen=True)
class Stretch:
    """Successive frames that are decoded.

    Attributes:
        begin: Where decoding begins and the first frame that is wanted; None: both at the start of the file.
        last: Index of the last frame that is wanted.
    """

    begin: SeekPoint | None
    last: int


@dataclass(frozen=True, eq=False)
class SeekPlan:
    """Which frames of a video are decoded.

    Attributes:
        index: Times of its frames.
        stretches: What is decoded, in order. Every sample lies in one of them, and the last frame of the video unless
            reading stops before it, because the end of a video is known only then.
        decoded: Number of frames that are decoded, about.
        count: Number of frames that decoding every frame would decode.
    """

    index: VideoIndex
    stretches: tuple[Stretch, ...]
    decoded: int
    count: int


def plan_seeking(index: VideoIndex, settings: ScanSettings) -> SeekPlan | None:
    """Decide how to seek to the samples of a video.

    Args:
        index: Its index.
        settings: Which frames are sampled.

    Returns:
        The plan; None if seeking does not pay.
    """
    end = math.inf if settings.end is None else settings.end
    count = int(np.searchsorted(index.times, end + TIME_TOLERANCE, "right"))
    if not count or not len(index.keys) or not settings.fps:
        return None
    times, grid = index.times[:count].tolist(), SamplingGrid(settings.fps, settings.start)
    wanted = []
    for number, time in enumerate(times):
        tick = grid.tick
        if grid.takes(time):
            wanted.append((number, tick))
    if count == len(index.times) and (not wanted or wanted[-1][0] < count - 1):
        wanted.append((count - 1, grid.tick))
    keys = np.searchsorted(index.times, index.key_times).tolist()
    stretches: list[Stretch] = []
    decoded, at = 0, 0
    for number, tick in wanted:
        place = int(np.searchsorted(index.key_times, times[number], "right")) - 1
        if place >= 0 and keys[place] - at > SEEK_COST:
            begin = SeekPoint(int(index.keys[place]), number, times[number], tick)
            stretches.append(Stretch(begin, number))
            decoded += SEEK_COST + number - keys[place] + 1
        else:
            before = stretches.pop() if stretches else Stretch(None, 0)
            stretches.append(replace(before, last=number))
            decoded += number - at
        at = number + 1
    plan = SeekPlan(index, tuple(stretches), decoded, count)
    return plan if stretches and decoded <= MAX_SHARE * count else None


def seek_plan(path: str | os.PathLike[str], settings: ScanSettings) -> SeekPlan | None:
    """Read the index of a video and decide how to seek to its samples.

    Args:
        path: The file.
        settings: Which frames are sampled, and how the file is opened.

    Returns:
        The plan; None if seeking does not pay or is not safe.
    """
    index = read_index(path, 0.0, settings.stream) if settings.fps > 0 else None
    return None if index is None else plan_seeking(index, settings)


class SeekingReader(VideoReader):
    """A reader that decodes only what a plan says. Indices and times of frames are those of decoding everything.

    The first frame after frames that were left out says so in ``Frame.after_seek``. Reading may raise SkippingFailed;
    then a VideoReader must read the file.
    """

    def __init__(self, path: str | os.PathLike[str], plan: SeekPlan, **how: Any) -> None:
        """Open a file and decode its first frame.

        Args:
            path: The video file.
            plan: What is decoded.
            **how: See ``VideoReader``.

        Raises:
            UnreadableVideo: The file is not a video that can be decoded.
        """
        self._path, self.plan, self._how = path, plan, how
        super().__init__(path, **how)

    def frames(self) -> Iterator[Frame]:
        """Decode the frames of the plan. Can be called once.

        Yields:
            The frames in order. Those of the sampling grid are marked as sampled.

        Raises:
            UnreadableVideo: Decoding fails.
            SkippingFailed: The file is not what its index said.
        """
        before = -1
        for stretch in self.plan.stretches:
            first = 0 if stretch.begin is None else stretch.begin.index
            for frame in self._decoded_in(stretch):
                left_out = tuple(self.plan.index.times[before + 1 : frame.index].tolist())
                yield replace(frame, skipped=left_out, after_seek=bool(left_out))
                before = frame.index
            if before != stretch.last or before < first:
                raise SkippingFailed("a frame is missing")

    def _decoded_in(self, stretch: Stretch) -> Iterator[Frame]:
        """The frames of a stretch. The last one of a whole video is read to the end of the file."""
        if stretch.begin is None:
            yield from self._checked(super().frames(), self, stretch)
            return
        with VideoReader(self._path, seek_point=stretch.begin, **self._how) as reader:
            yield from self._checked(reader.frames(), reader, stretch)
            self.truncated |= reader.truncated
            if stretch is self.plan.stretches[-1]:
                self.duration, self.end_time = reader.duration, reader.end_time

    def _checked(self, frames: Iterator[Frame], reader: VideoReader, stretch: Stretch) -> Iterator[Frame]:
        times, to_end = self.plan.index.times, stretch.last == len(self.plan.index.times) - 1
        for frame in frames:
            known = frame.index < len(times) and frame.time == times[frame.index]
            if reader.corrupt or reader.repaired or reader.jumps or not known:
                raise SkippingFailed("the file is not what its index says")
            if frame.index > stretch.last:
                return
            yield frame
            if frame.index == stretch.last and not to_end:
                return
        if reader.corrupt or reader.repaired or reader.jumps:
            raise SkippingFailed("the file is not what its index says")
