"""The tables of a study, as pandas frames."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from fervid.studies.baselines import log_odds
from fervid.studies.compute import Computed, course_edges
from fervid.studies.plan import Plan
from fervid.studies.statistics import Estimate, difference_estimate, mean_estimate
from fervid.studies.window_store import WindowBlock
from fervid.studies.windows import FIGURES
from fervid.types import EMOTIONS, DoubleArray

CHANGES = ("change", "change_log_odds")
"""What a baseline adds to the figures of a window."""

STATISTICS = (*FIGURES, *CHANGES)
"""Figures that are averaged over events and participants."""

MAX_PAIRS = 6
"""With more conditions, each is compared with the first one only."""

PART_ROWS = 50_000
"""Rows of the table of windows that are in memory at a time."""

ALL = "all"
"""The name of all participants together, in the column ``group``."""


@dataclass(frozen=True, eq=False)
class StudyTables:
    """The tables of a study; ``fervid.studies.dictionary`` defines their columns.

    Attributes:
        window_rows: The rows of ``windows``.
        conditions: One row per participant, condition, kind of window and measure.
        wide: One row per participant, for programs that want a column for each condition.
        groups: Means over participants.
        differences: Differences between conditions and between groups.
        course: Mean course around the onset.
        baselines: One row per participant and measure.
        synchrony: One row per recording, pair of participants and measure.
        apart: What was set apart, with the reason.
    """

    window_rows: WindowRows
    conditions: pd.DataFrame
    wide: pd.DataFrame
    groups: pd.DataFrame
    differences: pd.DataFrame
    course: pd.DataFrame
    baselines: pd.DataFrame
    synchrony: pd.DataFrame
    apart: pd.DataFrame

    @functools.cached_property
    def windows(self) -> pd.DataFrame:
        """One row per participant, recording, window and measure. It is built when it is first asked for."""
        return self.window_rows.frame()


TABLES = ("windows", *(field.name for field in fields(StudyTables) if field.name != "window_rows"))
"""The names of the tables."""


def build_tables(plan: Plan, computed: Computed) -> StudyTables:
    """Build the tables of a study.

    Args:
        plan: The study.
        computed: Its values.

    Returns:
        The tables.
    """
    apart = _apart(plan, computed)
    left_out = {name for name, video, _ in apart if name and not video}
    windows = WindowRows(plan, computed)
    conditions = _conditions(plan, windows)
    used = conditions[~conditions["participant"].isin(left_out)]
    groups, differences = _groups(plan, used)
    return StudyTables(
        windows,
        conditions.assign(kept_apart=conditions["participant"].isin(left_out)),
        _wide(plan, conditions, left_out),
        groups,
        differences,
        _course(plan, computed, left_out),
        _baselines(plan, computed),
        _synchrony(computed),
        pd.DataFrame(apart, columns=["participant", "video", "reason"]),
    )


def _apart(plan: Plan, computed: Computed) -> list[tuple[str, str, str]]:
    """(participant, video, reason). A participant without a video is kept apart from all group figures."""
    found = plan.apart()
    known = {name for name, video, _ in found if name and not video}
    for name in plan.participants:
        sums = computed.baselines.get(name)
        if name in known or sums is None:
            continue
        if reason := sums.missing(plan.settings.baseline.minimum):
            found.append((name, "", reason))
    return found


class WindowRows:
    """The rows of the table of windows, a few at a time.

    Attributes:
        windows: Number of windows.
        usable: Number of windows that are usable for any measure.
        rows: Number of rows: one for each window and measure.
        columns: Names of the columns.
    """

    def __init__(self, plan: Plan, computed: Computed) -> None:
        self._plan, self._computed = plan, computed
        self.windows, self.rows = computed.blocks.count, computed.blocks.count * len(plan.measures)
        self.usable = sum(int(usable(plan, block).any(axis=1).sum()) for block in computed.blocks)
        first = next((block for block in computed.blocks if block.windows), None)
        self.columns = [] if first is None else list(_block(plan, computed, first))

    def blocks(self) -> Iterator[tuple[WindowBlock, dict[str, Any]]]:
        """Go through the participants and recordings.

        Yields:
            The windows of each, and the values of each figure: (windows, measures), NaN where they are not usable.
        """
        for block in self._computed.blocks:
            figures = dict(block.values.figures) | _changes(self._plan, self._computed, block)
            used = usable(self._plan, block)
            yield block, {name: np.where(used, values, np.nan) for name, values in figures.items()}

    def parts(self) -> Iterator[pd.DataFrame]:
        """Go through the rows.

        Yields:
            Frames with the same columns; at least one, which may be empty.
        """
        parts: list[dict[str, Any]] = []
        count = 0
        for block in self._computed.blocks:
            if block.windows:
                parts.append(_block(self._plan, self._computed, block))
                count += len(parts[-1]["measure"])
            if count >= PART_ROWS:
                yield _joined(parts)
                parts, count = [], 0
        if parts or not self.windows:
            yield _joined(parts)

    def frame(self) -> pd.DataFrame:
        """Build the whole table.

        Returns:
            One row per participant, recording, window and measure.
        """
        frame = pd.concat(self.parts(), ignore_index=True)
        for name in frame.columns:
            if frame[name].dtype == object and name != "set_aside":
                frame[name] = frame[name].astype("category")
        return frame


def _joined(parts: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """One frame of the rows of several participants or recordings."""
    return pd.DataFrame({name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {})


def usable(plan: Plan, block: WindowBlock) -> npt.NDArray[np.bool_]:
    """Say which windows are usable.

    Args:
        plan: The study.
        block: The windows.

    Returns:
        (windows, measures): whether enough of the window was observed.
    """
    values = block.values
    return np.asarray((values.coverage >= plan.settings.coverage - 1e-9) & (values.seconds > 0))


def _block(plan: Plan, computed: Computed, block: WindowBlock) -> dict[str, Any]:
    """The rows of one participant in one recording: column → values."""
    count, measures = len(block.windows), len(plan.measures)
    participant = plan.participants[block.participant]

    def per_window(values: Sequence[Any], kind: Any) -> Any:
        return np.repeat(np.array(values, kind), measures)

    def same(value: Any) -> Any:
        return np.full(count * measures, value, object)

    windows, values = block.windows, block.values
    columns: dict[str, Any] = {"participant": same(block.participant)}
    columns |= {_free(name, "participant"): same(text) for name, text in participant.columns.items()}
    columns |= {"video": same(block.recording.video)}
    columns |= {"event": per_window([window.event for window in windows], np.int64)}
    columns |= {"trial_type": per_window([window.trial_type for window in windows], object)}
    columns |= _event_columns(plan, block, measures)
    columns |= {"window": per_window([window.kind for window in windows], object)}
    for name in ("start", "end"):
        columns[name] = per_window([getattr(window, name) for window in windows], np.float64)
    columns["measure"] = np.tile(np.array(plan.measures, object), count)
    columns |= {"seconds": values.seconds.ravel(), "coverage": values.coverage.ravel()}
    columns |= {"quality": np.repeat(values.quality, measures)}
    used = usable(plan, block)
    columns["usable"] = used.ravel()
    figures = dict(values.figures) | _changes(plan, computed, block)
    columns |= {name: np.where(used, figures[name], np.nan).ravel() for name in figures}
    columns["set_aside"] = _set_aside(figures, used)
    return columns


def _free(name: str, prefix: str) -> str:
    """A name of a column that is not one of fervid's own."""
    own = {"participant", "video", "event", "trial_type", "window", "start", "end", "measure", "seconds", "coverage",
           "quality", "usable", "set_aside", "kept_apart", "events", "events_used", *STATISTICS}  # fmt: skip
    return f"{prefix}_{name}" if name in own else name


def _event_columns(plan: Plan, block: WindowBlock, measures: int) -> dict[str, Any]:
    """Further columns of the events files, each with the prefix ``event_``."""
    names = dict.fromkeys(name for event in plan.events for name in event.columns)
    columns = {}
    for name in names:
        texts = ["" if one.event < 0 else plan.events[one.event].columns.get(name, "") for one in block.windows]
        columns[f"event_{name}"] = np.repeat(np.array(texts, object), measures)
    return columns


def _changes(plan: Plan, computed: Computed, block: WindowBlock) -> dict[str, Any]:
    """Change from the baseline, of the value and, for probabilities, of the log-odds; none without a baseline."""
    if not plan.settings.baseline.is_given:
        return {}
    mean = block.values.figures["mean"]
    nothing = {name: np.full(mean.shape, np.nan) for name in CHANGES}
    sums = computed.baselines.get(block.participant)
    if sums is None or sums.missing(plan.settings.baseline.minimum):
        return nothing
    is_probability = np.array([name in EMOTIONS for name in plan.measures])
    odds = np.where(is_probability, log_odds(mean) - log_odds(sums.mean), np.nan)
    return {"change": mean - sums.mean, "change_log_odds": odds}


def _set_aside(figures: dict[str, Any], used: Any) -> Any:
    """The values of windows with too little coverage, in brackets; empty for the others."""
    texts = np.full(used.size, "", object)
    flat = {name: values.ravel() for name, values in figures.items()}
    for row in np.flatnonzero(~used.ravel()):
        known = [f"{name}={values[row]:.4g}" for name, values in flat.items() if not np.isnan(values[row])]
        texts[row] = f"[{' '.join(known)}]"
    return texts


def _statistics(plan: Plan) -> list[str]:
    return [name for name in STATISTICS if name not in CHANGES or plan.settings.baseline.is_given]


class _Mean:
    """Means over the events of one participant, condition and kind of window, for each measure."""

    def __init__(self, statistics: int, measures: int) -> None:
        self.events, self.used = 0, np.zeros(measures, np.int64)
        self._sums, self._counts = np.zeros((statistics, measures)), np.zeros((statistics, measures))

    def add(self, figures: DoubleArray, used: npt.NDArray[np.bool_]) -> None:
        """Add one event: (statistics, measures) and (measures,)."""
        known = ~np.isnan(figures)
        self.events += 1
        self.used += used
        self._sums += np.where(known, figures, 0.0)
        self._counts += known

    @property
    def mean(self) -> DoubleArray:
        """(measures, statistics); NaN where there is no value."""
        return np.asarray((self._sums / np.where(self._counts > 0, self._counts, np.nan)).T)


def _conditions(plan: Plan, windows: WindowRows) -> pd.DataFrame:
    """One row per participant, condition, kind of window and measure: means over the usable events."""
    further = [_free(name, "participant") for name in next(iter(plan.participants.values())).columns]
    statistics = _statistics(plan)
    wanted = {*plan.conditions, ""}
    found: dict[tuple[str, str, str], _Mean] = {}
    for block, figures in windows.blocks():
        stacked, used = np.stack([figures[name] for name in statistics], axis=1), usable(plan, block)
        for window, values, is_used in zip(block.windows, stacked, used, strict=True):
            if window.trial_type in wanted:
                key = (block.participant, window.trial_type, window.kind)
                if key not in found:
                    found[key] = _Mean(len(statistics), len(plan.measures))
                found[key].add(values, is_used)
    keys = ["participant", "trial_type", "window", "measure"]
    if not found:
        return pd.DataFrame(columns=["participant", *further, *keys[1:], "events", "events_used", *statistics])
    count = len(plan.measures)
    texts_of = {name: np.repeat(np.array([key[place] for key in found], object), count)
                for place, name in enumerate(keys[:3])}  # fmt: skip
    texts_of["measure"] = np.tile(np.array(plan.measures, object), len(found))
    frame = pd.DataFrame(texts_of)
    frame["events"] = np.repeat([one.events for one in found.values()], count)
    frame["events_used"] = np.concatenate([one.used for one in found.values()])
    frame[statistics] = np.concatenate([one.mean for one in found.values()])
    for position, name in enumerate(further, start=1):
        source = list(next(iter(plan.participants.values())).columns)[position - 1]
        texts = {one.name: one.columns[source] for one in plan.participants.values()}
        frame.insert(position, name, frame["participant"].map(texts))
    return frame


def _wide(plan: Plan, conditions: pd.DataFrame, left_out: set[str]) -> pd.DataFrame:
    """One row per participant of the study; columns such as ``happy_joke_event_change``."""
    people = plan.participants.values()
    frame = pd.DataFrame({"participant": [one.name for one in people]})
    for name in next(iter(people)).columns:
        frame[_free(name, "participant")] = [one.columns[name] for one in people]
    frame["kept_apart"] = frame["participant"].isin(left_out)
    values = ["mean", *(name for name in CHANGES if name in _statistics(plan))]
    if len(conditions):
        keys = ["measure", "trial_type", "window"]
        table = conditions.pivot(index="participant", columns=keys, values=values)
        table = table.dropna(axis=1, how="all")
        table.columns = ["_".join(filter(None, (*key[1:], key[0]))) for key in table.columns]
        frame = frame.merge(table.reset_index(), how="left", on="participant")
    return frame


def _members(plan: Plan) -> dict[str, set[str]]:
    """Group → its participants: all of them, and each group of the study."""
    groups: dict[str, set[str]] = {ALL: set(plan.participants)}
    if plan.settings.statistics.group is not None:
        for name in plan.participants:
            groups.setdefault(plan.group(name), set()).add(name)
    return groups


def _groups(plan: Plan, conditions: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Means of groups, and differences between conditions and between groups."""
    means: list[dict[str, Any]] = []
    differences: list[dict[str, Any]] = []
    members = _members(plan)
    options = plan.settings.statistics
    for (window, measure), part in conditions.groupby(["window", "measure"], sort=False):
        key = {"window": window, "measure": measure}
        for statistic in _statistics(plan):
            table = part.pivot(index="participant", columns="trial_type", values=statistic)
            if table.isna().all(axis=None):
                continue
            columns = [name for name in (*plan.conditions, "") if name in table.columns]
            for group, inside in members.items():
                rows = table[table.index.isin(inside)]
                for condition in columns:
                    estimate = mean_estimate(rows[condition].to_numpy(np.float64), options.repetitions, options.seed)
                    row = {"group": group, "trial_type": condition, **key, "statistic": statistic}
                    means.append(row | _numbers(estimate))
                for one, other in _pairs(columns):
                    values = (rows[one] - rows[other]).to_numpy(np.float64)
                    estimate = mean_estimate(values, options.repetitions, options.seed)
                    row = {"comparison": "within", "group": group, "trial_type": one, "versus": other}
                    differences.append(_difference(row | key | {"statistic": statistic}, estimate, 1))
            for one, other in itertools.combinations([name for name in members if name != ALL], 2):
                for condition in columns:
                    samples = [table.loc[table.index.isin(members[name]), condition].to_numpy(np.float64)
                               for name in (one, other)]  # fmt: skip
                    estimate = difference_estimate(samples[0], samples[1], options.repetitions, options.seed)
                    row = {"comparison": "between", "group": one, "trial_type": condition, "versus": other}
                    differences.append(_difference(row | key | {"statistic": statistic}, estimate, 2))
    order = ["group", "trial_type", "window", "measure", "statistic", "participants", "mean", "low", "high", "sd"]
    names = ["comparison", "group", "trial_type", "versus", "window", "measure", "statistic", "participants",
             "difference", "low", "high", "sd", "effect_size"]  # fmt: skip
    return pd.DataFrame(means, columns=order), pd.DataFrame(differences, columns=names)


def _pairs(conditions: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The pairs of conditions to compare."""
    if len(conditions) <= MAX_PAIRS:
        yield from itertools.combinations(conditions, 2)
    else:
        yield from ((conditions[0], other) for other in conditions[1:])


def _numbers(estimate: Estimate) -> dict[str, Any]:
    return {"participants": estimate.participants, "mean": estimate.value, "low": estimate.low,
            "high": estimate.high, "sd": estimate.sd}  # fmt: skip


def _difference(row: dict[str, Any], estimate: Estimate, lost: int) -> dict[str, Any]:
    """A row of differences; ``lost`` is how many degrees of freedom the means take."""
    numbers = _numbers(estimate)
    numbers["difference"] = numbers.pop("mean")
    return row | numbers | {"effect_size": estimate.effect_size(estimate.participants - lost)}


def _course(plan: Plan, computed: Computed, left_out: set[str]) -> pd.DataFrame:
    """The mean course around the onset, of each participant (``group`` is empty) and of each group."""
    edges = course_edges(plan)
    names = ["group", "participant", "trial_type", "time", "measure", "participants", "mean", "low", "high"]
    options, times = plan.settings.statistics, (edges[:-1] + edges[1:]) / 2
    keys: list[tuple[str, str, str]] = []
    values: list[DoubleArray] = []  # (rows, 4): participants, mean, low, high
    for condition in plan.conditions if len(edges) else ():
        means: dict[str, DoubleArray] = {}
        for name in plan.participants:
            sums = computed.courses.get((name, condition))
            if sums is not None and name not in left_out:
                mean = (sums.sums / np.where(sums.counts > 0, sums.counts, np.nan)).ravel()
                means[name] = mean
                keys.append(("", name, condition))
                nothing = np.full(len(mean), np.nan)
                values.append(np.column_stack([np.ones(len(mean)), mean, nothing, nothing]))
        for group, members in _members(plan).items():
            own = np.array([mean for name, mean in means.items() if name in members])
            if len(own):
                found = [mean_estimate(column, options.repetitions, options.seed) for column in own.T]
                keys.append((group, "", condition))
                values.append(np.array([(one.participants, one.value, one.low, one.high) for one in found]))
    if not keys:
        return pd.DataFrame(columns=names)
    each = len(times) * len(plan.measures)
    columns: dict[str, Any] = {
        name: pd.Categorical([key[place] for key in keys]).repeat(each) for place, name in enumerate(names[:3])
    }
    numbers = np.concatenate(values)
    columns["time"] = np.tile(np.repeat(times, len(plan.measures)), len(keys))
    columns["measure"] = pd.Categorical(plan.measures).take(
        np.tile(np.arange(len(plan.measures)), len(times) * len(keys))
    )
    columns["participants"] = numbers[:, 0].astype(np.int64)
    return pd.DataFrame(columns | {name: numbers[:, place] for place, name in enumerate(names[6:], start=1)})


def _baselines(plan: Plan, computed: Computed) -> pd.DataFrame:
    """One row per participant and measure."""
    rows = []
    for name, sums in computed.baselines.items():
        quality = sums.quality / sums.observed if sums.observed > 0 else np.nan
        reason = sums.missing(plan.settings.baseline.minimum)
        for column, measure in enumerate(plan.measures):
            coverage = sums.seconds[column] / sums.asked if sums.asked > 0 else np.nan
            numbers = [sums.asked, sums.seconds[column], coverage, quality, sums.mean[column], sums.spread[column]]
            rows.append([name, measure, *numbers, sums.trust, reason])
    names = ["participant", "measure", "asked", "seconds", "coverage", "quality", "mean", "sd", "trust", "missing"]
    return pd.DataFrame(rows, columns=names)


def _synchrony(computed: Computed) -> pd.DataFrame:
    names = ["seconds", "correlation", "lag", "at_zero", "null_mean", "null_high", "null_share"]
    rows = [
        [*key, *([np.nan] * len(names) if result is None else [getattr(result, name) for name in names])]
        for *key, result in computed.synchrony
    ]
    return pd.DataFrame(rows, columns=["video", "participant", "other", "measure", *names])
