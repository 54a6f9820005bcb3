"""Made clips. Every frame carries its own number as large black and white blocks, which any codec keeps."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from fervid.types import ByteArray
from fervid.video.reader import VideoReader
from fervid.video.writer import AudioSource, EncoderSettings, VideoWriter
from tests.support.paths import SAMPLES

ROWS, COLUMNS = 3, 4
WIDTH, HEIGHT = 64, 48

ClipFactory = Callable[..., Path]
"""The fixture ``clip``."""


def draw_number(number: int, width: int = WIDTH, height: int = HEIGHT) -> ByteArray:
    """``number`` (below 4096) in binary, least significant block first: (height, width, 3) uint8."""
    blocks = np.array([[number >> (row * COLUMNS + column) & 1 for column in range(COLUMNS)] for row in range(ROWS)])
    rows, columns = np.arange(height) * ROWS // height, np.arange(width) * COLUMNS // width
    gray = np.where(blocks[np.ix_(rows, columns)] == 1, 245, 10).astype(np.uint8)
    return np.repeat(gray[:, :, None], 3, axis=2)


def read_number(image: ByteArray) -> int:
    """The number that ``draw_number`` drew, from the middle of each block; the image may be scaled."""
    height, width = image.shape[:2]
    number = 0
    for bit in range(ROWS * COLUMNS):
        row, column = divmod(bit, COLUMNS)
        y, x = int((row + 0.5) * height / ROWS), int((column + 0.5) * width / COLUMNS)
        number |= int(image[y - 2 : y + 2, x - 2 : x + 2].mean() > 128) << bit
    return number


class Tone:
    """A sine wave as the audio of a clip, as long as its video."""

    _RATE, _BLOCK = 44100, 1024

    def __init__(self, frequency: float) -> None:
        self._frequency = frequency
        self._position = 0
        self._stream: Any = None

    def attach(self, container: Any) -> None:
        """See AudioSource.attach."""
        self._stream = container.add_stream("aac", rate=self._RATE, layout="mono")

    def packets(self, until: float) -> Iterator[Any]:
        """See AudioSource.packets."""
        while self._position < int(until * self._RATE):
            times = np.arange(self._position, self._position + self._BLOCK) / self._RATE
            samples = (0.1 * np.sin(2 * np.pi * self._frequency * times)).astype(np.float32)[None]
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = self._RATE, self._position, Fraction(1, self._RATE)
            self._position += self._BLOCK
            yield from self._stream.encode(frame)

    def rest(self) -> Iterator[Any]:
        """See AudioSource.rest."""
        yield from self._stream.encode(None)


def at_rate(rate: Fraction | int, count: int, start: float = 0.0) -> list[float]:
    """The times of ``count`` frames at a constant rate."""
    return [start + float(index / Fraction(rate)) for index in range(count)]


def write_clip(
    path: Path,
    times: Iterable[float],
    width: int = WIDTH,
    height: int = HEIGHT,
    encoder: EncoderSettings | None = None,
    audio: AudioSource | None = None,
) -> Path:
    """Frames 0, 1, 2, ... shown from ``times`` on, through fervid's own writer."""
    with VideoWriter(path, width, height, encoder, audio) as writer:
        for number, time in enumerate(times):
            writer.write(draw_number(number, width, height), time)
    return path


def face_clip(path: Path, times: Iterable[float]) -> Path:
    """A face that does not move, 240x180 pixels, shown from ``times`` on."""
    with VideoReader(SAMPLES / "cut.mp4", fps=0) as reader:
        image = np.asarray(cv2.resize(next(iter(reader.frames())).image, (240, 180)), np.uint8)
    with VideoWriter(path, 240, 180) as writer:
        for time in times:
            writer.write(image, time)
    return path


def encode(
    path: Path,
    images: Sequence[ByteArray],
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    options: dict[str, str] | None = None,
    container_format: str | None = None,
    container_options: dict[str, str] | None = None,
    aspect: Fraction | None = None,
    rotation: int = 0,
) -> Path:
    """Images at 25 frames a second in a codec or container that fervid's writer does not make."""
    height, width = images[0].shape[:2]
    with av.open(str(path), "w", format=container_format, options=container_options) as container:
        stream: Any = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        stream.codec_context.time_base = stream.time_base = Fraction(1, 25)
        stream.options = options or {}
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        if rotation:
            stream.set_display_rotation(-rotation)
        for index, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def numbered(count: int, width: int = WIDTH, height: int = HEIGHT) -> list[ByteArray]:
    """Images of the numbers 0 to ``count`` - 1."""
    return [draw_number(number, width, height) for number in range(count)]


def beginning(source: Path, target: Path, seconds: float) -> Path:
    """Copy the packets of the first ``seconds`` of a file, picture and sound, without encoding them again."""
    with av.open(str(source)) as whole, av.open(str(target), "w") as part:
        kept = [stream for stream in whole.streams if stream.type in ("video", "audio")]
        copies = {stream.index: part.add_stream_from_template(stream, opaque=True) for stream in kept}
        for packet in whole.demux(kept):
            if packet.dts is not None and packet.dts * packet.time_base < seconds:
                packet.stream = copies[packet.stream.index]
                part.mux(packet)
    return target


def write_sound(path: Path, seconds: float = 1.0) -> Path:
    """A file with sound and no video."""
    rate = 8000
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("aac", rate=rate, layout="mono")
        samples = np.sin(np.arange(int(seconds * rate)) / 5).astype(np.float32)[None]
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate, frame.pts = rate, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def packets(path: Path) -> list[tuple[int, int]]:
    """(position, size) in bytes of each packet of the video stream, in the order of the file."""
    with av.open(str(path)) as container:
        found = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    return sorted((position, size) for position, size in found if position is not None)


def read_times(path: Path, fps: float = 0.0) -> list[float]:
    """The times of the sampled frames."""
    with VideoReader(path, fps=fps) as reader:
        return [frame.time for frame in reader.frames() if frame.sampled]


def read_numbers(path: Path, fps: float = 0.0, start: float = 0.0, end: float | None = None) -> list[int]:
    """The numbers drawn into the sampled frames."""
    with VideoReader(path, fps=fps, start=start, end=end) as reader:
        return [read_number(frame.image) for frame in reader.frames() if frame.sampled]


@dataclass(frozen=True)
class Part:
    """Successive frames of one size, encoded by themselves.

    Attributes:
        images: The frames, (height, width, 3) uint8.
        aspect: Pixel aspect that the codec states; None: none.
        filtering: Bitstream filter for the packets, such as ``h264_metadata=crop_left=8``; None: none.
    """

    images: Sequence[ByteArray]
    aspect: Fraction | None = None
    filtering: str | None = None


def encode_parts(
    path: Path,
    parts: Sequence[Part],
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    pixel_format: str = "yuv420p",
    aspect: Fraction | None = None,
) -> Path:
    """Parts of different sizes one after another in one stream at 25 frames a second, as a recorder writes them.

    ``aspect`` is the pixel aspect that the container states; None: none, or that of the first part if the container
    copies it.
    """
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=25)
        stream.height, stream.width = parts[0].images[0].shape[:2]
        stream.pix_fmt, stream.options = pixel_format, options or {}
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        first = 0
        for part in parts:
            for packet in _encoded(part, codec, options or {}, pixel_format):
                packet.stream, packet.pts, packet.dts = stream, packet.pts + first, packet.dts + first
                container.mux(packet)
            first += len(part.images)
    return path


def _encoded(part: Part, codec: str, options: dict[str, str], pixel_format: str) -> Iterator[Any]:
    """The packets of a part, from an encoder of its own; times are frame numbers."""
    context: Any = av.CodecContext.create(codec, "w")
    context.height, context.width = part.images[0].shape[:2]
    context.pix_fmt, context.time_base, context.framerate = pixel_format, Fraction(1, 25), 25
    context.options = options
    if part.aspect is not None:
        context.sample_aspect_ratio = part.aspect
    change: Any = None
    if part.filtering is not None:
        with av.open(io.BytesIO(), "w", format="matroska") as unused:
            change = av.BitStreamFilterContext(part.filtering, unused.add_stream(codec, rate=25))
    for index, image in enumerate([*part.images, None]):
        frame = None
        if image is not None:
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
        for packet in context.encode(frame):
            for changed in change.filter(packet) if change else [packet]:
                changed.time_base = Fraction(1, 25)
                yield changed
