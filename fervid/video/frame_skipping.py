"""Reading a video without decoding the frames that are neither sampled nor referred to."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from av.video.frame import VideoFrame

from fervid.types import PictureShape
from fervid.video.container import choose_stream, open_local
from fervid.video.index import CONTAINERS, PacketTypes
from fervid.video.needed_packets import AHEAD, NeededPackets, OutputCheck, SkippingFailed
from fervid.video.skipped_frames import SkippedFrames
from fervid.video.stated_times import stores_decoding_times

CODECS = {"h264", "hevc"}
"""Codecs whose decoders can be told before each packet to leave out a frame that no other refers to."""

MAX_HELD, MAX_HELD_PIXELS = 16, 36_000_000
"""Most successive frames that are kept in memory, and most pixels of them."""


@dataclass(frozen=True)
class KnownFrame:
    """A frame that was decoded.

    ``stamp``: its presentation time in units of the stream's time base.
    """

    stamp: int
    shape: PictureShape


def can_skip(container: Any, stream: Any) -> bool:
    """Whether the times of the packets of a stream can be trusted to be those of its frames, and frames left out.

    Args:
        container: The ``av`` container.
        stream: Its video stream.

    Returns:
        True for H.264 and H.265 in MP4 and Matroska. Further conditions are checked packet by packet.
    """
    return bool(
        CONTAINERS & set(container.format.name.split(","))
        and container.start_time is not None
        and stream.codec_context.codec.canonical_name in CODECS
        and not stores_decoding_times(container, stream)
    )


class FrameSkipping:
    """Tells the decoder of one stream which frames to leave out, and decodes those again that are needed after all.

    Which frames count as left out depends on the file and the sampling grid alone. Some of them are decoded
    nevertheless: in the first packets, and where the reader says that they will probably be needed.

    Args:
        stream: The ``av`` stream.
        needed: Decides which frames are needed.
        open_decoder: Opens a second decoder like that of the stream; gives its container and codec context.
    """

    def __init__(self, stream: Any, needed: NeededPackets, open_decoder: Callable[[], tuple[Any, Any]]) -> None:
        self._context = stream.codec_context
        self._types = PacketTypes(self._context)
        self._needed, self._check = needed, OutputCheck()
        self._frames = SkippedFrames(self._types, open_decoder)
        self._headers: set[bytes] = set()
        """How packets began that may be left out and were decoded. Others are decoded: they may be damaged, and then
        give no frame."""
        self._spare: set[int] = set()
        """Times of frames that are decoded although they count as left out."""
        self._known: dict[int, KnownFrame] = {}
        """Index → frame, since the last sample."""
        self._held: list[tuple[int, VideoFrame, PictureShape]] = []
        """Successive frames since the last sample. Only while all are decoded: what a decoder makes of a damaged frame
        may depend on which earlier ones are still in memory."""
        self._count = 0
        self.in_full = False
        """Whether every frame is decoded for the time being."""

    def packets(self, packets: Iterator[Any]) -> Iterator[Any]:
        """Set the decoder before each packet.

        Args:
            packets: The ``av`` packets of the stream; None or an empty one ends them.

        Yields:
            The packets.

        Raises:
            SkippingFailed: The file is not what its packets said.
        """
        for packet, is_needed in self._needed.of(self._kept(packets)):
            if packet is not None and packet.size:
                self._prepare(packet, is_needed)
            yield packet

    def _prepare(self, packet: Any, is_needed: bool) -> None:
        self._count += 1
        ordered = self._needed.reordered or not self._context.has_b_frames
        header = self._types.disposable(packet)
        is_needed |= not ordered or header is None
        is_usual = self._count > AHEAD and header in self._headers
        decoded = is_needed or self.in_full or not is_usual or not self._frames.has_room
        if header is not None and decoded:
            self._headers.add(header)
        if not is_needed and decoded:
            self._spare.add(packet.pts)
        self._context.skip_frame = "DEFAULT" if decoded else "NONREF"
        self._check.sent(packet, decoded)

    def _kept(self, packets: Iterator[Any]) -> Iterator[Any]:
        for packet in packets:
            if packet is not None and packet.size:
                self._frames.add(packet)
            yield packet

    def failed(self) -> None:
        """Note a packet that cannot be decoded.

        Raises:
            SkippingFailed: The result may be another one than if all frames had been decoded.
        """
        self._needed.everything = True
        self._check.failed()

    def came(self, frame: VideoFrame) -> int:
        """Note a frame that comes out of the decoder.

        Args:
            frame: The frame.

        Returns:
            Number of frames that were left out directly before it.

        Raises:
            SkippingFailed: Likewise.
        """
        if frame.is_corrupt:
            self._needed.everything = True
        return self._check.came(frame.pts, frame.is_corrupt)

    def check_time(self, time: float, stated: float | None) -> None:
        """Check the time that a frame was given.

        Args:
            time: Its time in seconds.
            stated: What its packet states.

        Raises:
            SkippingFailed: They differ although the times of all packets so far make sense.
        """
        if time != stated and not self._needed.everything:
            raise SkippingFailed("a time was repaired")

    def ended(self) -> None:
        """Note that no more frames come out.

        Raises:
            SkippingFailed: Likewise.
        """
        self._check.ended()

    def note(self, index: int, frame: VideoFrame, shape: PictureShape) -> bool:
        """Remember a frame, so that those after it can be decoded again.

        Args:
            index: Its index.
            frame: The frame.
            shape: Its shape.

        Returns:
            Whether it counts as left out.
        """
        if not self.in_full or (self._held and self._held[-1][0] != index - 1):
            self._held.clear()
        if self.in_full:
            self._held.append((index, frame, shape))
        if len(self._held) > min(MAX_HELD, max(1, MAX_HELD_PIXELS // (frame.width * frame.height))):
            self._held.pop(0)
        if frame.pts is not None:
            self._known[index] = KnownFrame(frame.pts, shape)
        spare = frame.pts in self._spare
        self._spare.discard(frame.pts or 0)
        return spare

    def forget(self, index: int) -> None:
        """Give up what is known of the frames before one.

        Args:
            index: Its index.
        """
        for old in [one for one in self._known if one < index]:
            del self._known[old]
        self._held = [one for one in self._held if one[0] >= index]
        if index in self._known:
            self._frames.forget(self._known[index].stamp)

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
        held = [one for one in self._held if first < one[0] < last]
        if len(held) == last - first - 1:
            yield from held
            return
        if first not in self._known or last not in self._known:
            raise SkippingFailed("a damaged frame")
        shape = self._known[first].shape
        index = first
        for index, frame in enumerate(
            self._frames.between(self._known[first].stamp, self._known[last].stamp), first + 1
        ):
            shape = self._known[index].shape if index in self._known else shape
            yield index, frame, shape
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
    stream.thread_type = "AUTO"
    stream.codec_context.thread_count = threads
    return container, stream.codec_context
