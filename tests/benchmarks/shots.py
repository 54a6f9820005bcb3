"""Shot detection on made videos whose cuts are known: by all frames, by those that a scan decodes, by PySceneDetect.

Pieces of real clips without cuts follow each other, joined by hard cuts, inserts of three or four frames, dissolves of
0.2 to 1 s and wipes, or disturbed by flashes and fast pans, which are no cuts. Each video is encoded in several ways;
some put no keyframe at a cut, so that cuts lie on frames to which no other refers. Cuts lie anywhere between two
samples, and every third one at a sample.

    python -m tests.benchmarks.shots --media ../shared/media [--work FOLDER] [--events 12] [--seeds 1 2]

PySceneDetect takes part with its default settings if ``scenedetect`` can be imported.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fervid.runtime.opencv import cv2
from fervid.scan.between_samples import analyze_frames
from fervid.types import ByteArray
from fervid.video.reader import SkippingReader, VideoReader
from fervid.video.shots import ShotBoundaryDetector
from tests.support.clips import encode
from tests.support.no_faces import NoFaces

RATE, WIDTH, HEIGHT = 25, 256, 144
SAMPLES_PER_SECOND = 5
SOURCES = (
    "crowd_1080p.mp4",
    "no_face.mp4",
    "talking_d3.mp4",
    "emo7_happy.mp4",
    "emo7_fear.mp4",
    "d19_h264_longgop.mkv",
)
"""Real clips without cuts, and none alike."""

ENCODINGS: dict[str, tuple[str, str, dict[str, str]]] = {
    "H.264, no B-frames": (".mp4", "libx264", {"bf": "0", "g": "50", "preset": "veryfast"}),
    "H.264, 3 B-frames": (".mp4", "libx264", {"bf": "3", "g": "250", "preset": "veryfast"}),
    "H.264, 3 B-frames, keyframes every 2 s": (
        *(".mp4", "libx264"),
        {"bf": "3", "g": "50", "preset": "veryfast", "x264-params": "scenecut=0:b-adapt=0"},
    ),
    "H.264, 8 B-frames": (
        *(".mp4", "libx264"),
        {"bf": "8", "g": "100", "preset": "veryfast", "x264-params": "scenecut=0:b-adapt=0:b-pyramid=none"},
    ),
    "HEVC": (
        *(".mp4", "libx265"),
        {"x265-params": "bframes=4:keyint=100:scenecut=0:b-adapt=0:log-level=none", "preset": "ultrafast"},
    ),
    "VP9": (".webm", "libvpx-vp9", {"g": "100", "deadline": "realtime", "cpu-used": "8", "b": "600k"}),
}
KINDS = ("cut", "insert", "dissolve", "wipe", "flash", "pan")
WITHOUT_CUT = {"flash", "pan"}


@dataclass(frozen=True)
class Event:
    """A change between two pieces, or a disturbance within one.

    Attributes:
        kind: One of ``KINDS``.
        first: Index of its first frame. For a cut, the first frame of the new piece.
        last: Index of its last frame.
    """

    kind: str
    first: int
    last: int


class Footage:
    """Pieces of the source clips, in turn, each from another place.

    Args:
        media: Folder with the clips.
    """

    def __init__(self, media: Path) -> None:
        self._images: list[list[ByteArray]] = []
        for name in SOURCES:
            with VideoReader(media / name, fps=0) as reader:
                found = []
                for frame in reader.frames():
                    found.append(np.asarray(cv2.resize(frame.image, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)))
                    if len(found) == 100:
                        break
            self._images.append([np.asarray(image, np.uint8) for image in found])
        self._wide = np.asarray(cv2.resize(self._images[0][0], (4 * WIDTH, 4 * HEIGHT)), np.uint8)
        self._turn = 0

    def piece(self, rng: np.random.Generator) -> Iterator[ByteArray]:
        """The frames of a piece, which go forth and back without end; every second piece is mirrored or closer."""
        images = self._images[self._turn % len(self._images)]
        flipped, closer = bool(self._turn // len(self._images) % 2), rng.random() < 0.5
        self._turn += 1
        place, step = int(rng.integers(0, len(images))), 1
        while True:
            image = images[place]
            if closer:
                part = image[HEIGHT // 6 : HEIGHT * 5 // 6, WIDTH // 6 : WIDTH * 5 // 6]
                image = np.asarray(cv2.resize(part, (WIDTH, HEIGHT)), np.uint8)
            yield np.asarray(cv2.flip(image, 1), np.uint8) if flipped else image
            if not 0 <= place + step < len(images):
                step = -step
            place += step

    def pan(self, length: int) -> Iterator[ByteArray]:
        """A fast pan over a wide image."""
        for number in range(length):
            left = round((3 * WIDTH - 1) * number / length)
            yield self._wide[HEIGHT : 2 * HEIGHT, left : left + WIDTH]


def make(footage: Footage, kind: str, count: int, rng: np.random.Generator) -> tuple[list[ByteArray], list[Event]]:
    """Make the frames of a video with events of one kind.

    Args:
        footage: Gives the pieces.
        kind: One of ``KINDS``.
        count: Number of events.
        rng: Random generator.

    Returns:
        The frames at ``RATE``, and the events.
    """
    images: list[ByteArray] = []
    events: list[Event] = []
    step = RATE // SAMPLES_PER_SECOND

    def show(piece: Iterator[ByteArray], length: int) -> None:
        images.extend(next(piece) for _ in range(length))

    piece = footage.piece(rng)
    for number in range(count):
        show(piece, int(rng.integers(30, 60)))
        if number % 3 == 0:  # the next frame is a sample
            show(piece, -len(images) % step)
        first = len(images)
        if kind == "cut":
            piece = footage.piece(rng)
            events.append(Event(kind, first, first))
        elif kind == "insert":
            show(footage.piece(rng), int(rng.integers(3, 5)))
            events += [Event(kind, first, first), Event(kind, len(images), len(images))]
        elif kind in ("dissolve", "wipe"):
            following, length = footage.piece(rng), round(RATE * rng.uniform(0.2, 1.0))
            images += [_mixed(kind, next(piece), next(following), (k + 1) / (length + 1)) for k in range(length)]
            piece = following
            events.append(Event(kind, first, len(images)))
        elif kind == "flash":
            bright = [np.clip(next(piece).astype(int) + 130, 0, 255).astype(np.uint8) for _ in range(2)]
            images += bright
            events.append(Event(kind, first, len(images)))
        else:
            show(footage.pan(24), 24)
            images += [images[-1]] * 20
            events.append(Event(kind, first, len(images)))
            piece = iter([images[-1]] * 200)
    show(piece, 30)
    return images, events


def _mixed(kind: str, before: ByteArray, after: ByteArray, share: float) -> ByteArray:
    if kind == "dissolve":
        return np.asarray(cv2.addWeighted(before, 1 - share, after, share, 0), np.uint8)
    edge = round(share * WIDTH)
    return np.concatenate([after[:, :edge], before[:, edge:]], axis=1)


def by_fervid(path: Path, skip: bool) -> list[float]:
    """The cuts that fervid finds.

    Args:
        path: The video.
        skip: Whether frames that no other refers to are left out.

    Returns:
        Times in seconds of the first frame of each shot but the first.
    """
    detector = ShotBoundaryDetector()
    with (SkippingReader if skip else VideoReader)(path, fps=SAMPLES_PER_SECOND, threads=1) as reader:
        for result in analyze_frames(reader.frames(), NoFaces(), reader):
            detector.update(result.time, result.thumbnail, result.shape, result.skipped, result.is_cut)
    return detector.finish()


def by_scenedetect(path: Path, name: str) -> list[float]:
    """The cuts that PySceneDetect finds with the defaults of one of its detectors."""
    library: Any = importlib.import_module("scenedetect")
    scenes = library.detect(str(path), getattr(library, name)())
    return [float(start.seconds) for start, _ in scenes[1:]]


def score(found: Sequence[float], events: Sequence[Event]) -> tuple[int, int, int]:
    """Compare the found cuts with the events.

    Args:
        found: Times in seconds.
        events: What is right.

    Returns:
        Number of events with a cut that are found, of those whose cut is on the right frame, and of false cuts.
    """
    left, hits, exact = sorted(found), 0, 0
    for event in events:
        slack = 1 if event.kind in ("cut", "insert") else 5
        low, high = ((place + side * slack) / RATE for place, side in ((event.first, -1), (event.last, 1)))
        match = [time for time in left if low - 1e-3 <= time <= high + 1e-3]
        if event.kind == "pan":
            left = [time for time in left if abs(time * RATE - event.first) > 1.5]  # the cut to the pan
        elif event.kind not in WITHOUT_CUT and match:
            hits += 1
            exact += any(abs(time * RATE - event.first) < 0.5 for time in match)
            left.remove(match[0])
    return hits, exact, len(left)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--media", type=Path, required=True, help="folder with the real clips")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "fervid-shots")
    parser.add_argument("--events", type=int, default=12, help="events in each video")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    asked = parser.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    ways: dict[str, Callable[[Path], list[float]]] = {
        "all frames": partial(by_fervid, skip=False),
        "needed frames": partial(by_fervid, skip=True),
    }
    if importlib.util.find_spec("scenedetect"):
        ways |= {name: partial(by_scenedetect, name=name) for name in ("ContentDetector", "AdaptiveDetector")}
    totals: Counter[tuple[str, str, str]] = Counter()
    footage = Footage(asked.media)
    for seed in asked.seeds:
        for kind in KINDS:
            rng = np.random.default_rng((seed, KINDS.index(kind)))
            images, events = make(footage, kind, asked.events, rng)
            for encoding, (suffix, codec, options) in ENCODINGS.items():
                path = encode(asked.work / f"shots{suffix}", images, codec, options=options)
                for way, detect in ways.items():
                    hits, exact, false = score(detect(path), events)
                    counted = {"events": len(events), "hits": hits, "exact": exact, "false": false}
                    totals.update({(kind, way, name): value for name, value in counted.items()})
                    totals.update({(encoding, way, name): value for name, value in counted.items()})
    for title, rows in (("kind", KINDS), ("encoding", tuple(ENCODINGS))):
        print(f"\n| {title} | detector | events | found | on the very frame | false cuts |\n|---|---|---|---|---|---|")
        for row in rows:
            for way in ways:
                values = [totals[row, way, name] for name in ("events", "hits", "exact", "false")]
                print(f"| {row} | {way} | {' | '.join(map(str, values))} |")


if __name__ == "__main__":
    main()
