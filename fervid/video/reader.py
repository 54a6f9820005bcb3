"""Reading video: frames as shown, with exact presentation times."""

from __future__ import annotations

import heapq
import itertools
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
from fervid.video.sampling import TIME_TOLERANCE, SamplingGrid, SeekPoint

THUMBNAIL_SIDE = 64
"""Approximate long side of a thumbnail in pixels."""

MAX_CORRUPT = 250
"""Reading fails after this many undecodable packets in a row."""

MAX_PIXELS = 16384 * 16384
"""A file with larger frames is refused."""

_REORDER_DEPTH = 16
"""Largest number of frames between decode order and presentation order in H.264 and H.265."""


class VideoReader:
    """Reads the first video stream of a local file.

    Use it as a context manager and iterate ``frames()`` or ``planes()``, once. The counters are final after iteration.
    Time 0 is the start of the file, as video players count it.

    Attributes:
        info: What the container says about the stream.
        origin: Time 0 on the container's own clock, in seconds.
        accelerated: Whether an NVIDIA GPU decodes.
        corrupt: Number of undecodable packets and damaged frames.
        repaired: Number of missing or backward timestamps that were replaced.
        end_time: End of the last frame in seconds.
        truncated: Whether the file ends early.
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
        """Open a file and decode its first frame.

        Args:
            path: Video file.
            fps: Samples per second; 0 samples every frame.
            start: Time of the first sample in seconds.
            end: Time in seconds after which reading stops; None reads to the end.
            threads: Decoder threads; 0 lets FFmpeg choose.
            seek_point: Where reading begins; None: at the start. Frames before it are left out.
            decoder: ``nvdec`` decodes on an NVIDIA GPU if there is one that supports the codec, else on the CPU.

        Raises:
            UnreadableVideo: The file is not a video that can be decoded.
        """
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
            except UnreadableVideo:  # no such device, or not a video; the CPU decoder reports which
                self.corrupt, self.truncated = 0, False
        self._open(path, threads, None)

    def _open(self, path: str | os.PathLike[str], threads: int, device: HWAccel | None) -> None:
        self._container = open_local(path, device)
        self.origin = float(Fraction(self._container.start_time or 0, av.time_base))
        try:
            if not self._container.streams.video:
                raise UnreadableVideo("no video stream")
            self._stream = self._container.streams.video[0]
            if self._stream.codec_context is None:
                raise UnreadableVideo("no decoder supports the codec")
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
        """Close the file."""
        self._container.close()

    def _peek(self) -> tuple[float | None, VideoFrame]:
        try:
            first = next(self._decoded, None)
        except av.error.FFmpegError as error:
            raise UnreadableVideo(failure_reason(error)) from error
        if first is None:
            raise UnreadableVideo("no frame can be decoded")
        if first[1].width * first[1].height > MAX_PIXELS:
            raise UnreadableVideo(f"frames are too large: {first[1].width}x{first[1].height}")
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
        """Seconds from time 0 to the end that the container states."""
        container, stream = self._container, self._stream
        if container.duration is not None:
            # Matroska files written by FFmpeg state the end time, not the duration.
            skipped = container.start_time or 0 if "matroska" in container.format.name else 0
            return max(0.0, float(container.duration - skipped) / av.time_base)
        return float(stream.duration * stream.time_base) if stream.duration and stream.time_base else None

    def _packets(self) -> Iterator[Any]:
        """Packets of the stream. A demuxing error ends the file early and raises nothing."""
        try:
            yield from self._container.demux(self._stream)
        except av.error.FFmpegError:
            self.truncated = True
            yield None

    def _decode(self) -> Iterator[VideoFrame]:
        """Decoded frames in the decoder's order. Undecodable packets are skipped and counted."""
        failed = 0
        for packet in self._packets():
            try:
                frames = self._stream.codec_context.decode(packet)
                failed = 0
            except av.error.EOFError:
                return
            except av.error.FFmpegError as error:
                self.corrupt += 1
                failed += 1
                if failed >= MAX_CORRUPT:
                    raise UnreadableVideo(f"{failed} undecodable packets in a row: {failure_reason(error)}") from error
                continue
            yield from frames

    def _in_order(self) -> Iterator[tuple[float | None, VideoFrame]]:
        """(time in seconds or None, frame), in presentation order.

        AVI stores only decode times. With B-frames the decoder then gives frames in the right order, but their times
        are permuted within the reordering window. Sorting the times within the window restores them. Time 0 of such a
        file is its first frame.
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
        """Frames with increasing times. A missing or backward time becomes the time before plus one frame period."""
        rate = self._stream.average_rate or self._stream.guessed_rate
        period = float(1 / rate) if rate and 1 <= rate <= 1000 else 0.04
        last = -math.inf

        for time, frame in itertools.chain([self._first], self._decoded):
            if time is None or not time > last:
                time = 0.0 if last == -math.inf else last + period
                self.repaired += 1
            last = time
            yield time, frame

    def frames(self) -> Iterator[Frame]:
        """Decode the frames up to ``end`` in presentation order. Can be called once.

        Frames of the sampling grid are marked as sampled; see ``SamplingGrid``. Reading ``Frame.image`` converts that
        frame to blue-green-red; other frames are not converted.

        Yields:
            Every decoded frame that is not damaged.

        Raises:
            UnreadableVideo: Decoding fails.
        """
        grid = SamplingGrid(self._fps, self._start, self._seek_point.tick if self._seek_point else None)
        for index, time, frame in self._intact():
            sampled = grid.takes(time)
            yield Frame(index, time, sampled, self._thumbnail(frame), lambda f=frame: self._convert(f))  # type: ignore[misc]

    def planes(self) -> Iterator[tuple[float, ByteArray]]:
        """Decode all frames up to ``end`` as I420, for drawing and encoding. Can be called once, in place of
        ``frames``.

        Yields:
            Time in seconds, and the frame as shown: (height * 3 / 2, width) uint8, 8-bit 4:2:0 in limited range, the
            luma plane above the two chroma planes. The caller may change it. Odd sides grow by one pixel.

        Raises:
            UnreadableVideo: Decoding fails.
        """
        for _, time, frame in self._intact():
            yield time, self._planes(frame)

    def _intact(self) -> Iterator[tuple[int, float, VideoFrame]]:
        """(index, time, frame) of every decoded frame up to ``end`` that is not damaged."""
        index = self._seek_point.index - 1 if self._seek_point else -1
        try:
            for time, frame in self._timed():
                if self._seek_point and time < self._seek_point.time:
                    self.corrupt += frame.is_corrupt
                    continue
                index += 1
                if self._end is not None and time > self._end + TIME_TOLERANCE:
                    return
                self.end_time = time + float((frame.duration or 0) * (frame.time_base or 0))
                if frame.is_corrupt:
                    self.corrupt += 1
                else:
                    yield index, time, frame
        except av.error.FFmpegError as error:
            raise UnreadableVideo(failure_reason(error)) from error
        self.truncated |= self._ends_early(self.end_time)

    def _ends_early(self, end: float) -> bool:
        """Whether the last frame ends well before the end that the container states.

        If only the duration of the whole file is known, the tolerance is larger, because the audio may be longer.
        """
        stated, duration = self._stated_end(), self.info.duration
        if stated is not None:
            return end < stated - max(0.25, 0.02 * stated)
        return duration is not None and end < duration - max(1.0, 0.05 * duration)

    def _stated_end(self) -> float | None:
        """End of the video stream in seconds, which MP4, MOV and AVI state separately from the audio. None
        elsewhere."""
        stream, container = self._stream, self._container
        if "mp4" in container.format.name and stream.duration and stream.start_time is not None:
            origin = Fraction(container.start_time or 0, av.time_base)
            return float((stream.start_time + stream.duration) * stream.time_base - origin)
        if container.format.name == "avi" and stream.frames and stream.average_rate:
            return float(stream.frames / stream.average_rate)
        return None

    def _convert(self, frame: VideoFrame) -> ByteArray:
        width, height = self._unrotated
        shown = self._reformatter.reformat(frame, width=width, height=height, format="bgr24", threads=1)
        image = np.asarray(shown.to_ndarray(), np.uint8)
        return self._upright(image)

    def _upright(self, image: ByteArray) -> ByteArray:
        turns = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
        turn = turns.get(self.info.rotation)
        return image if turn is None else np.asarray(cv2.rotate(image, turn), np.uint8)

    @property
    def colour(self) -> tuple[int, int, int]:
        """H.273 codes of matrix, primaries and transfer of the frames from ``planes``; 2 means unspecified."""
        frame = self._first[1]
        matrix, primaries = int(frame.colorspace), int(frame.color_primaries)
        if not frame.format.components[0].is_luma or matrix == 0:
            return 6, primaries, int(frame.color_trc)  # FFmpeg converts RGB to BT.601
        return matrix, primaries, int(frame.color_trc)

    def _planes(self, frame: VideoFrame) -> ByteArray:
        width, height = self._unrotated
        if (frame.format.name, frame.width, frame.height) != (
            "yuv420p",
            width,
            height,
        ) or frame.color_range == 2:
            frame = self._reformatter.reformat(
                frame, width=width, height=height, format="yuv420p", dst_color_range=1, threads=1
            )
        shown = [self._upright(_pixels(plane)) for plane in frame.planes]
        height, width = (side + side % 2 for side in shown[0].shape)
        canvas = np.empty((height * 3 // 2, width), np.uint8)
        for target, plane in zip(split_planes(canvas), shown, strict=True):
            rows, columns = plane.shape
            target[:rows, :columns] = plane
            target[rows:, :columns] = plane[-1:]
            target[:, columns:] = target[:, columns - 1 : columns]
        return canvas

    def _thumbnail(self, frame: VideoFrame) -> ByteArray:
        """A small gray image, not rotated. An 8-bit luma plane is subsampled, which costs almost nothing."""
        step = max(1, max(frame.width, frame.height) // THUMBNAIL_SIDE)
        luma = frame.format.components[0]
        if luma.is_luma and luma.bits == 8 and frame.format.is_planar:
            plane = frame.planes[0]
            pixels = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
            top, left = min(step, plane.height) // 2, min(step, plane.width) // 2
            return np.array(pixels[top::step, left : plane.width : step])
        width, height = max(1, frame.width // step), max(1, frame.height // step)
        return np.asarray(frame.reformat(width=width, height=height, format="gray").to_ndarray(), np.uint8)


def split_planes(canvas: ByteArray) -> tuple[ByteArray, ByteArray, ByteArray]:
    """Split an I420 frame into its planes, without copying.

    Args:
        canvas: (h * 3 / 2, w) uint8.

    Returns:
        Luma (h, w), and the blue and red chroma (h / 2, w / 2), all views of ``canvas``.
    """
    height, width = canvas.shape[0] * 2 // 3, canvas.shape[1]
    chroma = canvas[height:].reshape(2, height // 2, width // 2)
    return canvas[:height], chroma[0], chroma[1]


def _pixels(plane: Any) -> ByteArray:
    """A view of a plane of 8-bit samples."""
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
    return rows[:, : plane.width]
