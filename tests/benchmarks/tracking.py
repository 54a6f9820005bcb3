"""Tracking in synthetic scenes with exact ground truth, at the native rate and at 5 frames per second.

    pip install 'fervid[benchmark]'
    python -m tests.benchmarks.tracking [SCENE ...] [--heads N]

IDF1, HOTA, identity switches and fragmentations are computed by the package ``trackers`` (a port of TrackEval), with an
IoU threshold of 0.5 where one is needed. *Detected* is the share of faces that the detector finds, *recall* the share
that the tracks contain, and *ceiling* the IDF1 of the same detections with correct identities. Fragmentations in
brackets are those of the correct identities, because a hidden face also counts as one. Partly visible faces are not
counted. The last table shows library trackers on the same detections; they are given the times of the cuts.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import zlib
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
from tests.benchmarks.composites import DrawnScene, Scene, crossings, detector, sampled_frames, truth_ids
from tests.benchmarks.scenes import SCENES, with_other_heads

IOU = 0.5
RATES = (0.0, 5.0)
PEERS: dict[str, Callable[..., Any]] = {
    "ByteTrack": ByteTrackTracker,
    "OC-SORT": OCSORTTracker,
    "BoT-SORT": partial(BoTSORTTracker, enable_cmc=False),
}
"""Trackers of the package ``trackers`` with default settings. They receive the frame times."""
BUFFER = 30
"""Time without a face after which they end a track, in thirtieths of a second."""

Rows = list[list[tuple[int, DoubleArray]]]
"""(track, box as x, y, width, height) of each face, for each sampled frame."""


class CachingDetector:
    """A detector that remembers the faces of each image by the image's pixels.

    A scan also detects faces in parts of images, which do not stay in memory. So an object is no key.
    """

    def __init__(self, inner: FaceDetector) -> None:
        self._inner = inner
        self.name, self.sha256 = inner.name, inner.sha256
        self._known: dict[tuple[tuple[int, ...], int], list[Face]] = {}

    def detect(self, image: ByteArray, shrunk: ScaledImage | None = None) -> list[Face]:
        """See FaceDetector."""
        key = image.shape, zlib.crc32(image.tobytes())
        if key not in self._known:
            self._known[key] = self._inner.detect(image, shrunk)
        return self._known[key]


@dataclass(frozen=True)
class Score:
    """Result of one scene at one rate. The dicts hold the sums from which totals are computed."""

    scene: str
    identity: dict[str, Any]
    hota: dict[str, Any]
    clear: dict[str, Any]
    ceiling: dict[str, Any]
    best: dict[str, Any]
    """Like ``clear``, for the same detections with correct identities."""
    bridged: int
    crossings: int


def play(drawn: DrawnScene, fps: float, finder: FaceDetector, adaptive: bool = False, follow: bool = False) -> Rows:
    """Track the faces of a scene as in a scan; one row per sampled frame."""
    settings = ScanSettings(fps=fps, adaptive=adaptive, follow_faces=follow)
    found = track_faces(drawn.frames(fps), settings, FER2013_GEOMETRY, finder)
    rows: Rows = [[] for _ in found.times]
    position = {int(frame): sample for sample, frame in enumerate(found.frames)}
    for track in found.tracks:
        for frame, box in zip(track.frames, track.boxes, strict=True):
            rows[position[int(frame)]].append((track.face_id, np.asarray(box, np.float64)))
    return rows


def found_adaptively(drawn: DrawnScene, fps: float, finder: RetinaFace) -> list[list[Face]]:
    """The faces that ``--adaptive`` finds in each sampled frame."""
    adaptive, found = RegionDetector(finder), []
    for frame in drawn.frames(fps):
        if frame.sampled:
            small, factor = shrink(frame.image, ScanSettings().long_side)
            found.append([scale_face(face, factor) for face in adaptive.detect(frame.time, small)])
    return found


def score(drawn: DrawnScene, rows: Rows, sampled: Sequence[int], found: list[list[Face]]) -> Score:
    """Compare tracks with the ground truth. ``sampled``: indices of the sampled frames."""
    numbers = truth_ids(drawn, ScanSettings().max_gap)
    truths = [[(numbers[f][i], np.array(face.box)) for i, face in enumerate(drawn.faces[f])] for f in sampled]
    identity, hota, clear = metrics(truths, rows)
    oracle = [_oracle(truth, faces) for truth, faces in zip(truths, found, strict=True)]
    ceiling, _, best = metrics(truths, oracle)
    bridged = _bridged(drawn.scene, rows, [drawn.scene.times[f] for f in sampled])
    return Score(drawn.scene.name, identity, hota, clear, ceiling, best, bridged, crossings(drawn))


def metrics(truths: Rows, rows: Rows) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Identity, HOTA and CLEAR sums of tracks. In ``truths`` -1 is a face that is not required."""
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
    """Matches (index of the true face, index in ``row``). Required faces are matched first."""
    similar = _overlap(truth, row)
    if not similar.size:
        return []
    asked = np.array([number >= 0 for number, _ in truth])
    pairs = zip(*linear_sum_assignment(-np.where(similar >= IOU, similar + asked[:, None], 0)), strict=True)
    return [(int(line), int(column)) for line, column in pairs if similar[line, column] >= IOU]


def _counted(truth: list[tuple[int, DoubleArray]], row: list[tuple[int, DoubleArray]]) -> list[tuple[int, DoubleArray]]:
    """The faces of ``row`` without those on faces that are not required, as in MOT17."""
    dropped = {column for line, column in _matched(truth, row) if truth[line][0] < 0}
    return [face for column, face in enumerate(row) if column not in dropped]


def _oracle(truth: list[tuple[int, DoubleArray]], faces: list[Face]) -> list[tuple[int, DoubleArray]]:
    """The detections that match a required face, with the true identities."""
    boxes = [(0, np.array(face.box)) for face in faces]
    return [(truth[line][0], boxes[column][1]) for line, column in _matched(truth, boxes) if truth[line][0] >= 0]


def _bridged(scene: Scene, rows: Rows, times: list[float]) -> int:
    """Number of tracks with faces both before and after a transition."""
    seen: dict[int, list[float]] = {}
    for time, row in zip(times, rows, strict=True):
        for number, _ in row:
            seen.setdefault(number, []).append(time)
    cuts = scene.cuts()
    return sum(any(min(t) < begin and max(t) >= end for begin, end in cuts) for t in seen.values())


def measure(scene: Scene) -> list[dict[str, Score]]:
    """Draw, track and score one scene at each of ``RATES``; return the scores of fervid and of the library trackers."""
    drawn, result = DrawnScene(scene), []
    finder = detector()
    caching = CachingDetector(finder)
    for fps in RATES:
        rows = play(drawn, fps, caching)
        sampled = sampled_frames(scene.times, fps)
        found = [caching.detect(drawn.images[index]) for index in sampled]
        scores = {"fervid": score(drawn, rows, sampled, found)}
        if fps == 0:
            scores["fervid --follow-faces"] = score(drawn, play(drawn, fps, caching, follow=True), sampled, found)
        if isinstance(finder, RetinaFace):
            others = found_adaptively(drawn, fps, finder)
            scores["fervid --adaptive"] = score(drawn, play(drawn, fps, finder, True), sampled, others)
        times = [scene.times[index] for index in sampled]
        for name, make in PEERS.items():
            theirs = track_with(make, found, times, [end for _, end in scene.cuts()])
            scores[name] = score(drawn, theirs, sampled, found)
        result.append(scores)
    return result


def track_with(make: Callable[..., Any], found: list[list[Face]], times: list[float], cuts: list[float]) -> Rows:
    """Track with a library tracker, restarted for each shot. A track ends after one second without a face, as in
    fervid."""
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
    """Pool all scenes."""
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
    """A Markdown table with the given row names."""
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
    parser.add_argument("scenes", nargs="*", help="names or parts of names (default: all)")
    parser.add_argument(
        "--heads", type=int, default=0, help="set of other heads and backgrounds, from 1; 0 is the default set"
    )
    arguments = parser.parse_args()
    chosen = [with_other_heads(make(), arguments.heads) for make in SCENES]
    if arguments.scenes:
        chosen = [scene for scene in chosen if any(part in scene.name for part in arguments.scenes)]
    cv2.setNumThreads(1)
    print(f"trackers {importlib.metadata.version('trackers')}; {len(chosen)} scenes")
    measured = [measure(scene) for scene in chosen]
    for fps, scores in zip(RATES, zip(*measured, strict=True), strict=True):
        title = "Native rate, 25 or 30 frames per second" if fps == 0 else f"{fps:g} frames per second"
        ours = [one["fervid"] for one in scores]
        print(f"\n{title}\n\n{table([*ours, total(ours)], [*(one.scene for one in ours), '**all**'])}")
        totals = {name: total([one[name] for one in scores]) for name in scores[0]}
        print(f"\n{title}, all scenes\n\n{table(list(totals.values()), list(totals))}")


if __name__ == "__main__":
    main()
