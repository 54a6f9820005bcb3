"""Reading video: exact presentation times, pictures as shown. Shares ``av`` with ``writer`` and ``sound`` alone."""

from __future__ import annotations

import heapq
import math
import os
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import av.error
import numpy as np
from av.codec.hwaccel import HWAccel
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from fervid.errors import UnreadableVideo
from fervid.runtime.opencv import cv2
from fervid.settings import DecoderName
from fervid.types import ByteArray, Frame, VideoInfo
from fervid.video.container import failure_reason, open_local
from fervid.video.sampling import TIME_TOLERANCE as TOLERANCE
from fervid.video.sampling import SamplingGrid, SeekPoint

THUMBNAIL = 64
"""Long side of a frame's thumbnail, about, in pixels."""

MAX_CORRUPT = 250
"""So many undecodable packets in a row end the file."""

MAX_PIXELS = 16384 * 16384

_REORDER_DEPTH = 16

_UNSPECIFIED = 2
"""H.273's code where nobody says how pixels stand for colours."""


class VideoReader:
    """The first video stream of a local file.

    ``frames()`` yields every decoded frame in presentation order and marks those that the sampling grid
    takes; only a frame whose ``image`` is read is converted. ``planes()`` yields them ready to be drawn on and
    encoded again. After iteration ``corrupt`` counts undecodable packets and frames, ``repaired`` the times
    that had to be made up because the container's were missing or ran backwards, ``ends`` is when the last
    frame gives way, in seconds, and ``truncated`` says whether the file ended early. ``origin``: the
    container's time, in seconds, of the player's zero. With ``begin`` reading begins in the middle, and frames
    before that one are left out. With the ``decoder`` nvdec an NVIDIA GPU decodes where there is one that knows the
    codec, which ``accelerated`` tells; elsewhere the CPU does.

    Raises UnreadableVideo, with a reason, when opened or iterated.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        fps: float = 5.0,
        start: float = 0.0,
        end: float | None = None,
        threads: int = 0,
        seek_point: SeekPoint | None = None,
        decoder: DecoderName = "cpu",
    ) -> None:
        self._fps, self._start, self._end, self._seek_point = fps, start, end, seek_point
        self.corrupt = 0
        self.repaired = 0
        self.truncated = False
        self.end_time = 0.0
        self._reformatter = VideoReformatter()
        self.accelerated = False
        if decoder == "nvdec":
            try:
                self._open(path, threads, HWAccel("cuda", allow_software_fallback=True))
                self.accelerated = bool(self._stream.codec_context.is_hwaccel)
                return
            except UnreadableVideo:  # no such device, or the video is none: the CPU will tell
                self.corrupt, self.truncated = 0, False
        self._open(path, threads, None)

    def _open(self, path: str | os.PathLike[str], threads: int, device: HWAccel | None) -> None:
        """Open the file and decode its first frame."""
        self._container = open_local(path, device)
        self.origin = float(Fraction(self._container.start_time or 0, av.time_base))
        try:
            if not self._container.streams.video:
                raise UnreadableVideo("no video stream")
            self._stream = self._container.streams.video[0]
            if self._stream.codec_context is None:
                raise UnreadableVideo("no decoder knows the codec")
            self._stream.thread_type = "AUTO"
            self._stream.codec_context.thread_count = threads
            if self._seek_point is not None:
                self._container.seek(self._seek_point.seek, stream=self._stream)
            self._decoded = self._in_order()
            self._first = self._peek()
            self.info = self._describe()
        except av.error.FFmpegError as error:
            self._container.close()
            raise UnreadableVideo(failure_reason(error)) from error
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
            raise UnreadableVideo(failure_reason(error)) from error
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
                    raise UnreadableVideo(f"{run} undecodable packets in a row: {failure_reason(error)}") from error
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
            if first is None and stamp is not None:
                first, self.origin = stamp, float(stamp * base)
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
        grid = SamplingGrid(self._fps, self._start, self._seek_point.tick if self._seek_point else None)
        for index, time, picture in self._intact():
            sampled = grid.takes(time)
            yield Frame(index, time, sampled, self._thumbnail(picture), lambda p=picture: self._convert(p))  # type: ignore[misc]

    def planes(self) -> Iterator[tuple[float, ByteArray]]:
        """(time, picture) of every decoded frame, as shown, whatever the sampling grid. Instead of ``frames()``.

        A picture is the caller's own, (height * 3 / 2, width) uint8: 8-bit 4:2:0 of limited range, the luma
        plane over the two chroma planes (I420). Odd sides grow by one pixel.
        """
        for _, time, picture in self._intact():
            yield time, self._planes(picture)

    def _intact(self) -> Iterator[tuple[int, float, VideoFrame]]:
        """(index, time, frame) of every decoded frame up to ``end`` that is not damaged."""
        index = self._seek_point.index - 1 if self._seek_point else -1
        try:
            for time, picture in self._timed():
                if self._seek_point and time < self._seek_point.time:
                    self.corrupt += picture.is_corrupt
                    continue
                index += 1
                if self._end is not None and time > self._end + TOLERANCE:
                    return
                self.end_time = time + float((picture.duration or 0) * (picture.time_base or 0))
                if picture.is_corrupt:
                    self.corrupt += 1
                else:
                    yield index, time, picture
        except av.error.FFmpegError as error:
            raise UnreadableVideo(failure_reason(error)) from error
        self.truncated |= self._ends_early(self.end_time)

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
        return self._upright(image)

    def _upright(self, image: ByteArray) -> ByteArray:
        turns = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
        turn = turns.get(self.info.rotation)
        return image if turn is None else np.asarray(cv2.rotate(image, turn), np.uint8)

    @property
    def colour(self) -> tuple[int, int, int]:
        """H.273 codes of matrix, primaries and transfer of what ``planes`` yields; 2 where unspecified."""
        picture = self._first[1]
        matrix, primaries = int(picture.colorspace), int(picture.color_primaries)
        if not picture.format.components[0].is_luma or matrix == 0:
            return 6, primaries, int(picture.color_trc)  # RGB becomes BT.601
        return matrix, primaries, int(picture.color_trc)

    def _planes(self, picture: VideoFrame) -> ByteArray:
        width, height = self._unrotated
        if (picture.format.name, picture.width, picture.height) != (
            "yuv420p",
            width,
            height,
        ) or picture.color_range == 2:
            picture = self._reformatter.reformat(
                picture, width=width, height=height, format="yuv420p", dst_color_range=1, threads=1
            )
        shown = [self._upright(_pixels(plane)) for plane in picture.planes]
        height, width = (side + side % 2 for side in shown[0].shape)
        canvas = np.empty((height * 3 // 2, width), np.uint8)
        for target, plane in zip(split_planes(canvas), shown, strict=True):
            rows, columns = plane.shape
            target[:rows, :columns] = plane
            target[rows:, :columns] = plane[-1:]
            target[:, columns:] = target[:, columns - 1 : columns]
        return canvas

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


def split_planes(canvas: ByteArray) -> tuple[ByteArray, ByteArray, ByteArray]:
    """Views of luma (h, w), blue and red difference (h / 2, w / 2) of a picture (h * 3 / 2, w) in I420."""
    height, width = canvas.shape[0] * 2 // 3, canvas.shape[1]
    chroma = canvas[height:].reshape(2, height // 2, width // 2)
    return canvas[:height], chroma[0], chroma[1]


def _pixels(plane: Any) -> ByteArray:
    """A view of a plane of 8-bit samples."""
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
    return rows[:, : plane.width]
