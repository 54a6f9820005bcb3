"""What the ways of looking for faces find, and what they cost: whole pictures, and ``--adaptive``, with and without
the gate before the detector's part for small faces.

In made scenes at 5 a second the truth is known: a face is found where a box overlaps it by at least half (intersection
over union), and a box that lies on no face is false. In clips the boxes are counted. Times are processor time for a
sample, the least and the most of the rounds, in which the ways take turns.

    python -m tests.benchmarks.detection [CLIP ...] [--heads N ...] [--rounds 3]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import get_args

import numpy as np

from fervid.faces.boxes import iou, shrink
from fervid.faces.retinaface import RetinaFace, SmallFaces
from fervid.faces.roi_detector import RegionDetector
from fervid.runtime.opencv import cv2
from fervid.settings import ScanSettings
from fervid.types import Box, ByteArray, Face
from fervid.video.reader import VideoReader
from tests.benchmarks.composites import VISIBLE, Film, sampled_frames
from tests.benchmarks.scenes import SCENES, with_other_heads

FPS = 5.0
OVERLAP = 0.5

Find = Callable[[float, ByteArray], list[Face]]
"""Time and shrunk picture of one sample after another → its faces, in pixels of that picture."""


class Ungated(RetinaFace):
    """The detector without its gate."""

    def detect_unscaled(
        self, image: ByteArray, threshold: float, factor: float = 1.0, small_faces: SmallFaces = "all"
    ) -> list[Face]:
        """See RetinaFace."""
        return super().detect_unscaled(image, threshold, factor, "all" if small_faces == "gated" else small_faces)


def whole(detector: RetinaFace, small_faces: SmallFaces) -> Find:
    """Looks at each whole picture."""
    return lambda _, picture: detector.detect_unscaled(picture, detector.score_threshold, small_faces=small_faces)


def ways() -> dict[str, Callable[[], Find]]:
    """What begins each way of looking anew, for one film."""
    gated, ungated = RetinaFace(), Ungated()
    for detector, small_faces in product(
        (gated, ungated), get_args(SmallFaces)
    ):  # so that none of them begins by loading
        detector.detect_unscaled(np.zeros((360, 640, 3), np.uint8), 0.5, small_faces=small_faces)
    return {
        "whole": lambda: whole(gated, "all"),
        "whole, gated": lambda: whole(gated, "gated"),
        "adaptive": lambda: RegionDetector(ungated).detect,
        "adaptive, gated (`--adaptive`)": lambda: RegionDetector(gated).detect,
    }


@dataclass(frozen=True, eq=False)
class Sample:
    """Time and shrunk picture; the boxes of the faces ``asked`` for, and of all that are there, None if not known."""

    time: float
    picture: ByteArray
    asked: Sequence[Box] = ()
    there: Sequence[Box] | None = None


@dataclass
class Count:
    """Samples, processor seconds; faces that were asked for, and of these found; boxes, and of these false ones."""

    samples: int = 0
    seconds: float = 0.0
    asked: int = 0
    found: int = 0
    boxes: int = 0
    false: int = 0

    def add(self, sample: Sample, faces: Sequence[Face], seconds: float) -> None:
        """Count what was found in a sample."""
        boxes = [face.box for face in faces]
        self.samples += 1
        self.seconds += seconds
        self.boxes += len(boxes)
        self.asked += len(sample.asked)
        self.found += int((iou(sample.asked, boxes) >= OVERLAP).any(axis=1).sum())
        if sample.there is not None:
            self.false += int((iou(boxes, sample.there) < OVERLAP).all(axis=1).sum())


def made(heads: int) -> Iterator[list[Sample]]:
    """The samples of each made scene."""
    for make in SCENES:
        film = Film(with_other_heads(make(), heads))
        indices = sampled_frames(film.scene.times, FPS)
        frames = (frame for frame in film.frames(FPS) if frame.sampled)
        samples = []
        for index, frame in zip(indices, frames, strict=True):
            picture, factor = shrink(frame.image, ScanSettings().long_side)
            assert factor == 1, "truth is in pixels of the scene"
            faces = film.faces[index]
            there = [face.box for face in faces]
            asked = [face.box for face in faces if face.counts and face.visible >= VISIBLE]
            samples.append(Sample(frame.time, picture, asked, there))
        yield samples


def filmed(path: Path) -> Iterator[list[Sample]]:
    """The samples of a clip."""
    with VideoReader(path, fps=FPS) as reader:
        frames = (frame for frame in reader.frames() if frame.sampled)
        yield [Sample(frame.time, shrink(frame.image, ScanSettings().long_side)[0]) for frame in frames]


def measure(films: Iterator[list[Sample]], rounds: int) -> dict[str, list[Count]]:
    """Of each way, the counts of each round."""
    begin = ways()
    counts = {name: [Count() for _ in range(rounds)] for name in begin}
    for samples in films:
        for number in range(rounds):
            for name, count in counts.items():
                find = begin[name]()
                for sample in samples:
                    started = time.process_time()
                    faces = find(sample.time, sample.picture)
                    count[number].add(sample, faces, time.process_time() - started)
    return counts


def pooled(counts: Sequence[dict[str, list[Count]]]) -> dict[str, list[Count]]:
    """The rounds of several sets of pictures as one; what was found is that of their first rounds together."""
    sums: dict[str, list[Count]] = {}
    for name in counts[0]:
        firsts = [vars(one[name][0]) for one in counts]
        whole = Count(**{field: sum(first[field] for first in firsts) for field in firsts[0]})
        sums[name] = [whole, *(count for one in counts for count in one[name])]
    return sums


def rows(title: str, counts: dict[str, list[Count]]) -> Iterator[str]:
    """Lines of the table."""
    for name, rounds in counts.items():
        first, times = rounds[0], [1000 * count.seconds / count.samples for count in rounds]
        truth = f"{first.asked} | {first.asked - first.found} | {first.false}" if first.asked else "| |"
        spread = f"{np.min(times):.1f} to {np.max(times):.1f}"
        yield f"| {title} | {name} | {first.samples} | {first.boxes} | {truth} | {spread} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="*", type=Path)
    parser.add_argument("--heads", type=int, nargs="*", default=[], help="sets of made scenes, 0 to 4")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    print("| | looks | samples | boxes | faces | missed | false | ms a sample |\n|---|---|---|---|---|---|---|---|")
    sets = []
    for heads in arguments.heads:
        sets.append(measure(made(heads), arguments.rounds))
        print(*rows(f"scenes, heads {heads}", sets[-1]), sep="\n", flush=True)
    if len(sets) > 1:
        print(*rows("all scenes", pooled(sets)), sep="\n", flush=True)
    for clip in arguments.clips:
        print(*rows(clip.name, measure(filmed(clip), arguments.rounds)), sep="\n", flush=True)


if __name__ == "__main__":
    main()
