"""The sound of a film, moved into another file: copied packet by packet, or encoded again as AAC."""

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
from fervid.video.container import open_local

COPIED = frozenset({"aac", "mp3", "opus", "flac"})
"""Codecs that MP4 holds and that Chromium, Firefox and Safari play from it; the others become AAC.

MP4 takes AC-3 and ALAC too, but only some browsers play them.
"""

LEAST_MP3_RATE = 16000
"""MP4 holds no MP3 of a lower rate."""

AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)

MAX_DRIFT = 0.04
"""Sound that is off its stated time by more than this, in seconds, is put back by silence or a cut."""

MAX_BACKWARDS = Fraction(1, 2)
"""Sound that goes back in time by more than this, in seconds, has another clock than the picture, and is left out."""

MAX_SILENCE = 3600.0
"""A longer silence than this is taken for a wrong time, in seconds."""


class AudioRemuxer:
    """Every sound track of a local file, on the clock that is 0 at ``origin`` seconds of the file's own.

    ``notes`` says in words what could not be taken along. Raises UnreadableVideo when opened; damage met
    later ends a packet or the sound, and is noted.
    """

    def __init__(self, path: str | os.PathLike[str], origin: float) -> None:
        self.notes: list[str] = []
        self._origin = Fraction(origin).limit_denominator(1_000_000)
        self._container = open_local(path)
        self._tracks: dict[int, _CopiedStream | _ReencodedStream] = {}
        self._packets: Iterator[Any] = iter(())
        self._waiting: Any = None

    def __enter__(self) -> AudioRemuxer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._container.close()

    def attach(self, container: Any) -> None:
        """Add a stream for each track to a container opened for writing."""
        for number, stream in enumerate(self._container.streams.audio):
            track = self._track(stream, container)
            if track is None:
                self.notes.append(f"sound track {number} left out: nothing can decode it")
            else:
                self._tracks[stream.index] = track
        if self._tracks:
            self._packets = self._container.demux([self._container.streams[index] for index in self._tracks])

    def _track(self, stream: Any, container: Any) -> _CopiedStream | _ReencodedStream | None:
        context = stream.codec_context
        if context is None or not context.sample_rate:
            return None
        name = context.codec.canonical_name
        if name in COPIED and not (name == "mp3" and context.sample_rate < LEAST_MP3_RATE):
            return _CopiedStream(stream, container, self._origin)
        return _ReencodedStream(stream, container, self._origin)

    def packets(self, until: float) -> Iterator[Any]:
        """Packets that begin before ``until`` seconds and have not been given yet."""
        while (packet := self._next()) is not None:
            if self._begins(packet) > until:
                self._waiting = packet
                return
            yield from self._moved(packet)

    def rest(self) -> Iterator[Any]:
        """Everything that is left."""
        yield from self.packets(math.inf)
        for track in self._tracks.values():
            yield from track.rest()
        if any(track.jumped for track in self._tracks.values()):
            self.notes.append("sound whose times run backwards is left out")

    def _moved(self, packet: Any) -> Iterator[Any]:
        """The packet as the new file's; a track that cannot go on ends."""
        try:
            yield from self._tracks[packet.stream.index].moved(packet)
        except (av.error.FFmpegError, ValueError) as error:
            self.notes.append(f"a sound track ends early: {str(error).splitlines()[0]}")
            self._packets = (one for one in self._packets if one.stream.index != packet.stream.index)

    def _next(self) -> Any:
        """The next packet with content, None at the end."""
        if self._waiting is not None:
            packet, self._waiting = self._waiting, None
            return packet
        try:
            return next((packet for packet in self._packets if packet.size), None)
        except av.error.FFmpegError:
            self.notes.append("the sound ends early, where the file is damaged")
            self._packets = iter(())
            return None

    def _begins(self, packet: Any) -> float:
        stamp = packet.dts if packet.pts is None else packet.pts
        return -math.inf if stamp is None else float(stamp * packet.time_base - self._origin)


class _CopiedStream:
    """A track whose packets are passed on untouched but for their times."""

    def __init__(self, stream: Any, container: Any, origin: Fraction) -> None:
        self._origin = origin
        self._clock = Fraction(1, stream.codec_context.sample_rate)
        self._length = stream.codec_context.frame_size or 0
        self._coarse = math.ceil(stream.time_base / self._clock)
        self._last: int | None = None
        self._due = 0
        self.jumped = False
        self._stream = container.add_stream_from_template(stream)
        self._stream.time_base = self._clock

    def moved(self, packet: Any) -> Iterator[Any]:
        """The packet, ready for the new file."""
        stamp = packet.dts if packet.pts is None else packet.pts
        length = self._length or round((packet.duration or 0) * packet.time_base / self._clock)
        begin = self._due if stamp is None else round((stamp * packet.time_base - self._origin) / self._clock)
        if self._last is not None:
            # containers that count in milliseconds make the steps uneven; the samples themselves are not
            if abs(begin - self._due) <= self._coarse:
                begin = self._due
            if begin < self._due - MAX_BACKWARDS / self._clock:
                self.jumped = True
                return
            begin = max(begin, self._last + 1)
        self._last, self._due = begin, begin + length
        packet.time_base = self._clock
        packet.pts = packet.dts = begin
        packet.duration = length
        packet.stream = self._stream
        yield packet

    def rest(self) -> Iterator[Any]:
        """Nothing is held back."""
        yield from ()


class _ReencodedStream:
    """A track decoded and encoded as AAC, mono or stereo."""

    _BLOCK = 1024

    def __init__(self, stream: Any, container: Any, origin: Fraction) -> None:
        self._source = stream.codec_context
        self._origin = float(origin)
        self._rate = min(AAC_RATES, key=lambda rate: abs(rate - self._source.sample_rate))
        self._layout = "mono" if self._source.layout.nb_channels == 1 else "stereo"
        self._resampler = self._new_resampler()
        self._form: tuple[str, str, int] | None = None
        self.jumped = False
        self._channels = 1 if self._layout == "mono" else 2
        self._stream = container.add_stream("aac", rate=self._rate, layout=self._layout)
        self._stream.bit_rate = 96000 * self._channels
        self._pending: list[FloatArray] = []
        self._begin: int | None = None
        self._taken = 0.0

    def _new_resampler(self) -> AudioResampler:
        return AudioResampler(format="fltp", layout=self._layout, rate=self._rate)

    def moved(self, packet: Any) -> Iterator[Any]:
        """What the encoder gives back for a packet; one that cannot be decoded is passed over."""
        try:
            frames = self._source.decode(packet)
        except av.error.FFmpegError:
            return
        for frame in frames:
            yield from self._take(frame)

    def rest(self) -> Iterator[Any]:
        """What is left in decoder, resampler and encoder."""
        with contextlib.suppress(av.error.FFmpegError):
            for frame in self._source.decode(None):
                yield from self._take(frame)
        if self._begin is not None:
            self._pending += [_samples(frame) for frame in self._resampler.resample(None)]
        yield from self._encode(1)
        yield from self._stream.encode(None)

    def _take(self, frame: Any) -> Iterator[Any]:
        """Encode a decoded frame's samples at its own time."""
        time = None if frame.pts is None else float(frame.pts * frame.time_base) - self._origin
        if self._begin is None:
            self._begin = round((time or 0.0) * self._rate)
        length = frame.samples / frame.sample_rate
        off = 0.0 if time is None else time - (self._begin / self._rate + self._taken)
        if off < -MAX_BACKWARDS:
            self.jumped = True
            return
        form = (frame.format.name, frame.layout.name, frame.sample_rate)
        if self._form not in (None, form):  # as where a broadcast goes from stereo to surround
            self._pending += [_samples(part) for part in self._resampler.resample(None)]
            self._resampler = self._new_resampler()
        self._form = form
        if MAX_DRIFT < off < MAX_SILENCE:
            yield from self._be_silent(round(off * self._rate))
        frame.pts = None
        found = [_samples(part) for part in self._resampler.resample(frame)]
        surplus = round(-off * self._rate) if off < -MAX_DRIFT else 0
        if surplus and found:
            found = [np.concatenate(found, axis=1)[:, surplus:]]
        self._taken += max(0.0, length - surplus / self._rate)
        self._pending += found
        yield from self._encode(self._BLOCK)

    def _be_silent(self, samples: int) -> Iterator[Any]:
        while samples > 0:
            count = min(samples, 10 * self._rate)
            self._pending.append(np.zeros((self._channels, count), np.float32))
            self._taken += count / self._rate
            samples -= count
            yield from self._encode(self._BLOCK)

    def _encode(self, least: int) -> Iterator[Any]:
        """Hand over whole blocks of at least ``least`` samples."""
        waiting = sum(part.shape[1] for part in self._pending)
        if waiting < max(least, 1) or self._begin is None:
            return
        samples = np.concatenate(self._pending, axis=1)
        whole = waiting if least < self._BLOCK else waiting - waiting % self._BLOCK
        for start, end in itertools.pairwise([*range(0, whole, self._BLOCK), whole]):
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[:, start:end]), "fltp", self._layout)
            frame.sample_rate, frame.pts, frame.time_base = self._rate, self._begin, Fraction(1, self._rate)
            self._begin += end - start
            self._taken -= (end - start) / self._rate
            yield from self._stream.encode(frame)
        self._pending = [samples[:, whole:]]


def _samples(frame: Any) -> FloatArray:
    return np.asarray(frame.to_ndarray(), np.float32)
