"""Reading and writing video: exact presentation times, pictures as shown. The only file that imports av."""

from __future__ import annotations

import contextlib
import heapq
import math
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import av.error
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from fervid.errors import OutputError, UnreadableVideo
from fervid.opencv import cv2
from fervid.types import ByteArray, Frame, VideoInfo

FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,flv,live_flv,asf,ogg,mxf,nut,dv,rm,gif,ivf,obu,"
    "h264,hevc,m4v,mjpeg,h263,vvc,wtv,swf,vob,amv"
)
"""Demuxers that read one local file. Playlists and pattern formats, which open further addresses, are not here."""

THUMBNAIL = 64
"""Long side of a frame's thumbnail, about, in pixels."""

MAX_CORRUPT = 250
"""So many undecodable packets in a row end the file."""

MAX_PIXELS = 16384 * 16384

TOLERANCE = 0.0006
"""Containers round times to as little as a millisecond; a frame this much before a tick is still at it. Seconds."""

_REORDER_DEPTH = 16

_CLOCK = Fraction(1, 90000)
"""The writer's unit of time."""


class VideoReader:
    """The first video stream of a local file.

    ``frames()`` yields every decoded frame in presentation order and marks those that the sampling grid
    takes; only a frame whose ``bgr`` is read is converted. After iteration ``corrupt`` counts undecodable
    packets and frames, ``repaired`` the times that had to be made up because the container's were missing
    or ran backwards, and ``truncated`` says whether the file ended early.

    Raises UnreadableVideo, with a reason, when opened or iterated.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        fps: float = 5.0,
        start: float = 0.0,
        end: float | None = None,
        threads: int = 0,
    ) -> None:
        self._fps, self._start, self._end = fps, start, end
        self.corrupt = 0
        self.repaired = 0
        self.truncated = False
        self._reformatter = VideoReformatter()
        self._container = _open(path)
        try:
            if not self._container.streams.video:
                raise UnreadableVideo("no video stream")
            self._stream = self._container.streams.video[0]
            self._stream.thread_type = "AUTO"
            self._stream.codec_context.thread_count = threads
            self._decoded = self._in_order()
            self._first = self._peek()
            self.info = self._describe()
        except BaseException:
            self._container.close()
            raise

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the file."""
        self._container.close()

    def _peek(self) -> tuple[float | None, VideoFrame]:
        try:
            first = next(self._decoded, None)
        except av.error.FFmpegError as error:
            raise UnreadableVideo(_reason(error)) from error
        if first is None:
            raise UnreadableVideo("no frame can be decoded")
        if first[1].width * first[1].height > MAX_PIXELS:
            raise UnreadableVideo(f"absurd dimensions: {first[1].width}x{first[1].height}")
        return first

    def _describe(self) -> VideoInfo:
        stream, frame = self._stream, self._first[1]
        ratio = float(stream.sample_aspect_ratio or 1) or 1.0
        width, height = max(1, round(frame.width * ratio)), frame.height
        if not 0.05 <= ratio <= 20 or width * height > MAX_PIXELS:
            width, ratio = frame.width, 1.0
        self._unrotated = (width, height)
        rotation = -round(frame.rotation / 90) * 90 % 360
        if rotation in (90, 270):
            width, height = height, width
        return VideoInfo(width, height, rotation, stream.codec_context.codec.canonical_name, self._duration(), ratio)

    def _duration(self) -> float | None:
        """Seconds from the player's zero to the end that the container states."""
        container, stream = self._container, self._stream
        if container.duration is not None:
            # Matroska as FFmpeg writes it states where the end lies, not how long the film is
            skipped = container.start_time or 0 if "matroska" in container.format.name else 0
            return max(0.0, float(container.duration - skipped) / av.time_base)
        return float(stream.duration * stream.time_base) if stream.duration and stream.time_base else None

    def _packets(self) -> Iterator[Any]:
        """Packets of the stream; a demuxing error ends the file early instead of raising."""
        try:
            yield from self._container.demux(self._stream)
        except av.error.FFmpegError:
            self.truncated = True
            yield None

    def _decode(self) -> Iterator[VideoFrame]:
        """Decoded frames in the decoder's order; undecodable packets are skipped and counted."""
        run = 0
        for packet in self._packets():
            try:
                frames = self._stream.codec_context.decode(packet)
                run = 0
            except av.error.EOFError:
                return
            except av.error.FFmpegError as error:
                self.corrupt += 1
                run += 1
                if run >= MAX_CORRUPT:
                    raise UnreadableVideo(f"{run} undecodable packets in a row: {_reason(error)}") from error
                continue
            yield from frames

    def _in_order(self) -> Iterator[tuple[float | None, VideoFrame]]:
        """(seconds on the player's clock or None, frame), in presentation order.

        Some containers, AVI first of all, carry decode times only. With B-frames the frames then come in
        order but their times are a permutation within the reordering window; sorting within that window
        restores them. Such containers count from their first frame.
        """
        base = self._stream.time_base or Fraction(1, 90000)
        if not (self._container.format.name == "avi" and self._stream.codec_context.has_b_frames):
            origin = Fraction(self._container.start_time or 0, av.time_base)
            for frame in self._decode():
                yield (None if frame.pts is None else float(frame.pts * base - origin)), frame
            return
        waiting: list[VideoFrame] = []
        stamps: list[int] = []
        first: int | None = None

        def release() -> tuple[float | None, VideoFrame]:
            nonlocal first
            frame = waiting.pop(0)
            stamp = heapq.heappop(stamps) if stamps else None
            first = stamp if first is None else first
            if stamp != frame.pts:
                self.repaired += 1
            return (None if stamp is None or first is None else float((stamp - first) * base)), frame

        for frame in self._decode():
            waiting.append(frame)
            if frame.pts is not None:
                heapq.heappush(stamps, frame.pts)
            if len(waiting) > _REORDER_DEPTH:
                yield release()
        while waiting:
            yield release()

    def _timed(self) -> Iterator[tuple[float, VideoFrame]]:
        """Frames with times that increase; a missing or backward time is put one frame period after the last."""
        rate = self._stream.average_rate or self._stream.guessed_rate
        period = float(1 / rate) if rate and 1 <= rate <= 1000 else 0.04
        last = -math.inf

        def both() -> Iterator[tuple[float | None, VideoFrame]]:
            yield self._first
            yield from self._decoded

        for time, frame in both():
            if time is None or not time > last:
                time = 0.0 if last == -math.inf else last + period
                self.repaired += 1
            last = time
            yield time, frame

    def frames(self) -> Iterator[Frame]:
        """Every decoded frame up to ``end``, those on the grid marked as sampled. Can be called once.

        The grid has a tick at ``start`` and every 1/fps seconds after it; at each tick the first frame at
        or after it is taken, none twice. With fps 0 every frame from ``start`` on is taken.
        """
        tick = self._start
        end = 0.0
        try:
            for index, (time, picture) in enumerate(self._timed()):
                if self._end is not None and time > self._end + TOLERANCE:
                    return
                end = time + float((picture.duration or 0) * (picture.time_base or 0))
                if picture.is_corrupt:
                    self.corrupt += 1
                    continue
                sampled = time >= tick - TOLERANCE
                if sampled and self._fps > 0:
                    ticks = math.floor((time + TOLERANCE - self._start) * self._fps) + 1
                    tick = self._start + ticks / self._fps
                yield Frame(index, time, sampled, self._thumbnail(picture), lambda p=picture: self._convert(p))  # type: ignore[misc]
        except av.error.FFmpegError as error:
            raise UnreadableVideo(_reason(error)) from error
        self.truncated |= self._ends_early(end)

    def _ends_early(self, end: float) -> bool:
        """Whether the last picture was gone well before the end that the container states.

        Where only the length of the whole film is stated, the sound may go on for a while.
        """
        stated, duration = self._stated_end(), self.info.duration
        if stated is not None:
            return end < stated - max(0.25, 0.02 * stated)
        return duration is not None and end < duration - max(1.0, 0.05 * duration)

    def _stated_end(self) -> float | None:
        """When the picture ends, which ISO media (mp4, mov) and AVI state apart from the sound. None elsewhere."""
        stream, container = self._stream, self._container
        if "mp4" in container.format.name and stream.duration and stream.start_time is not None:
            origin = Fraction(container.start_time or 0, av.time_base)
            return float((stream.start_time + stream.duration) * stream.time_base - origin)
        if container.format.name == "avi" and stream.frames and stream.average_rate:
            return float(stream.frames / stream.average_rate)
        return None

    def _convert(self, picture: VideoFrame) -> ByteArray:
        width, height = self._unrotated
        shown = self._reformatter.reformat(picture, width=width, height=height, format="bgr24", threads=1)
        image = np.asarray(shown.to_ndarray(), np.uint8)
        turns = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
        if self.info.rotation:
            image = np.asarray(cv2.rotate(image, turns[self.info.rotation]), np.uint8)
        return image

    def _thumbnail(self, picture: VideoFrame) -> ByteArray:
        """A small gray picture, not rotated: the free luma plane where there is one of 8 bits."""
        step = max(1, max(picture.width, picture.height) // THUMBNAIL)
        luma = picture.format.components[0]
        if luma.is_luma and luma.bits == 8 and picture.format.is_planar:
            plane = picture.planes[0]
            pixels = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
            top, left = min(step, plane.height) // 2, min(step, plane.width) // 2
            return np.array(pixels[top::step, left : plane.width : step])
        width, height = max(1, picture.width // step), max(1, picture.height // step)
        return np.asarray(picture.reformat(width=width, height=height, format="gray").to_ndarray(), np.uint8)


def _open(path: str | os.PathLike[str]) -> Any:
    """The opened container. Only local files: protocols and demuxers are limited to such."""
    name = os.fsdecode(os.path.abspath(path))
    try:
        if os.path.getsize(path) == 0:
            raise UnreadableVideo("empty file")
        options = {"protocol_whitelist": "file", "format_whitelist": FORMATS}
        return av.open(f"file:{name}", options=options, metadata_errors="replace")
    except av.error.FFmpegError as error:
        raise UnreadableVideo(_reason(error)) from error
    except OSError as error:
        raise UnreadableVideo(error.strerror or str(error)) from error


def _reason(error: Exception) -> str:
    if isinstance(error, (av.error.InvalidDataError, av.error.ArgumentError)):
        return "not a video, or damaged beyond decoding"
    return str(getattr(error, "strerror", None) or error)


class VideoWriter:
    """Write H.264 video that browsers play: yuv420p, index at the front, every frame at its own time.

    The file appears under its name only when the context ends without an exception. ``rotation`` stores a
    display rotation in degrees clockwise; ``tone`` adds a sine of that many hertz as sound. Odd sides grow
    by one pixel, since the format has none. Raises OutputError.
    """

    def __init__(
        self, path: str | os.PathLike[str], width: int, height: int, crf: int = 23, rotation: int = 0, tone: float = 0.0
    ) -> None:
        self._path = Path(path)
        self._partial = self._path.with_name(f".{self._path.stem}.partial{self._path.suffix}")
        self._margin = (height % 2, width % 2)
        self._tone = tone
        self._last: int | None = None
        try:
            with self._reporting():
                self._container = av.open(f"file:{self._partial.absolute()}", "w", options={"movflags": "+faststart"})
                self._stream: Any = self._container.add_stream("libx264", rate=30)
                self._audio = self._container.add_stream("aac", rate=44100, layout="mono") if tone else None
        except BaseException:
            self._discard()
            raise
        self._stream.width, self._stream.height = width + width % 2, height + height % 2
        self._stream.pix_fmt = "yuv420p"
        self._stream.time_base = self._stream.codec_context.time_base = _CLOCK
        self._stream.options = {"crf": str(crf), "preset": "medium"}
        if rotation:
            self._stream.set_display_rotation(-rotation)

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
        pts = round(time / _CLOCK)
        if self._last is not None and pts <= self._last:
            raise ValueError(f"times must increase: {time} s after {float(self._last * _CLOCK)} s")
        self._last = pts
        if any(self._margin):
            bottom, right = self._margin
            image = np.asarray(cv2.copyMakeBorder(image, 0, bottom, 0, right, cv2.BORDER_REPLICATE), np.uint8)
        frame = VideoFrame.from_ndarray(image, format="bgr24")
        frame.pts, frame.time_base = pts, _CLOCK
        with self._reporting():
            self._container.mux(self._stream.encode(frame))

    @contextlib.contextmanager
    def _reporting(self) -> Iterator[None]:
        """Raise OutputError for what FFmpeg or the disk refuses."""
        try:
            yield
        except (av.error.FFmpegError, OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise OutputError(f"cannot write {self._path}: {reason}") from error

    def _discard(self) -> None:
        with contextlib.suppress(OSError):
            self._partial.unlink()

    def _finish(self) -> None:
        if self._last is None:
            raise ValueError("there is no picture to write")
        if self._audio is not None:
            self._write_tone(self._audio, float(self._last * _CLOCK))
        self._container.mux(self._stream.encode(None))
        self._container.close()
        with self._partial.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(self._partial, self._path)

    def _write_tone(self, stream: Any, seconds: float) -> None:
        rate, block = 44100, 1024
        for begin in range(0, int(seconds * rate), block):
            phase = 2 * np.pi * self._tone * np.arange(begin, begin + block) / rate
            samples = (0.1 * np.sin(phase)).astype(np.float32)[None]
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = rate, begin, Fraction(1, rate)
            self._container.mux(stream.encode(frame))
        self._container.mux(stream.encode(None))
