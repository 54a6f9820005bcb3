"""Following faces through time, in seconds throughout: association, gaps, cuts, ids.

Association predicts each track with a constant velocity, compares predicted and detected boxes by
distance, size and appearance, and solves the assignment optimally (Kuhn, 1955; scipy).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment

from fervid.types import ByteArray, Face, FloatArray

REACH = 0.6
"""Distance, in face sizes, that a face may stray from its prediction at once."""
REACH_PER_SECOND = 1.5
"""What it may stray further for each second unseen."""
MAX_SIZE_CHANGE = 0.7
"""Largest absolute natural logarithm of the ratio of sizes."""
APPEARANCE_WEIGHT = 0.6
MAX_PREDICTION = 0.5
"""Seconds after which a velocity is no longer believed."""
MAX_STALL = 3.0
"""After missing frames a picture may have moved this many times further than usual before it is a cut."""
EVIDENCE = 3
"""Samples a track needs, where its shot has as many; one less where they come at a slow step."""
SLOW_STEP = 0.5
"""Seconds between samples above which a third would ask for more than a second of presence."""


@dataclass(eq=False)
class TrackState:
    """A face being followed. ``samples``: (running number of the sample, position in its list of faces)."""

    face: Face
    time: float
    appearance: FloatArray | None
    velocity: tuple[float, float] = (0.0, 0.0)
    samples: list[tuple[int, int]] = field(default_factory=list)
    first_time: float = 0.0

    def predict(self, time: float) -> tuple[float, float]:
        """Expected centre at ``time``, in pixels."""
        ahead = min(time - self.time, MAX_PREDICTION)
        x, y = _centre(self.face)
        return x + self.velocity[0] * ahead, y + self.velocity[1] * ahead

    def add(self, time: float, face: Face, appearance: FloatArray | None, sample: tuple[int, int]) -> None:
        """Continue the track with a detection."""
        elapsed = time - self.time
        if elapsed > 0:
            (x0, y0), (x1, y1) = _centre(self.face), _centre(face)
            share = 1.0 if len(self.samples) == 1 else min(1.0, elapsed / (elapsed + 0.15))
            newest = (x1 - x0) / elapsed, (y1 - y0) / elapsed
            self.velocity = tuple(
                (1 - share) * old + share * new for old, new in zip(self.velocity, newest, strict=True)
            )  # type: ignore[assignment]
        if appearance is not None:
            self.appearance = appearance if self.appearance is None else 0.7 * self.appearance + 0.3 * appearance
        self.face, self.time = face, time
        self.samples.append(sample)


class FaceTracker:
    """Assigns detections to tracks.

    ``update`` is called once per sampled frame in order of time; ``cut`` between two shots; ``finish`` at
    the end. ``finish`` returns the tracks that have enough evidence, in the order of their first sample:
    a track must be seen at least three times (twice where samples are more than half a second apart)
    and for at least ``min_track`` seconds, or as much of that as its shot allows. ``max_gap``: seconds after
    which an unseen face ends its track, or two and a half times the usual step where that is longer.
    """

    def __init__(self, max_gap: float = 1.0, min_track: float = 0.4) -> None:
        self._max_gap, self._min_track = max_gap, min_track
        self._active: list[TrackState] = []
        self._ended: list[TrackState] = []
        self._kept: list[TrackState] = []
        self._shot: list[float] = []
        self._steps: deque[float] = deque(maxlen=9)
        self._time: float | None = None
        self._sample = 0

    def update(self, time: float, faces: list[Face], appearances: list[FloatArray] | None = None) -> None:
        """Add the faces of one sampled frame; ``appearances`` are unit vectors, one a face, all of one length."""
        looks: list[FloatArray | None] = list(appearances) if appearances is not None else [None] * len(faces)
        if self._time is not None:
            self._steps.append(time - self._time)
        self._time = time
        self._shot.append(time)
        self._retire(time)
        pairs = _associate(self._active, faces, looks, time)
        for track, position in pairs:
            track.add(time, faces[position], looks[position], (self._sample, position))
        taken = {position for _, position in pairs}
        for position, face in enumerate(faces):
            if position not in taken:
                new = TrackState(face, time, looks[position], first_time=time)
                new.samples.append((self._sample, position))
                self._active.append(new)
        self._sample += 1

    def _retire(self, time: float) -> None:
        # where samples are far apart, one of them may be missed all the same
        allowed = max(self._max_gap, 2.5 * self._step()) + 1e-6
        gone = [track for track in self._active if time - track.time > allowed]
        self._active = [track for track in self._active if track not in gone]
        self._ended += gone

    def _step(self) -> float:
        """The usual time between the last samples, seconds."""
        return float(np.median(self._steps)) if self._steps else 0.0

    def cut(self) -> None:
        """A new shot begins: no track goes on."""
        if not self._shot:
            return
        slow = self._step() > SLOW_STEP
        needed = min(EVIDENCE - slow, len(self._shot))
        span = min(self._min_track, self._shot[-1] - self._shot[0]) - 1e-6
        for track in (*self._ended, *self._active):
            if len(track.samples) >= needed and track.time - track.first_time >= span:
                self._kept.append(track)
        self._active, self._ended, self._shot = [], [], []

    def finish(self) -> list[list[tuple[int, int]]]:
        """The samples of each track: (running number of the sample, position in its list of faces)."""
        self.cut()
        return sorted((track.samples for track in self._kept), key=lambda samples: samples[0])


def _centre(face: Face) -> tuple[float, float]:
    return face.x + face.width / 2, face.y + face.height / 2


def _size(face: Face) -> float:
    return float(np.sqrt(max(face.width * face.height, 1e-6)))


def _associate(
    tracks: list[TrackState], faces: list[Face], looks: list[FloatArray | None], time: float
) -> list[tuple[TrackState, int]]:
    """Optimal pairs of track and face; pairs beyond reach are never made."""
    if not tracks or not faces:
        return []
    forbidden = 1e6
    cost = np.full((len(tracks), len(faces)), forbidden)
    for row, track in enumerate(tracks):
        x, y = track.predict(time)
        reach = REACH + REACH_PER_SECOND * min(time - track.time, 1.0)
        for column, face in enumerate(faces):
            size = (_size(track.face) + _size(face)) / 2
            cx, cy = _centre(face)
            distance = float(np.hypot(cx - x, cy - y)) / size
            change = abs(float(np.log(_size(face) / _size(track.face))))
            if distance <= reach and change <= MAX_SIZE_CHANGE:
                cost[row, column] = (
                    distance / reach + change + APPEARANCE_WEIGHT * _difference(track.appearance, looks[column])
                )
    rows, columns = linear_sum_assignment(cost)
    return [(tracks[r], int(c)) for r, c in zip(rows, columns, strict=True) if cost[r, c] < forbidden]


def _difference(first: FloatArray | None, second: FloatArray | None) -> float:
    """0 for equal appearance, 1 for unrelated ones."""
    if first is None or second is None:
        return 0.0
    return float(1 - first @ second / max(float(np.linalg.norm(first)), 1e-6))


class CutDetector:
    """Finds hard cuts from the thumbnails of successive decoded frames.

    A cut is a jump of the picture that is large in itself and against what the motion of the frames around
    it would make of the same time: where frames are missing, a moving picture jumps too, and is no cut.
    """

    def __init__(self, threshold: float = 16.0, ratio: float = 4.0) -> None:
        self._threshold, self._ratio = threshold, ratio
        self._last: FloatArray | None = None
        self._time = 0.0
        self._recent: deque[tuple[float, float]] = deque(maxlen=12)

    def update(self, time: float, thumbnail: ByteArray) -> bool:
        """Whether the frame at ``time`` seconds, (h, w) uint8, is the first of a new shot."""
        current = thumbnail.astype(np.float32)
        last, self._last = self._last, current
        elapsed, self._time = time - self._time, time
        if last is None or last.shape != current.shape:
            return last is not None
        change = float(np.abs(current - last).mean())
        contrast = max(float(current.std()), float(last.std()), 8.0)
        least = self._threshold * (min(1.0, contrast / 40) if self._recent else 1.0)
        usual, step = np.median(self._recent, axis=0) if self._recent else (0.0, elapsed)
        expected = max(float(usual), 0.5) * float(np.clip(elapsed / max(float(step), 1e-3), 1, MAX_STALL))
        cut = change > least and change > self._ratio * expected
        if cut:
            self._recent.clear()
        # the jump itself counts too, or a wild shot would be cut at each of its frames
        self._recent.append((change, elapsed))
        return cut
