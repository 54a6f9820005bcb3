"""Stretches of one emotion in a face's timeline. Pure numpy; all times in seconds."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from fervid.timeline.gaps import segments
from fervid.timeline.smoothing import smooth
from fervid.types import DoubleArray, FloatArray

NEAR_SHARE = 2 / 3
"""What the raw probabilities nearby count in the evidence of an episode: the least at which a clear expression
of 0.4 s, 5 or 25 samples a second, is one."""


@dataclass(frozen=True)
class Episode:
    """A stretch of one emotion. ``emotion`` is its index; times in seconds; ``peak`` and ``mean`` of its
    evidence, a probability. onset <= apex <= offset; an offset is when the last sample of the episode gives
    way to the next one."""

    emotion: int
    onset: float
    apex: float
    offset: float
    peak: float
    mean: float


@dataclass(frozen=True)
class _Span:
    """Rows ``start`` to ``stop`` (without it) of one emotion."""

    emotion: int
    start: int
    stop: int


def evidence(
    times: DoubleArray,
    raw: FloatArray,
    smoothed: FloatArray,
    weights: FloatArray,
    min_duration: float,
    max_gap: float,
) -> FloatArray:
    """(n, 7) what episodes are found in: the smoothed probabilities and, twice as heavy, the raw ones nearby.

    "Nearby" is a Gaussian window as wide as the shortest episode, weighted like ``smooth``: a wide window alone
    would swallow an expression of half a second, and single frames alone would make episodes of noise.
    """
    near = smooth(times, raw, weights, min_duration, max_gap, "gaussian")
    return np.asarray((1 - NEAR_SHARE) * smoothed + NEAR_SHARE * near, np.float32)


def episodes(
    times: DoubleArray,
    values: FloatArray,
    onset: float,
    offset: float,
    min_duration: float,
    max_gap: float,
    end: float = np.inf,
) -> list[Episode]:
    """Episodes by hysteresis, in order of time: where the leading emotion reaches ``onset``, as far to both
    sides as it stays at ``offset`` or above and no other emotion begins. Rows that two neighbours claim are
    parted where both together lose least. They never overlap and never reach over a gap.

    ``times`` (n,), ``values`` (n, 7) as ``evidence`` gives them; none lasts beyond ``end``, that of the video.
    Those shorter than ``min_duration`` are left out.
    """
    found = []
    for part in segments(times, max_gap):
        for span in _spans(values[part], onset, offset):
            found.append(_episode(times[part], values[part], span, end))
    return [episode for episode in found if episode.offset - episode.onset >= min_duration - 1e-9]


def _spans(values: FloatArray, onset: float, offset: float) -> list[_Span]:
    """The episodes of one segment, in order."""
    cores = _cores(values, onset)
    if not cores:
        return []
    start = cores[0].start - _held(values[: cores[0].start][::-1, cores[0].emotion], offset)
    spans = []
    for core, following in itertools.pairwise(cores):
        between = values[core.stop : following.start]
        ahead = _held(between[:, core.emotion], offset)
        if core.emotion == following.emotion and ahead == len(between):
            continue
        back = _held(between[::-1, following.emotion], offset)
        if ahead + back > len(between):
            ahead = _parting(between[:, core.emotion], between[:, following.emotion], len(between) - back, ahead)
            back = len(between) - ahead
        spans.append(_Span(core.emotion, start, core.stop + ahead))
        start = following.start - back
    last = cores[-1]
    spans.append(_Span(last.emotion, start, last.stop + _held(values[last.stop :, last.emotion], offset)))
    return spans


def _cores(values: FloatArray, onset: float) -> list[_Span]:
    """The longest runs of rows in which one emotion leads with ``onset`` or more."""
    leading = np.where(values.max(axis=1) >= onset, values.argmax(axis=1), -1)
    edges = [0, *(np.flatnonzero(np.diff(leading)) + 1).tolist(), len(leading)]
    runs = (_Span(int(leading[start]), start, stop) for start, stop in itertools.pairwise(edges))
    return [run for run in runs if run.emotion >= 0]


def _held(course: FloatArray, offset: float) -> int:
    """How many rows from the first on stay at ``offset`` or above."""
    below = np.flatnonzero(course < offset)
    return int(below[0]) if len(below) else len(course)


def _parting(before: FloatArray, after: FloatArray, least: int, most: int) -> int:
    """The number of rows, from ``least`` to ``most``, that the earlier episode keeps: as the sum of what each
    has in its own rows is greatest."""
    gain = np.append(0.0, np.cumsum(before - after, dtype=np.float64))
    return least + int(gain[least : most + 1].argmax())


def _episode(times: DoubleArray, values: FloatArray, span: _Span, latest: float) -> Episode:
    course = values[span.start : span.stop, span.emotion]
    apex = span.start + int(course.argmax())
    if span.stop < len(times):
        stop = float(times[span.stop])
    else:
        stop = float(times[-1] + (np.median(np.diff(times)) if len(times) > 1 else 0.0))
    return Episode(
        emotion=span.emotion,
        onset=float(times[span.start]),
        apex=float(times[apex]),
        offset=min(stop, latest),
        peak=float(course.max()),
        mean=float(course.mean(dtype=np.float64)),
    )
