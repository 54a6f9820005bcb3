"""Small valid files of seven containers, and random but reproducible ways to damage them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from fervid.runtime.opencv import cv2
from fervid.types import ByteArray
from fervid.video.reader import VideoReader
from tests.support.clips import encode

SEEDS = {
    "h264.mp4": ("libx264", "yuv420p"),
    "h264.mkv": ("libx264", "yuv420p"),
    "vp8.webm": ("libvpx", "yuv420p"),
    "mpeg4.avi": ("mpeg4", "yuv420p"),
    "mpeg2.ts": ("mpeg2video", "yuv420p"),
    "flv1.flv": ("flv", "yuv420p"),
    "mjpeg.mov": ("mjpeg", "yuvj420p"),
}
"""File name → codec and pixel format."""

FRAMES = 15

Mutation = Callable[[bytearray, bytes, np.random.Generator], bytearray]


def make_seeds(folder: Path, clip: Path) -> dict[str, bytes]:
    """The seed files, made from the first frames of ``clip``, by name."""
    with VideoReader(clip, fps=0) as reader:
        images: list[ByteArray] = []
        for frame in reader.frames():
            images.append(np.asarray(cv2.resize(frame.image, (160, 96), interpolation=cv2.INTER_AREA), np.uint8))
            if len(images) == FRAMES:
                break
    folder.mkdir(parents=True, exist_ok=True)
    for name, (codec, pixels) in SEEDS.items():
        encode(folder / name, images, codec, pixels, options={"g": "6"} if codec != "mjpeg" else None)
    return {name: (folder / name).read_bytes() for name in SEEDS}


def _span(data: bytearray, rng: np.random.Generator) -> slice:
    """A random run of up to an eighth of the file."""
    start = int(rng.integers(0, len(data)))
    return slice(start, start + int(rng.integers(1, max(2, len(data) // 8))))


def flip(data: bytearray, other: bytes, rng: np.random.Generator) -> bytearray:
    """Change up to 64 bytes anywhere."""
    for position in rng.integers(0, len(data), int(rng.integers(1, 65))):
        data[position] ^= int(rng.integers(1, 256))
    return data


def truncate(data: bytearray, other: bytes, rng: np.random.Generator) -> bytearray:
    """Cut the file off."""
    return data[: int(rng.integers(0, len(data)))]


def splice(data: bytearray, other: bytes, rng: np.random.Generator) -> bytearray:
    """Replace a run of bytes by one of another file, which may have another container."""
    data[_span(data, rng)] = bytearray(other)[_span(bytearray(other), rng)]
    return data


def swap(data: bytearray, other: bytes, rng: np.random.Generator) -> bytearray:
    """Swap two runs of bytes."""
    first, second = sorted((_span(data, rng), _span(data, rng)), key=lambda span: int(span.start))
    middle = max(first.stop, second.start)
    tail = max(second.stop, middle)
    parts = (data[: first.start], data[middle:tail], data[first.stop : middle], data[first], data[tail:])
    return bytearray(b"".join(bytes(part) for part in parts))


def repeat(data: bytearray, other: bytes, rng: np.random.Generator) -> bytearray:
    """Repeat a run of bytes."""
    span = _span(data, rng)
    data[span.stop : span.stop] = data[span]
    return data


def header(data: bytearray, other: bytes, rng: np.random.Generator) -> bytearray:
    """Set up to eight of the first 512 bytes to extreme or random values."""
    for position in rng.integers(0, min(512, len(data)), int(rng.integers(1, 9))):
        data[position] = int(rng.choice([0, 0x7F, 0x80, 0xFF, int(rng.integers(0, 256))]))
    return data


def number(data: bytearray, other: bytes, rng: np.random.Generator) -> bytearray:
    """Set two, four or eight bytes to an extreme integer."""
    size = int(rng.choice([2, 4, 8]))
    position = int(rng.integers(0, max(1, len(data) - size)))
    value = int(rng.choice([0, 1, 2 ** (8 * size - 1) - 1])) if rng.random() < 0.7 else 2 ** (8 * size) - 1
    data[position : position + size] = value.to_bytes(size, "big" if rng.random() < 0.5 else "little")
    return data


def zero(data: bytearray, other: bytes, rng: np.random.Generator) -> bytearray:
    """Set a run of bytes to zero, like a lost disk block."""
    span = _span(data, rng)
    data[span] = bytes(len(data[span]))
    return data


MUTATIONS: tuple[Mutation, ...] = (flip, truncate, splice, swap, repeat, header, number, zero)


def mutate(seeds: dict[str, bytes], index: int, seed: int) -> tuple[str, bytes]:
    """The ``index``-th mutated file of a run: its name and content; the same for the same ``seed``."""
    rng = np.random.default_rng((seed, index))
    names = list(seeds)
    name = names[int(rng.integers(len(names)))]
    data = bytearray(seeds[name])
    kinds = []
    for _ in range(int(rng.integers(1, 4))):
        mutation = MUTATIONS[int(rng.integers(len(MUTATIONS)))]
        kinds.append(mutation.__name__)
        if data:
            data = mutation(data, seeds[names[int(rng.integers(len(names)))]], rng)
    return f"{index:06d}-{'-'.join(kinds)}-{name}", bytes(data)
