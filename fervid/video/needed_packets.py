"""Which packets of a video must be decoded, so that every sampled frame is, without decoding all frames.

A decoder can leave out a frame that no other frame refers to. The presentation times of the packets tell beforehand
which frames the sampling grid takes. Frames that are neither sampled nor referred to are left out.

The packets are read ahead. Where anything is unusual about them, the file must be read with every frame decoded.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from fervid.video.h264_headers import DisplayOrder, Picture, PictureHeaders, UnusualStream
from fervid.video.sampling import TIME_TOLERANCE, SamplingGrid, SeekPoint

AHEAD = 32
"""Number of packets that are read ahead. It is larger than the number of frames by which a packet may come earlier in
the file than its frame is shown."""

LARGE = 3
"""A packet of more than this many times the median size of those after it is decoded. It probably holds another scene:
a short insert may have no other frame."""

LONGEST_STEP = 0.11
"""Seconds from one frame to the next above which both are decoded."""

BORDER = 2.2
"""Seconds at both ends of a segment in which every frame is decoded, because cuts are searched for in both together."""


class SkippingFailed(Exception):
    """The file is damaged or unusual. It must be read again, with every frame decoded."""


@dataclass(frozen=True)
class Part:
    """The part of a video that is read.

    Attributes:
        fps: Samples per second, more than 0.
        start: Time of the first sample in seconds.
        end: Time in seconds after which reading stops; None reads to the end.
        begin: The first frame that is wanted; None: the first frame of the file.
        stop: Time in seconds at which the next segment begins; None: there is none.
    """

    fps: float
    start: float
    end: float | None = None
    begin: SeekPoint | None = None
    stop: float | None = None


class NeededPackets:
    """Decides for each packet, in the order of the file, whether its frame is decoded.

    Args:
        part: The part of the video that is read.
        headers: Reads the headers of the packets.
        delay: Number of frames by which the decoder can change their order.
        seconds: Time stamp → seconds, as ``StatedTimes`` gives it.
    """

    def __init__(
        self, part: Part, headers: PictureHeaders, delay: Callable[[], int], seconds: Callable[[int], float | None]
    ) -> None:
        self._part, self._headers, self._delay, self._seconds = part, headers, delay, seconds
        self._end = math.inf if part.end is None else part.end
        self._grid = SamplingGrid(part.fps, part.start, part.begin.tick if part.begin else None)
        self._waiting: deque[tuple[Any, Picture]] = deque()
        """Packets that were read ahead, in the order of the file."""
        self._order = DisplayOrder()
        """Those of them that are not decided."""
        self._needed: dict[int, bool] = {}
        """Decisions on frames whose packets were not given out."""
        self._decided = -math.inf
        """The latest presentation time that is decided."""
        self._time = math.inf
        """Its time in seconds."""
        self._keys: set[int] = set()
        self._hidden: set[int] = set()
        """The presentation times of keyframes, and of frames that the decoder does not give out, among them."""

    def of(self, packets: Iterator[Any]) -> Iterator[tuple[Any, Picture | None, bool]]:
        """Read packets ahead and decide on each.

        Args:
            packets: ``av`` packets. An empty one or None ends them.

        Yields:
            Packet, its picture, and whether it must be decoded.

        Raises:
            SkippingFailed: The file is damaged or unusual.
        """
        for packet in packets:
            if packet is None:
                raise SkippingFailed("the file cannot be read to its end")
            if not packet.size:
                while self._waiting:
                    yield self._next()
                yield packet, None, True
                continue
            try:
                self._read(packet)
            except UnusualStream as error:
                raise SkippingFailed(str(error)) from error
            if len(self._waiting) > AHEAD:
                yield self._next()

    def _read(self, packet: Any) -> None:
        picture = self._headers.read(bytes(packet))
        if packet.pts is None or packet.is_corrupt or packet.pts <= self._decided:
            raise UnusualStream("a packet without a time of its own")
        if self._order.add(packet.pts, picture.order) > self._delay():
            raise UnusualStream("frames in an unusual order")
        if packet.is_keyframe:
            self._keys.add(packet.pts)
        if packet.is_discard:
            self._hidden.add(packet.pts)
        self._waiting.append((packet, picture))

    def _next(self) -> tuple[Any, Picture, bool]:
        packet, picture = self._waiting.popleft()
        while self._order.stamps and self._order.stamps[0] <= packet.pts:
            self._decide()
        needed = self._needed.pop(packet.pts) or not picture.optional
        return packet, picture, needed or self._is_large(packet)

    def _is_large(self, packet: Any) -> bool:
        sizes = sorted([one.size for one, _ in self._waiting])
        return bool(sizes) and packet.size > LARGE * sizes[len(sizes) // 2]

    def _decide(self) -> None:
        """Decide on the next frame in the order of presentation."""
        stamp = self._order.pop()
        if stamp in self._hidden:
            self._hidden.discard(stamp)
            self._needed[stamp] = True
            return
        before, self._decided, self._time = self._time, stamp, self._at(stamp)
        following = self._order.stamps[0] if self._order.stamps else None
        after = math.inf if following is None else self._at(following)
        part, time = self._part, self._time
        if part.begin is not None and time < part.begin.time:
            self._needed[stamp] = False
            return
        begins_after = part.begin is not None and time < part.begin.time + BORDER
        ends = part.stop is not None and time > part.stop - BORDER
        limit = self._end + TIME_TOLERANCE
        self._needed[stamp] = (
            self._grid.takes(time)
            or begins_after
            or ends
            or after > limit
            or max(time - before, after - time) > LONGEST_STEP
            or not self._keys.isdisjoint((stamp, following))
        )
        self._keys.discard(stamp)

    def _at(self, stamp: int) -> float:
        found = self._seconds(stamp)
        assert found is not None
        return found
