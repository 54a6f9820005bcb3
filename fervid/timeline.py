"""Raw probabilities of one face → smoothed timeline and episodes. Pure numpy; all times in seconds."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fervid.types import DoubleArray, FloatArray


def segments(times: DoubleArray, max_gap: float) -> list[slice]:
    """The runs of ``times`` (n,), increasing, in which no step is longer than ``max_gap``."""
    if not len(times):
        return []
    breaks = np.flatnonzero(np.diff(times) > max_gap) + 1
    edges = [0, *breaks.tolist(), len(times)]
    return [slice(start, end) for start, end in itertools.pairwise(edges)]


def smooth(
    times: DoubleArray, probabilities: FloatArray, weights: FloatArray, width: float, max_gap: float
) -> FloatArray:
    """Centred Gaussian mean in time, rows summing to 1.

    ``times`` (n,) in increasing order, ``probabilities`` (n, 7), ``weights`` (n,) not negative: how much each
    sample counts. ``width`` is twice the standard deviation of the kernel, which ends at three of them;
    0 returns the input. Samples on two sides of a gap longer than ``max_gap`` never influence each other.
    """
    if width <= 0 or len(times) < 2:
        return np.array(probabilities, np.float32)
    result = np.empty((len(times), probabilities.shape[1]), np.float64)
    counts = np.maximum(np.asarray(weights, np.float64), 1e-3)
    for part in segments(times, max_gap):
        result[part] = _smooth_segment(
            times[part], np.asarray(probabilities[part], np.float64), counts[part], width / 2
        )
    return np.asarray(result / result.sum(axis=1, keepdims=True), np.float32)


def _smooth_segment(times: DoubleArray, values: DoubleArray, weights: DoubleArray, deviation: float) -> DoubleArray:
    count = len(times)
    total = weights[:, None] * values
    weight = weights.copy()
    for step in range(1, count):
        distance = times[step:] - times[:-step]
        if distance.min() > 3 * deviation:
            break
        kernel = np.exp(-0.5 * (distance / deviation) ** 2) * (distance <= 3 * deviation)
        later, earlier = kernel * weights[step:], kernel * weights[:-step]
        total[:-step] += later[:, None] * values[step:]
        total[step:] += earlier[:, None] * values[:-step]
        weight[:-step] += later
        weight[step:] += earlier
    return total / weight[:, None]


@dataclass(frozen=True)
class Episode:
    """A stretch of one emotion. ``emotion`` is its index; times in seconds, ``peak`` and ``mean`` smoothed
    probabilities. onset <= apex <= offset; an offset is when the last sample of the episode gives way to
    the next one."""

    emotion: int
    onset: float
    apex: float
    offset: float
    peak: float
    mean: float


def episodes(
    times: DoubleArray,
    smoothed: FloatArray,
    onset: float,
    offset: float,
    min_duration: float,
    max_gap: float,
    end: float = np.inf,
) -> list[Episode]:
    """Episodes by hysteresis: one begins where the leading emotion reaches ``onset`` and ends where it falls
    below ``offset`` or another begins. They never overlap and never reach over a gap. ``times`` (n,),
    ``smoothed`` (n, 7); none lasts beyond ``end``, that of the video."""
    found = []
    for part in segments(times, max_gap):
        spans = _spans(smoothed[part], onset, offset)
        found += [_episode(times[part], smoothed[part], *span, end) for span in spans]
    return [episode for episode in found if episode.offset - episode.onset >= min_duration - 1e-9]


def _spans(values: FloatArray, onset: float, offset: float) -> list[tuple[int, int, int]]:
    """(emotion, first row, row after the last) of each episode in one segment."""
    spans: list[tuple[int, int, int]] = []
    leading: npt.NDArray[np.intp] = values.argmax(axis=1)
    current, start = -1, 0
    for row, leader in enumerate(leading):
        begins = leader != current and values[row, leader] >= onset
        ends = current >= 0 and (begins or values[row, current] < offset)
        if ends:
            spans.append((current, start, row))
            current = -1
        if begins:
            current, start = int(leader), row
    if current >= 0:
        spans.append((current, start, len(values)))
    return spans


def _episode(times: DoubleArray, values: FloatArray, emotion: int, start: int, end: int, latest: float) -> Episode:
    course = values[start:end, emotion]
    apex = start + int(course.argmax())
    if end < len(times):
        stop = float(times[end])
    else:
        stop = float(times[-1] + (np.median(np.diff(times)) if len(times) > 1 else 0.0))
    return Episode(
        emotion, float(times[start]), float(times[apex]), min(stop, latest), float(course.max()), float(course.mean())
    )
