"""Videos made of pictures that FFmpeg has no safe demuxer for: image sequences and animated WebP.

They look like an ``av`` container with one stream. Nothing but the given file, or the files that fit the pattern, is
opened.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import av.error
import numpy as np
from av.stream import Disposition
from av.video.frame import VideoFrame
from PIL import Image

from fervid.errors import UnreadableVideo
from fervid.files.image_io import decode_image
from fervid.files.sequences import images_of, places_of
from fervid.runtime.opencv import cv2
from fervid.types import ByteArray

MILLISECOND = Fraction(1, 1000)


@dataclass(frozen=True)
class PicturePacket:
    """One encoded picture, with the attributes of an ``av`` packet that readers use.

    Attributes:
        read: Decodes the picture to (h, w, 3) uint8 BGR; None if that is not possible.
        pts: Time in units of ``time_base``.
        duration: Likewise.
        time_base: In seconds.
        size: 0 at the end of the stream, otherwise 1.
    """

    read: Callable[[], ByteArray | None]
    pts: int
    duration: int
    time_base: Fraction
    size: int = 1
    stream_index: int = 0
    is_keyframe: bool = True
    is_corrupt: bool = False
    is_discard: bool = False

    @property
    def dts(self) -> int:
        """Pictures are stored in the order in which they are shown."""
        return self.pts


class PictureDecoder:
    """The codec context of a PictureContainer."""

    thread_count = 1
    has_b_frames = False
    is_hwaccel = False
    extradata = None
    codec_tag = ""
    sample_aspect_ratio = None

    def __init__(self, codec: str, size: tuple[int, int]) -> None:
        self.codec = SimpleNamespace(canonical_name=codec, intra_only=True)
        self.width, self.height = size

    def decode(self, packet: PicturePacket | None) -> list[VideoFrame]:
        """Decode a picture.

        Args:
            packet: The picture; None or an empty one flushes the decoder.

        Returns:
            One frame, or none for an empty packet.

        Raises:
            FFmpegError: The picture is damaged.
        """
        if packet is None or not packet.size:
            return []
        image = packet.read()
        if image is None:
            raise av.error.InvalidDataError(errno.EINVAL, "a damaged picture")
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(image), format="bgr24")
        frame.pts, frame.time_base, frame.duration = packet.pts, packet.time_base, packet.duration
        return [frame]


@dataclass
class PictureStream:
    """The video stream of a PictureContainer, with the attributes of an ``av`` stream that readers use."""

    codec_context: PictureDecoder
    time_base: Fraction
    average_rate: Fraction
    duration: int
    frames: int
    start_time: int = 0
    index: int = 0
    type: str = "video"
    thread_type: str = "NONE"
    sample_aspect_ratio: Fraction | None = None
    disposition: Disposition = Disposition.default
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def guessed_rate(self) -> Fraction:
        """The usual frame rate."""
        return self.average_rate

    @property
    def width(self) -> int:
        """Width of the first picture in pixels."""
        return self.codec_context.width

    @property
    def height(self) -> int:
        """Height of the first picture in pixels."""
        return self.codec_context.height


class _Streams(list[PictureStream]):
    """The streams of a container: one video stream."""

    @property
    def video(self) -> list[PictureStream]:
        return list(self)

    @property
    def audio(self) -> list[Any]:
        return []


class PictureContainer:
    """Looks like an open ``av`` container."""

    start_time = 0

    def __init__(
        self,
        name: str,
        kind: str,
        stream: PictureStream,
        packets: Callable[[], Iterator[PicturePacket]],
        note: str | None = None,
    ) -> None:
        self.note = note
        self.name, self.format = name, SimpleNamespace(name=kind)
        self.streams = _Streams([stream])
        self.metadata: dict[str, str] = {}
        self._packets = packets

    @property
    def duration(self) -> int:
        """Microseconds from the first picture to the end of the last."""
        stream = self.streams[0]
        return round(stream.duration * stream.time_base * 1_000_000)

    def demux(self, *_: Any) -> Iterator[PicturePacket]:
        """Give the pictures in order, and an empty packet at the end.

        Args:
            _: Ignored: there is only one stream.

        Yields:
            The packets.
        """
        stream = self.streams[0]
        yield from self._packets()
        yield PicturePacket(lambda: None, stream.duration, 0, stream.time_base, size=0)

    def close(self) -> None:
        """Nothing is kept open."""

    def __enter__(self) -> PictureContainer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def exact_rate(per_second: float) -> Fraction:
    """Make a rate exact.

    Args:
        per_second: The rate, such as 29.97 or 0.0017.

    Returns:
        The nearest fraction with a denominator of at most 1001; below one a second, with such a numerator.
    """
    if per_second < 1:
        return 1 / Fraction(1 / per_second).limit_denominator(1001)
    return Fraction(per_second).limit_denominator(1001)


def open_sequence(pattern: str | os.PathLike[str], fps: float | None) -> PictureContainer:
    """Open an image sequence.

    Args:
        pattern: Its pattern, such as ``frame_%05d.png``.
        fps: Pictures per second; None if only the sound matters, of which there is none.

    Returns:
        The container. A missing number leaves a gap in time, and a damaged image is a damaged frame.

    Raises:
        UnreadableVideo: No file fits, the rate is unknown, or the first image cannot be decoded.
    """
    try:
        images = images_of(pattern)
    except OSError as error:
        raise UnreadableVideo(error.strerror or str(error)) from error
    if not images:
        raise UnreadableVideo("no image fits the pattern")
    if fps is None:
        raise UnreadableVideo("an image sequence; `fps_in` must say how many images make a second")
    rate = exact_rate(fps)
    places = places_of(number for number, _ in images)
    first = next((image for _, path in images if (image := _read(path)) is not None), None)
    if first is None:
        raise UnreadableVideo("no image of the sequence can be decoded")

    def packets() -> Iterator[PicturePacket]:
        for place, (_, path) in zip(places, images, strict=True):
            yield PicturePacket(partial(_read, path), place, 1, 1 / rate)

    size = (first.shape[1], first.shape[0])
    decoder = PictureDecoder(images[0][1].suffix.lower().lstrip("."), size)
    stream = PictureStream(decoder, 1 / rate, rate, places[-1] + 1, len(images))
    missing = places[-1] + 1 - len(places)
    note = f"images missing between the first and the last: {missing}" if missing else None
    return PictureContainer(os.fspath(pattern), "image sequence", stream, packets, note)


def _read(path: Path) -> ByteArray | None:
    try:
        return decode_image(path.read_bytes(), cv2.IMREAD_COLOR) if path.is_file() else None
    except OSError:
        return None


def open_webp(path: str | os.PathLike[str]) -> PictureContainer:
    """Open an animated WebP file. Each picture is shown for its stated time; the animation is shown once.

    Args:
        path: The file.

    Returns:
        The container.

    Raises:
        UnreadableVideo: The file is damaged.
    """
    try:
        with open(path, "rb") as file:
            times = list(_webp_times(file))
        with Image.open(path, formats=("WEBP",)) as image:
            size, count = image.size, getattr(image, "n_frames", 1)
    except (OSError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise UnreadableVideo("not a video, or damaged beyond decoding") from error
    if not times or count != len(times):
        raise UnreadableVideo("not a video, or damaged beyond decoding")
    end = times[-1][0] + times[-1][1]

    def packets() -> Iterator[PicturePacket]:
        with Image.open(path, formats=("WEBP",)) as image:
            for number, (time, duration) in enumerate(times):
                yield PicturePacket(partial(_webp_picture, image, number), time, duration, MILLISECOND)

    rate = Fraction(1000 * count, end) if end else Fraction(25)
    stream = PictureStream(PictureDecoder("webp", size), MILLISECOND, rate, end, count)
    return PictureContainer(os.fspath(path), "webp", stream, packets)


def _webp_times(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Time and duration of each picture in milliseconds, from the headers of the chunks ANMF."""
    file.seek(12)
    time = 0
    while len(header := file.read(8)) == 8:
        size = int.from_bytes(header[4:], "little")
        if header[:4] == b"ANMF":
            duration = int.from_bytes(file.read(16)[12:15], "little")
            yield time, duration
            time, size = time + duration, size - 16
        file.seek(size + size % 2, os.SEEK_CUR)


def _webp_picture(image: Any, number: int) -> ByteArray | None:
    """A picture of an animation, complete and without transparency. Pictures must be read in order."""
    try:
        image.seek(number)
        return np.asarray(cv2.cvtColor(np.asarray(image.convert("RGB")), cv2.COLOR_RGB2BGR), np.uint8)
    except (OSError, ValueError, EOFError):
        return None
