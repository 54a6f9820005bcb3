"""The measures of one participant in one recording, over the time that its samples stand for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from fervid.results.schema import TIMELINE
from fervid.studies.catalog import Faces, Recording
from fervid.timeline.events import EMOTION, EVENT_KINDS, MEASURE_OF, SERIES, FaceSeries, observed_rows
from fervid.timeline.gaps import gap_threshold, periods
from fervid.timeline.valence import VALENCE, valence
from fervid.types import EMOTIONS, DoubleArray

_NO_MEASURES = {"video", "video_id", "frame", "time", "face_id", "person", "participant", "frame_width", "frame_height",
                "face_x", "face_y", "face_width", "face_height", "face_score", "face_quality", "emotion", "confidence",
                VALENCE, *EMOTIONS, *(f"{emotion}_smooth" for emotion in EMOTIONS)}  # fmt: skip
"""Columns of the timeline that are no further measures."""


@dataclass(frozen=True, eq=False)
class Series:
    """One participant in one recording.

    Attributes:
        participant: The participant.
        recording: The recording.
        measures: (k,) names of the measures.
        times: (n,) times of the samples that count as observed, in seconds.
        starts: (n,) start of the period that each stands for.
        ends: (n,) its end.
        values: (n, k) values; NaN where a measure has none.
        quality: (n,) face quality.
        leading: (n,) index of the leading emotion in EMOTIONS.
        episodes: Emotion or kind of event → (e,) onsets of the participant's episodes, in order.
        begin: Start of the sampled part in seconds.
        end: End of the recording in seconds.
    """

    participant: str
    recording: Recording
    measures: tuple[str, ...]
    times: DoubleArray
    starts: DoubleArray
    ends: DoubleArray
    values: DoubleArray
    quality: DoubleArray
    leading: npt.NDArray[np.int64]
    episodes: dict[str, DoubleArray]
    begin: float
    end: float


@dataclass(frozen=True)
class SampleRules:
    """Which samples count, and what is computed of them.

    Attributes:
        measures: Names of the measures.
        values: ``smooth`` or ``raw`` probabilities.
        quality: Smallest face quality.
        trusted_only: Whether faces whose trust is not ok are left out.
        max_gap: The setting of that name in the results, in seconds.
    """

    measures: tuple[str, ...]
    values: str = "smooth"
    quality: float = 0.0
    trusted_only: bool = True
    max_gap: float = 1.0


def all_measures() -> tuple[str, ...]:
    """List the measures that results have: the seven emotions, valence, every further numeric column, and events of
    the face.

    Returns:
        Their names, in the order of the tables.
    """
    further = [
        field.name
        for field in TIMELINE
        if field.name not in _NO_MEASURES and str(field.type) in ("float", "double", "int32", "int64")
    ]
    kinds = [kind for kind in EVENT_KINDS if MEASURE_OF[kind] in further]
    return (*EMOTIONS, VALENCE, *further, *kinds)


def measure_values(rows: pd.DataFrame, measures: Sequence[str], values: str) -> DoubleArray:
    """Compute the measures of rows of the timeline.

    Valence is happy minus the largest of angry, disgust, fear and sad, of the chosen probabilities. Of smoothed ones it
    is that of the timeline, where the timeline has it.

    Args:
        rows: Rows with a face.
        measures: Names of the measures.
        values: ``smooth`` or ``raw`` probabilities.

    Returns:
        (n, k) float64; NaN for a measure that the table does not have, and for events of the face.
    """
    suffix = "_smooth" if values == "smooth" else ""
    result = np.full((len(rows), len(measures)), np.nan)
    for column, name in enumerate(measures):
        if name in EMOTIONS:
            result[:, column] = rows[f"{name}{suffix}"].to_numpy(np.float64)
        elif name == VALENCE:
            computed = valence(rows[[f"{one}{suffix}" for one in EMOTIONS]].to_numpy(np.float64))
            own = rows[VALENCE] if values != "raw" and VALENCE in rows else np.nan
            result[:, column] = own
            result[:, column] = np.where(np.isnan(result[:, column]), computed, result[:, column])
        elif name in rows:
            result[:, column] = rows[name].to_numpy(np.float64, na_value=np.nan)
    return result


def build_series(
    participant: str, faces: Faces, recording: Recording, tables: dict[str, pd.DataFrame], rules: SampleRules
) -> Series:
    """Build the series of a participant.

    Each sampled frame stands for a period of time (``gaps.periods``). Where several faces of the participant are in
    one frame, the one with the best quality counts.

    Args:
        participant: The participant.
        faces: The faces that show the participant.
        recording: The recording.
        tables: ``timeline``, ``summary`` and ``episodes`` of that recording.
        rules: Which samples count.

    Returns:
        The series. It is empty if the participant was never seen.
    """
    timeline, episodes, summary = tables["timeline"], tables["episodes"], tables["summary"]
    sampled = np.unique(timeline["time"].to_numpy(np.float64))
    starts, ends = periods(sampled, gap_threshold(sampled, rules.max_gap))
    if rules.trusted_only:
        trusted = summary.loc[summary["trust"] == "ok", "face_id"]
        faces = faces & frozenset(trusted.astype(int))
    rows = timeline[timeline["face_id"].isin(list(faces)) & (timeline["face_quality"] >= rules.quality)]
    rows = rows.sort_values(["time", "face_quality"], ascending=[True, False]).drop_duplicates("time")
    times = rows["time"].to_numpy(np.float64)
    places = np.searchsorted(sampled, times)
    spans = _spans(episodes[episodes["face_id"].isin(list(faces))])
    values = measure_values(rows, rules.measures, rules.values)
    held = starts[places], ends[places]
    for column, kind in enumerate(rules.measures):
        if kind in EVENT_KINDS:  # where events could not be seen, their share is unknown, and not 0
            known = observed_rows(_face_series(rows, times), kind)
            values[known, column] = _shares(spans.get(kind, np.zeros((0, 2))), *held)[known]
    emotions = measure_values(rows, EMOTIONS, rules.values)
    return Series(
        participant=participant,
        recording=recording,
        measures=rules.measures,
        times=times,
        starts=held[0],
        ends=held[1],
        values=values,
        quality=rows["face_quality"].to_numpy(np.float64),
        leading=emotions.argmax(axis=1) if len(rows) else np.zeros(0, np.int64),
        episodes={name: times[:, 0] for name, times in spans.items()},
        begin=float(sampled[0]) if len(sampled) else 0.0,
        end=_end(recording, ends),
    )


def _spans(episodes: pd.DataFrame) -> dict[str, DoubleArray]:
    """Emotion or kind → (e, 2) onsets and offsets of its episodes, in order."""
    names = episodes["emotion"].astype(object).where(episodes["kind"] == EMOTION, episodes["kind"])
    return {
        str(name): np.sort(part[["onset", "offset"]].to_numpy(np.float64), axis=0)
        for name, part in episodes.groupby(names.astype(str), sort=False)
    }


def _face_series(rows: pd.DataFrame, times: DoubleArray) -> FaceSeries:
    """The measures in which events are found; NaN for those that the table does not have."""
    return FaceSeries(times, *measure_values(rows, SERIES, "smooth").astype(np.float32).T)


def _shares(spans: DoubleArray, starts: DoubleArray, ends: DoubleArray) -> DoubleArray:
    """(n,) the share of each period that lies in one of the spans, whose starts and ends both increase."""
    if not len(spans):
        return np.zeros(len(starts))
    begins = np.maximum(spans[:, 0], np.append(-np.inf, np.maximum.accumulate(spans[:-1, 1])))  # overlaps count once
    lengths = np.maximum(spans[:, 1] - begins, 0.0)
    knots, total = np.column_stack([begins, begins + lengths]).ravel(), np.cumsum(lengths)
    covered = np.column_stack([np.append(0.0, total[:-1]), total]).ravel()
    inside = np.interp(ends, knots, covered) - np.interp(starts, knots, covered)
    return np.asarray(np.clip(inside / np.maximum(ends - starts, 1e-12), 0.0, 1.0))


def _end(recording: Recording, ends: DoubleArray) -> float:
    """The end of a recording; without a known length, the end of the last sample's period."""
    if recording.end is not None:
        return recording.end
    return float(ends[-1]) if len(ends) else 0.0
