"""How far two codings agree: kappa, alpha, precision, recall and F1. Pure numpy.

The krippendorff package is not used, because its licence is the GPL.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fervid.types import DoubleArray

MIN_OVERLAP = 0.5
"""Two episodes match if they share at least this part of the shorter one."""

Span = tuple[float, float]
"""Start and end in seconds."""


def cohen_kappa(table: DoubleArray) -> DoubleArray:
    """Compute Cohen's kappa (Cohen 1960, "A coefficient of agreement for nominal scales").

    Args:
        table: (..., k, k) counts or times: what the first coder chose in rows, the second in columns.

    Returns:
        (...) kappa; NaN where both coders use a single category, because chance alone gives full agreement.
    """
    total = table.sum(axis=(-2, -1))
    with np.errstate(invalid="ignore", divide="ignore"):
        observed = np.trace(table, axis1=-2, axis2=-1) / total
        expected = (table.sum(axis=-1) * table.sum(axis=-2)).sum(axis=-1) / total**2
        kappa = (observed - expected) / (1 - expected)
    return np.asarray(np.where(1 - expected > 1e-12, kappa, np.nan))


def coincidences(codes: npt.NDArray[np.int64], categories: int) -> DoubleArray:
    """Count the pairs of values that coders gave to the same unit (Krippendorff 2011, section "coincidence matrix").

    Args:
        codes: (coders, units) category of each unit; below 0 where a coder gave none.
        categories: Number of categories.

    Returns:
        (categories, categories) counts; a unit with m values adds m - 1 per value.
    """
    found = np.zeros((categories, categories))
    counts = np.zeros((codes.shape[1], categories))
    for row in codes:
        known = row >= 0
        counts[np.flatnonzero(known), row[known]] += 1
    values = counts.sum(axis=1)
    for unit in np.flatnonzero(values > 1):
        own = counts[unit]
        found += (np.outer(own, own) - np.diag(own)) / (values[unit] - 1)
    return found


def krippendorff_alpha(pairs: DoubleArray, units: float | None = None) -> DoubleArray:
    """Compute Krippendorff's alpha for nominal data (Krippendorff 2011, "Computing Krippendorff's alpha-reliability").

    Args:
        pairs: (..., k, k) coincidences, as ``coincidences`` counts them. Of a table of two coders they are the table
            plus its transpose.
        units: How many values they stand for, if they are times and not counts. None: their sum.

    Returns:
        (...) alpha; NaN where only one category occurs.
    """
    total = pairs.sum(axis=(-2, -1))
    count = total if units is None else units
    of_category = pairs.sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        agreed = np.trace(pairs, axis1=-2, axis2=-1) / total
        # the probability that two values drawn without replacement are equal
        expected = ((of_category / total[..., None]) ** 2).sum(axis=-1)
        expected = (expected * count - 1) / (count - 1)
        alpha = (agreed - expected) / (1 - expected)
    return np.asarray(np.where(1 - expected > 1e-12, alpha, np.nan))


def precision_recall(hits: float, found: float, true: float) -> tuple[float, float, float]:
    """Compute precision, recall and F1.

    Args:
        hits: How much was found and is true.
        found: How much was found.
        true: How much is true.

    Returns:
        The three values; NaN where nothing was found or nothing is true.
    """
    precision = hits / found if found > 0 else np.nan
    recall = hits / true if true > 0 else np.nan
    f1 = 2 * hits / (found + true) if found > 0 or true > 0 else np.nan
    return precision, recall, f1


def matched_episodes(found: Sequence[Span], true: Sequence[Span]) -> int:
    """Count pairs of episodes that match; each belongs to one pair at most.

    Args:
        found: Episodes of one coding.
        true: Episodes of the other.

    Returns:
        The number of pairs. Pairs with the longest common time are made first.
    """
    pairs = []
    for one, (start, end) in enumerate(found):
        for other, (begin, stop) in enumerate(true):
            common = min(end, stop) - max(start, begin)
            shorter = min(end - start, stop - begin)
            if common >= MIN_OVERLAP * shorter - 1e-9 and (common > 0 or shorter == 0 == common):
                pairs.append((-common, one, other))
    used: tuple[set[int], set[int]] = set(), set()
    count = 0
    for _, one, other in sorted(pairs):
        if one not in used[0] and other not in used[1]:
            used[0].add(one)
            used[1].add(other)
            count += 1
    return count
