"""The first pass of tracking: faces of successive samples are joined where the match is unambiguous."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fervid.files.scratch import ScratchArray
from fervid.types import DoubleArray, FloatArray

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
MAX_PREDICTION = 0.5
"""Longest time in seconds over which a velocity is extrapolated."""
VELOCITY_SMOOTHING = 0.15
"""Time constant of the velocity smoothing in seconds."""
DESCRIPTORS_PER_END = 6
"""Descriptors that represent one end of a tracklet."""
WINDOW = 512
"""Samples of a tracklet whose descriptors are in memory at once."""
SPLIT_THRESHOLD = 0.7
"""Difference in appearance before and after a sample above which a tracklet is split there."""


@dataclass(frozen=True, eq=False)
class Sample:
    """The n faces of one frame.

    ``number``: the sample's number in the video; -1 for a frame between two samples. ``centres`` (n, 2) and ``sizes``
    (n,) in pixels. ``clear`` (n,): whether a descriptor shows only its own face. ``store``: descriptors of the whole
    video on disk; those of this sample begin at row ``first``.
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
        """Read the descriptor of one face.

        Args:
            position: Its position among the faces of the frame.

        Returns:
            (d,) float32; None if there is none.
        """
        return None if self.store is None else self.store.read([self.first + position])[0].astype(np.float32)


@dataclass(eq=False)
class Tracklet:
    """An unambiguous part of a track, with its state at the last sample.

    ``members``: (index of the sample within the shot, position among its faces).
    """

    members: list[tuple[int, int]] = field(default_factory=list)
    centre: DoubleArray = field(default_factory=lambda: np.zeros(2))
    velocity: DoubleArray = field(default_factory=lambda: np.zeros(2))
    size: float = 0.0
    time: float = 0.0
    descriptor: FloatArray | None = None

    def add(self, index: int, sample: Sample, position: int) -> None:
        """Append a face.

        Args:
            index: Index of its sample within the shot.
            sample: The sample.
            position: Position of the face in the sample.
        """
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


def difference(similarity: DoubleArray | FloatArray) -> DoubleArray:
    """Turn similarities of descriptors into differences.

    Args:
        similarity: Dot products of descriptors.

    Returns:
        float64 of the same shape: about 0.1 for one face within seconds, about 1 for two faces.
    """
    return np.maximum(0.0, (1.0 - np.asarray(similarity, np.float64)) / 0.2)


def cost_limit(gap: DoubleArray | float) -> DoubleArray:
    """The largest cost of a match.

    Args:
        gap: Seconds since the last sample of the face.

    Returns:
        float64 of the same shape.
    """
    return np.asarray(MAX_COST + (MAX_COST_AFTER_GAP - MAX_COST) * np.minimum(np.asarray(gap) / FULL_GAP, 1.0))


def join_samples(shot: list[Sample], tracklet_gap: float) -> list[Tracklet]:
    """Join faces of successive samples where the match is unambiguous.

    Args:
        shot: The samples of one shot in order.
        tracklet_gap: Longest time in seconds between two samples of a tracklet.

    Returns:
        The tracklets.
    """
    active: list[Tracklet] = []
    done: list[Tracklet] = []
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
                new = Tracklet()
                new.add(index, sample, position)
                active.append(new)
    return done + active


def _pair(tracklets: list[Tracklet], sample: Sample) -> list[tuple[int, int]]:
    """Unambiguous matches as (index of the tracklet, position of the face)."""
    from scipy.optimize import linear_sum_assignment  # imported here because the main process of a batch never tracks

    if not tracklets or not len(sample.sizes):
        return []
    ages = np.array([sample.time - tracklet.time for tracklet in tracklets])
    cost = _costs(tracklets, sample, ages)
    limit = cost_limit(ages)[:, None]
    rows, columns = linear_sum_assignment(np.minimum(cost, 1e3))
    pairs = []
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        alternatives = np.concatenate([np.delete(cost[row], column), np.delete(cost[:, column], row)])
        if cost[row, column] <= limit[row] and cost[row, column] + MARGIN <= alternatives.min(initial=np.inf):
            pairs.append((row, column))
    return pairs


def _costs(tracklets: list[Tracklet], sample: Sample, ages: DoubleArray) -> DoubleArray:
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


def split_tracklet(tracklet: Tracklet, shot: list[Sample]) -> list[Tracklet]:
    """Split a tracklet where its appearance changes permanently.

    Args:
        tracklet: The tracklet.
        shot: The samples of its shot.

    Returns:
        Its parts; only the tracklet itself if there is no such change, or faces have no descriptors.
    """
    members, starts = tracklet.members, [0]
    if descriptors_of(members[:1], shot) is None:
        return [tracklet]
    count = len(members)
    for begin in range(0, count, WINDOW):  # in windows, because a face may stay for hours
        low = max(0, begin - DESCRIPTORS_PER_END)
        descriptors = descriptors_of(members[low : begin + WINDOW + DESCRIPTORS_PER_END], shot)
        assert descriptors is not None
        for split in range(max(1, begin), min(begin + WINDOW, count)):
            before = descriptors[max(starts[-1], split - DESCRIPTORS_PER_END) - low : split - low]
            after = descriptors[split - low : split - low + DESCRIPTORS_PER_END]
            if len(before) >= 2 and len(after) >= 2 and _group_difference(before, after) > SPLIT_THRESHOLD:
                starts.append(split)
    if len(starts) == 1:
        return [tracklet]
    return [_rebuilt(tracklet.members[a:b], shot) for a, b in zip(starts, [*starts[1:], count], strict=True)]


def _rebuilt(members: list[tuple[int, int]], shot: list[Sample]) -> Tracklet:
    part = Tracklet()
    for index, position in members:
        part.add(index, shot[index], position)
    return part


def descriptors_of(members: Sequence[tuple[int, int]], shot: list[Sample]) -> FloatArray | None:
    """Read the appearance descriptors of members.

    Args:
        members: (index of the sample within the shot, position among its faces); at least one.
        shot: The samples of the shot.

    Returns:
        (n, d) float32; None if the faces have none.
    """
    store = shot[members[0][0]].store  # all samples of a video have the same
    if store is None:
        return None
    return store.read([shot[index].first + position for index, position in members]).astype(np.float32)


def _group_difference(first: FloatArray, second: FloatArray) -> float:
    """Difference between the mean descriptors of two groups."""
    one, other = first.mean(axis=0), second.mean(axis=0)
    return float(difference(one @ other / max(float(np.linalg.norm(one) * np.linalg.norm(other)), 1e-6)))
