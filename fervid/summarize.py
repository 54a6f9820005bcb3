"""Per-face statistics and how far to trust them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fervid.types import EMOTIONS, DoubleArray, FloatArray, Track

MIN_SECONDS = 1.0
MIN_SAMPLES = 5
MIN_PIXELS = 40.0
MIN_COVERAGE = 0.6
MIN_QUALITY = 0.45


@dataclass(frozen=True)
class FaceSummary:
    """One row of the summary table; times in seconds, shares and probabilities in [0, 1]."""

    face_id: int
    first_seen: float
    last_seen: float
    samples: int
    coverage: float
    longest_gap: float
    dominant: str
    shares: tuple[float, ...]
    means: tuple[float, ...]
    transitions_per_minute: float
    mean_quality: float
    trust: str


def summarize_face(track: Track, smoothed: FloatArray, sampled: DoubleArray, max_gap: float = 1.0) -> FaceSummary:
    """Summarise one track. ``smoothed`` (n, 7): its smoothed probabilities; ``sampled`` (m,): the times of all
    sampled frames of the video, in seconds. Shares and means are over time: each sample counts for the
    seconds to the next one, at most ``max_gap``."""
    times = track.times
    first, last = float(times[0]), float(times[-1])
    possible = int(np.searchsorted(sampled, last, "right") - np.searchsorted(sampled, first, "left"))
    coverage = len(times) / max(possible, len(times))
    leading = smoothed.argmax(axis=1)
    changes = int((np.diff(leading) != 0).sum())
    seconds = _held(times, max_gap)
    means = np.average(smoothed, axis=0, weights=seconds)
    return FaceSummary(
        face_id=track.face_id,
        first_seen=first,
        last_seen=last,
        samples=len(times),
        coverage=coverage,
        longest_gap=float(np.diff(times).max()) if len(times) > 1 else 0.0,
        dominant=EMOTIONS[int(means.argmax())],
        shares=tuple(np.bincount(leading, seconds, minlength=len(EMOTIONS)) / seconds.sum()),
        means=tuple(float(mean) for mean in means),
        transitions_per_minute=60 * changes / (last - first) if last > first else 0.0,
        mean_quality=float(track.qualities.mean()),
        trust=_trust(track, coverage),
    )


def _held(times: DoubleArray, max_gap: float) -> DoubleArray:
    """(n,) seconds that each sample stands for; the last one as long as is usual."""
    if len(times) < 2:
        return np.ones(len(times))
    steps = np.minimum(np.diff(times), max_gap)
    return np.asarray(np.maximum(np.append(steps, np.median(steps)), 1e-6))


def _trust(track: Track, coverage: float) -> str:
    """``ok``, or everything that speaks against this face's figures."""
    seconds = float(track.times[-1] - track.times[0])
    pixels = float(np.median(track.boxes[:, 2:].min(axis=1)))
    reasons = []
    if seconds < MIN_SECONDS or len(track.times) < MIN_SAMPLES:
        reasons.append(f"seen for only {seconds:.1f} s")
    if pixels < MIN_PIXELS:
        reasons.append(f"only {pixels:.0f} pixels wide")
    if coverage < MIN_COVERAGE:
        reasons.append(f"seen in only {100 * coverage:.0f} % of the samples of its span")
    if track.qualities.mean() < MIN_QUALITY:
        reasons.append("low picture quality or a turned face")
    return "; ".join(reasons) or "ok"
