"""Writing video: exact presentation times, complete or not at all. Shares ``av`` with ``video`` and ``sound``."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import av
import av.error
import numpy as np
from av.video.frame import VideoFrame

from fervid.errors import EncodingFailed, OutputError
from fervid.runtime.opencv import cv2
from fervid.types import ByteArray

_CLOCK = Fraction(1, 90000)
"""The unit of time, fine enough for every camera's."""

_MUXER = {"movflags": "+faststart", "movie_timescale": str(_CLOCK.denominator)}

_KEYFRAME_INTERVAL = 120
"""A player that jumps decodes at most so many frames."""


class AudioSource(Protocol):
    """What a film sounds like, in packets ready to be muxed."""

    def attach(self, container: Any) -> None:
        """Add the streams to an ``av`` container opened for writing, before anything is written to it."""

    def packets(self, until: float) -> Iterator[Any]:
        """Packets that begin before ``until`` seconds and have not been given yet."""

    def rest(self) -> Iterator[Any]:
        """Everything that is left."""


class VideoWriter:
    """Write H.264 video that browsers play: yuv420p, index at the front, every frame at its own time.

    The file appears under its name only when the context ends without an exception. ``rotation`` stores a
    display rotation in degrees clockwise. ``sound`` is written along with the picture; ``tone`` makes one, a
    sine of that many hertz. ``preset`` and ``crf`` are x264's; ``threads`` 0 lets it choose. ``colour``
    states how pixels stand for colours: the H.273 codes of matrix, primaries and transfer. ``comment`` goes
    into the file's metadata. Odd sides grow by one pixel, since the format has none. Raises OutputError.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        width: int,
        height: int,
        crf: int = 23,
        rotation: int = 0,
        tone: float = 0.0,
        sound: AudioSource | None = None,
        preset: str = "medium",
        threads: int = 0,
        colour: tuple[int, int, int] | None = None,
        comment: str | None = None,
    ) -> None:
        self._path = Path(path)
        self._partial = self._path.with_name(f".{self._path.stem}.partial{self._path.suffix}")
        self._margin = (height % 2, width % 2)
        self._sound = Tone(tone) if tone else sound
        self._waiting: VideoFrame | None = None
        self._time = float("-inf")
        self._lengths: dict[int, int] = {}
        self._step = round(Fraction(1, 25) / _CLOCK)
        self._until: float | None = None
        try:
            with self._reporting():
                self._container = av.open(f"file:{self._partial.absolute()}", "w", options=_MUXER)
                if comment:
                    self._container.metadata["comment"] = comment
                self._stream: Any = self._container.add_stream("libx264", rate=30)
                if self._sound is not None:
                    self._sound.attach(self._container)
        except BaseException:
            self._discard()
            raise
        self._stream.width, self._stream.height = width + width % 2, height + height % 2
        self._stream.pix_fmt = "yuv420p"
        self._stream.time_base = self._stream.codec_context.time_base = _CLOCK
        # with frames out of order MP4 cannot say how long the last one is shown, and players end early
        self._stream.options = {"crf": str(crf), "preset": preset, "g": str(_KEYFRAME_INTERVAL), "bf": "0"}
        self._stream.codec_context.thread_count = threads
        if rotation:
            self._stream.set_display_rotation(-rotation)
        if colour is not None:
            context = self._stream.codec_context
            context.colorspace, context.color_primaries, context.color_trc = colour
            context.color_range = 1  # limited, as yuv420p has it

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                with self._reporting():
                    self._finish()
            else:
                with contextlib.suppress(av.error.FFmpegError, OSError):
                    self._container.close()
        finally:
            self._discard()

    def write(self, image: ByteArray, time: float) -> None:
        """Add a picture (height, width, 3) uint8, blue-green-red, shown from ``time`` seconds on.

        ValueError unless ``time`` is later than that of the picture before.
        """
        if any(self._margin):
            bottom, right = self._margin
            image = np.asarray(cv2.copyMakeBorder(image, 0, bottom, 0, right, cv2.BORDER_REPLICATE), np.uint8)
        self._add(VideoFrame.from_ndarray(image, format="bgr24"), time)

    def write_planes(self, planes: ByteArray, time: float) -> None:
        """The same for a picture as ``VideoReader.planes`` gives it: (height * 3 / 2, width) uint8, sides even.

        It is not copied, so it must not change afterwards.
        """
        self._add(VideoFrame.from_numpy_buffer(planes, format="yuv420p"), time)

    def hold(self, until: float) -> None:
        """Show the last picture until that second; otherwise for as long as the one before it."""
        self._until = until

    def _add(self, frame: VideoFrame, time: float) -> None:
        """Take in a frame; the one before it is encoded now that its length is known. One that is shown for less
        than the unit of time is never seen, and left out."""
        if time <= self._time:
            raise ValueError(f"times must increase: {time} s after {self._time} s")
        pts = round(time / _CLOCK)
        before, self._time = self._waiting, time
        if before is not None and before.pts is not None and pts > before.pts:
            self._step = pts - before.pts
            self._encode(before, self._step)
        frame.pts, frame.time_base = pts, _CLOCK
        self._waiting = frame

    def _encode(self, frame: VideoFrame, duration: int) -> None:
        self._lengths[frame.pts or 0] = duration
        with self._reporting():
            if self._sound is not None:
                for packet in self._sound.packets(float((frame.pts or 0) * _CLOCK)):
                    self._container.mux(packet)
            self._mux(self._stream.encode(frame))

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            packet.duration = self._lengths.pop(packet.pts, packet.duration)  # the encoder tells its own guess
            self._container.mux(packet)

    @contextlib.contextmanager
    def _reporting(self) -> Iterator[None]:
        """Raise OutputError for what the disk refuses, EncodingFailed for what FFmpeg does."""
        try:
            yield
        except OutputError:
            raise
        except (av.error.FFmpegError, OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            refused = OutputError if isinstance(error, OSError) else EncodingFailed
            raise refused(f"cannot write {self._path}: {reason}") from error

    def _discard(self) -> None:
        with contextlib.suppress(OSError):
            self._partial.unlink()

    def _finish(self) -> None:
        last = self._waiting
        if last is None or last.pts is None:
            raise ValueError("there is no picture to write")
        held = round(self._until / _CLOCK) - last.pts if self._until is not None else 0
        duration = held if held > 0 else self._step
        self._encode(last, duration)
        self._mux(self._stream.encode(None))
        if self._sound is not None:
            for packet in self._sound.packets(float((last.pts + duration) * _CLOCK)):
                self._container.mux(packet)
            for packet in self._sound.rest():
                self._container.mux(packet)
        self._container.close()
        with self._partial.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(self._partial, self._path)


def read_comment(path: Path) -> str | None:
    """The comment that ``VideoWriter`` left in a file; None where there is none, or no such video."""
    with (
        contextlib.suppress(av.error.FFmpegError, OSError, ValueError),
        av.open(f"file:{path.absolute()}") as container,
    ):
        return container.metadata.get("comment")
    return None


class Tone:
    """A sine of ``frequency`` hertz, as long as the picture."""

    _RATE, _BLOCK = 44100, 1024

    def __init__(self, frequency: float) -> None:
        self._frequency = frequency
        self._begin = 0
        self._stream: Any = None

    def attach(self, container: Any) -> None:
        """Add an AAC stream."""
        self._stream = container.add_stream("aac", rate=self._RATE, layout="mono")

    def packets(self, until: float) -> Iterator[Any]:
        """Sound up to ``until`` seconds."""
        while self._begin < int(until * self._RATE):
            moments = np.arange(self._begin, self._begin + self._BLOCK) / self._RATE
            samples = (0.1 * np.sin(2 * np.pi * self._frequency * moments)).astype(np.float32)[None]
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = self._RATE, self._begin, Fraction(1, self._RATE)
            self._begin += self._BLOCK
            yield from self._stream.encode(frame)

    def rest(self) -> Iterator[Any]:
        """What the encoder still holds."""
        yield from self._stream.encode(None)
