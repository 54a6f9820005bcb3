"""Steps and gaps between the samples of a timeline: the only place that defines what a gap is."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

from fervid.types import DoubleArray

_TOLERANCE = 1e-9
"""Seconds by which a step may exceed the longest one through rounding alone."""


def steps(times: DoubleArray) -> DoubleArray:
    """Compute the seconds from each sample to the next.

    Args:
        times: (n,) increasing times in seconds.

    Returns:
        (n - 1,) steps, rounded to nanoseconds so that they do not depend on how far the times are from 0.
    """
    return np.asarray(np.round(np.diff(times), 9))


def median(values: npt.NDArray[np.floating]) -> float:
    """Compute the median as ``numpy.median`` does, which takes five times as long for the few samples of a face.

    Args:
        values: (n,) numbers, n > 0; none of them is NaN.

    Returns:
        The middle number, or the mean of the two in the middle.
    """
    middle = len(values) // 2
    if len(values) % 2:
        return float(np.partition(values, middle)[middle])
    pair = np.partition(values, (middle - 1, middle))[middle - 1 : middle + 1]
    return float((pair[0] + pair[1]) / 2)


def median_step(times: DoubleArray) -> float:
    """Compute the usual time between two samples.

    Args:
        times: (n,) increasing times in seconds.

    Returns:
        The median step in seconds; 0 for fewer than two samples.
    """
    return median(np.diff(times)) if len(times) > 1 else 0.0


def seconds_held(times: DoubleArray, max_gap: float) -> DoubleArray:
    """Compute for how long each sample counts, at most until the next one.

    Args:
        times: (n,) increasing times in seconds.
        max_gap: Longest time for which a sample counts, in seconds.

    Returns:
        (n,) seconds, all above 0. The last sample gets the median of the others; a single sample gets 1.
    """
    if len(times) < 2:
        return np.ones(len(times))
    held = np.minimum(np.diff(times), max_gap)
    return np.asarray(np.maximum(np.append(held, median(held)), 1e-6))


def gap_threshold(sampled: DoubleArray, max_gap: float) -> float:
    """Compute the longest step between two samples that is not a gap.

    Args:
        sampled: (m,) times of all sampled frames of a video, in seconds.
        max_gap: The setting of that name, in seconds.

    Returns:
        ``max_gap``, or 1.5 median steps if the video was sampled so slowly that this is longer.
    """
    return max(max_gap, 1.5 * median_step(sampled))


def gaps(times: DoubleArray, sampled: DoubleArray, threshold: float) -> npt.NDArray[np.bool_]:
    """Find the gaps in a face's timeline. Everything that draws a timeline uses this.

    There is a gap where a frame was sampled without the face, and where the step is longer than ``threshold``.

    Args:
        times: (n,) times at which the face was seen, in seconds; all of them are in ``sampled``.
        sampled: (m,) times of all sampled frames of the video, in seconds.
        threshold: See ``gap_threshold``.

    Returns:
        (n - 1,) whether a gap follows each sample but the last.
    """
    missed = np.diff(np.searchsorted(sampled, times)) > 1
    return np.asarray(missed | (steps(times) > threshold + _TOLERANCE))


def segments(times: DoubleArray, threshold: float) -> list[slice]:
    """Split a timeline at its long steps. Everything that computes over a timeline uses this.

    Args:
        times: (n,) increasing times in seconds.
        threshold: See ``gap_threshold``.

    Returns:
        One slice per run of samples without a step longer than ``threshold``.
    """
    if not len(times):
        return []
    breaks = np.flatnonzero(steps(times) > threshold + _TOLERANCE) + 1
    edges = [0, *breaks.tolist(), len(times)]
    return [slice(start, end) for start, end in itertools.pairwise(edges)]


def longest_absence(sampled: DoubleArray, present: npt.NDArray[np.bool_], end: float | None = None) -> float:
    """Compute the longest time for which sampled frames did not show something, such as a face.

    An absence lasts from the first frame without it to the next frame with it. An absence at the end lasts one
    median step beyond the last frame, but not beyond ``end``. The step between two samples is therefore no
    absence, at any sampling rate, and neither is a time for which the video has no frames.

    Args:
        sampled: (m,) times of all sampled frames, in seconds.
        present: (m,) whether each frame shows it.
        end: End of the video in seconds; None if it is unknown.

    Returns:
        Seconds; 0 if every frame shows it.
    """
    if present.all():
        return 0.0
    edges = np.flatnonzero(np.diff(np.concatenate([[False], ~present, [False]]))).reshape(-1, 2)
    last, step = float(sampled[-1]), median_step(sampled)
    until = np.append(sampled, last + step if end is None else min(last + step, max(end, last)))
    return float((until[edges[:, 1]] - sampled[edges[:, 0]]).max())


def periods(sampled: DoubleArray, threshold: float) -> tuple[DoubleArray, DoubleArray]:
    """Compute the period of time that each sampled frame stands for. Everything that weights by true time uses this.

    A period reaches half way to both neighbours, so that the mean of values that rise or fall is not shifted in time at
    any sampling rate. Beside a gap and at both ends it reaches half a median step.

    Args:
        sampled: (m,) increasing times of all sampled frames of a video, in seconds.
        threshold: See ``gap_threshold``.

    Returns:
        (m,) starts and (m,) ends in seconds. Periods never overlap. A single frame stands for nothing.
    """
    if not len(sampled):
        return sampled.copy(), sampled.copy()
    between = np.diff(sampled)
    outer = median_step(sampled) / 2
    half = np.where(steps(sampled) > threshold + _TOLERANCE, np.minimum(outer, between / 2), between / 2)
    return sampled - np.append(outer, half), sampled + np.append(half, outer)
