"""Computing a study from its plan: one pass over the results, one recording after another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from fervid.results.in_parts import read_in_parts
from fervid.results.reader import Results
from fervid.results.schema import ANALYSED
from fervid.runtime.platform import return_memory
from fervid.studies.baselines import BaselineSums, add_baseline
from fervid.studies.catalog import Recording
from fervid.studies.matching import MatchedEvent
from fervid.studies.plan import Plan
from fervid.studies.series import SampleRules, Series, build_series
from fervid.studies.synchrony import Synchrony, synchrony
from fervid.studies.window_store import WindowBlock, WindowStore
from fervid.studies.windows import AROUND, BIN, EVENT, Window, event_courses, weights, window_values
from fervid.timeline.events import SERIES
from fervid.timeline.valence import VALENCE
from fervid.types import EMOTIONS, DoubleArray, Progress, ProgressCallback, ignore_progress

MAP_STEPS = 100
"""Number of steps of a recording in the map of missing data."""

PART_ROWS = 60_000
"""Rows of the timeline that are in memory at a time."""

_COLUMNS = {
    "summary": ("video_id", "face_id", "trust"),
    "episodes": ("video_id", "face_id", "kind", "emotion", "onset", "offset"),
    "videos": ("video_id", "status"),
}
"""Small table → the columns that a study reads."""

_TABLES = ("timeline", "summary", "episodes")


@dataclass
class CourseSums:
    """Sums over the events of one participant and condition, for the mean course around the onset."""

    sums: DoubleArray
    counts: DoubleArray


@dataclass(eq=False)
class Computed:
    """What was computed.

    Attributes:
        blocks: The windows and their values.
        baselines: Participant → sums over the baseline.
        courses: (participant, trial type) → sums over events.
        synchrony: (video, participant, participant, measure, result); the result is None if it cannot be computed.
        seen: (participant, video, end in seconds, (MAP_STEPS,) share of each step that was observed).
        doubted: Participant → number of faces that do not count, because their trust is not ok.
        notes: What a user should know about the results.
    """

    blocks: WindowStore
    baselines: dict[str, BaselineSums] = field(default_factory=dict)
    courses: dict[tuple[str, str], CourseSums] = field(default_factory=dict)
    synchrony: list[tuple[str, str, str, str, Synchrony | None]] = field(default_factory=list)
    seen: list[tuple[str, str, float, DoubleArray]] = field(default_factory=list)
    doubted: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def course_edges(plan: Plan) -> DoubleArray:
    """Compute the borders of the steps of the mean course.

    Args:
        plan: The study.

    Returns:
        (s + 1,) seconds from the onset; empty if there are no windows around onsets.
    """
    windows = plan.settings.windows
    if not windows.around:
        return np.zeros(0)
    steps = round((windows.around[1] - windows.around[0]) / windows.step)
    return np.linspace(windows.around[0], windows.around[1], steps + 1)


def compute(plan: Plan, on_progress: ProgressCallback = ignore_progress) -> Computed:
    """Compute everything that needs timelines.

    Only one of the results is in memory at a time.

    Args:
        plan: The study.
        on_progress: Called with a Progress for each recording.

    Returns:
        The values.

    Raises:
        BadResults: Results cannot be read.
        InputNotFound: Results do not exist.
    """
    found = Computed(WindowStore(len(plan.measures)))
    events: dict[int, dict[str, list[MatchedEvent]]] = {}
    for one in plan.matches.events:
        events.setdefault(one.recording, {}).setdefault(one.participant, []).append(one)
    order = {name: place for place, name in enumerate(plan.participants)}
    analysed = [position for position, one in enumerate(plan.recordings) if one.video_id]
    done = 0
    for tables, positions in _results(plan, analysed, found):
        for position in positions:
            recording, own = plan.recordings[position], events.get(position, {})
            names = sorted((own.keys() | recording.faces.keys()) & order.keys(), key=order.__getitem__)
            all_series = [_add_participant(plan, found, (name, recording, own.get(name, [])), tables) for name in names]
            _add_synchrony(plan, found, all_series)
            done += 1
            on_progress(Progress("study", done, len(analysed), "recordings"))
    return found


def without_empty_measures(plan: Plan, computed: Computed) -> tuple[Plan, Computed]:
    """Leave out what no result has a value of, such as head pose in results that were made without it.

    Args:
        plan: The study.
        computed: Its values.

    Returns:
        Both without these measures. Measures that the study names stay, with a note, and so do emotions and valence.
    """
    seen = computed.blocks.observed
    for sums in computed.baselines.values():
        seen = seen | (sums.seconds > 0)
    always = np.array([name in (*EMOTIONS, VALENCE) for name in plan.measures])
    if plan.settings.measures:
        empty = [name for name, found in zip(plan.measures, seen | always, strict=True) if not found]
        notes = [f"no value of {', '.join(empty)}: the results were made without measures, or with too few samples a "
                 "second"] if empty else []  # fmt: skip
        return plan, replace(computed, notes=computed.notes + notes)
    kept = np.flatnonzero(seen | always)
    if len(kept) == len(plan.measures):
        return plan, computed
    computed.blocks.keep(kept)
    for sums in computed.baselines.values():
        sums.keep(kept)
    names = tuple(plan.measures[place] for place in kept)
    return replace(plan, measures=names), replace(
        computed,
        courses={key: CourseSums(one.sums[:, kept], one.counts[:, kept]) for key, one in computed.courses.items()},
        synchrony=[row for row in computed.synchrony if row[3] in names],
    )


class _Tables:
    """The rows of some videos, found by an index. A table of its own for each video would take kilobytes."""

    def __init__(self, results: Results, is_empty: bool = False) -> None:
        self.max_gap = results.max_gap
        self._frames: dict[str, pd.DataFrame] = {name: getattr(results, name) for name in _TABLES}
        self._places = {
            name: {} if is_empty else frame.groupby("video_id", sort=False).indices
            for name, frame in self._frames.items()
        }

    def of(self, video_id: str) -> dict[str, pd.DataFrame]:
        """The tables of one video."""
        nothing = np.zeros(0, np.int64)
        return {name: frame.iloc[self._places[name].get(video_id, nothing)] for name, frame in self._frames.items()}


def _results(plan: Plan, analysed: list[int], found: Computed) -> Iterator[tuple[_Tables, list[int]]]:
    """Some tables of the results, and the positions of their recordings."""
    by_path: dict[Path, dict[str, int]] = {}
    for position in analysed:
        one = plan.recordings[position]
        by_path.setdefault(one.results, {})[one.video_id] = position
    columns = {**_COLUMNS, "timeline": _timeline_columns(plan)}
    for path, positions in by_path.items():
        left = dict(positions)
        for results in read_in_parts(path, PART_ROWS, columns=columns):
            found.notes += results.notes
            shown = results.videos.loc[results.videos["status"].isin(ANALYSED), "video_id"]
            own = sorted(left.pop(video_id) for video_id in shown.unique() if video_id in left)
            yield _Tables(results), own
        if left:  # their rows cannot be right, as the notes say: nothing was observed
            yield _Tables(results, is_empty=True), sorted(left.values())
        del results
        return_memory()


def _timeline_columns(plan: Plan) -> set[str]:
    """The columns of the timeline that the study reads."""
    suffix = "_smooth" if plan.settings.values == "smooth" else ""
    emotions = {f"{name}{suffix}" for name in EMOTIONS}
    return {"video_id", "time", "face_id", "face_quality", VALENCE, *emotions, *SERIES, *plan.measures} - (
        set(EMOTIONS) - emotions
    )


def _add_participant(
    plan: Plan, found: Computed, of: tuple[str, Recording, list[MatchedEvent]], tables: _Tables
) -> Series:
    """Add one participant in one recording; returns the series."""
    name, recording, events = of
    settings = plan.settings
    rules = SampleRules(plan.measures, settings.values, settings.quality, settings.trust == "ok", tables.max_gap)
    own = tables.of(recording.video_id)
    faces = recording.faces.get(name, frozenset())
    series = build_series(name, faces, recording, own, rules)
    doubtful = own["summary"]["face_id"].isin(list(faces)) & (own["summary"]["trust"] != "ok")
    if rules.trusted_only and doubtful.any():
        found.doubted[name] = found.doubted.get(name, 0) + int(doubtful.sum())
    windows = tuple(_windows(plan, series, events))
    found.blocks.add(WindowBlock(name, recording, windows, window_values(series, windows)))
    if settings.baseline.is_given:
        sums = found.baselines.setdefault(name, BaselineSums(len(plan.measures)))
        add_baseline(sums, series, _baseline_spans(plan, series, events), settings.baseline)
    edges = course_edges(plan)
    if len(edges):
        _add_courses(found, series, events, edges)
    found.seen.append((name, recording.video, series.end, _seen(series)))
    return series


def _windows(plan: Plan, series: Series, events: list[MatchedEvent]) -> Iterator[Window]:
    windows = plan.settings.windows
    for one in events:
        event, of_event = one.event, (one.event.onset, one.number, one.event.trial_type)
        if windows.whole and event.duration > 0:
            yield Window(EVENT, event.onset, event.end, *of_event)
        if windows.around:
            yield Window(AROUND, event.onset + windows.around[0], event.onset + windows.around[1], *of_event)
    if windows.bins is not None:
        count = max(1, int(np.ceil(series.end / windows.bins - 1e-9)))
        for number in range(count if series.end > 0 else 0):
            start = number * windows.bins
            yield Window(BIN, start, min(start + windows.bins, series.end), start)


def _baseline_spans(plan: Plan, series: Series, events: list[MatchedEvent]) -> list[tuple[float, float]]:
    baseline = plan.settings.baseline
    if baseline.event is not None:
        return [(one.event.onset, one.event.end) for one in events if one.event.trial_type == baseline.event]
    if baseline.start is not None and baseline.end is not None:
        return [(baseline.start, baseline.end)]
    return []


def _add_courses(found: Computed, series: Series, events: list[MatchedEvent], edges: DoubleArray) -> None:
    for trial_type in sorted({one.event.trial_type for one in events}):
        onsets = np.array([one.event.onset for one in events if one.event.trial_type == trial_type])
        courses = event_courses(series, onsets, edges)
        known = ~np.isnan(courses)
        sums, counts = np.where(known, courses, 0.0).sum(axis=0), known.sum(axis=0).astype(np.float64)
        earlier = found.courses.get((series.participant, trial_type))
        if earlier is not None:
            sums, counts = sums + earlier.sums, counts + earlier.counts
        found.courses[(series.participant, trial_type)] = CourseSums(sums, counts)


def _add_synchrony(plan: Plan, found: Computed, all_series: list[Series]) -> None:
    statistics = plan.settings.statistics
    if not statistics.synchrony:
        return
    for number, one in enumerate(all_series):
        for other in all_series[number + 1 :]:
            for column, measure in enumerate(plan.measures):
                result = synchrony(one, other, column, statistics.max_lag, statistics.seed)
                key = (one.recording.video, one.participant, other.participant, measure)
                found.synchrony.append((*key, result))


def _seen(series: Series) -> DoubleArray:
    """The share of each of MAP_STEPS equal parts of the recording that was observed."""
    shares = np.zeros(MAP_STEPS)
    length = series.end / MAP_STEPS
    if length > 0:
        for step in range(MAP_STEPS):
            _, held = weights(series, step * length, (step + 1) * length)
            shares[step] = min(1.0, float(held.sum()) / length)
    return shares
