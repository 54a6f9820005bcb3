"""Windows of time, and what a participant showed in them. Everything is weighted by true time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fervid.studies.series import Series
from fervid.timeline.events import EVENT_KINDS
from fervid.types import EMOTIONS, DoubleArray

EVENT, AROUND, BIN = "event", "around", "bin"
"""Kinds of windows: the whole event, the time around its onset, and a fixed part of the recording."""

FIGURES = ("mean", "maximum", "area", "share_leading", "episodes", "episodes_per_minute", "latency")
"""What is computed of each measure in each window."""


LATENCY_GAP = 0.5
"""If more seconds before the first episode were not observed, an earlier one may have been missed: no latency."""


@dataclass(frozen=True, slots=True)
class Window:
    """A period of time of a recording.

    Attributes:
        kind: EVENT, AROUND or BIN.
        start: Seconds of the video.
        end: Seconds of the video.
        origin: The time from which latency is counted: the onset of the event or the start of the bin.
        event: Position of the event in the study; -1 for a bin.
        trial_type: Trial type of the event; empty for a bin.
    """

    kind: str
    start: float
    end: float
    origin: float
    event: int = -1
    trial_type: str = ""

    @property
    def length(self) -> float:
        """Seconds."""
        return self.end - self.start


@dataclass(frozen=True, eq=False)
class WindowValues:
    """The values of one participant in w windows of one recording.

    Attributes:
        seconds: (w, k) seconds for which each measure was observed.
        coverage: (w, k) share of the window's length.
        quality: (w,) mean face quality; NaN if nothing was observed.
        figures: Name in FIGURES → (w, k) values; NaN where there is none.
    """

    seconds: DoubleArray
    coverage: DoubleArray
    quality: DoubleArray
    figures: dict[str, DoubleArray]


def weights(series: Series, start: float, end: float) -> tuple[slice, DoubleArray]:
    """Compute for how much of a period each sample stands.

    Args:
        series: The participant.
        start: Start of the period in seconds.
        end: Its end.

    Returns:
        The samples, and the seconds of the period for which each of them stands, all above 0.
    """
    first = int(np.searchsorted(series.ends, start, "right"))
    last = max(first, int(np.searchsorted(series.starts, end, "left")))
    part = slice(first, last)
    return part, np.minimum(series.ends[part], end) - np.maximum(series.starts[part], start)


def window_values(series: Series, windows: Sequence[Window]) -> WindowValues:
    """Compute the values of a participant in windows.

    Args:
        series: The participant.
        windows: The windows.

    Returns:
        The values. Means are over observed time; areas are in units of the measure times seconds, over observed time.
    """
    shape = (len(windows), len(series.measures))
    figures = {name: np.full(shape, np.nan) for name in FIGURES}
    seconds, coverage, quality = np.zeros(shape), np.zeros(shape), np.full(len(windows), np.nan)
    index = [EMOTIONS.index(name) if name in EMOTIONS else -1 for name in series.measures]
    for number, window in enumerate(windows):
        part, held = weights(series, window.start, window.end)
        values = series.values[part]
        known = ~np.isnan(values)
        seconds[number] = held @ known
        if held.sum() <= 0:  # a recording of one sample stands for no time
            continue
        quality[number] = held @ series.quality[part] / held.sum()
        seen = seconds[number] > 0
        areas = held @ np.where(known, values, 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            figures["area"][number] = np.where(seen, areas, np.nan)
            figures["mean"][number] = areas / np.where(seen, seconds[number], np.nan)
        figures["maximum"][number] = _maximum(series.times[part], values, window)
        figures["maximum"][number, [name in EVENT_KINDS for name in series.measures]] = np.nan
        shares = np.bincount(series.leading[part], held, len(EMOTIONS)) / held.sum()
        figures["share_leading"][number] = [min(shares[one], 1.0) if one >= 0 else np.nan for one in index]
    if len(windows):
        lengths = np.array([window.length for window in windows])
        coverage = np.minimum(seconds / lengths[:, None], 1.0)
        _add_episodes(series, windows, seconds, figures)
    return WindowValues(seconds, coverage, quality, figures)


def _maximum(times: DoubleArray, values: DoubleArray, window: Window) -> DoubleArray:
    """The largest value of each measure, of the samples inside the window, or of all that stand for part of it."""
    inside = (times >= window.start) & (times < window.end)
    chosen = values[inside] if inside.any() else values
    best = np.where(np.isnan(chosen), -np.inf, chosen).max(axis=0)
    return np.where(np.isinf(best), np.nan, best)


def _add_episodes(
    series: Series, windows: Sequence[Window], seconds: DoubleArray, figures: dict[str, DoubleArray]
) -> None:
    """Count the episodes that begin in each window, and find the first that begins at or after its origin."""
    starts, ends, origins = (
        np.array([getattr(window, name) for window in windows]) for name in ("start", "end", "origin")
    )
    for column, name in enumerate(series.measures):
        if name not in EMOTIONS and name not in EVENT_KINDS:
            continue
        onsets = series.episodes.get(name, np.zeros(0))
        counts = np.searchsorted(onsets, ends, "left") - np.searchsorted(onsets, starts, "left")
        first = np.searchsorted(onsets, origins, "left")
        begun = np.append(onsets, np.inf)[first]
        for number in np.flatnonzero(begun < ends):
            part, held = weights(series, origins[number], begun[number])
            known = ~np.isnan(series.values[part, column])
            if begun[number] - origins[number] - held @ known > LATENCY_GAP:
                begun[number] = np.inf
        seen = seconds[:, column] > 0
        figures["episodes"][seen, column] = counts[seen]
        figures["episodes_per_minute"][seen, column] = 60 * counts[seen] / seconds[seen, column]
        figures["latency"][:, column] = np.where(seen & (begun < ends), begun - origins, np.nan)


def event_courses(series: Series, onsets: DoubleArray, edges: DoubleArray) -> DoubleArray:
    """Compute the mean of each measure in the steps around onsets.

    Args:
        series: The participant.
        onsets: (e,) seconds of the video.
        edges: (s + 1,) borders of the steps, in seconds from the onset.

    Returns:
        (e, s, k) means; NaN where less than half of a step was observed.
    """
    courses = np.full((len(onsets), len(edges) - 1, len(series.measures)), np.nan)
    if not len(series.times):
        return courses
    borders = onsets[:, None] + edges
    lengths = series.ends - series.starts
    knots = np.column_stack([series.starts, series.ends]).ravel()
    for column in range(len(series.measures)):
        values = series.values[:, column]
        known = ~np.isnan(values)
        seconds = _integral(borders, knots, lengths * known)
        sums = _integral(borders, knots, lengths * np.where(known, values, 0.0))
        enough = seconds >= np.diff(borders) / 2 - 1e-9
        courses[:, :, column][enough] = sums[enough] / seconds[enough]
    return courses


def _integral(borders: DoubleArray, knots: DoubleArray, areas: DoubleArray) -> DoubleArray:
    """The integral between neighbouring borders of a function that is constant in each period.

    Knots are the starts and ends of the periods in turn, areas the integral over each period.
    """
    total = np.cumsum(areas)
    at_knots = np.column_stack([np.append(0.0, total[:-1]), total]).ravel()
    return np.diff(np.interp(borders, knots, at_knots), axis=-1)
