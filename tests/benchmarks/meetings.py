"""Identity on real clips with several people, at the native rate and at 10, 5 and 2 frames per second.

    pip install 'fervid[benchmark]'
    python -m tests.benchmarks.meetings [CLIP ...] [--rates 0 10 5 2]

The clips lie in ../shared; tests/benchmarks/meetings/ says who is who in them. The measures are those of
tests.benchmarks.tracking, on the true faces that the detector finds. *Mixed* is the number of rows on a track that
holds two people, outside its majority person, and *flagged* the number of these on tracks whose ``trust`` is not "ok".
*Person IDF1* compares the column ``person`` with the people, over cuts and absences; tracks without a person count as
one person each. *Mixed persons* holds the number of persons with rows of two people.
"""

from __future__ import annotations

import argparse
import csv
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from trackers.eval import aggregate_clear_metrics, aggregate_hota_metrics, aggregate_identity_metrics

from fervid.faces.crop import FER2013_GEOMETRY
from fervid.faces.detectors import FaceDetector
from fervid.faces.embedding import FaceEmbedder
from fervid.scan.scan import track_faces
from fervid.scan.types import TrackedFaces
from fervid.settings import ScanSettings
from fervid.timeline.summary import summarize_face
from fervid.types import EMOTIONS, DoubleArray, Face, Track
from fervid.video.reader import VideoReader
from tests.benchmarks.composites import SHARED, detector
from tests.benchmarks.tracking import PEERS, CachingDetector, Rows, metrics, track_with
from tests.support.paths import ROOT

RATES = (0.0, 10.0, 5.0, 2.0)
ANNOTATIONS = ROOT / "tests" / "benchmarks" / "meetings"
COVERED = 0.5
"""Share of a detected box that must lie in the larger box of an exact truth."""
VISIBLE = 0.6
"""Visible share from which a face of an exact truth is required."""


@dataclass(frozen=True)
class Clip:
    """A real clip. ``cuts``: numbers of the first frames of its shots but the first."""

    name: str
    path: Path
    cuts: tuple[int, ...] = ()


CLIPS = (
    Clip("composite_cross", SHARED / "composite_cross.mp4"),
    Clip("crowd_1080p", SHARED / "crowd_1080p.mp4"),
    Clip("hamilton_cuts", SHARED / "hamilton_cuts.mp4", (20, 82, 211)),
    Clip("real_crossing", SHARED.parent / "cases" / "real_crossing.mp4"),
)


@dataclass(frozen=True, eq=False)
class Truth:
    """Who is where in a clip: for each frame (person, box), and the time of each frame in seconds.

    An empty person is no face or a face that is not required.
    """

    clip: Clip
    times: list[float]
    frames: list[list[tuple[str, DoubleArray]]]

    def tracks(self, max_gap: float) -> list[list[int]]:
        """The true track of each face of each frame: one person within one shot, who is seen again within ``max_gap``
        seconds; -1 for faces that are not required."""
        numbers: dict[tuple[str, int], int] = {}
        last: dict[tuple[str, int], float] = {}
        rows, count = [], 0
        for index, (time, faces) in enumerate(zip(self.times, self.frames, strict=True)):
            row = []
            for person, _ in faces:
                key = person, bisect_right(self.clip.cuts, index)
                if person and (key not in last or time - last[key] > max_gap + 1e-3):
                    numbers[key] = count
                    count += 1
                if person:
                    last[key] = time
                row.append(numbers[key] if person else -1)
            rows.append(row)
        return rows


@dataclass(frozen=True)
class Score:
    """Result of one clip at one rate. The dicts hold the sums from which totals are computed."""

    identity: dict[str, Any]
    hota: dict[str, Any]
    clear: dict[str, Any]
    bridged: int
    mixed: int
    flagged: int | None = None
    person: dict[str, Any] | None = None
    mixed_persons: int | None = None


def read_truth(clip: Clip, finder: FaceDetector) -> Truth:
    """Read who is who in a clip. Where the truth is exact, the boxes are those of the detector on it."""
    with VideoReader(clip.path, fps=0) as reader:
        if clip.name == "composite_cross":
            frames = [(frame.time, finder.detect(frame.image)) for frame in reader.frames()]
            return Truth(clip, [time for time, _ in frames], _exact(clip, [faces for _, faces in frames]))
        times = [frame.time for frame in reader.frames()]
    found: list[list[tuple[str, DoubleArray]]] = [[] for _ in times]
    with (ANNOTATIONS / f"{clip.name}.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            box = np.array([float(row[side]) for side in ("x", "y", "width", "height")])
            found[int(row["frame"])].append((row["person"], box))
    return Truth(clip, times, found)


def _exact(clip: Clip, found: Sequence[Sequence[Face]]) -> list[list[tuple[str, DoubleArray]]]:
    """The detected faces, each with the person in whose true box it lies."""
    people: list[list[dict[str, str]]] = [[] for _ in found]
    with clip.path.with_name(f"{clip.name}_gt.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            people[int(row["frame"])].append(row)
    return [
        [(_owner(face, rows), np.array(face.box)) for face in faces] for faces, rows in zip(found, people, strict=True)
    ]


def _owner(face: Face, people: Sequence[dict[str, str]]) -> str:
    """The visible person whose true box is nearest to the face; empty if there is none."""
    centre = np.array([face.x + face.width / 2, face.y + face.height / 2])
    distances = {}
    for row in people:
        x, y, width, height = (float(row[side]) for side in "xywh")
        # The truth is the box of the cut-out head; the face lies in its middle.
        distance = float(np.linalg.norm(centre - (x + width / 2, y + height / 2))) / width
        if distance <= COVERED and float(row["visible_frac"]) >= VISIBLE:
            distances[row["id"]] = distance
    return min(distances, key=lambda person: distances[person], default="")


def score(truth: Truth, sampled: Sequence[int], rows: Rows) -> Score:
    """Compare tracks with the truth. ``sampled``: numbers of the sampled frames."""
    numbers = truth.tracks(ScanSettings().max_gap)
    truths = [[(n, box) for n, (_, box) in zip(numbers[f], truth.frames[f], strict=True)] for f in sampled]
    identity, hota, clear = metrics(truths, rows)
    people = _people(truth, sampled, rows)
    mixed = sum(sum(held.values()) - max(held.values()) for held in people.values())
    return Score(identity, hota, clear, _bridged(truth, sampled, rows), mixed)


def _people(truth: Truth, sampled: Sequence[int], rows: Rows) -> dict[int, Counter[str]]:
    """For each track the people in its rows."""
    held: dict[int, Counter[str]] = {}
    for frame, row in zip(sampled, rows, strict=True):
        for number, box in row:
            for person, true in truth.frames[frame]:
                if person and np.abs(box - true).max() < 0.2 * true[2]:
                    held.setdefault(number, Counter())[person] += 1
    return held


def _bridged(truth: Truth, sampled: Sequence[int], rows: Rows) -> int:
    shots: dict[int, set[int]] = {}
    for frame, row in zip(sampled, rows, strict=True):
        for number, _ in row:
            shots.setdefault(number, set()).add(bisect_right(truth.clip.cuts, frame))
    return sum(len(seen) > 1 for seen in shots.values())


def score_ours(truth: Truth, sampled: Sequence[int], found: TrackedFaces) -> Score:
    """Compare the tracks of a scan with the truth, and see what ``trust`` and ``person`` say of them."""
    tracks = found.tracks
    rows = _rows(tracks, sampled)
    base = score(truth, sampled, rows)
    held = _people(truth, sampled, rows)
    doubtful = {track.face_id for track in tracks if _trust(track, found) != "ok"}
    flagged = sum(sum(c.values()) - max(c.values()) for number, c in held.items() if number in doubtful)
    persons = {track.face_id: len(tracks) + track.face_id if track.person is None else track.person for track in tracks}
    by_person: Rows = [[(persons[number], box) for number, box in row] for row in rows]
    names = sorted({person for faces in truth.frames for person, _ in faces} - {""})
    truths = [[(names.index(p) if p else -1, box) for p, box in truth.frames[frame]] for frame in sampled]
    mixed_persons = sum(len(c) > 1 for c in _people(truth, sampled, by_person).values())
    return Score(
        base.identity,
        base.hota,
        base.clear,
        base.bridged,
        base.mixed,
        flagged,
        metrics(truths, by_person)[0],
        mixed_persons,
    )


def _rows(tracks: Sequence[Track], sampled: Sequence[int]) -> Rows:
    place = {frame: number for number, frame in enumerate(sampled)}
    rows: Rows = [[] for _ in sampled]
    for track in tracks:
        for frame, box in zip(track.frames, track.boxes, strict=True):
            rows[place[int(frame)]].append((track.face_id, np.asarray(box, np.float64)))
    return rows


def _trust(track: Track, found: TrackedFaces) -> str:
    even = np.full((len(track.times), len(EMOTIONS)), 1 / len(EMOTIONS), np.float32)
    doubts = [one for one in found.doubts if one.face_id == track.face_id]
    return summarize_face(track, even, found.times, doubts=doubts).trust


def measure(clip: Clip, rates: Sequence[float]) -> Iterator[dict[str, Score]]:
    """Track and score one clip at each rate; yields the scores of fervid and of the library trackers."""
    finder = CachingDetector(detector())
    embedder = FaceEmbedder()
    truth = read_truth(clip, finder)
    cuts = [truth.times[cut] for cut in clip.cuts]
    for fps in rates:
        with VideoReader(clip.path, fps=fps) as reader:
            found = track_faces(reader.frames(), ScanSettings(fps=fps), FER2013_GEOMETRY, finder, embedder=embedder)
        sampled = found.frames.tolist()
        scores = {"fervid": score_ours(truth, sampled, found)}
        with VideoReader(clip.path, fps=fps) as reader:
            faces = [finder.detect(frame.image) for frame in reader.frames() if frame.sampled]
        for name, make in PEERS.items():
            scores[name] = score(truth, sampled, track_with(make, faces, found.times.tolist(), cuts))
        yield scores


def total(scores: Sequence[Score]) -> Score:
    """Pool all clips."""
    ours = all(one.person is not None for one in scores)
    return Score(
        aggregate_identity_metrics([one.identity for one in scores]),
        aggregate_hota_metrics([one.hota for one in scores]),
        aggregate_clear_metrics([one.clear for one in scores]),
        sum(one.bridged for one in scores),
        sum(one.mixed for one in scores),
        sum(one.flagged or 0 for one in scores) if ours else None,
        aggregate_identity_metrics([one.person or {} for one in scores]) if ours else None,
        sum(one.mixed_persons or 0 for one in scores) if ours else None,
    )


def table(scores: Sequence[Score], names: Sequence[str]) -> str:
    """A Markdown table with the given row names."""
    lines = [
        "| | IDF1 | HOTA | switches | ids over a cut | mixed | flagged | person IDF1 | mixed persons |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for one, name in zip(scores, names, strict=True):
        ours = ["–"] * 3
        if one.person is not None:
            ours = [f"{one.flagged}", f"{one.person['IDF1']:.3f}", f"{one.mixed_persons}"]
        values = (f"{one.identity['IDF1']:.3f}", f"{one.hota['HOTA']:.3f}", one.clear["IDSW"], one.bridged, one.mixed)
        lines.append(f"| {name} | {' | '.join(map(str, [*values, *ours]))} |")
    return "\n".join(lines)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="*", help="names or parts of names (default: all)")
    parser.add_argument("--rates", nargs="*", type=float, default=RATES, help="frames per second; 0: native")
    arguments = parser.parse_args()
    chosen = [clip for clip in CLIPS if not arguments.clips or any(part in clip.name for part in arguments.clips)]
    cv2.setNumThreads(1)
    measured = [list(measure(clip, arguments.rates)) for clip in chosen]
    for fps, scores in zip(arguments.rates, zip(*measured, strict=True), strict=True):
        title = f"{fps:g} frames per second" if fps else "Native rate"
        names = [clip.name for clip in chosen]
        ours = [one["fervid"] for one in scores]
        totals = {name: total([one[name] for one in scores]) for name in scores[0]}
        everyone = [*ours, *totals.values()]
        print(f"\n{title}\n\n{table(everyone, [*names, *(f'**{name}, all**' for name in totals)])}")


if __name__ == "__main__":
    main()
