"""The second pass of tracking: ends of tracklets are linked to starts of others over gaps."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

import numpy as np

from fervid.faces.tracklets import (
    APPEARANCE_SCALE,
    DESCRIPTORS_PER_END,
    MAX_DISPLACEMENT,
    MAX_DISPLACEMENT_PER_SECOND,
    MAX_PREDICTION,
    MAX_SIZE_CHANGE,
    UNKNOWN_DIFFERENCE,
    Sample,
    Tracklet,
    cost_limit,
    descriptors_of,
    difference,
)
from fervid.types import DoubleArray, FloatArray

END_SECONDS = 1.0
"""Seconds over which the descriptors of one end are spread. The last ones before an occlusion show the occluder."""


@dataclass(frozen=True, eq=False)
class _End:
    """One end of a tracklet: time, centre, velocity, size and nearby descriptors (n, d)."""

    time: float
    centre: DoubleArray
    velocity: DoubleArray
    size: float
    descriptors: FloatArray | None


def _end(members: list[tuple[int, int]], shot: list[Sample], last: bool) -> _End:
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
    return _End(times[0], centres[0], velocity, float(np.median(sizes)), descriptors_of(chosen, shot))


def link_tracklets(tracklets: list[Tracklet], shot: list[Sample], max_gap: float) -> list[list[tuple[int, int]]]:
    """Link tracklets into tracks.

    Args:
        tracklets: The tracklets of one shot.
        shot: Its samples.
        max_gap: Longest time in seconds between two linked tracklets.

    Returns:
        For each track its members: (index of the sample within the shot, position among its faces).
    """
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
            cost = _link_cost(end, starts[order[rank]], gap) - float(cost_limit(gap))
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
