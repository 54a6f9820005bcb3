"""Copying the audio of a video into another file, packet by packet or re-encoded as AAC."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
from collections.abc import Iterator
from fractions import Fraction
from types import TracebackType
from typing import Any

import av
import av.error
import numpy as np
from av.audio.resampler import AudioResampler

from fervid.types import FloatArray
from fervid.video.container import demux, open_local
from fervid.video.timestamps import ClosedJumps

COPIED = frozenset({"aac", "mp3", "opus", "flac"})
"""Codecs that are copied, because Chromium, Firefox and Safari play them from MP4. Others are re-encoded as AAC.

MP4 also supports AC-3 and ALAC, but not all browsers play them.
"""

MIN_MP3_RATE = 16000
"""Lowest sample rate of MP3 in MP4, in hertz."""

AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
"""Sample rates of the encoded AAC, in hertz."""

MAX_DRIFT = 0.04
"""Audio that deviates by more than this many seconds from its timestamps is corrected by silence or by dropping
samples."""

MAX_BACKWARDS = Fraction(1, 2)
"""Audio whose timestamps go back by more than this many seconds is left out, because its clock is not the video's."""

MIN_BACKWARDS = Fraction(1, 20)
"""Audio that goes back by more than this many seconds may do so because the clock jumped back."""

MAX_WAIT = Fraction(1)
"""So many seconds the audio waits for the video to jump back as well."""

MAX_SILENCE = 3600.0
"""A longer gap in seconds is taken for a wrong timestamp and not filled with silence."""


class AudioRemuxer:
    """All audio streams of a local file, as an AudioSource for ``VideoWriter``.

    A damaged packet is skipped and a damaged stream ends early. Both are noted.

    Attributes:
        notes: Sentences about what could not be copied.
    """

    def __init__(self, path: str | os.PathLike[str], origin: float, jumps: ClosedJumps | None = None) -> None:
        """Open the file.

        Args:
            path: Video file.
            origin: Time on the file's own clock, in seconds, that becomes time 0; see ``VideoReader.origin``.
            jumps: Jumps of the clock that are left out; None: all are kept. A jump must be known before
                the audio after it is asked for.

        Raises:
            UnreadableVideo: The file cannot be opened.
        """
        self.notes: list[str] = []
        self._clock = _Clock(Fraction(origin).limit_denominator(1_000_000), jumps or ClosedJumps(()))
        self._container = open_local(path, images_per_second=1)  # an image sequence is silent at any rate
        self._outputs: dict[int, _CopiedStream | _ReencodedStream] = {}
        self._followers: dict[int, _Follower] = {}
        self._packets: Iterator[Any] = iter(())
        self._waiting: Any = None

    def __enter__(self) -> AudioRemuxer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._container.close()

    def attach(self, container: Any) -> None:
        """See AudioSource.attach."""
        for number, stream in enumerate(self._container.streams.audio):
            output = self._output(stream, container)
            if output is None:
                self.notes.append(f"audio stream {number} is left out: no decoder supports it")
            else:
                self._outputs[stream.index], self._followers[stream.index] = output, _Follower(self._clock)
        if self._outputs:
            self._packets = demux(self._container, *(self._container.streams[index] for index in self._outputs))

    def _output(self, stream: Any, container: Any) -> _CopiedStream | _ReencodedStream | None:
        context = stream.codec_context
        if context is None or not context.sample_rate:
            return None
        name = context.codec.canonical_name
        if name in COPIED and not (name == "mp3" and context.sample_rate < MIN_MP3_RATE):
            return _CopiedStream(stream, container, self._clock)
        return _ReencodedStream(stream, container, self._clock)

    def packets(self, until: float) -> Iterator[Any]:
        """See AudioSource.packets."""
        while (packet := self._next()) is not None:
            if self._start_time(packet) > until:
                self._waiting = packet
                return
            yield from self._convert(packet)

    def rest(self) -> Iterator[Any]:
        """See AudioSource.rest."""
        yield from self.packets(math.inf)
        for output in self._outputs.values():
            yield from output.rest()
        if any(output.went_backwards for output in self._outputs.values()):
            self.notes.append("audio whose timestamps go backwards is left out")

    def _convert(self, packet: Any) -> Iterator[Any]:
        """Convert a packet for the output. A stream that fails ends here."""
        self._followers[packet.stream.index].take(packet)
        try:
            yield from self._outputs[packet.stream.index].convert(packet)
        except (av.error.FFmpegError, ValueError) as error:
            self.notes.append(f"an audio stream ends early: {str(error).splitlines()[0]}")
            self._packets = (one for one in self._packets if one.stream.index != packet.stream.index)

    def _next(self) -> Any:
        """The next packet with content; None at the end."""
        if self._waiting is not None:
            packet, self._waiting = self._waiting, None
            return packet
        try:
            return next((packet for packet in self._packets if packet.size), None)
        except av.error.FFmpegError:
            self.notes.append("the audio ends early, because the file is damaged")
            self._packets = iter(())
            return None

    def _start_time(self, packet: Any) -> float:
        return self._followers[packet.stream.index].start_time(packet)


class _Clock:
    """Turns times on the file's own clock into those of the copy."""

    def __init__(self, origin: Fraction, jumps: ClosedJumps) -> None:
        self._origin, self._jumps = origin, jumps

    def time(self, stated: Fraction) -> Fraction:
        """The time in the copy, in seconds."""
        time = stated - self._origin
        gap = self._jumps.gap(float(time)) if self._jumps.closed else 0.0
        return time - Fraction(gap).limit_denominator(1_000_000) if gap else time

    def moved(self) -> Fraction:
        """Seconds that the video adds to the stated times, because the clock jumped back."""
        return Fraction(self._jumps.moved()).limit_denominator(1_000_000)


class _Follower:
    """Moves the packets of one stream as the video was moved, where the clock of both jumps back."""

    def __init__(self, clock: _Clock) -> None:
        self._clock = clock
        self._moved = Fraction(0)
        self._end: Fraction | None = None

    def start_time(self, packet: Any) -> float:
        """Time in the copy until which a packet can wait. One that goes back waits for the video to jump as well."""
        stated = _stated(packet)
        if stated is None:
            return -math.inf
        self._follow(stated)
        if self._end is not None and stated + self._moved < self._end - MAX_BACKWARDS:
            return float(self._clock.time(self._end) + MAX_WAIT)
        return float(self._clock.time(stated + self._moved))

    def _follow(self, stated: Fraction) -> None:
        """Find by how much the times from here on are moved."""
        if self._end is None:
            return
        moved = self._clock.moved()
        back = stated + self._moved < self._end - MIN_BACKWARDS
        if back and moved > self._moved and stated + moved >= self._end - MAX_BACKWARDS:
            self._moved = moved
        elif self._moved and moved < self._moved and abs(stated + moved - self._end) <= MAX_BACKWARDS:
            self._moved = moved  # the clock has returned

    def take(self, packet: Any) -> None:
        """Move a packet that will be converted now."""
        stated = _stated(packet)
        if stated is None:
            return
        shift = round(self._moved / packet.time_base)
        packet.pts = None if packet.pts is None else packet.pts + shift
        packet.dts = None if packet.dts is None else packet.dts + shift
        end = stated + self._moved + (packet.duration or 0) * packet.time_base
        self._end = end if self._end is None else max(end, self._end)


def _stated(packet: Any) -> Fraction | None:
    """Time on the file's own clock, in seconds."""
    stamp = packet.dts if packet.pts is None else packet.pts
    return None if stamp is None else Fraction(stamp * packet.time_base)


class _CopiedStream:
    """A stream whose packets are copied with adapted timestamps."""

    def __init__(self, stream: Any, container: Any, clock: _Clock) -> None:
        self._clock = clock
        self._time_base = Fraction(1, stream.codec_context.sample_rate)
        self._length = stream.codec_context.frame_size or 0
        self._rounding = math.ceil(stream.time_base / self._time_base)
        self._last_pts: int | None = None
        self._next_pts = 0
        self.went_backwards = False
        self._stream = container.add_stream_from_template(stream)
        self._stream.time_base = self._time_base

    def convert(self, packet: Any) -> Iterator[Any]:
        """The packet with new timestamps."""
        stamp = packet.dts if packet.pts is None else packet.pts
        length = self._length or round((packet.duration or 0) * packet.time_base / self._time_base)
        begin = self._next_pts
        if stamp is not None:
            begin = round(self._clock.time(stamp * packet.time_base) / self._time_base)
        if self._last_pts is not None:
            # Containers that round times to milliseconds make the steps uneven.
            if abs(begin - self._next_pts) <= self._rounding:
                begin = self._next_pts
            if begin < self._next_pts - MAX_BACKWARDS / self._time_base:
                self.went_backwards = True
                return
            begin = max(begin, self._last_pts + 1)
        self._last_pts, self._next_pts = begin, begin + length
        packet.time_base = self._time_base
        packet.pts = packet.dts = begin
        packet.duration = length
        packet.stream = self._stream
        yield packet

    def rest(self) -> Iterator[Any]:
        """A copied stream holds nothing back."""
        yield from ()


class _ReencodedStream:
    """A stream that is decoded and encoded again as AAC, mono or stereo."""

    _BLOCK = 1024

    def __init__(self, stream: Any, container: Any, clock: _Clock) -> None:
        self._source = stream.codec_context
        self._clock = clock
        self._rate = min(AAC_RATES, key=lambda rate: abs(rate - self._source.sample_rate))
        self._layout = "mono" if self._source.layout.nb_channels == 1 else "stereo"
        self._resampler = self._new_resampler()
        self._format: tuple[str, str, int] | None = None
        self.went_backwards = False
        self._channels = 1 if self._layout == "mono" else 2
        self._stream = container.add_stream("aac", rate=self._rate, layout=self._layout)
        self._stream.bit_rate = 96000 * self._channels
        self._pending: list[FloatArray] = []
        self._begin: int | None = None
        self._pending_seconds = 0.0

    def _new_resampler(self) -> AudioResampler:
        return AudioResampler(format="fltp", layout=self._layout, rate=self._rate)

    def convert(self, packet: Any) -> Iterator[Any]:
        """Encoded packets for a packet of the source. A packet that cannot be decoded is skipped."""
        try:
            frames = self._source.decode(packet)
        except av.error.FFmpegError:
            return
        for frame in frames:
            yield from self._take(frame)

    def rest(self) -> Iterator[Any]:
        """Flush decoder, resampler and encoder."""
        with contextlib.suppress(av.error.FFmpegError):
            for frame in self._source.decode(None):
                yield from self._take(frame)
        if self._begin is not None:
            self._pending += [_samples(frame) for frame in self._resampler.resample(None)]
        yield from self._encode(1)
        yield from self._stream.encode(None)

    def _take(self, frame: Any) -> Iterator[Any]:
        """Encode the samples of a decoded frame at its timestamp."""
        time = None if frame.pts is None else float(self._clock.time(frame.pts * frame.time_base))
        if self._begin is None:
            self._begin = round((time or 0.0) * self._rate)
        length = frame.samples / frame.sample_rate
        drift = 0.0 if time is None else time - (self._begin / self._rate + self._pending_seconds)
        if drift < -MAX_BACKWARDS:
            self.went_backwards = True
            return
        source_format = (frame.format.name, frame.layout.name, frame.sample_rate)
        if self._format not in (None, source_format):  # for example a broadcast that switches from stereo to surround
            self._pending += [_samples(part) for part in self._resampler.resample(None)]
            self._resampler = self._new_resampler()
        self._format = source_format
        if MAX_DRIFT < drift < MAX_SILENCE:
            yield from self._add_silence(round(drift * self._rate))
        frame.pts = None
        resampled = [_samples(part) for part in self._resampler.resample(frame)]
        surplus = round(-drift * self._rate) if drift < -MAX_DRIFT else 0
        if surplus and resampled:
            resampled = [np.concatenate(resampled, axis=1)[:, surplus:]]
        self._pending_seconds += max(0.0, length - surplus / self._rate)
        self._pending += resampled
        yield from self._encode(self._BLOCK)

    def _add_silence(self, samples: int) -> Iterator[Any]:
        while samples > 0:
            count = min(samples, 10 * self._rate)
            self._pending.append(np.zeros((self._channels, count), np.float32))
            self._pending_seconds += count / self._rate
            samples -= count
            yield from self._encode(self._BLOCK)

    def _encode(self, minimum: int) -> Iterator[Any]:
        """Encode full blocks once ``minimum`` samples wait. If ``minimum`` is less than a block, encode all samples."""
        waiting = sum(part.shape[1] for part in self._pending)
        if waiting < max(minimum, 1) or self._begin is None:
            return
        samples = np.concatenate(self._pending, axis=1)
        count = waiting if minimum < self._BLOCK else waiting - waiting % self._BLOCK
        for start, end in itertools.pairwise([*range(0, count, self._BLOCK), count]):
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[:, start:end]), "fltp", self._layout)
            frame.sample_rate, frame.pts, frame.time_base = self._rate, self._begin, Fraction(1, self._rate)
            self._begin += end - start
            self._pending_seconds -= (end - start) / self._rate
            yield from self._stream.encode(frame)
        self._pending = [samples[:, count:]]


def _samples(frame: Any) -> FloatArray:
    return np.asarray(frame.to_ndarray(), np.float32)
