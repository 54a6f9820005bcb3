"""Events in the measures of one face: blinks, nods, shakes and speech. Pure numpy; all times in seconds.

No event begins or ends in a gap or extends over one: whatever is found needs samples on both sides. What a sampling
rate cannot show is not looked for: ``observed_seconds`` is 0 there.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fervid.timeline.gaps import seconds_held, segments
from fervid.types import MEASURES, DoubleArray, FloatArray, Track

BLINK, NOD, SHAKE, SPEAKING = "blink", "nod", "shake", "speaking"
EVENT_KINDS = (BLINK, NOD, SHAKE, SPEAKING)
EMOTION = "emotion"
"""The values of ``kind`` in the episodes table are EMOTION and EVENT_KINDS."""

MEASURE_OF = {BLINK: "eyes_open", NOD: "head_pitch", SHAKE: "head_yaw", SPEAKING: "mouth_open"}
"""Kind → the measure in which it is found."""

LOWEST_RATE = {BLINK: 15.0, NOD: 10.0, SHAKE: 10.0, SPEAKING: 4.0}
"""Samples a second that a kind needs. A blink lasts from 0.1 s on, and a swing of the head in a nod 0.15 s. Speech
shows in any samples of the mouth, but fewer than 4 a second are too few to tell it from a single opening."""
_RATE_TOLERANCE = 0.99
"""A recording of 29.97 frames a second, of which every second is sampled, counts as 15 samples a second."""

LONGEST_STEP = {BLINK: 0.15, NOD: 0.2, SHAKE: 0.2, SPEAKING: 0.5}
"""Seconds between two samples above which no event of a kind continues."""

CLOSED = 0.55
"""Share of the usual opening below which eyes are closed."""
SMALLEST_DROP = 0.07
"""Eye openness that a closure loses at least; the noise of narrow eyes is below it."""
BLINK_SECONDS = 0.7
"""Longest blink, measured at half its depth. Longer closures are closed eyes."""
BASELINE_SECONDS = 2.0
"""The usual opening of the eyes is taken from samples at most this far away."""
BASELINE_SHARE = 0.7
"""Share of the samples near by that the usual opening exceeds or equals: blinks take less than 30 % of the time."""
_GRID = 0.25
"""Seconds between two points of the baseline, which is interpolated in between."""
BLINK_YAW = 35.0
"""Degrees of yaw above which the opening of an eye is too uncertain."""

SWING_DEGREES = 4.0
"""Degrees by which the head turns at least between two reversals of a nod or a shake."""
SWING_SECONDS = 0.6
"""Longest swing of a nod or a shake, from one reversal to the next."""
SWINGS = 3
"""Swings of a nod or a shake: there, back, and there again. A single look down is no nod."""
DOMINANCE = 1.5
"""A nod moves this much more in pitch than in yaw, and a shake the other way round."""

MOUTH_SWING = 0.04
"""Mouth opening between two reversals of speech, at least."""
MOUTH_SECONDS = 0.7
"""Longest movement of the mouth in speech, from one reversal to the next."""
MOUTH_SWINGS = 4
"""Movements of the mouth that speech has at least."""
PAUSE_SECONDS = 1.0
"""Longest pause within speech."""
SPEAKING_SECONDS = 1.0
"""Shortest speech."""


@dataclass(frozen=True)
class Event:
    """An event; onset <= apex <= offset, and onset < offset.

    Attributes:
        kind: One of EVENT_KINDS.
        onset: Time of its first sample in seconds.
        apex: Time of its largest value in seconds.
        offset: Time of the first sample after it in seconds.
        peak: Largest value: of a blink the share of the usual opening that the eyes lose, of a nod or a shake the
            largest swing in degrees, of speech the largest movement of the mouth.
        mean: Mean over the samples (blink) or the swings.
    """

    kind: str
    onset: float
    apex: float
    offset: float
    peak: float
    mean: float


SERIES = ("eyes_open", "mouth_open", "head_yaw", "head_pitch")
"""The measures in which events are found, in the order of FaceSeries."""


@dataclass(frozen=True, eq=False)
class FaceSeries:
    """The measures of one face in which events are found. NaN where a measure is unknown.

    Attributes:
        times: (n,) float64, increasing times in seconds.
        eyes_open: (n,) float32, opening of the eyes.
        mouth_open: (n,) float32, opening of the mouth.
        yaw: (n,) float32, degrees.
        pitch: (n,) float32, degrees.
    """

    times: DoubleArray
    eyes_open: FloatArray
    mouth_open: FloatArray
    yaw: FloatArray
    pitch: FloatArray

    @classmethod
    def of(cls, track: Track) -> FaceSeries | None:
        """Take the measures of a track.

        Args:
            track: The track.

        Returns:
            Its measures; None if it was not measured.
        """
        if track.measures is None:
            return None
        return cls(track.times, *(track.measures[:, MEASURES.index(name)] for name in SERIES))

    def of_kind(self, kind: str) -> FloatArray:
        """Choose the measure in which events of a kind are found.

        Args:
            kind: One of EVENT_KINDS.

        Returns:
            (n,) float32.
        """
        return {BLINK: self.eyes_open, NOD: self.pitch, SHAKE: self.yaw, SPEAKING: self.mouth_open}[kind]


def events(series: FaceSeries) -> list[Event]:
    """Find all events of a face.

    Args:
        series: Its measures.

    Returns:
        The events in order of onset. Those of one kind do not overlap.
    """
    found = [*_blinks(series), *_head_movements(series), *_speech(series)]
    return sorted(found, key=lambda one: (one.onset, EVENT_KINDS.index(one.kind)))


def observed_seconds(series: FaceSeries, kind: str) -> float:
    """Compute for how long events of a kind could have been seen.

    Args:
        series: The measures of a face.
        kind: One of EVENT_KINDS.

    Returns:
        Seconds in which the samples are dense enough and the measure is known; 0 if there are none.
    """
    return sum(float(seconds_held(times, LONGEST_STEP[kind]).sum()) for times, _ in _parts(series, kind))


def observed_rows(series: FaceSeries, kind: str) -> npt.NDArray[np.int64]:
    """Find the samples among which events of a kind could have been seen.

    Args:
        series: The measures of a face.
        kind: One of EVENT_KINDS.

    Returns:
        Their places, in order.
    """
    return np.concatenate([np.zeros(0, np.int64), *(rows for _, rows in _parts(series, kind))])


def _parts(series: FaceSeries, kind: str) -> Iterator[tuple[DoubleArray, npt.NDArray[np.int64]]]:
    """The runs of known samples that are dense enough for a kind: their times, and their rows in the timeline."""
    known = np.isfinite(series.of_kind(kind))
    if kind == BLINK:
        known &= ~(np.abs(series.yaw) > BLINK_YAW)
    elif kind in (NOD, SHAKE):
        known = np.isfinite(series.yaw) & np.isfinite(series.pitch)
    rows = np.flatnonzero(known)
    times = series.times[rows]
    for part in segments(times, LONGEST_STEP[kind]):
        span = float(times[part][-1] - times[part][0])
        count = part.stop - part.start
        if count > 2 and count - 1 >= LOWEST_RATE[kind] * _RATE_TOLERANCE * span:
            yield times[part], rows[part]


def _blinks(series: FaceSeries) -> Iterator[Event]:
    """Find closures of the eyes that last no longer than a blink.

    The eyes are closed where their opening, which is measured in one of them, falls below a share of what is usual
    within two seconds. So neither the shape of the eyes nor glasses nor a head that turns slowly matter.
    """
    for times, rows in _parts(series, BLINK):
        opening = series.eyes_open[rows].astype(np.float64)
        usual = _usual(times, opening)
        done = 0
        for closed in np.flatnonzero(opening < CLOSED * usual).tolist():
            if closed < done:
                continue
            run = _below(opening, closed, CLOSED * usual[closed], done)
            apex = run.start + int(opening[run].argmin())
            base, lowest = float(usual[apex]), float(opening[apex])
            run = _below(opening, apex, (base + lowest) / 2, done)
            done = run.stop
            if run.start == 0 or run.stop == len(times) or base - lowest < SMALLEST_DROP:
                continue  # not seen to close or to open
            if times[run.stop] - times[run.start] <= BLINK_SECONDS:
                depth = 1 - opening[run] / base
                onset, offset = float(times[run.start]), float(times[run.stop])
                yield Event(BLINK, onset, float(times[apex]), offset, float(depth.max()), float(depth.mean()))


def _usual(times: DoubleArray, values: DoubleArray) -> DoubleArray:
    """(n,) the usual value around each sample: a percentile of the values near it."""
    clock = np.round(times - times[0], 9)
    points = np.arange(0.0, clock[-1] + _GRID, _GRID)
    reach = BASELINE_SECONDS + 1e-6
    first, last = np.searchsorted(clock, points - reach), np.searchsorted(clock, points + reach)
    usual = [_percentile(values[a:b]) for a, b in zip(first.tolist(), last.tolist(), strict=True)]
    return np.asarray(np.interp(clock, points, usual))


def _percentile(values: DoubleArray) -> float:
    place = int(BASELINE_SHARE * (len(values) - 1))
    return float(np.partition(values, place)[place])


def _below(values: DoubleArray, row: int, level: float, first: int) -> slice:
    """The rows around one, from ``first`` on, that stay below a level. The row itself is one of them."""
    before = np.flatnonzero(values[first:row][::-1] >= level)
    after = np.flatnonzero(values[row + 1 :] >= level)
    start = row - int(before[0]) if len(before) else first
    return slice(start, row + 1 + int(after[0]) if len(after) else len(values))


@dataclass(frozen=True)
class _Swing:
    """A movement from one reversal to the next. ``start`` and ``stop`` are rows; ``size`` is its extent."""

    start: int
    stop: int
    size: float


def _swings(values: DoubleArray, smallest: float) -> list[_Swing]:
    """Divide a series into swings: from one extreme to the next, at least ``smallest`` away."""
    turns: list[int] = []
    low = high = direction = 0
    for row, value in enumerate(values.tolist()):
        if direction >= 0 and value > values[high]:
            high = row
        if direction <= 0 and value < values[low]:
            low = row
        if direction >= 0 and values[high] - value >= smallest:
            turns.append(high)
            direction, low = -1, row
        elif direction <= 0 and value - values[low] >= smallest:
            turns.append(low)
            direction, high = 1, row
    if direction:
        turns.append(high if direction > 0 else low)
    return [_Swing(first, last, abs(float(values[last] - values[first]))) for first, last in itertools.pairwise(turns)]


def _chains(swings: list[_Swing], times: DoubleArray, longest: float, pause: float = 0.0) -> Iterator[list[_Swing]]:
    """Runs of swings that each take at most ``longest`` seconds, with pauses of at most ``pause`` in between."""
    chain: list[_Swing] = []
    for swing in swings:
        if times[swing.stop] - times[swing.start] > longest:
            continue
        if chain and times[swing.start] - times[chain[-1].stop] > pause:
            yield chain
            chain = []
        chain.append(swing)
    if chain:
        yield chain


def _of_swings(kind: str, chain: list[_Swing], times: DoubleArray) -> Event:
    sizes = [swing.size for swing in chain]
    largest = chain[int(np.argmax(sizes))]
    onset, apex, offset = (float(times[row]) for row in (chain[0].start, largest.stop, chain[-1].stop))
    return Event(kind, onset, min(apex, offset), offset, max(sizes), float(np.mean(sizes)))


def _head_movements(series: FaceSeries) -> Iterator[Event]:
    """Find nods and shakes: the head turns to and fro at least SWINGS times, mostly about one axis."""
    for kind, other in ((NOD, series.yaw), (SHAKE, series.pitch)):
        for times, rows in _parts(series, kind):
            values, across = series.of_kind(kind)[rows].astype(np.float64), other[rows]
            for chain in _chains(_swings(values, SWING_DEGREES), times, SWING_SECONDS):
                run = slice(chain[0].start, chain[-1].stop + 1)
                if len(chain) >= SWINGS and np.ptp(values[run]) >= DOMINANCE * np.ptp(across[run]):
                    yield _of_swings(kind, chain, times)


def _speech(series: FaceSeries) -> Iterator[Event]:
    """Find periods in which the mouth opens and closes again and again, as in speech.

    What moves the mouth like speech is called speech: singing, chewing and grimaces too.
    """
    for times, rows in _parts(series, SPEAKING):
        swings = _swings(series.mouth_open[rows].astype(np.float64), MOUTH_SWING)
        for chain in _chains(swings, times, MOUTH_SECONDS, PAUSE_SECONDS):
            event = _of_swings(SPEAKING, chain, times)
            if len(chain) >= MOUTH_SWINGS and event.offset - event.onset >= SPEAKING_SECONDS:
                yield event


@dataclass(frozen=True)
class EventTotals:
    """How many events faces have, and for how long they could be seen. Totals of several faces can be added.

    Attributes:
        counts: Kind → number of events.
        observed: Kind → seconds in which events of this kind could be seen; see ``observed_seconds``.
        speaking: Seconds of speech.
    """

    counts: Mapping[str, int]
    observed: Mapping[str, float]
    speaking: float

    def per_minute(self, kind: str) -> float | None:
        """Compute a rate.

        Args:
            kind: One of EVENT_KINDS.

        Returns:
            Events for each minute in which they could be seen; None if there is none.
        """
        seconds = self.observed.get(kind, 0.0)
        return 60 * self.counts.get(kind, 0) / seconds if seconds > 0 else None

    @property
    def speaking_share(self) -> float | None:
        """Share of the observed time with speech, 0 to 1; None if speech could not be seen."""
        seconds = self.observed.get(SPEAKING, 0.0)
        return min(self.speaking / seconds, 1.0) if seconds > 0 else None


def totals_of(series: FaceSeries | None, kinds: Iterable[str], speaking: float) -> EventTotals:
    """Count the events of a face.

    Args:
        series: Its measures; None if it was not measured.
        kinds: The kind of each event.
        speaking: Seconds of speech.

    Returns:
        The totals.
    """
    seconds = {} if series is None else {kind: observed_seconds(series, kind) for kind in EVENT_KINDS}
    return EventTotals(Counter(kinds), seconds, speaking)


def sum_totals(totals: Sequence[EventTotals]) -> EventTotals:
    """Add the totals of several faces.

    Args:
        totals: The totals of each.

    Returns:
        Their sum.
    """
    return EventTotals(
        {kind: sum(one.counts.get(kind, 0) for one in totals) for kind in EVENT_KINDS},
        {kind: sum(one.observed.get(kind, 0.0) for one in totals) for kind in EVENT_KINDS},
        sum(one.speaking for one in totals),
    )


NO_EVENTS = EventTotals({}, {}, 0.0)
"""The totals of a face that was not measured."""
