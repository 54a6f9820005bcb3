"""What the charts of a study's page draw: the mean courses around the onset, and when each participant was observed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from fervid.studies.compute import MAP_STEPS, Computed, course_edges
from fervid.studies.figures import COLORS, MAX_CONDITIONS
from fervid.studies.plan import Plan
from fervid.timeline.events import EVENT_KINDS
from fervid.timeline.valence import VALENCE
from fervid.types import EMOTIONS

Values = npt.NDArray[np.float64]
"""An array of values of a course."""

MAX_PEOPLE = 200
"""With more participants than this, the page draws no thin line for each; the table of the course has them."""

MAX_RECORDINGS = 1000
"""More recordings are not in the map of the page."""

BASELINE_COLOR = "#8c8c8c"
"""Colour of events that are a baseline."""


def conditions_of(plan: Plan) -> list[dict[str, str]]:
    """Name the conditions that are drawn, and their colours.

    Args:
        plan: The study.

    Returns:
        Name and colour of each.
    """
    return [{"name": name, "color": color} for name, color in zip(plan.conditions, COLORS, strict=False)]


def course_data(plan: Plan, course: pd.DataFrame) -> dict[str, Any] | None:
    """Describe the mean courses around the onset.

    Args:
        plan: The study.
        course: The table of that name.

    Returns:
        Values that JSON can hold: ``start`` and ``end`` of the windows and the ``times`` of the steps, in seconds from
        the onset; ``people`` (name and group); ``groups``; and ``charts``, each with a range and its measures. None if
        there is nothing to draw.
    """
    edges = course_edges(plan)
    if not len(edges) or not course["mean"].notna().any():
        return None
    found = _courses(plan, course, (len(edges) - 1, len(plan.measures)))
    drawn = [*(one["mean"] for one in found.means.values()), *found.lines.values()]
    intervals = [next(iter(found.means.values()))[name] for name in ("low", "high")]
    return {
        "start": float(edges[0]),
        "end": float(edges[-1]),
        "times": _numbers((edges[:-1] + edges[1:]) / 2),
        "people": [{"name": name, "group": plan.group(name)} for name in found.lines],
        "unshown": found.people - len(found.lines),
        "groups": [{"name": name, "participants": count} for name, count in found.counts.items()],
        "charts": [
            {
                "title": title,
                "range": _range([one[:, places] for one in drawn], [one[:, places] for one in intervals], bounds),
                "measures": [{"name": plan.measures[place], **found.of_measure(place)} for place in places],
            }
            for title, places, bounds in _charts(plan.measures)
            if any(np.isfinite(value[:, places]).any() for value in drawn)
        ],
    }


@dataclass(frozen=True, eq=False)
class _Courses:
    """The table of the course as arrays of (conditions, measures, steps); NaN where there is no value.

    Attributes:
        means: Group → ``mean``, ``low`` and ``high``.
        counts: Group → number of participants who have any value.
        lines: Participant → mean. Empty if there are more than MAX_PEOPLE.
        people: Number of participants.
    """

    means: dict[str, dict[str, Values]]
    counts: dict[str, int]
    lines: dict[str, Values]
    people: int

    def of_measure(self, place: int) -> dict[str, Any]:
        """What is drawn of one measure: a list of steps for each condition, of each group and participant."""
        groups = [{name: _lists(value[:, place]) for name, value in own.items()} for own in self.means.values()]
        return {"groups": groups, "people": [_lists(value[:, place]) for value in self.lines.values()]}


def _courses(plan: Plan, course: pd.DataFrame, shape: tuple[int, int]) -> _Courses:
    """Read the table; ``shape`` is (steps, measures)."""
    conditions = plan.conditions[:MAX_CONDITIONS]
    rows: dict[Any, pd.DataFrame] = dict(
        iter(course.groupby(["group", "participant", "trial_type"], sort=False, observed=True))
    )
    people = [name for name in course["participant"].unique() if name]
    counts: dict[str, int] = {}
    for (group, _, _), part in rows.items():
        if group:
            counts[group] = max(counts.get(group, 0), int(part["participants"].max()))

    def values(group: str, person: str, column: str) -> Values:
        found = np.full((len(conditions), *shape[::-1]), np.nan)
        for place, condition in enumerate(conditions):
            part = rows.get((group, person, condition))
            if part is not None:
                found[place] = part[column].to_numpy(np.float64).reshape(shape).T
        return found

    means = {group: {name: values(group, "", name) for name in ("mean", "low", "high")} for group in counts}
    shown = people if len(people) <= MAX_PEOPLE else []
    return _Courses(means, counts, {person: values("", person, "mean") for person in shown}, len(people))


@dataclass(frozen=True)
class _Bounds:
    """What a range must include, and what it must not exceed."""

    least: tuple[float, ...] = ()
    lowest: float = -math.inf
    highest: float = math.inf


def _charts(measures: Sequence[str]) -> Iterator[tuple[str, list[int], _Bounds]]:
    """Title, places of the measures, and bounds: emotions share one scale, others have one of their own."""
    emotions = [place for place, name in enumerate(measures) if name in EMOTIONS]
    if emotions:  # one scale, so that a small change looks small
        yield "probability", emotions, _Bounds((0.0, 0.05), 0.0, 1.0)
    for place, name in enumerate(measures):
        if name == VALENCE:
            yield "", [place], _Bounds((-0.1, 0.1), -1.0, 1.0)
        elif name in EVENT_KINDS:
            yield "share of time", [place], _Bounds((0.0, 0.05), 0.0, 1.0)
        elif name not in EMOTIONS:
            yield "", [place], _Bounds()


def _range(values: Sequence[Values], intervals: Sequence[Values], bounds: _Bounds) -> tuple[float, float]:
    """The range of values, in round numbers.

    Of the intervals it includes what lies at most half as far beyond the values as these are apart: those of few
    participants may be very wide.
    """
    known = np.concatenate([*(one[np.isfinite(one)] for one in values), np.array(bounds.least)])
    low, high = float(known.min()), float(known.max())
    margin = max((high - low) / 2, 1e-3)
    ends = np.concatenate([one[np.isfinite(one)] for one in intervals]).clip(low - margin, high + margin)
    low, high = min([low, *ends.tolist()]), max([high, *ends.tolist()])
    rough = max(high - low, 1e-3) / 5
    unit = 10 ** math.floor(math.log10(rough))
    step = next(one * unit for one in (1, 2, 5, 10) if one * unit >= rough * (1 - 1e-9))
    low, high = math.floor(low / step + 1e-6) * step, math.ceil(high / step - 1e-6) * step
    if high - low < step / 2:
        low, high = low - step, high + step
    return round(max(low, bounds.lowest), 6), round(min(high, bounds.highest), 6)


def map_data(plan: Plan, computed: Computed) -> dict[str, Any] | None:
    """Describe when each participant was observed.

    Args:
        plan: The study.
        computed: What was computed.

    Returns:
        Values that JSON can hold: the ``end`` of the longest recording in seconds, ``series`` (conditions and
        baseline), and ``rows`` with the participant, the recording, its length, the observed share, the share of each
        step, and the events. None if there is nothing to draw.
    """
    shown = sorted(computed.seen, key=lambda one: (one[0], one[1]))[:MAX_RECORDINGS]
    if not shown:
        return None
    series = conditions_of(plan)
    baseline = plan.settings.baseline.event
    if baseline is not None and baseline not in [one["name"] for one in series]:
        series = [*series, {"name": baseline, "color": BASELINE_COLOR}]
    places = {one["name"]: place for place, one in enumerate(series)}
    events: dict[tuple[str, str], list[list[float]]] = {(name, video): [] for name, video, *_ in shown}
    for one in plan.matches.events:
        place = places.get(one.event.trial_type)
        key = (one.participant, plan.recordings[one.recording].video)
        if place is not None and key in events:
            events[key].append([place, round(one.event.onset, 3), round(one.event.end, 3)])
    several = len({name for name, *_ in shown}) < len(shown)
    return {
        "end": max(end for _, _, end, _ in shown),
        "series": series,
        "steps": MAP_STEPS,
        "unshown": len(computed.seen) - len(shown),
        "rows": [
            {
                "participant": name,
                "video": video if several else "",
                "end": round(end, 3),
                "observed": round(float(shares.mean()), 4),
                "shares": [round(100 * share) for share in shares.tolist()],
                "events": sorted(events[name, video], key=lambda event: event[1:]),
            }
            for name, video, end, shares in shown
        ],
    }


def _lists(values: Values) -> list[list[float | None]]:
    """One list for each condition."""
    return [_numbers(row) for row in values]


def _numbers(values: Values) -> list[float | None]:
    """Four digits; None where there is no value, because JSON has no such numbers."""
    return [round(value, 4) if math.isfinite(value) else None for value in values.tolist()]
