"""Dividing a long video into spans that are scanned side by side, as if it were scanned as a whole."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fervid.config import ScanSettings
from fervid.grid import TOLERANCE, Begin, Grid, cell
from fervid.survey import Survey, survey
from fervid.tasks import SPAN, Span

STRAY = 0.25
"""Share of a span by which a seam may lie off, and of it that may be decoded in vain before one."""


def divide(path: Path, settings: ScanSettings, period: float, seconds: float = SPAN) -> list[Span]:
    """Spans of about so many ``seconds``, each from a multiple of ``period`` on, which is not longer; none where the
    video had better be whole."""
    end = np.inf if settings.end is None else settings.end
    if end < 2 * seconds:
        return []
    found = survey(path, 2 * seconds)
    if found is None:
        return []
    count = int(np.searchsorted(found.times, end + TOLERANCE, "right"))
    seams = _seams(found, count, settings, period, seconds)
    spans = []
    for number, begin in enumerate([None, *seams]):
        first, stop = begin.index if begin else 0, seams[number] if number < len(seams) else None
        last = stop.index if stop else count
        spans.append(Span(number, begin, last - first, stop.time if stop else None))
    return spans if seams else []


@dataclass(frozen=True)
class _Seam:
    """A frame at which a span may begin; ``lead``: seconds that must be decoded before it."""

    begin: Begin
    lead: float


def _seams(found: Survey, count: int, settings: ScanSettings, period: float, seconds: float) -> list[Begin]:
    """Where all spans but the first begin: near equal parts, where little is decoded in vain."""
    times = found.times[:count]
    parts = int((times[-1] - times[0]) / seconds) if count else 0
    near = max(STRAY * seconds, period / 2)
    possible = [seam for seam in _possible(found, times.tolist(), settings, period) if seam.lead <= near]
    seams = []
    for target in np.linspace(times[0], times[-1], parts + 1)[1:-1] if parts else ():
        low, high = (bisect_right(possible, target + side, key=lambda seam: seam.begin.time) for side in (-near, near))
        if low < high:
            seams.append(min(possible[low:high], key=lambda seam: (seam.lead, abs(seam.begin.time - target))).begin)
    return seams


def _possible(found: Survey, times: list[float], settings: ScanSettings, period: float) -> Iterator[_Seam]:
    """The first sample of each stretch of ``period`` seconds; before all samples, its first frame."""
    grid, sampled, before = Grid(settings.fps, settings.start), False, None
    for index, time in enumerate(times):
        tick = grid.tick
        taken = grid.takes(time)
        sampled |= taken
        if sampled and not taken:
            continue
        stretch = cell(time, period)
        key = bisect_right(found.key_times, time) - 1
        if before not in (None, stretch) and key >= 0:
            yield _Seam(Begin(int(found.keys[key]), index, time, tick), time - float(found.key_times[key]))
        before = stretch
