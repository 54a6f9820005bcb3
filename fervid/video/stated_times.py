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

REMEMBERED = 64
"""Number of latest packets whose times are remembered, more than a decoder holds."""

_Stamps = tuple[int | None, int | None]


class StatedTimes:
    """Gives the stated presentation time of each decoded frame, in seconds from the start of the file.

    Some files copy the decoding times over the presentation times. This shows where the decoder changes the order of
    the frames although the times of the packets increase; from there on such a file is read as if it stored only
    decoding times.
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
        if container.start_time is not None:
            self._start = Fraction(container.start_time, av.time_base)
        self._scale: tuple[int, int, int] | None = None
        """Time stamp → seconds, as integers: factor, offset and divisor. Set with the first time that is asked for."""
        self._period = period
        self._context = stream.codec_context
        self._by_decoding = stores_decoding_times(container, stream)
        self._copied = False
        self._increasing = not self._by_decoding
        self._sent: deque[_Stamps] = deque(maxlen=REMEMBERED)
        self._expected: deque[int | None] = deque(maxlen=REMEMBERED)
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
        before = self._sent[-1][0] if self._sent else None
        if self._increasing and (packet.pts is None or (before is not None and packet.pts <= before)):
            self._increasing = False
        self._sent.append((packet.pts, packet.dts))
        if self._increasing:
            self._expected.append(packet.pts)

    def time(self, frame: VideoFrame) -> float | None:
        """Get the stated time of a frame. Call this once for each frame, in the order of the decoder.

        Args:
            frame: The frame.

        Returns:
            Seconds; None if the container states none.
        """
        shown = self._trigger(frame)
        if self._delay is None:  # by how much the decoder delays the frames
            own = next((stamps for stamps in self._sent if stamps[0] == frame.pts), (None, None))
            first = own[1 if self._by_decoding else 0]
            self._delay = 0 if shown is None or first is None else shown - first
        if self._increasing and not self._copied:
            # a codec that never changes the order lost a damaged packet if another time follows
            other = bool(self._expected) and frame.pts != self._expected.popleft()
            self._copied = other and bool(self._context.has_b_frames)
        if not self._by_decoding and not self._copied:
            return self.seconds(frame.pts)
        if shown is not None:
            self._last = self.seconds(shown - self._delay)
        elif self._last is not None:  # the last frames, which the decoder gives out when no packet is left
            self._last += self._period
        return self._last

    def _trigger(self, frame: VideoFrame) -> int | None:
        """Time stamp of the packet for which the decoder gave out a frame: of decoding, or its copy."""
        if self._by_decoding or frame.dts is None:
            return frame.dts
        return next((pts for pts, dts in self._sent if dts == frame.dts), None)

    def seconds(self, stamp: int | None) -> float | None:
        """Convert a time stamp.

        Args:
            stamp: In units of the stream's time base.

        Returns:
            Seconds from the start of the file; None for None.
        """
        if stamp is None:
            return None
        if self._start is None:  # a raw stream, whose clock begins anywhere
            self._start = stamp * self._base
        if self._scale is None:  # the quotient of two integers is what a fraction gives, and faster
            base, start = self._base, self._start
            offset, divisor = start.numerator * base.denominator, base.denominator * start.denominator
            self._scale = base.numerator * start.denominator, offset, divisor
        factor, offset, divisor = self._scale
        return (stamp * factor - offset) / divisor


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
