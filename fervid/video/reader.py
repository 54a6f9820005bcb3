"""Reading video: frames as shown, with exact presentation times."""

from __future__ import annotations

import itertools
import math
import os
from collections import deque
from collections.abc import Iterator
from functools import partial
from typing import Any, Self

import av
import av.error
from av.codec.hwaccel import HWAccel
from av.video.frame import VideoFrame

from fervid.errors import UnreadableVideo
from fervid.settings import OpenOptions
from fervid.types import ByteArray, Frame, PictureShape, VideoInfo
from fervid.video.container import choose_stream, demux, failure_reason, open_local
from fervid.video.ending import Ending
from fervid.video.frame_skipping import FrameSkipping, headers_of, prepare, second_decoder
from fervid.video.h264_headers import PictureHeaders
from fervid.video.needed_packets import NeededPackets, Part, SkippingFailed
from fervid.video.picture import MAX_PIXELS, PictureConverter, ShapeFinder, colour_codes, thumbnail
from fervid.video.sampling import TIME_TOLERANCE, SamplingGrid, SeekPoint
from fervid.video.stated_times import StatedTimes
from fervid.video.timestamps import ClockJump, FrameTimes

MAX_CORRUPT = 250
"""Reading fails after this many undecodable packets in a row."""


class VideoReader:
    """Reads one video stream of a local file.

    Use it as a context manager and iterate ``frames()`` or ``planes()``, once. The counters are final after iteration.
    Time 0 is the start of the file, as video players count it.

    Attributes:
        info: What the container says about the stream, with the size and orientation of the first frame.
        accelerated: Whether an NVIDIA GPU decodes.
        stream_note: A note on how the stream was chosen, see ``choose_stream``; None if there is nothing to say.
        corrupt: Number of undecodable packets and damaged frames.
        end_time: End of the last frame in seconds.
        duration: Length of the video in seconds: as the container states it, but corrected when the file has been read
            to its end and frames show that it is missing or wrong.
        truncated: Whether the file ends early.
    """

    _may_skip = False
    _stop: float | None = None

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        fps: float = 5.0,
        start: float = 0.0,
        end: float | None = None,
        threads: int = 0,
        seek_point: SeekPoint | None = None,
        options: OpenOptions | None = None,
    ) -> None:
        """Open a file and decode its first frame.

        Args:
            path: Video file, or the pattern of an image sequence.
            fps: Samples per second; 0 samples every frame.
            start: Time of the first sample in seconds.
            end: Time in seconds after which reading stops; None reads to the end.
            threads: Decoder threads; 0 lets FFmpeg choose.
            seek_point: Where reading begins; None: at the start. Frames before it are left out.
            options: Which stream is read, how far its frames are turned, and where it is decoded. ``nvdec`` decodes on
                an NVIDIA GPU if there is one that supports the codec, else on the CPU. None: the default stream, as the
                file states its rotation, decoded on the CPU.

        Raises:
            UnreadableVideo: The file is not a video that can be decoded, or has no video stream of that number.
        """
        self._fps, self._start, self._end, self._seek_point = fps, start, end, seek_point
        self._skipping: FrameSkipping | None = None
        self._left_out: deque[tuple[int, ...]] = deque()
        """For each decoded frame that was not given out, the time stamps of those left out directly before it."""
        options = options or OpenOptions()
        self._number, self._fps_in = options.stream, options.fps_in
        self._rotate = options.rotate
        self.corrupt = 0
        self.truncated = False
        self.end_time = 0.0
        self._converter = PictureConverter()
        self.accelerated = False
        if options.decoder == "nvdec":
            try:
                self._open(path, threads, HWAccel("cuda", allow_software_fallback=True))
                self.accelerated = bool(self._stream.codec_context.is_hwaccel)
                return
            except UnreadableVideo:  # no such device, or not a video; the CPU decoder reports which
                self.corrupt, self.truncated = 0, False
        self._open(path, threads, None)

    def _open(self, path: str | os.PathLike[str], threads: int, device: HWAccel | None) -> None:
        self._container = open_local(path, device, self._fps_in)
        try:
            self._stream, self.stream_note = choose_stream(self._container, self._number)
            wanted = self._may_skip and self._fps > 0 and device is None
            headers = headers_of(self._container, self._stream) if wanted else None
            prepare(self._stream, threads, strict=headers is not None)
            if self._seek_point is not None:
                self._container.seek(self._seek_point.seek, stream=self._stream)
            self._shapes = ShapeFinder(self._stream, self._rotate)
            self._ending = Ending(self._container, self._stream)
            period = self._period()
            self._stated, self._times = StatedTimes(self._container, self._stream, period), FrameTimes(period)
            if headers is not None:
                self._skipping = self._skip_frames(headers, path, threads)
            self._decoded = self._times.assign((self._stated.time(frame), frame) for frame in self._decode())
            self._first = self._peek()
            self.info = self._describe()
            self.duration = self.info.duration
        except av.error.FFmpegError as error:
            self._container.close()
            raise UnreadableVideo(failure_reason(error)) from error
        except BaseException:
            self._container.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._container.close()
        if self._skipping is not None:
            self._skipping.close()

    @property
    def origin(self) -> float:
        """Time 0 on the container's own clock, in seconds."""
        return self._stated.origin - self._times.shift

    @property
    def repaired(self) -> int:
        """Number of missing, doubled, far-off or backward timestamps that were replaced."""
        return self._times.repaired

    @property
    def jumps(self) -> list[ClockJump]:
        """The jumps of the container's clock up to the frame that was read last."""
        return self._times.jumps

    def moved(self) -> float:
        """Tell how far the container's clock has jumped back.

        Returns:
            Seconds that are added to the stated times of the frame that was read last.
        """
        return self._times.moved

    def _period(self) -> float:
        rate = self._stream.average_rate or self._stream.guessed_rate
        return float(1 / rate) if rate and 1 <= rate <= 1000 else 0.04

    def _peek(self) -> tuple[float, VideoFrame]:
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
        shape, codec = self._shapes.of(self._first[1]), self._stream.codec_context.codec.canonical_name
        return VideoInfo(*shape.shown, shape.rotation, codec, self._ending.duration, shape.aspect, shape.mirrored)

    def _skip_frames(self, headers: PictureHeaders, path: str | os.PathLike[str], threads: int) -> FrameSkipping:
        part = Part(self._fps, self._start, self._end, self._seek_point, self._stop)
        context = self._stream.codec_context
        needed = NeededPackets(part, headers, lambda: int(context.reorder_depth), self._stated.seconds)
        return FrameSkipping(self._stream, needed, partial(second_decoder, path, self._stream.index, threads))

    def _demuxed(self) -> Iterator[Any]:
        """Packets of the stream. A demuxing error ends the file early and raises nothing; None stands for it."""
        try:
            yield from demux(self._container, self._stream)
        except av.error.FFmpegError:
            yield None

    def _packets(self) -> Iterator[Any]:
        """Packets of the stream, each given out when the decoder is ready for it."""
        packets = self._demuxed()
        for packet in packets if self._skipping is None else self._skipping.packets(packets):
            if packet is None:
                self.truncated = True
            else:
                self._ending.sent(packet)
                self._stated.sent(packet)
            yield packet

    def _decode(self) -> Iterator[VideoFrame]:
        """Decoded frames in the decoder's order. Undecodable packets are skipped and counted."""
        failed = 0
        for packet in self._packets():
            try:
                frames = self._stream.codec_context.decode(packet)
                failed = 0
            except av.error.EOFError:
                break
            except av.error.FFmpegError as error:
                self.corrupt += 1
                failed += 1
                if self._skipping is not None:
                    raise SkippingFailed("a damaged packet") from error
                if failed >= MAX_CORRUPT:
                    raise UnreadableVideo(f"{failed} undecodable packets in a row: {failure_reason(error)}") from error
                continue
            if self._skipping is not None:
                self._left_out += map(self._skipping.came, frames)
            yield from frames
        if self._skipping is not None:
            self._skipping.ended()

    def frames(self) -> Iterator[Frame]:
        """Decode the frames up to ``end`` in presentation order. Can be called once.

        Each frame has its own size and orientation. Frames of the sampling grid are marked as sampled; see
        ``SamplingGrid``. Reading ``Frame.image`` converts that frame to blue-green-red; other frames are not converted.

        Yields:
            Every decoded frame that is not damaged.

        Raises:
            UnreadableVideo: Decoding fails.
        """
        grid = SamplingGrid(self._fps, self._start, self._seek_point.tick if self._seek_point else None)
        for index, time, frame, shape, skipped in self._intact():
            if self._skipping is not None:
                self._skipping.note(index, frame, shape)
            yield self._frame(index, time, frame, shape, grid.takes(time), skipped)

    def _frame(
        self, index: int, time: float, frame: VideoFrame, shape: PictureShape, sampled: bool, skipped: tuple[float, ...]
    ) -> Frame:
        image = partial(self._converter.image, frame, shape)
        return Frame(index, time, sampled, thumbnail(frame), shape, image, skipped)

    def planes(self, canvas: tuple[int, int] | None = None) -> Iterator[tuple[float, ByteArray, PictureShape]]:
        """Decode all frames up to ``end`` as I420, for drawing and encoding. Can be called once, in place of
        ``frames``.

        Args:
            canvas: See ``PictureConverter.planes``. None: each frame has its own size.

        Yields:
            Time in seconds, the frame as shown, and its shape. The frame is (height * 3 / 2, width) uint8, 8-bit 4:2:0
            in limited range, the luma plane above the two chroma planes. The caller may change it. Odd sides grow by
            one pixel.

        Raises:
            UnreadableVideo: Decoding fails.
        """
        for _, time, frame, shape, _ in self._intact():
            yield time, self._converter.planes(frame, shape, canvas), shape

    def _intact(self) -> Iterator[tuple[int, float, VideoFrame, PictureShape, tuple[float, ...]]]:
        """(index, time, frame, shape, times of frames left out before it) of every frame up to ``end`` that is decoded
        and not damaged."""
        index = self._seek_point.index - 1 if self._seek_point else -1
        try:
            for time, frame in itertools.chain([self._first], self._decoded):
                shape = self._shapes.of(frame)  # of frames that are left out too: later ones may depend on them
                skipped = self._skipped_before(time, frame)
                if self._seek_point and time < self._seek_point.time:
                    self.corrupt += frame.is_corrupt
                    continue
                index += 1 + len(skipped)
                if self._end is not None and time > self._end + TIME_TOLERANCE:
                    return
                self.end_time = time + (float((frame.duration or 0) * (frame.time_base or 0)) or self._period())
                if frame.is_corrupt:
                    self.corrupt += 1
                else:
                    yield index, time, frame, shape, skipped
        except av.error.FFmpegError as error:
            raise UnreadableVideo(failure_reason(error)) from error
        self._ending.origin = self.origin
        self.truncated |= self._ending.early(self.end_time)
        intact = not self.truncated and not self.corrupt
        self.duration = self._ending.true_duration(self.end_time, intact)

    def _skipped_before(self, time: float, frame: VideoFrame) -> tuple[float, ...]:
        """Times of the wanted frames that were left out directly before a frame; ``time``: its own."""
        if self._skipping is None:
            return ()
        if time != self._stated.seconds(frame.pts):
            raise SkippingFailed("a time was repaired")
        times = (self._stated.seconds(stamp) or 0.0 for stamp in self._left_out.popleft())
        begin = self._seek_point.time if self._seek_point else -math.inf
        return tuple(one for one in times if one >= begin)

    @property
    def colour(self) -> tuple[int, int, int]:
        """H.273 codes of matrix, primaries and transfer of the frames from ``planes``; 2 means unspecified."""
        return colour_codes(self._first[1])


class SkippingReader(VideoReader):
    """A reader that leaves out frames that are neither sampled nor referred to by others, where the file allows it.

    ``frames_between`` decodes them again. Opening and reading raise SkippingFailed if the file is damaged or unusual;
    then a VideoReader must read it. The indices and times of frames are the same.
    """

    _may_skip = True

    def __init__(self, path: str | os.PathLike[str], *, stop: float | None = None, **how: Any) -> None:
        """Open a file and decode its first frame.

        Args:
            path: Video file, or the pattern of an image sequence.
            stop: Time in seconds at which the next segment of the video begins, of which the first frame is read too;
                None: there is none.
            **how: See ``VideoReader``.

        Raises:
            UnreadableVideo: The file is not a video that can be decoded, or has no video stream of that number.
            SkippingFailed: The file is damaged or unusual.
        """
        self._stop = stop
        super().__init__(path, **how)

    @property
    def skips(self) -> bool:
        """Whether frames are left out that are not needed."""
        return self._skipping is not None

    @property
    def first_index(self) -> int:
        """Index of the first frame."""
        return self._seek_point.index if self._seek_point else 0

    def frames_between(self, first: int, last: int) -> Iterator[Frame]:
        """Decode all frames between two frames that ``frames`` has given out, if some of them were left out.

        Args:
            first: Index of one of the two, not before the one that was forgotten last.
            last: Index of the later one.

        Yields:
            All frames between them in order, as ``frames`` gives them out if none is left out. None is sampled.

        Raises:
            SkippingFailed: They cannot be decoded.
        """
        if self._skipping is not None:
            for index, frame, shape in self._skipping.between(first, last):
                yield self._frame(index, self._stated.seconds(frame.pts) or 0.0, frame, shape, False, ())

    def forget(self, index: int) -> None:
        """Say that no frame before one will be asked for again.

        Args:
            index: Its index.
        """
        if self._skipping is not None:
            self._skipping.forget(index)

    @property
    def rests(self) -> bool:
        """Whether every frame is decoded for some seconds to come, because leaving them out has not paid."""
        return self._skipping is not None and self._skipping.rests

    def decode_everything(self, wanted: bool) -> None:
        """Say whether frames that could be left out will probably be needed in the next seconds. This changes speed
        only.

        Args:
            wanted: Whether they will.
        """
        if self._skipping is not None:
            self._skipping.in_full = wanted
