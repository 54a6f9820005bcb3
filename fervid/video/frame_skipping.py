"""Reading a video without decoding the frames that are neither sampled nor referred to."""

from __future__ import annotations

import itertools
import os
from bisect import insort
from collections.abc import Callable, Iterator
from typing import Any

from av.video.frame import VideoFrame

from fervid.types import PictureShape
from fervid.video.container import choose_stream, open_local
from fervid.video.h264_headers import PictureHeaders, UnusualStream
from fervid.video.index import CONTAINERS
from fervid.video.needed_packets import AHEAD, NeededPackets, SkippingFailed
from fervid.video.skipped_frames import SkippedFrames
from fervid.video.stated_times import stores_decoding_times

STRICT = {"err_detect": "explode"}
"""Option of a decoder that refuses a damaged packet. Otherwise it makes up pixels from those of other frames, which may
be left out."""

SAVED, REGAINED, MOST_SAVED = 0.6, 0.05, 50
"""For each frame that is left out, so many packets may be decoded again; a frame to which no other refers is decoded
faster than others. If more are decoded again, every frame is decoded at once, and each adds the second number. The last
is the most that can be spent at a time."""

REST = 20.0
"""So many more packets decoded again than saved keep every frame decoded for 400 packets; see ``SAVED``."""


def headers_of(container: Any, stream: Any) -> PictureHeaders | None:
    """Prepare to leave out frames of a stream, if that is possible.

    Args:
        container: The ``av`` container.
        stream: Its video stream.

    Returns:
        What reads the headers of its packets. None if every frame must be decoded: frames are left out of H.264 in MP4
        and Matroska only, and not of interlaced video.
    """
    if (
        not CONTAINERS & set(container.format.name.split(","))
        or container.start_time is None
        or stream.codec_context.codec.canonical_name != "h264"
        or stores_decoding_times(container, stream)
    ):
        return None
    try:
        return PictureHeaders(bytes(stream.codec_context.extradata or b""))
    except UnusualStream:
        return None


class FrameSkipping:
    """Tells the decoder of one stream which frames to leave out, and decodes those again that are needed after all.

    It checks that the decoder gives out exactly the frames that it should.

    Args:
        stream: The ``av`` stream.
        needed: Decides which frames are needed.
        open_decoder: Opens a second decoder like that of the stream; gives its container and codec context.
    """

    def __init__(self, stream: Any, needed: NeededPackets, open_decoder: Callable[[], tuple[Any, Any]]) -> None:
        self._context = stream.codec_context
        self._needed = needed
        self._frames = SkippedFrames(open_decoder)
        self._due: list[tuple[int, bool]] = []
        """Time stamps of frames that did not come out, and whether they must."""
        self._known: dict[int, tuple[int, PictureShape]] = {}
        """Index → time stamp and shape of frames that may be asked for."""
        self._count = 0
        self._saved = 0.0
        """Number of packets that were saved lately, less those that were decoded again."""
        self.in_full = False
        """Whether every frame is decoded for the time being."""

    @property
    def rests(self) -> bool:
        """Whether every frame is decoded for some seconds to come."""
        return self._saved < -REST

    def packets(self, packets: Iterator[Any]) -> Iterator[Any]:
        """Set the decoder before each packet.

        Args:
            packets: The ``av`` packets of the stream; None or an empty one ends them.

        Yields:
            The packets.

        Raises:
            SkippingFailed: The file is damaged or unusual.
        """
        for packet, picture, is_needed in self._needed.of(packets):
            if picture is not None:
                self._frames.add(packet, picture.idr)
                self._count += 1
                in_full = self.in_full or self._saved < 0 or self._count <= AHEAD or not self._frames.has_room
                decoded = is_needed or in_full
                if not decoded or self._saved < 0:
                    self._saved = min(self._saved + (REGAINED if decoded else SAVED), MOST_SAVED)
                self._context.skip_frame = "DEFAULT" if decoded else "NONREF"
                if not packet.is_discard:
                    insort(self._due, (packet.pts, decoded))
            yield packet

    def came(self, frame: VideoFrame) -> tuple[int, ...]:
        """Note a frame that comes out of the decoder.

        Args:
            frame: The frame.

        Returns:
            Time stamps of the frames that were left out directly before it.

        Raises:
            SkippingFailed: It is damaged or unexpected, or another one is missing.
        """
        if frame.is_corrupt or frame.pts is None:
            raise SkippingFailed("a damaged frame")
        left_out = []
        while self._due and self._due[0][0] < frame.pts:
            stamp, decoded = self._due.pop(0)
            if decoded:
                raise SkippingFailed("a frame is missing")
            left_out.append(stamp)
        if not self._due or self._due.pop(0)[0] != frame.pts:
            raise SkippingFailed("an unexpected frame")
        return tuple(left_out)

    def ended(self) -> None:
        """Note that no more frames come out.

        Raises:
            SkippingFailed: A frame is missing.
        """
        if self._due:
            raise SkippingFailed("a frame is missing")

    def note(self, index: int, frame: VideoFrame, shape: PictureShape) -> None:
        """Remember a frame, so that those after it can be decoded again.

        Args:
            index: Its index.
            frame: The frame.
            shape: Its shape.
        """
        if frame.pts is not None:
            self._known[index] = frame.pts, shape

    def forget(self, index: int) -> None:
        """Give up what is known of the frames before one.

        Args:
            index: Its index.
        """
        for old in list(itertools.takewhile(lambda one: one < index, self._known)):
            del self._known[old]
        if index in self._known:
            self._frames.forget(self._known[index][0])

    def between(self, first: int, last: int) -> Iterator[tuple[int, VideoFrame, PictureShape]]:
        """Decode all frames between two frames that were decoded.

        Args:
            first: Index of one frame; not before the last one that was forgotten.
            last: Index of a later frame.

        Yields:
            Index, frame and shape.

        Raises:
            SkippingFailed: They cannot be decoded.
        """
        if first not in self._known or last not in self._known:
            raise SkippingFailed("a frame that is not known")
        (begin, shape), (end, _), index = self._known[first], self._known[last], first
        before = self._frames.decoded
        for index, frame in enumerate(self._frames.between(begin, end), first + 1):
            shape = self._known[index][1] if index in self._known else shape
            yield index, frame, shape
        self._saved -= self._frames.decoded - before
        if index != last - 1:
            raise SkippingFailed("a frame is missing")

    def close(self) -> None:
        """Close the second decoder."""
        self._frames.close()


def second_decoder(name: str | os.PathLike[str], number: int, threads: int) -> tuple[Any, Any]:
    """Open a file once more for its decoder.

    Args:
        name: Path of the file.
        number: Number of the stream.
        threads: Decoder threads; 0 lets FFmpeg choose.

    Returns:
        The container and the codec context.

    Raises:
        UnreadableVideo: The file cannot be opened.
    """
    container = open_local(name)
    stream, _ = choose_stream(container, number)
    prepare(stream, threads, strict=True)
    return container, stream.codec_context


def prepare(stream: Any, threads: int, strict: bool) -> None:
    """Set the decoder of a stream before it decodes anything.

    Args:
        stream: The ``av`` stream.
        threads: Decoder threads; 0 lets FFmpeg choose.
        strict: Whether it refuses damaged packets.
    """
    stream.thread_type = "AUTO"
    stream.codec_context.thread_count = threads
    if strict:
        stream.codec_context.options = STRICT
