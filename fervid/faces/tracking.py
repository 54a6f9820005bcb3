"""Following faces through time, in seconds throughout: tracklets, links between them, evidence, ids.

A shot is worked on as a whole, in two passes (after Huang, Wu and Nevatia, 2008). The first joins the faces of
successive samples into tracklets wherever that is beyond doubt: each tracklet is predicted with a smoothed
velocity, predicted and detected faces are compared by distance, size and appearance, and the assignment is
optimal (Kuhn, 1955; scipy). Tracklets are taken apart again where their appearance changes for good. The second
pass links the end of one tracklet to the beginning of another over up to ``max_gap`` seconds, all links of a
shot at once, by motion from both sides and by the looks of both.
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
"""Distance, in face sizes, that a face may stray from its prediction at once."""
MAX_DISPLACEMENT_PER_SECOND = 5.0
"""What it may stray further for each second since it was seen, for up to a second."""
MAX_SIZE_CHANGE = 0.5
"""Absolute natural logarithm of the ratio of sizes that counts as much as straying to the end of the reach."""
APPEARANCE_SCALE = 0.8
"""Difference in appearance that counts as much."""
UNKNOWN_DIFFERENCE = 0.4
"""Difference that is assumed where nothing is known about the appearance."""
MAX_COST, MAX_COST_AFTER_GAP = 1.5, 0.8
"""Largest cost of a pair, at once and after ``FULL_GAP`` seconds unseen."""
FULL_GAP = 1.0
MAX_APPEARANCE_COST = 1.3
"""Most that a strange look costs in the first pass: what hardly moved is the same face, in a flash too."""
MARGIN = 0.25
"""How much worse than a pair the next best for either must be for the first pass to make it."""
SHORT_GAP = 0.2
"""Seconds unseen (or one and a half usual steps) after which a face is left to the second pass."""
MAX_PREDICTION = 0.5
"""Seconds after which a velocity is no longer believed."""
VELOCITY_SMOOTHING = 0.15
"""Seconds over which a velocity is smoothed."""
DESCRIPTORS_PER_END = 6
"""Looks that stand for one end of a tracklet."""
END_SECONDS = 1.0
"""Seconds over which they are spread: the last ones before a face is hidden already show what hides it."""
WINDOW = 512
"""Members of a tracklet whose looks are in memory at once."""
MAX_CLEAR_OVERLAP = 0.15
"""Overlap (IoU) with another face above which a look shows both."""
SPLIT_THRESHOLD = 0.7
"""Difference in appearance before and after, within a tracklet, at which it is taken apart."""
MIN_SAMPLES = 3
"""Samples a track needs, where its shot has as many; one less where they come at a slow step."""
SLOW_STEP = 0.5
"""Seconds between samples above which a third would ask for more than a second of presence."""


@dataclass(frozen=True, eq=False)
class _Sample:
    """The faces of one sampled frame, as arrays: centres (n, 2), sizes (n,), looks (n, d) or None.

    ``clear`` (n,): whether a face's look is its own and not that of two. ``number`` is the sample's place
    in the film. Looks are read from ``film``, from number ``first`` on, where they are asked for.
    """

    number: int
    time: float
    centres: DoubleArray
    sizes: DoubleArray
    clear: npt.NDArray[np.bool_]
    film: ScratchArray | None
    first: int

    @property
    def descriptors(self) -> FloatArray | None:
        if self.film is None or not len(self.sizes):
            return None
        return self.film.read(range(self.first, self.first + len(self.sizes))).astype(np.float32)

    def descriptor(self, position: int) -> FloatArray | None:
        """That of one face, (d,)."""
        return None if self.film is None else self.film.read([self.first + position])[0].astype(np.float32)


@dataclass(eq=False)
class _Tracklet:
    """A face that was followed without doubt. ``members``: (sample within the shot, position among its faces)."""

    members: list[tuple[int, int]] = field(default_factory=list)
    centre: DoubleArray = field(default_factory=lambda: np.zeros(2))
    velocity: DoubleArray = field(default_factory=lambda: np.zeros(2))
    size: float = 0.0
    time: float = 0.0
    descriptor: FloatArray | None = None

    def add(self, index: int, sample: _Sample, position: int) -> None:
        """Go on with a face of the shot's sample ``index``."""
        elapsed = sample.time - self.time
        if self.members and elapsed > 0:
            share = 1.0 if len(self.members) == 1 else elapsed / (elapsed + VELOCITY_SMOOTHING)
            newest = (sample.centres[position] - self.centre) / elapsed
            self.velocity = (1 - share) * self.velocity + share * newest
        newest_descriptor = sample.descriptor(position) if self.descriptor is None or sample.clear[position] else None
        if newest_descriptor is not None:
            self.descriptor = (
                newest_descriptor if self.descriptor is None else 0.6 * self.descriptor + 0.4 * newest_descriptor
            )
        self.centre, self.size, self.time = sample.centres[position], float(sample.sizes[position]), sample.time
        self.members.append((index, position))


class FaceTracker:
    """Assigns detections to tracks.

    ``update`` is called once per sampled frame in order of time, ``finish`` at the end. ``finish`` returns the
    tracks that have enough evidence, in the order of their first sample: a track must be seen at least three
    times (twice where samples are more than half a second apart) and for at least ``min_track`` seconds, or
    as much of that as its shot allows. ``max_gap``: seconds after which an unseen face ends its track, or two
    and a half times the usual step where that is longer. ``folder``: where looks lie until then (see ScratchArray).
    """

    def __init__(self, max_gap: float = 1.0, min_track: float = 0.4, folder: Path | None = None) -> None:
        self._max_gap, self._min_track, self._folder = max_gap, min_track, folder
        self._times = array("d")
        self._counts = array("l")
        self._faces = array("d")
        """Centre, size, and whether it is clear, of every face, one after another."""
        self._descriptors: ScratchArray | None = None

    def update(self, time: float, faces: Sequence[Face], descriptors: Sequence[FloatArray] | None = None) -> None:
        """Add the faces of one sampled frame; ``descriptors`` are unit vectors, one a face, all of one length.

        The dot product of two looks should be near 1 for one face and below 0.85 for two.
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
        """The samples of each track: (running number of the sample, position in its list of faces).

        ``cuts``: times in seconds, in order, of the first frames of new shots; no track goes on across one.
        """
        shots: dict[int, list[int]] = {}
        for number, time in enumerate(self._times):
            shots.setdefault(bisect_right(cuts, time), []).append(number)
        faces = np.array(self._faces).reshape(-1, 4)
        first = np.concatenate([[0], np.cumsum(self._counts)]).astype(int)

        def sample(number: int) -> _Sample:
            own = faces[first[number] : first[number + 1]]
            descriptors, start = self._descriptors, int(first[number])
            return _Sample(number, self._times[number], own[:, :2], own[:, 2], own[:, 3] > 0, descriptors, start)

        tracks = [track for shot in shots.values() for track in self._follow([sample(number) for number in shot])]
        if self._descriptors is not None:
            self._descriptors.close()
        return sorted(tracks, key=lambda track: track[0])

    def _follow(self, shot: list[_Sample]) -> list[list[tuple[int, int]]]:
        """The tracks of one shot."""
        # counted from the shot's start, so that it doesn't matter when in the film that is
        times = np.round(np.array([sample.time for sample in shot]) - shot[0].time, 6)
        shot = [replace(sample, time=float(time)) for sample, time in zip(shot, times, strict=True)]
        step = median_step(times)
        # where samples are far apart, one of them may be missed all the same
        max_gap = max(self._max_gap, 2.5 * step) + 1e-6
        tracklet_gap = min(max(SHORT_GAP, 1.5 * step) + 1e-6, max_gap)
        tracklets = [part for tracklet in _tracklets(shot, tracklet_gap) for part in _split(tracklet, shot)]
        tracks = _link(tracklets, shot, max_gap)
        needed = min(MIN_SAMPLES - (step > SLOW_STEP), len(shot))
        span = min(self._min_track, float(times[-1] - times[0])) - 1e-6
        return [
            [(shot[index].number, position) for index, position in members]
            for members in tracks
            if len(members) >= needed and times[members[-1][0]] - times[members[0][0]] >= span
        ]


def difference(similarity: DoubleArray | FloatArray) -> DoubleArray:
    """Dot products of looks as differences: about 0.1 for one face within seconds, about 1 for two faces."""
    return np.maximum(0.0, (1.0 - np.asarray(similarity, np.float64)) / 0.2)


def _limit(gap: DoubleArray | float) -> DoubleArray:
    """The largest cost allowed for a pair that lies ``gap`` seconds apart."""
    return np.asarray(MAX_COST + (MAX_COST_AFTER_GAP - MAX_COST) * np.minimum(np.asarray(gap) / FULL_GAP, 1.0))


# first pass


def _tracklets(shot: list[_Sample], tracklet_gap: float) -> list[_Tracklet]:
    """Faces of successive samples, at most ``tracklet_gap`` seconds apart, joined where that is beyond doubt."""
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
    """The pairs (tracklet, position) that are best for both and have no rival near."""
    from scipy.optimize import linear_sum_assignment  # here, since the batch's own process never tracks

    if not tracklets or not len(sample.sizes):
        return []
    ages = np.array([sample.time - tracklet.time for tracklet in tracklets])
    cost = _costs(tracklets, sample, ages)
    limit = _limit(ages)[:, None]
    rows, columns = linear_sum_assignment(np.minimum(cost, 1e3))
    pairs = []
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        rivals = np.concatenate([np.delete(cost[row], column), np.delete(cost[:, column], row)])
        if cost[row, column] <= limit[row] and cost[row, column] + MARGIN <= rivals.min(initial=np.inf):
            pairs.append((row, column))
    return pairs


def _costs(tracklets: list[_Tracklet], sample: _Sample, ages: DoubleArray) -> DoubleArray:
    """(tracklets, faces): squared distance, size change and difference, each against its usual limit."""
    ahead = np.minimum(ages, MAX_PREDICTION)[:, None]
    expected = np.array([t.centre for t in tracklets]) + ahead * np.array([t.velocity for t in tracklets])
    sizes = np.array([t.size for t in tracklets])
    size = (sizes[:, None] + sample.sizes[None]) / 2
    distance = np.linalg.norm(expected[:, None] - sample.centres[None], axis=2) / size
    change = np.abs(np.log(sample.sizes[None] / sizes[:, None]))
    reach = MAX_DISPLACEMENT + MAX_DISPLACEMENT_PER_SECOND * np.minimum(ages, 1.0)[:, None]
    unlike = np.full(distance.shape, UNKNOWN_DIFFERENCE)
    known = sample.descriptors
    if known is not None:
        for row, tracklet in enumerate(tracklets):
            if tracklet.descriptor is not None:
                unlike[row] = difference(
                    known @ tracklet.descriptor / max(float(np.linalg.norm(tracklet.descriptor)), 1e-6)
                )
    strange = np.minimum((unlike / APPEARANCE_SCALE) ** 2, MAX_APPEARANCE_COST)
    return np.asarray((distance / reach) ** 2 + (change / MAX_SIZE_CHANGE) ** 2 + strange)


def _split(tracklet: _Tracklet, shot: list[_Sample]) -> list[_Tracklet]:
    """The tracklet, taken apart where its appearance changes for good."""
    members, places = tracklet.members, [0]
    if _descriptors(members[:1], shot) is None:
        return [tracklet]
    count = len(members)
    for begin in range(0, count, WINDOW):  # a window at a time: a face may stay for hours
        low = max(0, begin - DESCRIPTORS_PER_END)
        descriptors = _descriptors(members[low : begin + WINDOW + DESCRIPTORS_PER_END], shot)
        assert descriptors is not None
        for place in range(max(1, begin), min(begin + WINDOW, count)):
            before = descriptors[max(places[-1], place - DESCRIPTORS_PER_END) - low : place - low]
            after = descriptors[place - low : place - low + DESCRIPTORS_PER_END]
            if len(before) >= 2 and len(after) >= 2 and _group_difference(before, after) > SPLIT_THRESHOLD:
                places.append(place)
    return [_rebuilt(tracklet.members[a:b], shot) for a, b in zip(places, [*places[1:], count], strict=True)]


def _rebuilt(members: list[tuple[int, int]], shot: list[_Sample]) -> _Tracklet:
    part = _Tracklet()
    for index, position in members:
        part.add(index, shot[index], position)
    return part


def _descriptors(members: Sequence[tuple[int, int]], shot: list[_Sample]) -> FloatArray | None:
    """The looks (n, d) of the members, None where one of them has none."""
    rows = []
    for index, position in members:
        descriptor = shot[index].descriptor(position)
        if descriptor is None:
            return None
        rows.append(descriptor)
    return np.stack(rows)


def _group_difference(first: FloatArray, second: FloatArray) -> float:
    """Difference of the mean looks of two groups."""
    one, other = first.mean(axis=0), second.mean(axis=0)
    return float(difference(one @ other / max(float(np.linalg.norm(one) * np.linalg.norm(other)), 1e-6)))


# second pass


@dataclass(frozen=True, eq=False)
class _End:
    """One end of a tracklet: where it is, how it moves there, and its looks (n, d) nearby."""

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
    late = [member for member, time in zip(near, times, strict=True) if abs(time - times[0]) <= END_SECONDS]
    clear = [member for member in late if shot[member[0]].clear[member[1]]] or late
    chosen = clear[:: max(1, len(clear) // DESCRIPTORS_PER_END)]
    return _End(times[0], centres[0], velocity, float(np.median(sizes)), _descriptors(chosen, shot))


def _link(tracklets: list[_Tracklet], shot: list[_Sample], max_gap: float) -> list[list[tuple[int, int]]]:
    """The members of the tracks that the best links between tracklets make."""
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
        at: int | None = head
        while at is not None:
            members += tracklets[at].members
            at = follower.get(at)
        tracks.append(members)
    return tracks


def _candidates(ends: list[_End], starts: list[_End], max_gap: float) -> tuple[list[int], list[int], list[float]]:
    """Links that are possible: (tracklet that ends, tracklet that begins, cost less what is allowed)."""
    rows, columns, costs = [], [], []
    order = sorted(range(len(starts)), key=lambda number: starts[number].time)
    begins = [starts[number].time for number in order]
    for row, end in enumerate(ends):
        for place in range(bisect_right(begins, end.time), len(order)):
            gap = begins[place] - end.time
            if gap > max_gap:
                break
            cost = _link_cost(end, starts[order[place]], gap) - float(_limit(gap))
            if cost <= 0:
                rows.append(row)
                columns.append(order[place])
                costs.append(cost)
    return rows, columns, costs


def _link_cost(end: _End, start: _End, gap: float) -> float:
    size = (end.size + start.size) / 2
    ahead = min(gap, MAX_PREDICTION)
    forth = float(np.linalg.norm(end.centre + ahead * end.velocity - start.centre))
    back = float(np.linalg.norm(start.centre - ahead * start.velocity - end.centre))
    stay = float(np.linalg.norm(start.centre - end.centre))
    # who is hidden may also have stopped, or have started
    distance = min((forth + back) / 2, 0.25 * forth + 0.75 * stay, stay * 1.2) / size
    change = abs(float(np.log(start.size / end.size)))
    unlike = UNKNOWN_DIFFERENCE
    if end.descriptors is not None and start.descriptors is not None:
        similar = np.sort((end.descriptors @ start.descriptors.T).ravel())[::-1]
        unlike = float(difference(similar[: max(1, len(similar) // 3)].mean()))
    reach = MAX_DISPLACEMENT + MAX_DISPLACEMENT_PER_SECOND * min(gap, 1.0)
    return (distance / reach) ** 2 + (change / MAX_SIZE_CHANGE) ** 2 + (unlike / APPEARANCE_SCALE) ** 2


def _best(rows: list[int], columns: list[int], costs: list[float], count: int) -> list[tuple[int, int]]:
    """The links of least total cost, one at most from and to each of ``count`` tracklets."""
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
        lines, line = np.unique(np.array(rows)[inside], return_inverse=True)
        places, place = np.unique(np.array(columns)[inside], return_inverse=True)
        matrix = np.zeros((len(lines), len(places)))
        matrix[line, place] = np.array(costs)[inside]
        for one, other in zip(*linear_sum_assignment(matrix), strict=True):
            if matrix[one, other] < 0:
                chosen.append((int(lines[one]), int(places[other])))
    return chosen
