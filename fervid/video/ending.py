"""Where a video ends: what the container states, and what its packets reach."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

import av
import av.error

from fervid.errors import UnreadableVideo
from fervid.video.container import demux, open_local

_DURATION = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")


class Ending:
    """Compares the end that a container states with the packets that it holds.

    Attributes:
        duration: Seconds from time 0 to the end that the container states; None: it states none.
        origin: Time 0 on the container's own clock, in seconds.
    """

    def __init__(self, container: Any, stream: Any) -> None:
        """Read what the container states.

        Args:
            container: The ``av`` container.
            stream: Its video stream.
        """
        self._container, self._stream = container, stream
        self._base: Fraction = stream.time_base or Fraction(1, 90000)
        self.origin = (container.start_time or 0) / av.time_base
        self._reached: int | None = None
        self._hidden: int | None = None
        self.duration = self._stated_duration()

    def sent(self, packet: Any) -> None:
        """Note a packet of the video stream.

        Args:
            packet: The ``av`` packet.
        """
        stamps = [stamp for stamp in (packet.pts, packet.dts) if stamp is not None]
        if packet.size and stamps:
            end = max(stamps) + (packet.duration or 0)
            self._reached = end if self._reached is None else max(end, self._reached)
            if packet.is_discard:
                self._hidden = end if self._hidden is None else max(end, self._hidden)

    def _seconds(self, stamp: int | None) -> float:
        """A time stamp in seconds; 0 for none."""
        return 0.0 if stamp is None else float(stamp * self._base) - self.origin

    def early(self, end: float) -> bool:
        """Whether the video ends well before the end that the container states.

        If only the duration of the whole file is known, the tolerance is larger, and other streams may be longer: a
        file whose sound reaches the stated end is complete.

        Args:
            end: End of the last frame in seconds.

        Returns:
            Whether it ends early.
        """
        if self._seconds(self._hidden) > end:  # an edit list cuts off the rest
            return False
        end, stated = max(end, self._seconds(self._reached)), self._stated_end()
        if stated is not None:
            return end < stated - max(0.25, 0.02 * stated)
        if self.duration is None:
            return False
        least = self.duration - max(1.0, 0.05 * self.duration)
        return end < least and self._others_end() < least

    def true_duration(self, end: float, intact: bool) -> float | None:
        """Correct the stated duration by what was read.

        Args:
            end: End of the last frame in seconds, after the whole file was read.
            intact: The file does not end early and no packet is damaged.

        Returns:
            The stated duration; the end of the last frame if none is stated or the frames last longer. If the stated
            one only follows from packets that are not shown or whose time was repaired, the end of what is shown.
        """
        if self.duration is None:
            return end or None
        if end > self.duration + 0.5:
            return end
        reached = min(self._seconds(self._reached), self.duration)
        if intact and (reached > end + 0.25 or self._seconds(self._hidden) > end):
            return max(end, min(self._others_end(), self.duration))
        return self.duration

    def _stated_duration(self) -> float | None:
        container, stream = self._container, self._stream
        if container.duration is not None:
            # Matroska files written by FFmpeg state the end time, not the duration.
            skipped = container.start_time or 0 if "matroska" in container.format.name else 0
            return max(0.0, float(container.duration - skipped) / av.time_base)
        return float(stream.duration * stream.time_base) if stream.duration and stream.time_base else None

    def _stated_end(self) -> float | None:
        """End of the video stream in seconds, which MP4, MOV and AVI and most Matroska files state separately from the
        audio. None elsewhere."""
        stream, name = self._stream, self._container.format.name
        if "mp4" in name and stream.duration and stream.start_time is not None:
            return self._seconds(stream.start_time + stream.duration)
        if name == "avi" and stream.frames and stream.average_rate:
            return float(stream.frames / stream.average_rate)
        if "matroska" in name:
            tags = (value for key, value in stream.metadata.items() if re.fullmatch(r"DURATION(-\w+)?", key))
            for match in filter(None, map(_DURATION.match, tags)):
                hours, minutes, seconds = match.groups()
                return int(hours) * 3600 + int(minutes) * 60 + float(seconds) - self.origin
        return None

    def _others_end(self) -> float:
        """End of the other streams in seconds, from their packets. The file is read once more for it."""
        end = 0.0
        try:
            with open_local(self._container.name.removeprefix("file:")) as container:
                others = [stream for stream in container.streams.audio if stream.index != self._stream.index]
                for packet in demux(container, *others) if others else ():
                    stamp = packet.pts if packet.pts is not None else packet.dts
                    if packet.size and stamp is not None and not packet.is_discard:
                        end = max(end, float((stamp + (packet.duration or 0)) * packet.time_base) - self.origin)
        except (UnreadableVideo, av.error.FFmpegError):
            pass
        return end
