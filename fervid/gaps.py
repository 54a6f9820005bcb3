"""Where a face's timeline has a gap, for everything that draws one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from fervid.config import TimelineSettings
from fervid.types import DoubleArray


def usual_step(sampled: DoubleArray) -> float:
    """The usual time between two of the ``sampled`` times (m,), in seconds; 0 where there is only one."""
    return float(np.median(np.diff(sampled))) if len(sampled) > 1 else 0.0


def longest_step(metadata: Mapping[str, Any], sampled: DoubleArray) -> float:
    """Seconds between two samples above which the analysis saw a gap, from the metadata of its results."""
    settings = metadata.get("settings", {}).get("timeline", {})
    # the step of a slow sampling grid is no gap
    return max(float(settings.get("max_gap", TimelineSettings.max_gap)), 1.5 * usual_step(sampled))


def gaps(times: DoubleArray, sampled: DoubleArray, longest: float) -> npt.NDArray[np.bool_]:
    """(n - 1,): whether a gap follows each of the ``times`` (n,) at which a face was seen, all of them among the
    ``sampled`` times of its video: a frame was sampled and the face not found, or more than ``longest`` seconds
    went by."""
    return np.asarray((np.diff(np.searchsorted(sampled, times)) > 1) | (np.diff(times) > longest))
