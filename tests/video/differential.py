"""Made videos of every combination of properties, read back and compared with what was put in.

A recipe combines a container, a codec, B-frames, an orientation, a pixel aspect, a start offset, an edit, damaged times
and a change of size. Each frame carries its number and a pattern that shows its orientation. The complete run::

    python -m tests.video.differential --count 300
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, fields
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from fervid.scan.scan import reader_notes
from fervid.settings import ScanSettings
from fervid.types import ByteArray
from fervid.video.reader import VideoReader
from tests.support.clips import Tone, draw_number, read_number

RATE = 25
FRAMES = 40
TICK = Fraction(1, 90000)
DELAY = 2
"""Frames by which decode times are early, so that a damaged time is not earlier than its decode time."""

PATTERN = 0b1011 << 8
"""The third row of blocks. No rotation or reflection of an image leaves it where it is."""

FORMATS: dict[str, tuple[str, ...]] = {
    "mp4": ("libx264", "libx265", "mpeg4", "mjpeg", "libvpx-vp9"),
    "mov": ("libx264", "mpeg4", "mjpeg", "prores_ks"),
    "mkv": ("libx264", "libx265", "mpeg4", "mpeg2video", "mjpeg", "libvpx", "ffv1"),
    "webm": ("libvpx", "libvpx-vp9"),
    "ts": ("libx264", "libx265", "mpeg2video", "mpeg4"),
    "mpg": ("mpeg2video", "mpeg1video"),
    "flv": ("libx264", "flv"),
    "avi": ("libx264", "mpeg4", "mjpeg", "msmpeg4v2"),
    "asf": ("libx264", "mpeg4", "wmv2"),
    "nut": ("libx264", "mpeg4"),
}
B_FRAMES = {"libx264", "libx265", "mpeg4", "mpeg2video"}
TIMES = {"avi": ["even"], "mpg": ["even"], "asf": ["even", "hole"], "flv1": ["even", "hole"]}
"""Where a container cannot state every time. Sorenson video in FLV (``flv1``) has decoding times only."""

AAC_DELAY = 1024 / 44100
"""Seconds of silence that an AAC encoder puts before the sound."""

ASPECT = {"libx264", "libx265", "mpeg4", "mjpeg"}
"""Codecs that store any pixel aspect."""

RESIZABLE = {
    ("ts", "libx264"), ("ts", "libx265"), ("ts", "mpeg2video"), ("mkv", "libvpx"), ("mkv", "mjpeg"), ("mov", "mjpeg"),
    ("webm", "libvpx"), ("webm", "libvpx-vp9"), ("mpg", "mpeg2video"), ("avi", "mjpeg"),
}  # fmt: skip
"""Containers and codecs in which the stream itself may change its size."""

ORIENTATIONS: dict[str, tuple[int, int, int, int]] = {
    "as stored": (1, 0, 0, 1),
    "clockwise": (0, 1, -1, 0),
    "upside down": (-1, 0, 0, -1),
    "counter-clockwise": (0, -1, 1, 0),
    "mirrored": (-1, 0, 0, 1),
    "flipped": (1, 0, 0, -1),
    "transposed": (0, 1, 1, 0),
    "transversed": (0, -1, -1, 0),
}
"""a, b, c, d of a display matrix (ISO/IEC 14496-12, 8.2.2): a stored pixel (x, y) is shown at (ax + cy, bx + dy)."""

EXACT = {"mkv": 1e-3, "webm": 1e-3, "flv": 1e-3, "asf": 1e-3, "avi": 1e-6, "mpg": 2e-5, "ts": 2e-5}
"""Precision of a container's times in seconds; elsewhere 1e-4."""


@dataclass(frozen=True)
class Recipe:
    """How to make one video.

    Attributes:
        container: Ending of the file.
        codec: FFmpeg's encoder.
        b_frames: Frames in a row that refer to later ones.
        orientation: Key of ORIENTATIONS.
        aspect: Width of a stored pixel divided by its height.
        start: Time of the first frame on the container's clock, in seconds.
        sound: Whether a tone runs from the container's time 0 on. Then the video begins after it.
        times: ``even``, ``varied``, ``hole``, ``double`` (two frames of one time) or ``far`` (one frame stated much
            later).
        resized: Whether the last part has another size.
        fragmented: MP4 in fragments.
        odd: Whether the sides are odd.
    """

    container: str
    codec: str
    b_frames: int = 0
    orientation: str = "as stored"
    aspect: Fraction = Fraction(1)
    start: float = 0.0
    sound: bool = False
    times: str = "even"
    resized: bool = False
    fragmented: bool = False
    odd: bool = False

    def __str__(self) -> str:
        changed = [f"{f.name}={getattr(self, f.name)}" for f in fields(self)[2:] if getattr(self, f.name) != f.default]
        return " ".join([self.container, self.codec, *changed])


@dataclass(frozen=True)
class Shown:
    """One frame as it is shown: its number, time in seconds, width and height."""

    number: int
    time: float
    size: tuple[int, int]


def recipe(seed: int) -> Recipe:
    """A recipe, always the same for one seed.

    Args:
        seed: Any number. Successive numbers go through containers and codecs in turn.

    Returns:
        The recipe.
    """
    rng = random.Random(seed)
    pairs = [(container, codec) for container, codecs in FORMATS.items() for codec in codecs]
    container, codec = pairs[seed % len(pairs)]
    isobmff = container in ("mp4", "mov")
    resized = (container, codec) in RESIZABLE and rng.random() < 0.5
    sound = container in ("mp4", "mov", "mkv", "ts") and rng.random() < 0.2
    starts = [0.4, 1.4] if sound else [0.0, 0.0, 1.4, 7.0, 95440.0]
    return Recipe(
        container,
        codec,
        b_frames=rng.choice([0, 2, 3]) if codec in B_FRAMES and not resized else 0,
        orientation=rng.choice(list(ORIENTATIONS)) if isobmff and rng.random() < 0.7 else "as stored",
        aspect=rng.choice([Fraction(1), Fraction(4, 3), Fraction(16, 11)]) if codec in ASPECT else Fraction(1),
        start=rng.choice(starts) if container not in ("avi", "mpg") else 0.0,
        sound=sound,
        times=rng.choice(
            TIMES.get("flv1" if codec == "flv" else container, ["even", "varied", "hole", "double", "far"])
        ),
        resized=resized,
        # without an index at the front, FFmpeg's writer begins the picture at 0, whenever the sound begins
        fragmented=container == "mp4" and rng.random() < 0.25 and not sound,
        odd=codec in ("libx264", "libvpx", "ffv1", "mpeg4") and rng.random() < 0.2,
    )


def stated_times(recipe: Recipe) -> tuple[list[float], list[float]]:
    """The times of the frames from 0 on.

    Args:
        recipe: The recipe.

    Returns:
        What the container states, and what is right: a damaged time lies between its neighbours.
    """
    times = [index / RATE for index in range(FRAMES)]
    if recipe.times == "varied":
        rng = random.Random(str(recipe))
        steps = [rng.choice([1, 1, 1, 2, 3, 9]) for _ in range(FRAMES)]
        times = [sum(steps[:index]) / RATE for index in range(FRAMES)]
    elif recipe.times == "hole":
        times = [time + (3.0 if index >= FRAMES // 2 else 0) for index, time in enumerate(times)]
    stated = list(times)
    if recipe.times == "double":
        stated[FRAMES // 2] = stated[FRAMES // 2 - 1]
    elif recipe.times == "far":
        stated[FRAMES // 2] += 30.0
    return stated, times


def sizes(recipe: Recipe) -> list[tuple[int, int]]:
    """Width and height of each stored frame.

    Args:
        recipe: The recipe.

    Returns:
        One pair for each frame.
    """
    odd = int(recipe.odd)
    first, later = (96 + odd, 64 + odd), (64, 112)
    return [later if recipe.resized and index >= FRAMES // 2 else first for index in range(FRAMES)]


def make(recipe: Recipe, path: Path) -> list[Shown]:
    """Write the video of a recipe.

    Args:
        recipe: The recipe.
        path: The file to write; its ending is replaced.

    Returns:
        The frames as a player shows them.
    """
    stated, right = stated_times(recipe)
    dimensions = sizes(recipe)
    options = {"movflags": "frag_keyframe+empty_moov"} if recipe.fragmented else {}
    with av.open(str(path), "w", options=options) as container:
        stream: Any = container.add_stream(recipe.codec, rate=RATE)
        stream.time_base = Fraction(1, RATE) if recipe.container == "avi" else TICK
        if recipe.container in ("mp4", "mov"):
            stream.set_display_matrix(_matrix(recipe.orientation))
        tone = Tone(440.0)
        if recipe.sound:
            tone.attach(container)
        for packet in _packets(recipe, stream, dimensions):
            number = packet.pts
            decoded = packet.dts - (DELAY if recipe.times == "double" else 0)
            packet.time_base, packet.duration, packet.stream = TICK, round(1 / RATE / TICK), stream
            packet.pts = round((stated[number] + recipe.start) / TICK)
            packet.dts = round(((right[decoded] if decoded >= 0 else decoded / RATE) + recipe.start) / TICK)
            container.mux(packet)
        if recipe.sound:
            for sound in (*tone.packets(right[-1] + recipe.start), *tone.rest()):
                container.mux(sound)
    offset = recipe.start if recipe.sound else 0.0
    if recipe.sound and recipe.container == "ts":
        offset += AAC_DELAY  # elsewhere the container says to leave it out
    shown = []
    for number, (time, (width, height)) in enumerate(zip(right, dimensions, strict=True)):
        if recipe.codec == "mpeg2video" and number + 1 < FRAMES and dimensions[number + 1] != (width, height):
            continue  # FFmpeg's decoder drops the last frame before a change of size
        size = (round(width * recipe.aspect), height)
        shown.append(Shown(number, time + offset, size[::-1] if _turned(recipe.orientation) else size))
    return shown


def _turned(orientation: str) -> bool:
    """Whether width and height change places."""
    return ORIENTATIONS[orientation][0] == 0


def _matrix(orientation: str) -> list[int]:
    a, b, c, d = (value << 16 for value in ORIENTATIONS[orientation])
    return [a, b, 0, c, d, 0, 0, 0, 1 << 30]


def _stored(shown: ByteArray, orientation: str) -> ByteArray:
    """The stored image of a shown one."""
    a, b, c, d = ORIENTATIONS[orientation]
    across, down = (c, b) if _turned(orientation) else (a, d)
    image = shown[::down, ::across]
    return np.ascontiguousarray(image.swapaxes(0, 1) if _turned(orientation) else image)


def _packets(recipe: Recipe, stream: Any, dimensions: list[tuple[int, int]]) -> Iterator[Any]:
    """Encoded packets in decode order. ``pts`` is the number of the frame."""
    encoder = stream
    for number, (width, height) in enumerate(dimensions):
        if number == 0:
            _configure(encoder, recipe, width, height)
        elif dimensions[number - 1] != (width, height):
            yield from encoder.encode(None)
            encoder = av.CodecContext.create(recipe.codec, "w")
            _configure(encoder, recipe, width, height)
        size = (height, width) if _turned(recipe.orientation) else (width, height)
        image = _stored(draw_number(number | PATTERN, *size), recipe.orientation)
        frame = av.VideoFrame.from_ndarray(image, format="bgr24").reformat(format=encoder.pix_fmt)
        frame.pts, frame.time_base = number, Fraction(1, RATE)
        yield from encoder.encode(frame)
    yield from encoder.encode(None)


def _configure(encoder: Any, recipe: Recipe, width: int, height: int) -> None:
    formats = {"mjpeg": "yuvj420p", "prores_ks": "yuv422p10le"}
    pixel_format = formats.get(recipe.codec, "yuv420p")
    encoder.width, encoder.height = width, height
    encoder.pix_fmt = "yuv444p" if recipe.odd and recipe.codec == "libx264" else pixel_format
    context = getattr(encoder, "codec_context", encoder)
    context.time_base, context.framerate = Fraction(1, RATE), Fraction(RATE)
    context.sample_aspect_ratio = recipe.aspect
    context.thread_count = 1
    options = {"g": "12", "bf": str(recipe.b_frames)} if recipe.codec in B_FRAMES else {}
    if recipe.codec == "libx264":
        options |= {"preset": "superfast"}
    elif recipe.codec == "libx265":
        options = {"x265-params": f"keyint=12:bframes={recipe.b_frames}:log-level=none", "preset": "ultrafast"}
    elif recipe.codec.startswith("libvpx"):
        options = {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"}
    encoder.options = options


def differences(recipe: Recipe, path: Path) -> tuple[list[str], list[str]]:
    """Make a video, read it, and compare.

    Args:
        recipe: The recipe.
        path: The file to write.

    Returns:
        What is not as it should be, and what the manifest would say was repaired.
    """
    expected = make(recipe, path)
    with VideoReader(path, fps=0) as reader:
        found = [
            (read_number(frame.image), Shown(frame.index, frame.time, frame.image.shape[1::-1]))
            for frame in reader.frames()
        ]
        notes = reader_notes(reader, ScanSettings(fps=0))
    if len(found) != len(expected):
        return [f"{len(found)} frames instead of {len(expected)}"], notes
    wrong = []
    tolerance = EXACT.get(recipe.container, 1e-4)
    for (drawn, frame), right in zip(found, expected, strict=True):
        if drawn != right.number | PATTERN:
            wrong.append(f"frame {right.number}: shows {drawn:012b}, not {right.number | PATTERN:012b}")
        if frame.size != right.size:
            wrong.append(f"frame {right.number}: is {frame.size}, not {right.size}")
        repaired = recipe.times in ("double", "far") and right.number == FRAMES // 2
        if abs(frame.time - right.time) > (1 / RATE if repaired else tolerance):
            wrong.append(f"frame {right.number}: at {frame.time:.4f}, not {right.time:.4f} s")
    twin_is_shown = any(frame.number == FRAMES // 2 - 1 for frame in expected)
    if (recipe.times == "far" or (recipe.times == "double" and twin_is_shown)) and not notes:
        wrong.append("the repaired time is not mentioned")
    return wrong, notes


def main() -> None:
    """Make many videos and print what differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    arguments = parser.parse_args()
    outcomes: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(arguments.first, arguments.first + arguments.count):
            made = recipe(seed)
            path = Path(folder) / f"{seed}.{made.container}"
            wrong, notes = differences(made, path)
            path.unlink()
            outcomes[
                "right" if not wrong else "differs, and the manifest says so" if notes else "differs silently"
            ] += 1
            if wrong:
                print(f"{seed}: {made}: {wrong[0]} ({len(wrong)} in all)", *notes, sep="; ", flush=True)
    print(*(f"{count} {outcome}" for outcome, count in outcomes.items()), sep=", ")


if __name__ == "__main__":
    main()
