"""The presentation time that a container states for each decoded frame.

AVI and ASF store no presentation times, only the places or times of the packets in decoding order. FFmpeg then invents
presentation times, which are late by one frame or permuted. The true ones follow from the decoder: a frame is shown
when the decoder must give it out.
"""

from __future__ import annotations

from collections import deque
from fractions import Fraction
from typing import Any

import av
from av.video.frame import VideoFrame

_REORDERED = ("h264", "hevc", "mpeg4")

MAX_OUTSTANDING = 64
"""More packets in the decoder than this are not remembered."""


class StatedTimes:
    """Gives the stated presentation time of each decoded frame, in seconds from the start of the file.

    Attributes:
        origin: Time 0 on the container's own clock, in seconds.
    """

    def __init__(self, container: Any, stream: Any, period: float) -> None:
        """Begin before the first packet.

        Args:
            container: The ``av`` container.
            stream: Its video stream.
            period: Usual time from one frame to the next, in seconds.
        """
        self._base: Fraction = stream.time_base or Fraction(1, 90000)
        self._start: Fraction | None = None
        self._by_decoding = stores_decoding_times(container, stream)
        if container.start_time is not None:
            self._start = Fraction(container.start_time, av.time_base)
        self._period = period
        self._undecided = not self._by_decoding and bool(stream.codec_context.has_b_frames)
        self._outstanding: deque[tuple[int | None, int | None]] = deque(maxlen=MAX_OUTSTANDING)
        self._delay: int | None = None
        self._last: float | None = None

    @property
    def origin(self) -> float:
        """Time 0 on the container's own clock, in seconds."""
        return float(self._start or 0)

    def sent(self, packet: Any) -> None:
        """Note a packet. Call this before the packet is decoded.

        Args:
            packet: The ``av`` packet.
        """
        if not packet.size:
            return
        if self._start is None and self._by_decoding and packet.dts is not None:
            self._start = packet.dts * self._base
        if self._undecided and packet.pts != packet.dts:
            self._undecided = False
        if self._undecided or self._delay is None:
            self._outstanding.append((packet.pts, packet.dts))

    def time(self, frame: VideoFrame) -> float | None:
        """Get the stated time of a frame. Call this once for each frame, in the order of the decoder.

        Args:
            frame: The frame.

        Returns:
            Seconds; None if the container states none.
        """
        self._measure(frame)
        if not self._by_decoding:
            return self._seconds(frame.pts)
        if frame.dts is not None:
            time = self._seconds(frame.dts - (self._delay or 0))
        else:  # the last frames, which the decoder gives out when no packet is left
            time = None if self._last is None else self._last + self._period
        self._last = time
        return time

    def _seconds(self, stamp: int | None) -> float | None:
        if stamp is None:
            return None
        if self._start is None:  # a raw stream, whose clock begins anywhere
            self._start = stamp * self._base
        return float(stamp * self._base - self._start)

    def _measure(self, frame: VideoFrame) -> None:
        """Note by how much the decoder delays the first frame, and whether presentation times are only copies of the
        decoding times although frames are reordered."""
        if self._delay is None:
            own = next((dts for pts, dts in self._outstanding if pts == frame.pts), None)
            if own is not None and frame.dts is not None:
                self._delay = frame.dts - own
            elif frame.dts is not None:
                self._delay = 0
        if self._undecided and self._outstanding:
            if frame.pts != self._outstanding[0][0]:
                self._by_decoding, self._undecided = True, False
            self._outstanding.popleft()


def stores_decoding_times(container: Any, stream: Any) -> bool:
    """Whether a container stores only decoding times.

    Args:
        container: The ``av`` container.
        stream: Its video stream.

    Returns:
        True for AVI and ASF, and for a stream in Matroska that was copied from AVI with its header.
    """
    name = container.format.name
    if name in ("avi", "asf"):
        return True
    context = stream.codec_context
    return "matroska" in name and bool(context.codec_tag.strip("\0 ")) and context.codec.canonical_name in _REORDERED
