"""Faces found, and cost, of four detection methods: full images and ``--adaptive``, each with and without the gate of
RetinaFace's branch for small faces.

In synthetic scenes at 5 frames per second the ground truth is known. A face is found if a box has an intersection over
union of at least 0.5 with it. A box on no face is false. In clips the boxes are only counted. Times are processor
milliseconds per sample, smallest and largest of the rounds; the methods take turns.

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
from tests.benchmarks.composites import VISIBLE, DrawnScene, sampled_frames
from tests.benchmarks.scenes import SCENES, with_other_heads

FPS = 5.0
OVERLAP = 0.5

Find = Callable[[float, ByteArray], list[Face]]
"""Takes time and shrunk image of consecutive samples; returns the faces in pixels of the image."""


class Ungated(RetinaFace):
    """The detector without its gate."""

    def detect_unscaled(
        self, image: ByteArray, threshold: float, factor: float = 1.0, small_faces: SmallFaces = "all"
    ) -> list[Face]:
        """See RetinaFace."""
        return super().detect_unscaled(image, threshold, factor, "all" if small_faces == "gated" else small_faces)


def full_image(detector: RetinaFace, small_faces: SmallFaces) -> Find:
    """Detection on each full image."""
    return lambda _, image: detector.detect_unscaled(image, detector.score_threshold, small_faces=small_faces)


def methods() -> dict[str, Callable[[], Find]]:
    """The methods by name. Each entry starts its method for a new video."""
    gated, ungated = RetinaFace(), Ungated()
    for detector, small_faces in product(
        (gated, ungated), get_args(SmallFaces)
    ):  # load everything before the measurement
        detector.detect_unscaled(np.zeros((360, 640, 3), np.uint8), 0.5, small_faces=small_faces)
    return {
        "full image": lambda: full_image(gated, "all"),
        "full image, gated": lambda: full_image(gated, "gated"),
        "adaptive": lambda: RegionDetector(ungated).detect,
        "adaptive, gated (`--adaptive`)": lambda: RegionDetector(gated).detect,
    }


@dataclass(frozen=True, eq=False)
class Sample:
    """A sample. ``required``: boxes of the required faces. ``present``: boxes of all faces, None if unknown."""

    time: float
    image: ByteArray
    required: Sequence[Box] = ()
    present: Sequence[Box] | None = None


@dataclass
class Count:
    """Counts of samples, processor seconds, required faces, found ones, boxes, and false boxes."""

    samples: int = 0
    seconds: float = 0.0
    required: int = 0
    found: int = 0
    boxes: int = 0
    false: int = 0

    def add(self, sample: Sample, faces: Sequence[Face], seconds: float) -> None:
        """Add the faces found in a sample."""
        boxes = [face.box for face in faces]
        self.samples += 1
        self.seconds += seconds
        self.boxes += len(boxes)
        self.required += len(sample.required)
        self.found += int((iou(sample.required, boxes) >= OVERLAP).any(axis=1).sum())
        if sample.present is not None:
            self.false += int((iou(boxes, sample.present) < OVERLAP).all(axis=1).sum())


def scene_samples(heads: int) -> Iterator[list[Sample]]:
    """The samples of each synthetic scene."""
    for make in SCENES:
        drawn = DrawnScene(with_other_heads(make(), heads))
        indices = sampled_frames(drawn.scene.times, FPS)
        frames = (frame for frame in drawn.frames(FPS) if frame.sampled)
        samples = []
        for index, frame in zip(indices, frames, strict=True):
            image, factor = shrink(frame.image, ScanSettings().long_side)
            assert factor == 1, "the ground truth is in pixels of the scene"
            faces = drawn.faces[index]
            present = [face.box for face in faces]
            required = [face.box for face in faces if face.counts and face.visible >= VISIBLE]
            samples.append(Sample(frame.time, image, required, present))
        yield samples


def clip_samples(path: Path) -> Iterator[list[Sample]]:
    """The samples of a clip."""
    with VideoReader(path, fps=FPS) as reader:
        frames = (frame for frame in reader.frames() if frame.sampled)
        yield [Sample(frame.time, shrink(frame.image, ScanSettings().long_side)[0]) for frame in frames]


def measure(videos: Iterator[list[Sample]], rounds: int) -> dict[str, list[Count]]:
    """The counts of each method and round."""
    begin = methods()
    counts = {name: [Count() for _ in range(rounds)] for name in begin}
    for samples in videos:
        for number in range(rounds):
            for name, count in counts.items():
                find = begin[name]()
                for sample in samples:
                    started = time.process_time()
                    faces = find(sample.time, sample.image)
                    count[number].add(sample, faces, time.process_time() - started)
    return counts


def pooled(counts: Sequence[dict[str, list[Count]]]) -> dict[str, list[Count]]:
    """Pool several sets. Faces and boxes are sums over their first rounds; times are those of all rounds."""
    sums: dict[str, list[Count]] = {}
    for name in counts[0]:
        firsts = [vars(one[name][0]) for one in counts]
        total = Count(**{field: sum(first[field] for first in firsts) for field in firsts[0]})
        sums[name] = [total, *(count for one in counts for count in one[name])]
    return sums


def rows(title: str, counts: dict[str, list[Count]]) -> Iterator[str]:
    """Rows of the table."""
    for name, rounds in counts.items():
        first, times = rounds[0], [1000 * count.seconds / count.samples for count in rounds]
        truth = f"{first.required} | {first.required - first.found} | {first.false}" if first.required else "| |"
        spread = f"{np.min(times):.1f} to {np.max(times):.1f}"
        yield f"| {title} | {name} | {first.samples} | {first.boxes} | {truth} | {spread} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="*", type=Path)
    parser.add_argument("--heads", type=int, nargs="*", default=[], help="sets of synthetic scenes, 0 to 4")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    print("| | method | samples | boxes | faces | missed | false | ms a sample |\n|---|---|---|---|---|---|---|---|")
    sets = []
    for heads in arguments.heads:
        sets.append(measure(scene_samples(heads), arguments.rounds))
        print(*rows(f"scenes, heads {heads}", sets[-1]), sep="\n", flush=True)
    if len(sets) > 1:
        print(*rows("all scenes", pooled(sets)), sep="\n", flush=True)
    for clip in arguments.clips:
        print(*rows(clip.name, measure(clip_samples(clip), arguments.rounds)), sep="\n", flush=True)


if __name__ == "__main__":
    main()
