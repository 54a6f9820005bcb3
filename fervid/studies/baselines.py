"""Baselines: the values of each participant with which others are compared."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fervid.studies.series import Series
from fervid.studies.settings import BaselineSettings
from fervid.studies.windows import weights
from fervid.timeline.summary import MIN_COVERAGE, MIN_QUALITY
from fervid.types import DoubleArray

MIN_PROBABILITY = 1e-4
"""Log-odds are those of probabilities between this and one minus this."""


@dataclass
class BaselineSums:
    """Sums over the baseline of one participant, over all recordings.

    Attributes:
        asked: Seconds of baseline that were asked for.
        seconds: (k,) seconds for which each measure was observed.
        sums: (k,) integral of the values.
        squares: (k,) integral of their squares.
        quality: Integral of the face quality.
        observed: Seconds with a face.
    """

    count: int
    asked: float = 0.0
    seconds: DoubleArray = field(init=False)
    sums: DoubleArray = field(init=False)
    squares: DoubleArray = field(init=False)
    quality: float = 0.0
    observed: float = 0.0

    def __post_init__(self) -> None:
        self.seconds, self.sums, self.squares = (np.zeros(self.count) for _ in range(3))

    def keep(self, columns: npt.NDArray[np.int64]) -> None:
        """Leave out all measures but these.

        Args:
            columns: Positions of the measures that stay.
        """
        self.count = len(columns)
        self.seconds, self.sums, self.squares = (one[columns] for one in (self.seconds, self.sums, self.squares))

    @property
    def mean(self) -> DoubleArray:
        """(k,) mean over time; NaN where nothing was observed."""
        return self.sums / np.where(self.seconds > 0, self.seconds, np.nan)

    @property
    def spread(self) -> DoubleArray:
        """(k,) standard deviation over time."""
        return np.sqrt(np.maximum(self.squares / np.where(self.seconds > 0, self.seconds, np.nan) - self.mean**2, 0.0))

    @property
    def trust(self) -> str:
        """``ok``, or the reasons to doubt this baseline."""
        reasons = []
        if self.asked > 0 and self.observed < MIN_COVERAGE * self.asked:
            reasons.append(f"observed for {100 * self.observed / self.asked:.0f} % of its length")
        if self.observed > 0 and self.quality / self.observed < MIN_QUALITY:
            reasons.append("low picture quality or a turned face")
        return "; ".join(reasons) or "ok"

    def missing(self, minimum: float) -> str:
        """Say why this baseline cannot be used.

        Args:
            minimum: Seconds that must have been observed.

        Returns:
            The reason; empty if it can be used.
        """
        if self.asked <= 0:
            return "there is no baseline"
        if self.observed < minimum - 1e-9:
            return f"its baseline was observed for {self.observed:.1f} s, less than {minimum:g} s"
        return ""


def add_baseline(
    sums: BaselineSums, series: Series, spans: Iterable[tuple[float, float]], settings: BaselineSettings
) -> None:
    """Add the baseline of one recording.

    Overlapping events count once. With ``lowest``, each measure has the samples of its own lowest part, and the time is
    that share of the observed time.

    Args:
        sums: The sums of the participant.
        series: The participant in the recording.
        spans: Start and end of the baseline's events in this recording.
        settings: The kind of baseline.
    """
    if settings.lowest is not None:
        _add_lowest(sums, series, settings.lowest)
        return
    for start, end in merged(spans):
        sums.asked += end - start
        part, held = weights(series, start, end)
        if not len(held):
            continue
        values = series.values[part]
        known = ~np.isnan(values)
        filled = np.where(known, values, 0.0)
        sums.seconds += held @ known
        sums.sums += held @ filled
        sums.squares += held @ filled**2
        sums.quality += float(held @ series.quality[part])
        sums.observed += float(held.sum())


def _add_lowest(sums: BaselineSums, series: Series, share: float) -> None:
    held = series.ends - series.starts
    total = float(held.sum())
    if not len(held) or total <= 0:
        return
    sums.asked += share * total
    sums.observed += share * total
    sums.quality += share * float(held @ series.quality)
    for column in range(sums.count):
        values = series.values[:, column]
        known = ~np.isnan(values)
        order = np.argsort(values[known], kind="stable")
        lengths, sorted_values = held[known][order], values[known][order]
        limit = share * lengths.sum()
        before = np.cumsum(lengths) - lengths
        used = np.clip(limit - before, 0.0, lengths)
        sums.seconds[column] += used.sum()
        sums.sums[column] += used @ sorted_values
        sums.squares[column] += used @ sorted_values**2


def merged(spans: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Join spans that overlap, so that no time counts twice.

    Args:
        spans: Start and end of each.

    Returns:
        Spans that do not overlap, in order, without empty ones.
    """
    joined: list[tuple[float, float]] = []
    for start, end in sorted(span for span in spans if span[1] > span[0]):
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], end)
        else:
            joined.append((start, end))
    return joined


def log_odds(probabilities: DoubleArray) -> DoubleArray:
    """Convert probabilities to log-odds.

    Args:
        probabilities: Any shape. Values beyond MIN_PROBABILITY and its opposite are set to these.

    Returns:
        The natural logarithm of the odds; NaN stays NaN.
    """
    clipped = np.clip(probabilities, MIN_PROBABILITY, 1 - MIN_PROBABILITY)
    return np.asarray(np.log(clipped / (1 - clipped)))
