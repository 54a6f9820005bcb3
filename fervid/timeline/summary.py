"""Statistics of each face and each video, and how far to trust them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from fervid.timeline.events import BLINK, NO_EVENTS, NOD, SHAKE, EventTotals, sum_totals
from fervid.timeline.gaps import longest_absence, median, seconds_held
from fervid.timeline.valence import valence
from fervid.types import EMOTIONS, MEASURES, DoubleArray, Doubt, FloatArray, Track

MIN_SECONDS = 1.0
"""A face seen for less time than this is doubtful."""
MIN_SAMPLES = 5
"""A face with fewer samples than this is doubtful."""
MIN_PIXELS = 40.0
"""A face whose box is narrower than this (median of the shorter side) is doubtful."""
MIN_COVERAGE = 0.6
"""Share of sampled frames with a face below which a face or a video is doubtful."""
MIN_QUALITY = 0.45
"""``face_quality`` below which a row counts as low quality. A face with a lower mean is doubtful."""
MAX_LOW_QUALITY = 0.5
"""Share of low-quality rows above which a face or a video is doubtful."""
MAX_DOUBTFUL = 0.25
"""Share of rows that belong to doubtful faces above which a video is doubtful."""


@dataclass(frozen=True)
class Statistics:
    """The statistics of a face or a person. Times in seconds; shares and probabilities in [0, 1].

    ``measured`` are the means of valence and of each of MEASURES; None where no sample has one.
    """

    first_seen: float
    last_seen: float
    samples: int
    coverage: float
    longest_gap: float
    dominant: str
    shares: tuple[float, ...]
    means: tuple[float, ...]
    measured: tuple[float | None, ...]
    blinks_per_minute: float | None
    nods_per_minute: float | None
    shakes_per_minute: float | None
    speaking_share: float | None
    transitions_per_minute: float
    mean_quality: float
    trust: str
    low_quality_share: float


@dataclass(frozen=True)
class FaceSummary(Statistics):
    """A row of the summary table."""

    face_id: int
    person: int | None


@dataclass(frozen=True)
class PersonSummary(Statistics):
    """A row of the persons table: what the summary says of a face, over all faces of one person."""

    person: int
    faces: int


@dataclass(frozen=True)
class VideoSummary:
    """The statistics of one video, defined as those of a face but over all sampled frames."""

    coverage: float
    longest_gap: float
    low_quality_share: float | None
    trust: str


def summarize_face(
    track: Track,
    smoothed: FloatArray,
    sampled: DoubleArray,
    max_gap: float = 1.0,
    doubts: Sequence[Doubt] = (),
    events: EventTotals = NO_EVENTS,
) -> FaceSummary:
    """Summarise one track.

    Shares and means are over time: each sample counts for the seconds to the next one. Coverage and the longest gap
    are those between the first and the last sample of the face.

    Args:
        track: The face.
        smoothed: (n, 7) its smoothed probabilities.
        sampled: (m,) times of all sampled frames of the video, in seconds.
        max_gap: Longest time in seconds for which one sample counts.
        doubts: What was seen during the scan and speaks against the figures of this face.
        events: How many blinks and other events the face has.

    Returns:
        The statistics.
    """
    values = _statistics([track], [smoothed], sampled, max_gap) | _rates(events)
    trust = _trust_of_face(track, values["coverage"], values["low_quality_share"], doubts)
    return FaceSummary(face_id=track.face_id, person=track.person, trust=trust, **values)


def summarize_person(
    tracks: Sequence[Track],
    smoothed: Sequence[FloatArray],
    faces: Sequence[FaceSummary],
    sampled: DoubleArray,
    max_gap: float = 1.0,
    events: Sequence[EventTotals] = (),
) -> PersonSummary:
    """Summarise all faces of one person in a video.

    The statistics are those of a face over all samples of the person. Coverage and the longest gap include the time
    between two faces. Transitions are counted within faces, for each minute of the faces' spans.

    Args:
        tracks: The faces of the person, at least one. No two are seen in the same frame.
        smoothed: The smoothed probabilities of each, (n, 7).
        faces: Their summaries, in the same order.
        sampled: (m,) times of all sampled frames of the video, in seconds.
        max_gap: Longest time in seconds for which one sample counts.
        events: How many events each face has.

    Returns:
        The statistics.
    """
    person = tracks[0].person
    assert person is not None
    if len(faces) == 1:
        same = {one.name: getattr(faces[0], one.name) for one in fields(Statistics)}
        return PersonSummary(person=person, faces=1, **same)
    values = _statistics(tracks, smoothed, sampled, max_gap) | _rates(sum_totals(events))
    return PersonSummary(person=person, faces=len(tracks), trust=_doubtful_faces(faces) or "ok", **values)


def _rates(events: EventTotals) -> dict[str, float | None]:
    """The fields of Statistics that are about events, by name."""
    kinds = {"blinks_per_minute": BLINK, "nods_per_minute": NOD, "shakes_per_minute": SHAKE}
    return {name: events.per_minute(kind) for name, kind in kinds.items()} | {"speaking_share": events.speaking_share}


def _statistics(
    tracks: Sequence[Track], smoothed: Sequence[FloatArray], sampled: DoubleArray, max_gap: float
) -> dict[str, Any]:
    """The fields of Statistics but for trust and events, by name."""
    qualities = np.concatenate([track.qualities for track in tracks])
    times = np.sort(np.concatenate([track.times for track in tracks]))
    first, last = float(times[0]), float(times[-1])
    own = sampled[np.searchsorted(sampled, first, "left") : np.searchsorted(sampled, last, "right")]
    shown = np.zeros(len(own), bool)
    shown[np.searchsorted(own, times)] = True
    leading = [values.argmax(axis=1) for values in smoothed]
    changes = sum(int((np.diff(emotions) != 0).sum()) for emotions in leading)
    span = sum(float(track.times[-1] - track.times[0]) for track in tracks)
    seconds = np.concatenate([seconds_held(track.times, max_gap) for track in tracks])
    means = np.average(np.concatenate(smoothed), axis=0, weights=seconds)
    measured = np.concatenate([_measures(*one) for one in zip(tracks, smoothed, strict=True)])
    shares = np.bincount(np.concatenate(leading), seconds, minlength=len(EMOTIONS)) / seconds.sum()
    return {
        "first_seen": first,
        "last_seen": last,
        "samples": len(times),
        "coverage": len(times) / max(len(own), len(times)),
        "longest_gap": longest_absence(own, shown),
        "dominant": EMOTIONS[int(means.argmax())],
        "shares": tuple(np.minimum(shares, 1.0).tolist()),
        "means": tuple(float(mean) for mean in means),
        "measured": tuple(_known_mean(values, seconds) for values in measured.T),
        "transitions_per_minute": 60 * changes / span if span > 0 else 0.0,
        "mean_quality": float(qualities.mean()),
        "low_quality_share": float((qualities < MIN_QUALITY).mean()),
    }


def _measures(track: Track, smoothed: FloatArray) -> DoubleArray:
    """(n, 9) valence and the measures of each sample; NaN where one is unknown."""
    known = np.full((len(track.times), len(MEASURES)), np.nan) if track.measures is None else track.measures
    return np.column_stack([valence(smoothed), known])


def _known_mean(values: DoubleArray, seconds: DoubleArray) -> float | None:
    """The mean of the known values over time; None if none is known."""
    known = np.isfinite(values)
    return float(np.average(values[known], weights=seconds[known])) if known.any() else None


def summarize_video(
    tracks: Sequence[Track], faces: Sequence[FaceSummary], sampled: DoubleArray, end: float | None = None
) -> VideoSummary:
    """Summarise one video.

    Coverage is the share of sampled frames with at least one face. The longest gap may lie before the first face or
    after the last.

    Args:
        tracks: The faces of the video.
        faces: Their statistics, in the same order.
        sampled: (m,) times of all sampled frames, in seconds; m > 0.
        end: End of the video in seconds; None if it is unknown.

    Returns:
        The statistics.
    """
    shown = np.isin(sampled, np.concatenate([*(track.times for track in tracks), np.zeros(0)]))
    coverage, gap = float(shown.mean()), longest_absence(sampled, shown, end)
    if not tracks:
        return VideoSummary(0.0, gap, None, "no face")
    low = float((np.concatenate([track.qualities for track in tracks]) < MIN_QUALITY).mean())
    reasons = []
    if coverage < MIN_COVERAGE:
        reasons.append(f"a face in only {_percent(coverage)} of the samples")
    if doubtful := _doubtful_faces(faces):
        reasons.append(doubtful)
    if low > MAX_LOW_QUALITY:
        reasons.append(f"{_percent(low)} of its rows are of low quality")
    return VideoSummary(coverage, gap, low, "; ".join(reasons) or "ok")


def _doubtful_faces(faces: Sequence[FaceSummary]) -> str:
    """How many faces are doubtful, if they have more than MAX_DOUBTFUL of all rows; otherwise empty."""
    doubtful = [face.samples for face in faces if face.trust != "ok"]
    too_many = sum(doubtful) > MAX_DOUBTFUL * sum(face.samples for face in faces)
    return f"{len(doubtful)} of {len(faces)} faces doubtful" if too_many else ""


def _trust_of_face(track: Track, coverage: float, low: float, doubts: Sequence[Doubt]) -> str:
    """``ok``, or all reasons to doubt the statistics of this face."""
    seconds = float(track.times[-1] - track.times[0])
    pixels = median(track.boxes[:, 2:].min(axis=1))
    reasons = []
    if seconds < MIN_SECONDS or len(track.times) < MIN_SAMPLES:
        reasons.append(f"seen for only {seconds:.1f} s in {len(track.times)} sample{'s' * (len(track.times) != 1)}")
    if pixels < MIN_PIXELS:
        reasons.append(f"only {pixels:.0f} pixels wide")
    if coverage < MIN_COVERAGE:
        reasons.append(f"seen in only {_percent(coverage)} of the samples of its span")
    if track.qualities.mean() < MIN_QUALITY or low > MAX_LOW_QUALITY:
        reasons.append("low picture quality or a turned face")
    for doubt in doubts:
        whole = doubt.start <= float(track.times[0])
        reasons.append(doubt.reason if whole else f"{doubt.reason} from {doubt.start:.1f} s")
    return "; ".join(reasons) or "ok"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
