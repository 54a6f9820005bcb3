"""Clips for the throughput benchmark, made from real clips: mixed shots in common sizes and codecs.

Six scenes take turns, with equal shares of the length: a talking head, a crowd of about ten people, two people side by
side as in a video call, a stage with hard cuts, a face that leaves, and a landscape without people. They are scaled to
the size, played at 25 frames per second and encoded once, with a keyframe every two seconds or at a cut: H.264 by x264
(medium, crf 23), HEVC by x265 (fast, crf 26), VP9 by libvpx (good, cpu-used 5, crf 33), or AV1 by SVT-AV1 (preset 8,
crf 35). Longer files repeat the packets. A second clip shows the talking head alone.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from fervid.types import ByteArray

RATE = 25
KEYFRAMES = 50
"""Largest number of frames from one keyframe to the next."""

SIZES = {"720p": (1280, 720), "1080p": (1920, 1080)}


@dataclass(frozen=True)
class Codec:
    """An encoder with its options, and the suffix of its files."""

    encoder: str
    ending: str
    options: dict[str, str]


CODECS = {
    "h264": Codec("libx264", ".mp4", {"preset": "medium", "crf": "23", "g": str(KEYFRAMES)}),
    "hevc": Codec(
        "libx265", ".mp4", {"preset": "fast", "crf": "26", "x265-params": f"keyint={KEYFRAMES}:log-level=error"}
    ),
    "vp9": Codec(
        "libvpx-vp9",
        ".webm",
        {"deadline": "good", "cpu-used": "5", "row-mt": "1", "crf": "33", "b": "0", "g": str(KEYFRAMES)},
    ),
    "av1": Codec("libsvtav1", ".mp4", {"preset": "8", "crf": "35", "g": str(KEYFRAMES)}),
}

Scene = tuple[tuple[str, ...], ...]
"""The views side by side, and for each view the clips that play one after another."""

HEAD: Scene = (("wolfgang.mp4",),)
"""A talking head."""

SCENES: tuple[Scene, ...] = (
    HEAD,
    (("crowd_1080p.mp4",),),
    (("talking_d3.mp4",), ("emo7_happy.mp4", "emo7_sadness.mp4")),
    (("hamilton_cuts.mp4",),),
    (("face_noface_hevc_vfr.mov",),),
    (("no_face.mp4",),),
)


@dataclass(frozen=True)
class Clip:
    """A file with a known number of frames, at ``RATE`` per second."""

    path: Path
    frames: int

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.frames / RATE

    @property
    def kilobits(self) -> float:
        """Bit rate in kilobits per second."""
        return self.path.stat().st_size * 8 / 1000 / self.seconds


def make(media: Path, folder: Path, size: str, codec: str, seconds: float, head: bool = False) -> Clip:
    """The clip of a size, codec and length. It is encoded if ``folder`` does not contain it. ``head``: shows only the
    talking head."""
    frames, chosen = round(seconds * RATE), CODECS[codec]
    path = folder / f"{'head_' * head}{size}_{codec}_{frames}{chosen.ending}"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"partial_{path.name}")
        shown = pictures(media, *SIZES[size], frames, [HEAD] if head else SCENES)
        encode(itertools.islice(shown, frames), partial, *SIZES[size], chosen)
        os.replace(partial, path)
    return Clip(path, frames)


def encode(images: Iterator[ByteArray], path: Path, width: int, height: int, codec: Codec, rate: int = RATE) -> None:
    """Encode frames (height, width, 3) uint8 blue-green-red."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec.encoder, rate=rate)
        stream.width, stream.height, stream.pix_fmt, stream.options = width, height, "yuv420p", codec.options
        stream.codec_context.time_base = stream.time_base = Fraction(1, rate)
        for index, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame.pts, frame.time_base = index, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def pictures(
    media: Path, width: int, height: int, frames: int, scenes: Sequence[Scene] = SCENES
) -> Iterator[ByteArray]:
    """The scenes in turns, endlessly. Each turn is an equal share of ``frames``, or the whole scene if that is
    shorter."""
    share = max(1, -(-frames // len(scenes)))
    while True:
        for places in scenes:
            part = width // len(places)
            rows = [(cover(image, part, height) for image in play(media, names)) for names in places]
            for row in itertools.islice(zip(*rows, strict=False), share):
                yield np.concatenate(row, axis=1)


def play(media: Path, names: Sequence[str]) -> Iterator[ByteArray]:
    """All frames of several clips, one clip after another."""
    for name in names:
        with av.open(str(media / name)) as container:
            for frame in container.decode(video=0):
                yield np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)


def cover(image: ByteArray, width: int, height: int) -> ByteArray:
    """The centre of a frame, scaled to fill ``width`` x ``height``."""
    factor = max(width / image.shape[1], height / image.shape[0])
    size = max(width, round(image.shape[1] * factor)), max(height, round(image.shape[0] * factor))
    scaled = cv2.resize(image, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    return np.asarray(scaled[top : top + height, left : left + width], np.uint8)


def twins(clip: Clip, folder: Path, count: int, turns: int = 1) -> list[Clip]:
    """``count`` files that repeat the clip ``turns`` times.

    They have different titles, so that none is skipped as a duplicate of another.
    """
    return [_copy(clip, folder, f"twin{number}", turns, None) for number in range(count)]


def heads(clip: Clip, folder: Path, count: int) -> list[Clip]:
    """The same with only the first group of pictures, about two seconds."""
    return [_copy(clip, folder, f"head{number}", 1, 1) for number in range(count)]


def _copy(clip: Clip, folder: Path, title: str, turns: int, groups: int | None) -> Clip:
    """Copy packets: the clip ``turns`` times, or its first ``groups`` groups of pictures."""
    length = "" if turns == 1 else f"_x{turns}"
    path = folder / f"{clip.path.stem}_{title}{length}{clip.path.suffix}"
    partial = path.with_name(f"partial_{path.name}")
    with av.open(str(clip.path)) as source:
        stream = source.streams.video[0]
        packets = [packet for packet in source.demux(stream) if packet.pts is not None and packet.dts is not None]
        keys = [number for number, packet in enumerate(packets) if packet.is_keyframe]
        chosen = packets if groups is None else packets[: [*keys, len(packets)][groups]]
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            _mux(stream, chosen, partial, title, turns)
            os.replace(partial, path)
    return Clip(path, len(chosen) * turns)


def _mux(stream: Any, packets: list[Any], path: Path, title: str, turns: int) -> None:
    base = stream.time_base
    step = round(1 / (RATE * base))
    length = max(packet.pts for packet in packets) - min(packet.pts for packet in packets) + step
    with av.open(str(path), "w") as target:
        target.metadata["title"] = title
        copy: Any = target.add_stream_from_template(stream, opaque=True)  # libdav1d, the decoder of AV1, is no encoder
        for turn in range(turns):
            for packet in packets:
                again = av.Packet(bytes(packet))
                again.stream, again.time_base, again.is_keyframe = copy, base, packet.is_keyframe
                again.pts, again.dts = packet.pts + turn * length, packet.dts + turn * length
                again.duration = packet.duration or step
                target.mux(again)
