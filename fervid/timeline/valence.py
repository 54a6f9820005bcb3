"""Valence: how pleasant an expression is, from its probabilities."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fervid.types import EMOTIONS, DoubleArray

VALENCE = "valence"
"""Name of the measure and of its column."""

_PLEASANT = EMOTIONS.index("happy")
_UNPLEASANT = [EMOTIONS.index(name) for name in ("angry", "disgust", "fear", "sad")]


def valence(probabilities: npt.NDArray[np.floating]) -> DoubleArray:
    """Compute valence: happy minus the largest of angry, disgust, fear and sad, as Noldus FaceReader defines it.

    Args:
        probabilities: (n, 7) in the order of EMOTIONS.

    Returns:
        (n,) float64 between -1 and 1.
    """
    values = np.asarray(probabilities, np.float64)
    return np.asarray(values[:, _PLEASANT] - values[:, _UNPLEASANT].max(axis=1))
