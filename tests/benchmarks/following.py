"""Followed faces compared with detection in every frame, on real clips.

    python -m tests.benchmarks.following --media ../shared/media [--adaptive] [CLIP ...]

For each clip: the share of frames without a followed face, and of followed frames the share in which all boxes
have an intersection over union of .9 or more with those of detection in every frame (a face too many or too few counts
as 0), quantiles of this overlap, and how the emotion probabilities differ. The limits of ``faces/following`` were
chosen on the clips in CHOSEN_ON. ``python -m tests.benchmarks.tracking`` shows what following does to tracks.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

from fervid.emotions.classifier import EmotionClassifier, load_classifier
from fervid.faces.boxes import iou
from fervid.faces.crop import FER2013_GEOMETRY
from fervid.runtime.opencv import cv2
from fervid.scan.frame_analysis import FaceDetections, FrameAnalyzer
from fervid.scan.scan import cached_detector
from fervid.settings import ScanSettings
from fervid.types import ByteArray
from fervid.video.reader import VideoReader

CHOSEN_ON = {
    *("composite_cross.mp4", "crowd_1080p.mp4", "d19_h264_longgop.mkv", "d9_vfr.mp4", "emo7_angry.mp4"),
    *("emo7_disgust.mp4", "hamilton_cuts.mp4"),
}
"""The clips on which limits were chosen."""

GOOD = 0.9
"""Intersection over union that counts as the same box."""


@dataclass(eq=False)
class Comparison:
    """Sums over frames of one clip or several."""

    frames: int = 0
    followed: int = 0
    overlaps: list[float] = field(default_factory=list)
    """For each followed frame with a face the smallest overlap."""
    crops: list[tuple[ByteArray, ByteArray]] = field(default_factory=list)
    """Of each followed face the crop, and the one of detection."""

    def add(self, exact: FaceDetections, other: FaceDetections) -> None:
        """Add a frame."""
        self.frames += 1
        if not any(face.followed for face in other.faces):
            return
        self.followed += 1
        table = iou([face.box for face in other.faces], [face.box for face in exact.faces])
        rows, columns = linear_sum_assignment(-table)
        same = len(exact.faces) == len(other.faces)
        self.overlaps.append(float(table[rows, columns].min()) if same else 0.0)
        self.crops += [(other.crops[row], exact.crops[column]) for row, column in zip(rows, columns, strict=True)]

    def row(self, name: str, classifier: EmotionClassifier) -> str:
        """A row of the table."""
        start = f"| {name} | {self.frames} | {1 - self.followed / self.frames:.2f} |"
        if not self.followed:
            return f"{start} – | – | – | – |"
        overlaps = np.array(self.overlaps)
        one, other = (classifier.probabilities(np.stack(crops)) for crops in zip(*self.crops, strict=True))
        agree = float((one.argmax(axis=1) == other.argmax(axis=1)).mean())
        low = ", ".join(f"{value:.3f}" for value in np.quantile(overlaps, (0.01, 0.05, 0.5)))
        return f"{start} {(overlaps >= GOOD).mean():.3f} | {low} | {np.abs(one - other).mean():.4f} | {agree:.3f} |"

    def join(self, other: Comparison) -> None:
        """Add another clip."""
        self.frames += other.frames
        self.followed += other.followed
        self.overlaps += other.overlaps
        self.crops += other.crops


def samples(path: Path, settings: ScanSettings) -> Iterator[FaceDetections]:
    """The faces of every frame of a clip."""
    analyzer = FrameAnalyzer(settings, FER2013_GEOMETRY, cached_detector(settings))
    with VideoReader(path, fps=settings.fps, threads=1) as reader:
        for frame in analyzer.look_ahead(reader.frames()):
            sample = analyzer.analyze_frame(frame).sample
            if sample is not None:
                yield sample


def compare(path: Path, adaptive: bool) -> Comparison:
    """Compare all frames of a clip."""
    found = Comparison()
    exact = samples(path, ScanSettings(fps=0))
    for one, other in zip(exact, samples(path, ScanSettings(fps=0, adaptive=adaptive, follow_faces=True)), strict=True):
        found.add(one, other)
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="*", type=Path)
    parser.add_argument("--media", type=Path, help="folder with the real clips")
    parser.add_argument("--adaptive", action="store_true")
    asked = parser.parse_args()
    cv2.setNumThreads(1)
    clips = asked.clips or sorted(
        path for path in asked.media.iterdir() if path.suffix in (".mp4", ".mov", ".mkv", ".webm")
    )
    classifier = load_classifier(None, "cpu")
    print("| clip | frames | not followed | boxes with .9 | 1 %, 5 %, 50 % | probabilities differ by | same emotion |")
    print("|---|---|---|---|---|---|---|")
    totals = {"all on which limits were chosen": Comparison(), "all others": Comparison()}
    for path in sorted(clips, key=lambda path: path.name not in CHOSEN_ON):
        found = compare(path, asked.adaptive)
        chosen = path.name in CHOSEN_ON
        print(found.row(f"{path.name}{' (chosen)' if chosen else ''}", classifier), flush=True)
        totals["all on which limits were chosen" if chosen else "all others"].join(found)
    for name, total in totals.items():
        if total.frames:
            print(total.row(f"**{name}**", classifier))


if __name__ == "__main__":
    main()
