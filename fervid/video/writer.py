"""Writing H.264 video with exact frame times. The output file is complete or absent."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import av
import av.error
import numpy as np
from av.video.frame import VideoFrame

from fervid.errors import EncodingFailed, OutputError, UnreadableVideo
from fervid.files.atomic import atomic_path
from fervid.runtime.opencv import cv2
from fervid.types import ByteArray
from fervid.video.container import open_local

_TIME_BASE = Fraction(1, 90000)
"""Unit of the written timestamps in seconds, finer than the clock of any camera."""

_MUXER_OPTIONS = {"movflags": "+faststart", "movie_timescale": str(_TIME_BASE.denominator)}

_KEYFRAME_INTERVAL = 120
"""Frames between keyframes. A player that seeks decodes at most this many frames."""


class AudioSource(Protocol):
    """Audio as packets that are ready to be written."""

    def attach(self, container: Any) -> None:
        """Add the audio streams to the output before any packet is written.

        Args:
            container: The ``av`` container opened for writing.
        """

    def packets(self, until: float) -> Iterator[Any]:
        """Yield the packets that begin before a time and have not been yielded yet.

        Args:
            until: Time in seconds.

        Yields:
            ``av`` packets.
        """

    def rest(self) -> Iterator[Any]:
        """Yield all remaining packets.

        Yields:
            ``av`` packets.
        """


@dataclass(frozen=True)
class EncoderSettings:
    """Settings of the H.264 encoder (x264).

    Attributes:
        crf: Constant rate factor of x264; 0 is lossless, larger is smaller and worse.
        preset: Speed preset of x264.
        threads: Encoder threads; 0 lets x264 choose.
        rotation: Display rotation to store, in degrees clockwise.
        colour: H.273 codes of matrix, primaries and transfer to store; None stores nothing.
    """

    crf: int = 23
    preset: str = "medium"
    threads: int = 0
    rotation: int = 0
    colour: tuple[int, int, int] | None = None


class VideoWriter:
    """Writes H.264 video that browsers play: yuv420p, index at the front, each frame at its exact time.

    The file appears under its name only when the context ends without an exception. Odd sides grow by one pixel,
    because 4:2:0 video needs even sides.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        width: int,
        height: int,
        encoder: EncoderSettings | None = None,
        audio: AudioSource | None = None,
        comment: str | None = None,
    ) -> None:
        """Open the output.

        Args:
            path: Output file. Its suffix chooses the container format.
            width: Frame width in pixels.
            height: Frame height in pixels.
            encoder: Encoder settings; None uses the defaults.
            audio: Audio to write along with the video.
            comment: Comment to store in the metadata of the file.

        Raises:
            OutputError: The file cannot be written.
            EncodingFailed: FFmpeg refuses the settings.
        """
        encoder = encoder or EncoderSettings()
        self._path = Path(path)
        self._padding = (height % 2, width % 2)
        self._audio = audio
        self._waiting: VideoFrame | None = None
        self._last_time = float("-inf")
        self._durations: dict[int, int] = {}
        self._step = round(Fraction(1, 25) / _TIME_BASE)
        self._hold_until: float | None = None
        self._output = atomic_path(self._path)
        partial = self._output.__enter__()
        try:
            with self._translating_errors():
                self._container = av.open(f"file:{partial.absolute()}", "w", options=_MUXER_OPTIONS)
                if comment:
                    self._container.metadata["comment"] = comment
                self._stream: Any = self._container.add_stream("libx264", rate=30)
                if audio is not None:
                    audio.attach(self._container)
        except BaseException:
            self._discard()
            raise
        self._configure(width + width % 2, height + height % 2, encoder)

    def _configure(self, width: int, height: int, encoder: EncoderSettings) -> None:
        stream, context = self._stream, self._stream.codec_context
        stream.width, stream.height = width, height
        stream.pix_fmt = "yuv420p"
        stream.time_base = context.time_base = _TIME_BASE
        # With B-frames MP4 cannot store the duration of the last frame, and players end early.
        stream.options = {"crf": str(encoder.crf), "preset": encoder.preset, "g": str(_KEYFRAME_INTERVAL), "bf": "0"}
        context.thread_count = encoder.threads
        if encoder.rotation:
            stream.set_display_rotation(-encoder.rotation)
        if encoder.colour is not None:
            context.colorspace, context.color_primaries, context.color_trc = encoder.colour
            context.color_range = 1  # limited range, the usual one for yuv420p

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                with self._translating_errors():
                    self._finish()
            else:
                with contextlib.suppress(av.error.FFmpegError, OSError):
                    self._container.close()
        except BaseException:
            kind = _Discarded
            raise
        finally:
            if kind is None:
                self._output.__exit__(None, None, None)
            else:
                self._discard()

    def write(self, image: ByteArray, time: float) -> None:
        """Add a frame.

        Args:
            image: (height, width, 3) uint8, blue-green-red.
            time: Presentation time in seconds.

        Raises:
            ValueError: ``time`` is not later than the time of the frame before.
            OutputError: The file cannot be written.
            EncodingFailed: FFmpeg cannot encode the frame.
        """
        if any(self._padding):
            bottom, right = self._padding
            image = np.asarray(cv2.copyMakeBorder(image, 0, bottom, 0, right, cv2.BORDER_REPLICATE), np.uint8)
        self._add(VideoFrame.from_ndarray(image, format="bgr24"), time)

    def write_planes(self, planes: ByteArray, time: float) -> None:
        """Add a frame in the form that ``VideoReader.planes`` gives.

        Args:
            planes: (height * 3 / 2, width) uint8, I420 with even sides. It is not copied, so do not change it later.
            time: Presentation time in seconds.

        Raises:
            ValueError: ``time`` is not later than the time of the frame before.
            OutputError: The file cannot be written.
            EncodingFailed: FFmpeg cannot encode the frame.
        """
        self._add(VideoFrame.from_numpy_buffer(planes, format="yuv420p"), time)

    def hold(self, until: float) -> None:
        """Show the last frame until a time. By default it lasts as long as the frame before it.

        Args:
            until: Time in seconds.
        """
        self._hold_until = until

    def _add(self, frame: VideoFrame, time: float) -> None:
        """Queue a frame and encode the one before it, whose duration is known now.

        A frame with a duration below the time base would never be shown and is dropped.
        """
        if time <= self._last_time:
            raise ValueError(f"times must increase: {time} s after {self._last_time} s")
        pts = round(time / _TIME_BASE)
        before, self._last_time = self._waiting, time
        if before is not None and before.pts is not None and pts > before.pts:
            self._step = pts - before.pts
            self._encode(before, self._step)
        frame.pts, frame.time_base = pts, _TIME_BASE
        self._waiting = frame

    def _encode(self, frame: VideoFrame, duration: int) -> None:
        self._durations[frame.pts or 0] = duration
        with self._translating_errors():
            if self._audio is not None:
                for packet in self._audio.packets(float((frame.pts or 0) * _TIME_BASE)):
                    self._container.mux(packet)
            self._mux(self._stream.encode(frame))

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            packet.duration = self._durations.pop(packet.pts, packet.duration)  # the encoder only guesses a duration
            self._container.mux(packet)

    @contextlib.contextmanager
    def _translating_errors(self) -> Iterator[None]:
        """Raise OutputError for errors of the operating system and EncodingFailed for errors of FFmpeg."""
        try:
            yield
        except OutputError:
            raise
        except (av.error.FFmpegError, OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            refused = OutputError if isinstance(error, OSError) else EncodingFailed
            raise refused(f"cannot write {self._path}: {reason}") from error

    def _discard(self) -> None:
        """Remove the partial file."""
        self._output.__exit__(_Discarded, _Discarded(), None)

    def _finish(self) -> None:
        """Encode the last frame and the remaining audio, and close the file."""
        last = self._waiting
        if last is None or last.pts is None:
            raise ValueError("there is no frame to write")
        held = round(self._hold_until / _TIME_BASE) - last.pts if self._hold_until is not None else 0
        duration = held if held > 0 else self._step
        self._encode(last, duration)
        self._mux(self._stream.encode(None))
        if self._audio is not None:
            for packet in self._audio.packets(float((last.pts + duration) * _TIME_BASE)):
                self._container.mux(packet)
            for packet in self._audio.rest():
                self._container.mux(packet)
        self._container.close()


class _Discarded(Exception):
    """Makes ``atomic_path`` remove the partial file. It is caught in this module."""


def read_comment(path: Path) -> str | None:
    """Read the comment that ``VideoWriter`` stored in a file.

    Args:
        path: Video file.

    Returns:
        The comment; None if the file has none or is not a video.
    """
    with contextlib.suppress(UnreadableVideo, OSError, ValueError):
        if path.is_file():  # a pipe or a device might never answer
            with open_local(path) as container:
                return dict(container.metadata).get("comment")
    return None
