"""Decoding frames that were left out, again from the keyframe before them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import Any

import av.error
from av.video.frame import VideoFrame

from fervid.errors import UnreadableVideo
from fervid.video.needed_packets import SkippingFailed

MAX_BYTES = 2**25
"""Packets of this size in bytes are kept. If a group of pictures is larger, no more of its frames are left out."""


class SkippedFrames:
    """Keeps the packets from a keyframe on, and decodes a few frames of them in full.

    Attributes:
        decoded: Number of packets that were decoded again.

    Args:
        open_decoder: Opens a second decoder like that of the stream; gives its container and codec context.
    """

    def __init__(self, open_decoder: Callable[[], tuple[Any, Any]]) -> None:
        self.decoded = 0
        self._open_decoder = open_decoder
        self._packets: list[Any] = []
        self._groups: list[tuple[int, int]] = []
        """Presentation time of a keyframe, and the number of its packet, counted from the first of the file."""
        self._dropped = 0
        """Number of packets that are no longer kept."""
        self._bytes = 0
        self._container: Any = None
        self._context: Any = None
        self._fed = 0
        """Number of packets, from the first of the file, that the second decoder was given."""
        self._complete: int | None = None
        """The second decoder will give out every frame that is shown after this time; None: it must start anew."""
        self._held: list[VideoFrame] = []
        """Frames that came out after the last wanted one."""

    @property
    def has_room(self) -> bool:
        """Whether frames may be left out, because they can be decoded again."""
        return bool(self._groups) and self._groups[0][1] == self._dropped and self._bytes < MAX_BYTES

    def add(self, packet: Any, begins: bool) -> None:
        """Keep a packet.

        Args:
            packet: The next ``av`` packet of the file.
            begins: Whether no later frame depends on earlier ones.
        """
        if begins:
            self._groups.append((packet.pts, self._dropped + len(self._packets)))
        self._packets.append(packet)
        self._bytes += packet.size

    def forget(self, stamp: int) -> None:
        """Give up the frames that are shown before a time, as far as this frees packets.

        Args:
            stamp: The time.
        """
        while len(self._groups) > 1 and self._groups[1][0] <= stamp:
            self._groups.pop(0)
        count = (self._groups[0][1] if self._groups else self._dropped + len(self._packets)) - self._dropped
        if count > 0:
            self._bytes -= sum(packet.size for packet in self._packets[:count])
            del self._packets[:count]
            self._dropped += count

    def between(self, begin: int, end: int) -> Iterator[VideoFrame]:
        """Decode all frames between two frames.

        Args:
            begin: Presentation time of one frame.
            end: That of a later one.

        Yields:
            The frames that are shown between the two, in order.

        Raises:
            SkippingFailed: They cannot be decoded as they would have been with all others.
        """
        wanted = sorted(packet.pts for packet in self._packets if packet.pts is not None and begin < packet.pts < end)
        for frame in self._from(begin):
            if frame.pts is not None and frame.pts >= end:
                self._held.insert(0, frame)
                break
            if frame.is_corrupt or frame.pts is None:
                raise SkippingFailed("a damaged frame")
            if frame.pts > begin:
                if wanted[:1] != [frame.pts]:
                    raise SkippingFailed("an unexpected frame")
                wanted.pop(0)
                self._complete = frame.pts
                yield frame
        if wanted:
            raise SkippingFailed("a frame is missing")

    def close(self) -> None:
        """Close the second decoder."""
        if self._container is not None:
            self._container.close()

    def _from(self, begin: int) -> Iterator[VideoFrame]:
        """The frames after a time, perhaps after some earlier ones."""
        self._start(begin)
        while self._held:
            yield self._held.pop(0)
        try:
            while self._fed < self._dropped + len(self._packets):
                packet = self._packets[self._fed - self._dropped]
                self._fed += 1
                self.decoded += 1
                in_full = packet.pts is None or packet.pts > begin
                self._context.skip_frame = "DEFAULT" if in_full else "NONREF"
                self._held += self._context.decode(packet)
                while self._held:
                    yield self._held.pop(0)
            self._complete = None
            self._held += self._context.decode(None)
            while self._held:
                yield self._held.pop(0)
        except av.error.FFmpegError as error:
            raise SkippingFailed("a damaged packet") from error

    def _start(self, begin: int) -> None:
        """Prepare the second decoder: it goes on where it is, or begins at the last keyframe."""
        place = bisect_left(self._groups, (begin + 1,)) - 1
        if place < 0:
            raise SkippingFailed("no keyframe is kept")
        first = self._groups[place][1]
        if self._context is None:
            try:
                self._container, self._context = self._open_decoder()
            except UnreadableVideo as error:
                raise SkippingFailed("the file cannot be opened again") from error
        elif self._complete is not None and self._complete <= begin and first <= self._fed:
            self._complete = begin
            return
        else:
            self._context.flush_buffers()
        self._fed, self._complete = first, begin
        self._held.clear()
