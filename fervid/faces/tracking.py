"""Tracking: linking the faces of successive samples into tracks. All times are in seconds.

Each shot is tracked in two passes (after Huang, Wu and Nevatia, 2008). The first pass joins faces of successive samples
into tracklets where the match is unambiguous. It predicts each tracklet with a smoothed velocity, compares predicted
and detected faces by distance, size and appearance, and solves the assignment optimally (Kuhn, 1955; scipy). A tracklet
is split where its appearance changes permanently. The second pass links ends of tracklets to starts of others over gaps
of up to ``max_gap`` seconds. It compares motion and appearance on both sides and solves all links of a shot at once.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fervid.faces.boxes import iou
from fervid.files.scratch import ScratchArray
from fervid.timeline.gaps import median_step
from fervid.types import DoubleArray, Face, FloatArray

MAX_DISPLACEMENT = 0.5
"""Distance between prediction and detection, in face sizes, that costs 1 if no time has passed."""
MAX_DISPLACEMENT_PER_SECOND = 5.0
"""Growth of that distance per second since the last sample of the face, for at most one second."""
MAX_SIZE_CHANGE = 0.5
"""Absolute natural logarithm of the size ratio that costs 1."""
APPEARANCE_SCALE = 0.8
"""Difference in appearance that costs 1."""
UNKNOWN_DIFFERENCE = 0.4
"""Difference in appearance that is assumed if a descriptor is missing."""
MAX_COST, MAX_COST_AFTER_GAP = 1.5, 0.8
"""Largest cost of a match without a gap, and after a long gap. Between them the limit is linear."""
FULL_GAP = 1.0
"""Gap in seconds from which ``MAX_COST_AFTER_GAP`` applies."""
MAX_APPEARANCE_COST = 1.3
"""Limit of the appearance cost in the first pass. A face that hardly moved is the same one, even during a flash."""
MARGIN = 0.25
"""The first pass makes a match only if every alternative for either side costs at least this much more."""
SHORT_GAP = 0.2
"""Gap in seconds (or 1.5 median steps, if longer) above which linking is left to the second pass."""
MAX_PREDICTION = 0.5
"""Longest time in seconds over which a velocity is extrapolated."""
VELOCITY_SMOOTHING = 0.15
"""Time constant of the velocity smoothing in seconds."""
DESCRIPTORS_PER_END = 6
"""Descriptors that represent one end of a tracklet."""
END_SECONDS = 1.0
"""Seconds over which the descriptors of one end are spread. The last ones before an occlusion show the occluder."""
WINDOW = 512
"""Samples of a tracklet whose descriptors are in memory at once."""
MAX_CLEAR_OVERLAP = 0.15
"""Intersection over union with another face above which a descriptor shows both faces."""
SPLIT_THRESHOLD = 0.7
"""Difference in appearance before and after a sample above which a tracklet is split there."""
MIN_SAMPLES = 3
"""Samples that a track needs, if its shot has that many. At a low sampling rate it needs one less."""
SLOW_STEP = 0.5
"""Median step in seconds above which three samples span more than one second."""


@dataclass(frozen=True, eq=False)
class _Sample:
    """The n faces of one sampled frame.

    ``number``: the sample's number in the video. ``centres`` (n, 2) and ``sizes`` (n,) in pixels. ``clear`` (n,):
    whether a descriptor shows only its own face. ``store``: descriptors of the whole video on disk; those of this
    sample begin at row ``first``.
    """

    number: int
    time: float
    centres: DoubleArray
    sizes: DoubleArray
    clear: npt.NDArray[np.bool_]
    store: ScratchArray | None
    first: int

    @property
    def descriptors(self) -> FloatArray | None:
        """(n, d) float32; None if there are none."""
        if self.store is None or not len(self.sizes):
            return None
        return self.store.read(range(self.first, self.first + len(self.sizes))).astype(np.float32)

    def descriptor(self, position: int) -> FloatArray | None:
        """The descriptor of one face, (d,) float32; None if there is none."""
        return None if self.store is None else self.store.read([self.first + position])[0].astype(np.float32)


@dataclass(eq=False)
class _Tracklet:
    """An unambiguous part of a track, with its state at the last sample.

    ``members``: (index of the sample within the shot, position among its faces).
    """

    members: list[tuple[int, int]] = field(default_factory=list)
    centre: DoubleArray = field(default_factory=lambda: np.zeros(2))
    velocity: DoubleArray = field(default_factory=lambda: np.zeros(2))
    size: float = 0.0
    time: float = 0.0
    descriptor: FloatArray | None = None

    def add(self, index: int, sample: _Sample, position: int) -> None:
        """Append a face of the shot's sample ``index``."""
        elapsed = sample.time - self.time
        if self.members and elapsed > 0:
            weight = 1.0 if len(self.members) == 1 else elapsed / (elapsed + VELOCITY_SMOOTHING)
            velocity = (sample.centres[position] - self.centre) / elapsed
            self.velocity = (1 - weight) * self.velocity + weight * velocity
        descriptor = sample.descriptor(position) if self.descriptor is None or sample.clear[position] else None
        if descriptor is not None:
            self.descriptor = descriptor if self.descriptor is None else 0.6 * self.descriptor + 0.4 * descriptor
        self.centre, self.size, self.time = sample.centres[position], float(sample.sizes[position]), sample.time
        self.members.append((index, position))


class FaceTracker:
    """Links detected faces into tracks.

    Call ``update`` for each sampled frame in order of time, then ``finish``. A track is kept if it has at least three
    samples (two if samples are more than half a second apart) and lasts at least ``min_track`` seconds. In a shot
    too short for that, a track that covers the shot is kept.
    """

    def __init__(self, max_gap: float = 1.0, min_track: float = 0.4, folder: Path | None = None) -> None:
        """Start without faces.

        Args:
            max_gap: A face that is absent for longer than this many seconds ends its track. At low sampling rates 2.5
                median steps apply instead, if longer.
            min_track: Shortest track in seconds.
            folder: Folder for descriptors on disk; see ScratchArray.
        """
        self._max_gap, self._min_track, self._folder = max_gap, min_track, folder
        self._times = array("d")
        self._counts = array("l")
        self._faces = array("d")
        """Four numbers per face: centre x, centre y, size, and whether its descriptor shows only this face."""
        self._descriptors: ScratchArray | None = None

    def update(self, time: float, faces: Sequence[Face], descriptors: Sequence[FloatArray] | None = None) -> None:
        """Add the faces of one sampled frame.

        Args:
            time: Time of the frame in seconds.
            faces: The faces.
            descriptors: (d,) float32 unit vector of each face. The dot product of two should be near 1 for the same
                face and below 0.85 for different ones. None: no appearance is used.
        """
        boxes = np.array([face.box for face in faces], np.float64).reshape(-1, 4)
        sizes = np.sqrt(np.maximum(boxes[:, 2] * boxes[:, 3], 1e-6))
        centres = boxes[:, :2] + boxes[:, 2:] / 2
        overlaps = iou(boxes, boxes)
        np.fill_diagonal(overlaps, 0.0)
        clear = overlaps.max(axis=1, initial=0.0) <= MAX_CLEAR_OVERLAP
        self._times.append(time)
        self._counts.append(len(faces))
        self._faces.extend(np.column_stack([centres, sizes, clear]).ravel())
        for descriptor in descriptors or ():
            self._descriptors = self._descriptors or ScratchArray(self._folder, descriptor.shape, np.float16)
            self._descriptors.add(descriptor)

    def finish(self, cuts: Sequence[float] = ()) -> list[list[tuple[int, int]]]:
        """Build the tracks.

        Args:
            cuts: Sorted times in seconds of the first frames of new shots. No track continues across a cut.

        Returns:
            For each track its samples: (number of the sample, counted from 0, and position in its list of faces).
            Tracks are ordered by their first sample.
        """
        shots: dict[int, list[int]] = {}
        for number, time in enumerate(self._times):
            shots.setdefault(bisect_right(cuts, time), []).append(number)
        faces = np.array(self._faces).reshape(-1, 4)
        first = np.concatenate([[0], np.cumsum(self._counts)]).astype(int)

        def sample(number: int) -> _Sample:
            rows = faces[first[number] : first[number + 1]]
            store, start = self._descriptors, int(first[number])
            return _Sample(number, self._times[number], rows[:, :2], rows[:, 2], rows[:, 3] > 0, store, start)

        tracks = [track for shot in shots.values() for track in self._follow([sample(number) for number in shot])]
        if self._descriptors is not None:
            self._descriptors.close()
        return sorted(tracks, key=lambda track: track[0])

    def _follow(self, shot: list[_Sample]) -> list[list[tuple[int, int]]]:
        """The tracks of one shot."""
        # Times relative to the shot's start, so that rounding does not depend on the shot's position in the video.
        times = np.round(np.array([sample.time for sample in shot]) - shot[0].time, 6)
        shot = [replace(sample, time=float(time)) for sample, time in zip(shot, times, strict=True)]
        step = median_step(times)
        # At low sampling rates one missed sample must not end a track.
        max_gap = max(self._max_gap, 2.5 * step) + 1e-6
        tracklet_gap = min(max(SHORT_GAP, 1.5 * step) + 1e-6, max_gap)
        tracklets = [part for tracklet in _tracklets(shot, tracklet_gap) for part in _split(tracklet, shot)]
        tracks = _link(tracklets, shot, max_gap)
        min_samples = min(MIN_SAMPLES - (step > SLOW_STEP), len(shot))
        min_duration = min(self._min_track, float(times[-1] - times[0])) - 1e-6
        return [
            [(shot[index].number, position) for index, position in members]
            for members in tracks
            if len(members) >= min_samples and times[members[-1][0]] - times[members[0][0]] >= min_duration
        ]


def difference(similarity: DoubleArray | FloatArray) -> DoubleArray:
    """Turn similarities of descriptors into differences.

    Args:
        similarity: Dot products of descriptors.

    Returns:
        float64 of the same shape: about 0.1 for one face within seconds, about 1 for two faces.
    """
    return np.maximum(0.0, (1.0 - np.asarray(similarity, np.float64)) / 0.2)


def _limit(gap: DoubleArray | float) -> DoubleArray:
    """The largest cost of a match over a gap in seconds."""
    return np.asarray(MAX_COST + (MAX_COST_AFTER_GAP - MAX_COST) * np.minimum(np.asarray(gap) / FULL_GAP, 1.0))


# first pass


def _tracklets(shot: list[_Sample], tracklet_gap: float) -> list[_Tracklet]:
    """Join faces of successive samples, at most ``tracklet_gap`` seconds apart, where the match is unambiguous."""
    active: list[_Tracklet] = []
    done: list[_Tracklet] = []
    for index, sample in enumerate(shot):
        lost = [tracklet for tracklet in active if sample.time - tracklet.time > tracklet_gap]
        done += lost
        active = [tracklet for tracklet in active if tracklet not in lost]
        pairs = _pair(active, sample)
        for row, position in pairs:
            active[row].add(index, sample, position)
        taken = {position for _, position in pairs}
        for position in range(len(sample.sizes)):
            if position not in taken:
                new = _Tracklet()
                new.add(index, sample, position)
                active.append(new)
    return done + active


def _pair(tracklets: list[_Tracklet], sample: _Sample) -> list[tuple[int, int]]:
    """Unambiguous matches as (index of the tracklet, position of the face)."""
    from scipy.optimize import linear_sum_assignment  # imported here because the main process of a batch never tracks

    if not tracklets or not len(sample.sizes):
        return []
    ages = np.array([sample.time - tracklet.time for tracklet in tracklets])
    cost = _costs(tracklets, sample, ages)
    limit = _limit(ages)[:, None]
    rows, columns = linear_sum_assignment(np.minimum(cost, 1e3))
    pairs = []
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        alternatives = np.concatenate([np.delete(cost[row], column), np.delete(cost[:, column], row)])
        if cost[row, column] <= limit[row] and cost[row, column] + MARGIN <= alternatives.min(initial=np.inf):
            pairs.append((row, column))
    return pairs


def _costs(tracklets: list[_Tracklet], sample: _Sample, ages: DoubleArray) -> DoubleArray:
    """(tracklets, faces): sum of the squared distance, size change and appearance difference, each scaled."""
    ahead = np.minimum(ages, MAX_PREDICTION)[:, None]
    expected = np.array([t.centre for t in tracklets]) + ahead * np.array([t.velocity for t in tracklets])
    sizes = np.array([t.size for t in tracklets])
    size = (sizes[:, None] + sample.sizes[None]) / 2
    distance = np.linalg.norm(expected[:, None] - sample.centres[None], axis=2) / size
    change = np.abs(np.log(sample.sizes[None] / sizes[:, None]))
    reach = MAX_DISPLACEMENT + MAX_DISPLACEMENT_PER_SECOND * np.minimum(ages, 1.0)[:, None]
    appearance = np.full(distance.shape, UNKNOWN_DIFFERENCE)
    descriptors = sample.descriptors
    if descriptors is not None:
        for row, tracklet in enumerate(tracklets):
            if tracklet.descriptor is not None:
                length = max(float(np.linalg.norm(tracklet.descriptor)), 1e-6)
                appearance[row] = difference(descriptors @ tracklet.descriptor / length)
    appearance_cost = np.minimum((appearance / APPEARANCE_SCALE) ** 2, MAX_APPEARANCE_COST)
    return np.asarray((distance / reach) ** 2 + (change / MAX_SIZE_CHANGE) ** 2 + appearance_cost)


def _split(tracklet: _Tracklet, shot: list[_Sample]) -> list[_Tracklet]:
    """Split a tracklet where its appearance changes permanently."""
    members, starts = tracklet.members, [0]
    if _descriptors(members[:1], shot) is None:
        return [tracklet]
    count = len(members)
    for begin in range(0, count, WINDOW):  # in windows, because a face may stay for hours
        low = max(0, begin - DESCRIPTORS_PER_END)
        descriptors = _descriptors(members[low : begin + WINDOW + DESCRIPTORS_PER_END], shot)
        assert descriptors is not None
        for split in range(max(1, begin), min(begin + WINDOW, count)):
            before = descriptors[max(starts[-1], split - DESCRIPTORS_PER_END) - low : split - low]
            after = descriptors[split - low : split - low + DESCRIPTORS_PER_END]
            if len(before) >= 2 and len(after) >= 2 and _group_difference(before, after) > SPLIT_THRESHOLD:
                starts.append(split)
    return [_rebuilt(tracklet.members[a:b], shot) for a, b in zip(starts, [*starts[1:], count], strict=True)]


def _rebuilt(members: list[tuple[int, int]], shot: list[_Sample]) -> _Tracklet:
    part = _Tracklet()
    for index, position in members:
        part.add(index, shot[index], position)
    return part


def _descriptors(members: Sequence[tuple[int, int]], shot: list[_Sample]) -> FloatArray | None:
    """The descriptors (n, d) of the members; None if one has none."""
    rows = []
    for index, position in members:
        descriptor = shot[index].descriptor(position)
        if descriptor is None:
            return None
        rows.append(descriptor)
    return np.stack(rows)


def _group_difference(first: FloatArray, second: FloatArray) -> float:
    """Difference between the mean descriptors of two groups."""
    one, other = first.mean(axis=0), second.mean(axis=0)
    return float(difference(one @ other / max(float(np.linalg.norm(one) * np.linalg.norm(other)), 1e-6)))


# second pass


@dataclass(frozen=True, eq=False)
class _End:
    """One end of a tracklet: time, centre, velocity, size and nearby descriptors (n, d)."""

    time: float
    centre: DoubleArray
    velocity: DoubleArray
    size: float
    descriptors: FloatArray | None


def _end(members: list[tuple[int, int]], shot: list[_Sample], last: bool) -> _End:
    near = members[::-1] if last else members
    times = np.array([shot[index].time for index, _ in near])
    close = np.abs(times - times[0]) <= 0.45
    centres = np.array([shot[index].centres[position] for index, position in near])[close]
    velocity = np.zeros(2)
    if len(centres) > 1:
        offset = times[close] - times[close].mean()
        velocity = offset @ (centres - centres.mean(axis=0)) / max(float(offset @ offset), 1e-9)
    sizes = [shot[index].sizes[position] for index, position in near[:3]]
    recent = [member for member, time in zip(near, times, strict=True) if abs(time - times[0]) <= END_SECONDS]
    clear = [member for member in recent if shot[member[0]].clear[member[1]]] or recent
    chosen = clear[:: max(1, len(clear) // DESCRIPTORS_PER_END)]
    return _End(times[0], centres[0], velocity, float(np.median(sizes)), _descriptors(chosen, shot))


def _link(tracklets: list[_Tracklet], shot: list[_Sample], max_gap: float) -> list[list[tuple[int, int]]]:
    """Link tracklets into tracks; returns the members of each track."""
    ends = [_end(tracklet.members, shot, last=True) for tracklet in tracklets]
    starts = [_end(tracklet.members, shot, last=False) for tracklet in tracklets]
    rows, columns, costs = _candidates(ends, starts, max_gap)
    follower: dict[int, int] = {}
    for row, column in _best(rows, columns, costs, len(tracklets)):
        follower[row] = column
    heads = sorted(set(range(len(tracklets))) - set(follower.values()))
    tracks = []
    for head in heads:
        members: list[tuple[int, int]] = []
        current: int | None = head
        while current is not None:
            members += tracklets[current].members
            current = follower.get(current)
        tracks.append(members)
    return tracks


def _candidates(ends: list[_End], starts: list[_End], max_gap: float) -> tuple[list[int], list[int], list[float]]:
    """Possible links: tracklets that end, tracklets that start, and costs minus their limits (all at most 0)."""
    rows, columns, costs = [], [], []
    order = sorted(range(len(starts)), key=lambda number: starts[number].time)
    begins = [starts[number].time for number in order]
    for row, end in enumerate(ends):
        for rank in range(bisect_right(begins, end.time), len(order)):
            gap = begins[rank] - end.time
            if gap > max_gap:
                break
            cost = _link_cost(end, starts[order[rank]], gap) - float(_limit(gap))
            if cost <= 0:
                rows.append(row)
                columns.append(order[rank])
                costs.append(cost)
    return rows, columns, costs


def _link_cost(end: _End, start: _End, gap: float) -> float:
    size = (end.size + start.size) / 2
    ahead = min(gap, MAX_PREDICTION)
    forward = float(np.linalg.norm(end.centre + ahead * end.velocity - start.centre))
    backward = float(np.linalg.norm(start.centre - ahead * start.velocity - end.centre))
    direct = float(np.linalg.norm(start.centre - end.centre))
    # While hidden, a person may have stopped or started to move.
    distance = min((forward + backward) / 2, 0.25 * forward + 0.75 * direct, direct * 1.2) / size
    change = abs(float(np.log(start.size / end.size)))
    appearance = UNKNOWN_DIFFERENCE
    if end.descriptors is not None and start.descriptors is not None:
        similarities = np.sort((end.descriptors @ start.descriptors.T).ravel())[::-1]
        appearance = float(difference(similarities[: max(1, len(similarities) // 3)].mean()))
    reach = MAX_DISPLACEMENT + MAX_DISPLACEMENT_PER_SECOND * min(gap, 1.0)
    return (distance / reach) ** 2 + (change / MAX_SIZE_CHANGE) ** 2 + (appearance / APPEARANCE_SCALE) ** 2


def _best(rows: list[int], columns: list[int], costs: list[float], count: int) -> list[tuple[int, int]]:
    """The links with the least total cost, at most one from and one to each of ``count`` tracklets."""
    from scipy.optimize import linear_sum_assignment
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components

    if not rows:
        return []
    graph = csr_matrix((np.ones(len(rows)), (rows, np.array(columns) + count)), (2 * count, 2 * count))
    groups = connected_components(graph, directed=False)[1][rows]
    chosen = []
    for group in np.unique(groups):
        inside = np.flatnonzero(groups == group)
        ends, end_index = np.unique(np.array(rows)[inside], return_inverse=True)
        starts, start_index = np.unique(np.array(columns)[inside], return_inverse=True)
        matrix = np.zeros((len(ends), len(starts)))
        matrix[end_index, start_index] = np.array(costs)[inside]
        for row, column in zip(*linear_sum_assignment(matrix), strict=True):
            if matrix[row, column] < 0:
                chosen.append((int(ends[row]), int(starts[column])))
    return chosen
