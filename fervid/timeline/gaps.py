"""Where a face's timeline has a gap, for everything that draws one."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from fervid.settings import TimelineSettings
from fervid.types import DoubleArray


def median_step(sampled: DoubleArray) -> float:
    """The usual time between two of the ``sampled`` times (m,), in seconds; 0 where there is only one."""
    return float(np.median(np.diff(sampled))) if len(sampled) > 1 else 0.0


def gap_threshold(metadata: Mapping[str, Any], sampled: DoubleArray) -> float:
    """Seconds between two samples above which the analysis saw a gap, from the metadata of its results."""
    settings = metadata.get("settings", {}).get("timeline", {})
    # the step of a slow sampling grid is no gap
    return max(float(settings.get("max_gap", TimelineSettings.max_gap)), 1.5 * median_step(sampled))


def gaps(times: DoubleArray, sampled: DoubleArray, longest: float) -> npt.NDArray[np.bool_]:
    """(n - 1,): whether a gap follows each of the ``times`` (n,) at which a face was seen, all of them among the
    ``sampled`` times of its video: a frame was sampled and the face not found, or more than ``longest`` seconds
    went by."""
    return np.asarray((np.diff(np.searchsorted(sampled, times)) > 1) | (np.diff(times) > longest))


def segments(times: DoubleArray, max_gap: float) -> list[slice]:
    """The runs of ``times`` (n,), increasing, in which no step is longer than ``max_gap``."""
    if not len(times):
        return []
    breaks = np.flatnonzero(_steps(times) > max_gap + 1e-9) + 1
    edges = [0, *breaks.tolist(), len(times)]
    return [slice(start, end) for start, end in itertools.pairwise(edges)]


def _steps(times: DoubleArray) -> DoubleArray:
    """(n - 1,) seconds from each sample to the next, free of what their distance from 0 costs in precision."""
    return np.asarray(np.round(np.diff(times), 9))


def longest_absence(sampled: DoubleArray, present: npt.NDArray[np.bool_], end: float | None = None) -> float:
    """The longest time, in seconds, for which looking found nothing.

    ``sampled`` (m,) in increasing order: when a frame was looked at; ``present`` (m,): what for was in it. An
    absence lasts from the first frame without to the next one with, at the end a usual step longer than to
    the last one, but not beyond ``end``. So the step between two samples is no gap, at any sampling rate, and
    neither is a time of which the video holds no frame.
    """
    if present.all():
        return 0.0
    step = float(np.median(np.diff(sampled))) if len(sampled) > 1 else 0.0
    borders = np.flatnonzero(np.diff(np.concatenate([[False], ~present, [False]]))).reshape(-1, 2)
    last = float(sampled[-1])
    until = np.append(sampled, last + step if end is None else min(last + step, max(end, last)))
    return float((until[borders[:, 1]] - sampled[borders[:, 0]]).max())
