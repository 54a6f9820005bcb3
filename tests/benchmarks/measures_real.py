"""Blinks, orders of eyes, mouth and smile, and head pose against known truth, on ../shared/measures.

    python -m tests.benchmarks.measures_real

The README there says what the truth is and how sure. Blinks are found at each clip's own rate. A blink is right if it
overlaps a closure that no other blink overlaps; those that overlap an unsure span count neither way. The limits were
chosen on the first half of the clips and people (CHOSEN), so the others are what counts. The signs of yaw and roll of
the truth are those of the data set and are turned here.

Speech is measured on clips of ../shared/media and ../shared/measures at 10 samples per second, in seconds of the face
with the most samples. Only two of them show a person who speaks or raps.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import fervid
from fervid.faces.detectors import load_detector
from fervid.faces.measures import FaceMeasures, measure
from fervid.faces.mesh import FaceMesher
from fervid.timeline.events import BLINK, SPEAKING
from tests.support.paths import ROOT

MEASURES = ROOT.parent / "shared" / "measures"
CHOSEN = ("blink_d13.mp4", "blink_d6.mp4", "subject01", "subject02", "subject03")
"""The clips and people on which limits were chosen."""
COLUMNS = {"eye_open": "eyes_open", "mouth_open": "mouth_open", "smile_width": "smile"}
"""Measure of the truth → ours. Brows are left out: fervid has no measure of them."""

MEDIA = ROOT.parent / "shared" / "media"
SPEECH: dict[str, list[tuple[float, float]]] = {
    "blink_d13.mp4": [(0.5, 6.4)],
    "talking_d3.mp4": [],
    "emo7_happy.mp4": [],
    "emo7_surprise.mp4": [],
    "hamilton_cuts.mp4": [(3.59, 7.89)],
    "wolfgang.mp4": [],
    "d9_vfr.mp4": [],
    "d19_h264_longgop.mkv": [],
}
"""Clip → when the person in it speaks, in seconds, as seen. In talking_d3 nobody does."""
SPEECH_CHOSEN = ("blink_d13.mp4", "talking_d3.mp4", "emo7_happy.mp4", "emo7_surprise.mp4")
"""The clips on which the limits of speech were chosen."""

Span = tuple[float, float]


@dataclass(frozen=True)
class Blinks:
    """How well blinks were found.

    Attributes:
        right: Closures that were found.
        closures: All closures.
        false: Blinks without a closure.
        seconds: Length of the clips.
    """

    right: int
    closures: int
    false: int
    seconds: float

    def __add__(self, other: Blinks) -> Blinks:
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Blinks(*(one + two for one, two in pairs))

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return 2 * self.right / max(2 * self.right + self.false + self.closures - self.right, 1)

    def __str__(self) -> str:
        rate = 60 * self.false / self.seconds
        return f"{self.right} of {self.closures} closures, {self.false} false ({rate:.1f} a minute), F1 {self.f1:.2f}"


def score_blinks(found: Sequence[Span], closures: Sequence[Span], unsure: Sequence[Span], seconds: float) -> Blinks:
    """Compare blinks with closures.

    Args:
        found: Start and end of each blink in seconds.
        closures: The same of each true closure.
        unsure: Spans in which nothing counts.
        seconds: Length of the clip.

    Returns:
        The counts.
    """
    left, false = list(closures), 0
    for start, end in found:
        hit = next((one for one in left if start < one[1] and end > one[0]), None)
        if hit:
            left.remove(hit)
        elif not any(start < stop and end > begin for begin, stop in unsure):
            false += 1
    return Blinks(len(closures) - len(left), len(closures), false, seconds)


def blinks_of(name: str) -> Blinks:
    """Analyse a clip at its own rate, and score its blinks.

    Args:
        name: The clip.

    Returns:
        The counts.
    """
    truth = json.loads((MEASURES / "blinks.json").read_text())["clips"][name]
    episodes = fervid.analyze_video(MEASURES / "clips" / name, fps=0).episodes
    blinks = episodes[episodes["kind"] == BLINK]
    found = list(zip(blinks["onset"].tolist(), blinks["offset"].tolist(), strict=True))
    closures = [(one["begin"], one["end"]) for one in truth["closures"]]
    return score_blinks(found, closures, [tuple(one) for one in truth["unsure"]], truth["seconds"])


@cache
def measured(still: str) -> FaceMeasures:
    """Measure the best face of a still.

    Args:
        still: Its path in the folder of stills.

    Returns:
        The measures.
    """
    image = cv2.imread(str(MEASURES / "stills" / still))
    assert image is not None, still
    pixels = np.asarray(image, np.uint8)
    return measure(FaceMesher().find(pixels, load_detector().detect(pixels)[:1])[0])


def rows_of(name: str) -> list[dict[str, str]]:
    """Read a table of the truth.

    Args:
        name: ``orders.csv`` or ``pose.csv``.

    Returns:
        Column → text, for each row.
    """
    with (MEASURES / name).open(newline="") as file:
        return list(csv.DictReader(file))


def wrong_orders(kind: str, half: bool) -> tuple[list[str], int]:
    """Compare the orders of one measure with the truth.

    Args:
        kind: The measure, as the truth calls it.
        half: True for the people on whom limits were chosen, False for the others.

    Returns:
        The pairs in the wrong order, and the number of all pairs.
    """
    rows = [
        row
        for row in rows_of("orders.csv")
        if row["measure"] == kind and (Path(row["greater"]).name.split("_")[0] in CHOSEN) == half
    ]
    column = COLUMNS[kind]
    wrong = [
        f"{row['greater']} > {row['less']}"
        for row in rows
        if not getattr(measured(row["greater"]), column) > getattr(measured(row["less"]), column)
    ]
    return wrong, len(rows)


def pose_errors() -> dict[str, tuple[float, float, float]]:
    """Compute the errors of yaw, pitch and roll of each still.

    Returns:
        Still → measured minus true, in degrees; NaN if they were not measured.
    """
    errors = {}
    for row in rows_of("pose.csv"):
        found = measured(row["still"])
        true = (-float(row["yaw"]), float(row["pitch"]), -float(row["roll"]))
        here = (found.head_yaw, found.head_pitch, found.head_roll)
        errors[row["still"]] = (here[0] - true[0], here[1] - true[1], here[2] - true[2])
    return errors


def speech_of(name: str) -> tuple[float, float, float, float]:
    """Analyse a clip, and compare its periods of speech with the truth.

    Args:
        name: The clip.

    Returns:
        Seconds of speech that were found, seconds of true speech, seconds found without speech, and all others.
    """
    path = MEDIA / name if (MEDIA / name).exists() else MEASURES / "clips" / name
    tables = fervid.analyze_video(path, fps=10)
    face = tables.summary.sort_values("samples").iloc[-1]
    own = tables.episodes[(tables.episodes["kind"] == SPEAKING) & (tables.episodes["face_id"] == face["face_id"])]
    first, last = float(face["first_seen"]), float(face["last_seen"])
    clock = np.arange(first, last, 0.01)

    def within(spans: Sequence[Span]) -> np.ndarray[Any, np.dtype[np.bool_]]:
        return np.array([any(start <= time < end for start, end in spans) for time in clock], bool)

    found = within(list(zip(own["onset"].tolist(), own["offset"].tolist(), strict=True)))
    true = within(SPEECH[name])
    counts = (found & true, true, found & ~true, ~true)
    right, speech, false, silence = (float(one.sum()) / 100 for one in counts)
    return right, speech, false, silence


def main() -> None:
    """Print all figures."""
    clips = {name: blinks_of(name) for name in json.loads((MEASURES / "blinks.json").read_text())["clips"]}
    for half, purpose in ((True, "chosen on"), (False, "reported")):
        own = {name: one for name, one in clips.items() if (name in CHOSEN) == half}
        for name, one in own.items():
            print(f"blinks, {purpose}, {name}: {one}")
        print(f"blinks, {purpose}, together: {sum(own.values(), Blinks(0, 0, 0, 0.0))}")
        for kind in COLUMNS:
            wrong, count = wrong_orders(kind, half)
            print(f"orders, {purpose}, {kind}: {count - len(wrong)} of {count} right {'; '.join(wrong)}")
        for name in (one for one in SPEECH if (one in SPEECH_CHOSEN) == half):
            right, speech, false, silence = speech_of(name)
            print(
                f"speech, {purpose}, {name}: {right:.1f} of {speech:.1f} s found, {false:.1f} of {silence:.1f} s wrong"
            )
    errors = pose_errors()
    for still, values in errors.items():
        print(f"pose, {still}: yaw {values[0]:+.1f} pitch {values[1]:+.1f} roll {values[2]:+.1f}")
    known = np.abs([values for values in errors.values() if np.isfinite(values).all()])
    means = known.mean(axis=0)
    print(
        f"pose, mean of {len(known)} of {len(errors)} that are measured:"
        f" yaw {means[0]:.1f} pitch {means[1]:.1f} roll {means[2]:.1f}"
    )


if __name__ == "__main__":
    main()
