"""Which packets of a video must be decoded, so that every sampled frame is, without decoding all frames.

A decoder can leave out a frame that no other frame refers to. The presentation times of the packets tell beforehand
which frames the sampling grid takes. Frames that are neither sampled nor referred to are left out.

The packets are read ahead. Where their times are missing, doubled or jump, or a packet is damaged, every frame is
decoded from there on, as without this module.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from fervid.video.sampling import TIME_TOLERANCE, SamplingGrid, period_index
from fervid.video.timestamps import MIN_JUMP

AHEAD = 32
"""Number of packets that are read ahead. It is larger than the number of frames by which a packet may come earlier in
the file than its frame is shown, and than the number of frames in which a damaged time has effects."""

CERTAIN = 20
"""A decoder that was given this many packets in full before a damaged one treats the damaged one as if it had been
given all packets in full."""

LARGE = 3
"""A packet of more than this many times the median size of those after it is decoded. It probably holds another scene:
a short insert may have no other frame."""

BEFORE_KEYFRAME = 4
"""So many frames before each keyframe are decoded, because a cut is often at a keyframe."""


PERIOD = 3.0
"""The first frame of each period of this many seconds is decoded, because a segment of the video may begin there."""


class SkippingFailed(Exception):
    """The file is not what its packets said. It must be read again, with every frame decoded."""


class NeededPackets:
    """Decides for each packet, in the order of the file, whether its frame is needed even if no frame refers to it.

    Args:
        fps: Samples per second, more than 0.
        start: Time of the first sample in seconds.
        end: Time in seconds after which reading stops; None reads to the end.
        begin: Time in seconds of the first frame that is wanted, and the tick of the sampling grid there; None: the
            first frame of the file.
        seconds: Time stamp → seconds, as ``StatedTimes`` gives it.
    """

    def __init__(
        self,
        fps: float,
        start: float,
        end: float | None,
        begin: tuple[float, float] | None,
        seconds: Callable[[int], float | None],
    ) -> None:
        self._seconds, self._end = seconds, math.inf if end is None else end
        self._begin = begin
        self._grid = SamplingGrid(fps, start, begin[1] if begin else None)
        self._waiting: deque[Any] = deque()
        """Packets that were read ahead, in the order of the file."""
        self._stamps: list[int] = []
        """The presentation times of frames that are not decided, sorted."""
        self._keys: set[int] = set()
        self._needed: dict[int, bool] = {}
        """Decisions on frames whose packets were not given out."""
        self._decided: int | None = None
        """The latest presentation time that is decided."""
        self._period: int | None = None
        self.reordered = False
        """Whether a packet was given out whose frame is shown before that of the packet before it."""
        self.everything = False
        """Whether all packets from here on are needed, because something is wrong with the file."""
        self._sent: int | None = None

    def of(self, packets: Iterator[Any]) -> Iterator[tuple[Any, bool]]:
        """Read packets ahead and decide on each.

        Args:
            packets: ``av`` packets. An empty one or None ends them.

        Yields:
            Packet, and whether its frame is needed.

        Raises:
            SkippingFailed: A decision turns out to be wrong.
        """
        for packet in packets:
            if packet is None or not packet.size:
                self.everything = True
                while self._waiting:
                    yield self._next()
                yield packet, True
                continue
            self._read(packet)
            if len(self._waiting) > AHEAD:
                yield self._next()

    def _read(self, packet: Any) -> None:
        self._waiting.append(packet)
        stamp = packet.pts
        if stamp is None or packet.is_corrupt:
            self.everything = True
        elif packet.is_discard:
            return
        elif self._decided is not None and stamp <= self._decided:
            if not self.everything:
                raise SkippingFailed("a frame comes too late in the file")
        else:
            place = bisect_left(self._stamps, stamp)
            if place < len(self._stamps) and self._stamps[place] == stamp:
                self.everything = True
            else:
                self._stamps.insert(place, stamp)
                if packet.is_keyframe:
                    self._keys.add(stamp)

    def _next(self) -> tuple[Any, bool]:
        packet = self._waiting.popleft()
        stamp = packet.pts
        needed = self.everything or stamp is None or packet.is_discard
        if stamp is not None and not packet.is_discard:
            self.reordered |= self._sent is not None and stamp < self._sent
            self._sent = stamp
            while self._stamps and self._stamps[0] <= stamp:
                self._decide(self._stamps.pop(0))
            needed |= self._needed.pop(stamp, True)
            needed |= self._is_large(packet)
        return packet, needed or self.everything

    def _is_large(self, packet: Any) -> bool:
        sizes = sorted(one.size for one in self._waiting)
        return bool(sizes) and packet.size > LARGE * sizes[len(sizes) // 2]

    def _decide(self, stamp: int) -> None:
        """Decide on the next frame in the order of presentation."""
        self._decided = stamp
        following = self._stamps[:BEFORE_KEYFRAME]
        time, times = self._time(stamp), [self._time(one) for one in following]
        if any(later - earlier > MIN_JUMP for earlier, later in zip([time, *times], times, strict=False)):
            self.everything = True
        near_key = stamp in self._keys or any(one in self._keys for one in following)
        self._keys.discard(stamp)
        if self._begin is not None:
            if time < self._begin[0]:
                self._needed[stamp] = False
                return
            self._begin, near_key = None, True
        limit = self._end + TIME_TOLERANCE
        at_end = time > limit or not times or times[0] > limit
        period = period_index(time, PERIOD)
        begins, self._period = period != self._period, period
        self._needed[stamp] = self._grid.takes(time) or near_key or at_end or begins

    def _time(self, stamp: int) -> float:
        found = self._seconds(stamp)
        assert found is not None
        return found


class OutputCheck:
    """Counts the frames that a decoder leaves out, and checks that it gives out all others.

    Attributes:
        skipped: Number of frames that were left out.
    """

    def __init__(self) -> None:
        self.skipped = 0
        self._due: list[int] = []
        """Times of the frames that must come out, sorted."""
        self._optional: list[int] = []
        """Times of those that may be left out, sorted."""
        self._last: int | None = None
        self._in_full = math.inf
        """Number of packets in a row that were decoded in full."""

    def sent(self, packet: Any, needed: bool) -> None:
        """Note a packet before it is decoded.

        Args:
            packet: The ``av`` packet.
            needed: Whether its frame must come out.
        """
        self._in_full = self._in_full + 1 if needed else 0
        if packet.pts is not None and packet.size and not packet.is_discard:
            insort(self._due if needed else self._optional, packet.pts)

    def failed(self) -> None:
        """Note that a packet or a frame is damaged.

        Raises:
            SkippingFailed: The damage may have other effects than if all frames had been decoded.
        """
        if self._in_full < CERTAIN:
            raise SkippingFailed("a damaged packet")

    def came(self, stamp: int | None, corrupt: bool) -> int:
        """Note a frame that comes out.

        Args:
            stamp: Its presentation time.
            corrupt: Whether it is damaged.

        Returns:
            Number of frames that were left out directly before it.

        Raises:
            SkippingFailed: A frame is missing or unexpected.
        """
        if corrupt:
            self.failed()
        if stamp is None or (self._last is not None and stamp <= self._last):
            self.failed()
            return 0
        self._last = stamp
        due = bisect_left(self._due, stamp)
        if due:
            self.failed()
        optional = bisect_left(self._optional, stamp)
        known = self._due[due : due + 1] == [stamp] or self._optional[optional : optional + 1] == [stamp]
        del self._due[: due + (self._due[due : due + 1] == [stamp])]
        del self._optional[: optional + (self._optional[optional : optional + 1] == [stamp])]
        if not known:
            self.failed()
        self.skipped += optional
        return optional

    def ended(self) -> None:
        """Note that the decoder gives out no more frames.

        Raises:
            SkippingFailed: A frame is missing.
        """
        if self._due:
            self.failed()
