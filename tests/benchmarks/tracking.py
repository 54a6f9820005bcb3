"""Tracking on composites with exact truth, at the native rate and at 5 frames a second.

    pip install 'fervid[benchmark]'
    python -m tests.benchmarks.tracking [SCENE ...] [--heads N]

IDF1, HOTA, identity switches and fragmentations are those of the package ``trackers`` (its evaluation is a
port of TrackEval), at an IoU of 0.5 where one is needed. *Detected* is the share of the faces that the detector
finds, *recall* that which the tracks hold, *ceiling* the IDF1 that the same detections would have with every identity
right; a fragmentation is counted for those too wherever a face is hidden for a while, so theirs stand in brackets.
Faces that can be seen only in part are left out of the count on both sides. The last table has the same figures of
library trackers for the same detections, told where the cuts are.
"""

from __future__ import annotations

import argparse
import importlib.metadata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np
import supervision
from scipy.optimize import linear_sum_assignment
from trackers import BoTSORTTracker, ByteTrackTracker, OCSORTTracker
from trackers.eval import (
    aggregate_clear_metrics,
    aggregate_hota_metrics,
    aggregate_identity_metrics,
    box_iou,
    compute_clear_metrics,
    compute_hota_metrics,
    compute_identity_metrics,
)

from fervid.faces.boxes import ScaledImage, scale_face, shrink
from fervid.faces.crop import FER2013_GEOMETRY
from fervid.faces.detectors import FaceDetector
from fervid.faces.retinaface import RetinaFace
from fervid.faces.roi_detector import RegionDetector
from fervid.scan.scan import track_faces
from fervid.settings import ScanSettings
from fervid.types import ByteArray, DoubleArray, Face
from tests.benchmarks.composites import Film, Scene, crossings, detector, sampled_frames, truth_ids
from tests.benchmarks.scenes import SCENES, with_other_heads

IOU = 0.5
RATES = (0.0, 5.0)
PEERS: dict[str, Callable[..., Any]] = {
    "ByteTrack": ByteTrackTracker,
    "OC-SORT": OCSORTTracker,
    "BoT-SORT": partial(BoTSORTTracker, enable_cmc=False),
}
"""Of the package ``trackers``, at their own settings, given the times of the frames."""
BUFFER = 30
"""Their time without a face that ends a track, in thirtieths of a second."""

Rows = list[list[tuple[int, DoubleArray]]]
"""For each sampled frame, (track, box x, y, width, height) of each face."""


class Watched:
    """A detector that looks at each picture once and remembers; ``found`` has the faces of each call, in order.

    The pictures must outlive it.
    """

    def __init__(self, inner: FaceDetector) -> None:
        self._inner = inner
        self.name, self.sha256 = inner.name, inner.sha256
        self._known: dict[int, list[Face]] = {}
        self.found: list[list[Face]] = []

    def detect(self, image: ByteArray, shrunk: ScaledImage | None = None) -> list[Face]:
        """See FaceDetector."""
        if id(image) not in self._known:
            self._known[id(image)] = self._inner.detect(image, shrunk)
        self.found.append(self._known[id(image)])
        return self.found[-1]


@dataclass(frozen=True)
class Score:
    """What one scene gave at one rate; the sums from which totals are made lie in the three dicts."""

    scene: str
    identity: dict[str, Any]
    hota: dict[str, Any]
    clear: dict[str, Any]
    ceiling: dict[str, Any]
    best: dict[str, Any]
    """As ``clear``, of the same detections with every identity right: what is detected at all."""
    bridged: int
    crossings: int


def play(film: Film, fps: float, finder: FaceDetector, adaptive: bool = False) -> Rows:
    """Follow the faces of a film as ``scan`` does; one row for each sampled frame."""
    settings = ScanSettings(fps=fps, adaptive=adaptive)
    frames, times, tracks = track_faces(film.frames(fps), settings, FER2013_GEOMETRY, finder)
    rows: Rows = [[] for _ in times]
    position = {int(frame): sample for sample, frame in enumerate(frames)}
    for track in tracks:
        for frame, box in zip(track.frames, track.boxes, strict=True):
            rows[position[int(frame)]].append((track.face_id, np.asarray(box, np.float64)))
    return rows


def found_adaptively(film: Film, fps: float, finder: RetinaFace) -> list[list[Face]]:
    """The faces that ``--adaptive`` finds in each sampled frame, as ``scan`` finds them."""
    adaptive, found = RegionDetector(finder), []
    for frame in film.frames(fps):
        if frame.sampled:
            small, factor = shrink(frame.image, ScanSettings().long_side)
            found.append([scale_face(face, factor) for face in adaptive.detect(frame.time, small)])
    return found


def score(film: Film, rows: Rows, sampled: Sequence[int], found: list[list[Face]]) -> Score:
    """Compare tracks with the truth; ``sampled`` are the indices of the sampled frames."""
    numbers = truth_ids(film, ScanSettings().max_gap)
    truths = [[(numbers[f][i], np.array(face.box)) for i, face in enumerate(film.faces[f])] for f in sampled]
    identity, hota, clear = _metrics(truths, rows)
    oracle = [_oracle(truth, faces) for truth, faces in zip(truths, found, strict=True)]
    ceiling, _, best = _metrics(truths, oracle)
    bridged = _bridged(film.scene, rows, [film.scene.times[f] for f in sampled])
    return Score(film.scene.name, identity, hota, clear, ceiling, best, bridged, crossings(film))


def _metrics(truths: Rows, rows: Rows) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    gt, ours, similar = [], [], []
    for truth, row in zip(truths, rows, strict=True):
        wanted = [(number, box) for number, box in truth if number >= 0]
        kept = _counted(truth, row)
        gt.append(np.array([number for number, _ in wanted], int))
        ours.append(np.array([number for number, _ in kept], int))
        similar.append(_overlap(wanted, kept))
    arguments = (gt, ours, similar)
    return (
        compute_identity_metrics(*arguments, threshold=IOU),
        compute_hota_metrics(*arguments),
        compute_clear_metrics(*arguments, threshold=IOU),
    )


def _overlap(first: list[tuple[int, DoubleArray]], second: list[tuple[int, DoubleArray]]) -> DoubleArray:
    if not first or not second:
        return np.zeros((len(first), len(second)))
    one, other = (np.stack([box for _, box in faces]) for faces in (first, second))
    return np.asarray(box_iou(one, other, box_format="xywh"), np.float64)


def _matched(truth: list[tuple[int, DoubleArray]], row: list[tuple[int, DoubleArray]]) -> list[tuple[int, int]]:
    """Pairs (true face, face of ``row``) at the same place; a face that is asked for takes its box before others."""
    similar = _overlap(truth, row)
    if not similar.size:
        return []
    asked = np.array([number >= 0 for number, _ in truth])
    pairs = zip(*linear_sum_assignment(-np.where(similar >= IOU, similar + asked[:, None], 0)), strict=True)
    return [(int(line), int(column)) for line, column in pairs if similar[line, column] >= IOU]


def _counted(truth: list[tuple[int, DoubleArray]], row: list[tuple[int, DoubleArray]]) -> list[tuple[int, DoubleArray]]:
    """The faces of ``row`` without those that lie on a face of which nothing is asked (as MOT17 does with its own)."""
    dropped = {column for line, column in _matched(truth, row) if truth[line][0] < 0}
    return [face for column, face in enumerate(row) if column not in dropped]


def _oracle(truth: list[tuple[int, DoubleArray]], faces: list[Face]) -> list[tuple[int, DoubleArray]]:
    """The detections with the identities of the truth; the others are left out."""
    boxes = [(0, np.array(face.box)) for face in faces]
    return [(truth[line][0], boxes[column][1]) for line, column in _matched(truth, boxes) if truth[line][0] >= 0]


def _bridged(scene: Scene, rows: Rows, times: list[float]) -> int:
    """Tracks that were seen both before and after a cut or a fade."""
    seen: dict[int, list[float]] = {}
    for time, row in zip(times, rows, strict=True):
        for number, _ in row:
            seen.setdefault(number, []).append(time)
    cuts = scene.cuts()
    return sum(any(min(t) < begin and max(t) >= end for begin, end in cuts) for t in seen.values())


def measure(scene: Scene) -> list[dict[str, Score]]:
    """Draw, follow and score one scene at each of ``RATES``: fervid's scores, and those of the library trackers."""
    film, result = Film(scene), []
    finder = detector()
    inner = Watched(finder)
    for fps in RATES:
        watched = Watched(inner)
        rows = play(film, fps, watched)
        sampled = sampled_frames(scene.times, fps)
        scores = {"fervid": score(film, rows, sampled, watched.found)}
        if isinstance(finder, RetinaFace):
            found = found_adaptively(film, fps, finder)
            scores["fervid --adaptive"] = score(film, play(film, fps, finder, True), sampled, found)
        times = [scene.times[index] for index in sampled]
        for name, make in PEERS.items():
            theirs = follow_with(make, watched.found, times, [end for _, end in scene.cuts()])
            scores[name] = score(film, theirs, sampled, watched.found)
        result.append(scores)
    return result


def follow_with(make: Callable[..., Any], found: list[list[Face]], times: list[float], cuts: list[float]) -> Rows:
    """Tracks of a library tracker, a fresh one in each shot; one second unseen ends a track, as in fervid."""
    rate = float(1 / np.median(np.diff(times)))
    rows: Rows = []
    offset = highest = 0
    tracker: Any = None
    for sample, (time, faces) in enumerate(zip(times, found, strict=True)):
        begins = any(cut <= time for cut in cuts) and any(times[sample - 1] < cut <= time for cut in cuts)
        if tracker is None or begins:
            tracker, offset = make(lost_track_buffer=BUFFER, frame_rate=rate), highest
        boxes = np.array([face.box for face in faces], np.float32).reshape(-1, 4)
        corners = np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])
        scores = np.array([face.score for face in faces], np.float32)
        detections = supervision.Detections(xyxy=corners, confidence=scores, class_id=np.zeros(len(faces), int))
        result = tracker.update(detections, timestamp=time)
        row = []
        for corner, number in zip(result.xyxy, result.tracker_id, strict=True):
            if number >= 0:
                highest = max(highest, offset + int(number) + 1)
                row.append((offset + int(number), np.array([*corner[:2], *(corner[2:] - corner[:2])], np.float64)))
        rows.append(row)
    return rows


def total(scores: Sequence[Score]) -> Score:
    """All scenes as one."""
    return Score(
        "all",
        aggregate_identity_metrics([one.identity for one in scores]),
        aggregate_hota_metrics([one.hota for one in scores]),
        aggregate_clear_metrics([one.clear for one in scores]),
        aggregate_identity_metrics([one.ceiling for one in scores]),
        aggregate_clear_metrics([one.best for one in scores]),
        sum(one.bridged for one in scores),
        sum(one.crossings for one in scores),
    )


def table(scores: Sequence[Score], names: Sequence[str]) -> str:
    """Markdown rows under the given names."""
    lines = [
        "| | detected | recall | IDF1 | ceiling | HOTA | switches | fragmentations | crossings | ids over a cut |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for one, name in zip(scores, names, strict=True):
        lines.append(
            f"| {name} | {one.best['CLR_Re']:.4f} | {one.clear['CLR_Re']:.4f} "
            f"| {one.identity['IDF1']:.3f} | {one.ceiling['IDF1']:.3f} | {one.hota['HOTA']:.3f} "
            f"| {one.clear['IDSW']} | {one.clear['Frag']} ({one.best['Frag']}) | {one.crossings} "
            f"| {one.bridged} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", nargs="*", help="names, or parts of names; default: all")
    parser.add_argument("--heads", type=int, default=0, help="other heads and backgrounds, numbered from 1")
    arguments = parser.parse_args()
    chosen = [with_other_heads(make(), arguments.heads) for make in SCENES]
    if arguments.scenes:
        chosen = [scene for scene in chosen if any(part in scene.name for part in arguments.scenes)]
    cv2.setNumThreads(1)
    print(f"trackers {importlib.metadata.version('trackers')}; {len(chosen)} scenes")
    measured = [measure(scene) for scene in chosen]
    for fps, scores in zip(RATES, zip(*measured, strict=True), strict=True):
        title = "Native rate, 25 or 30 frames a second" if fps == 0 else f"{fps:g} frames a second"
        ours = [one["fervid"] for one in scores]
        print(f"\n{title}\n\n{table([*ours, total(ours)], [*(one.scene for one in ours), '**all**'])}")
        whole = {name: total([one[name] for one in scores]) for name in scores[0]}
        print(f"\n{title}, all scenes\n\n{table(list(whole.values()), list(whole))}")


if __name__ == "__main__":
    main()
