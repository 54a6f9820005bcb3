"""A face between its samples: where it is and what it shows at any moment. Times in seconds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fervid.types import DoubleArray, FloatArray

Box = tuple[float, float, float, float]
"""x, y, width, height in pixels of the picture as shown; may reach over its border."""

_EXACT = 1e-6


@dataclass(frozen=True, eq=False)
class FaceState:
    """A face at one time. ``box`` and ``probabilities`` (7,) lie between the samples before and after;
    ``emotion`` (its index) and ``confidence`` are those of the sample before, a row of the table."""

    box: Box
    probabilities: FloatArray
    emotion: int
    confidence: float


@dataclass(frozen=True, eq=False)
class FaceTimeline:
    """The samples of one face.

    ``times`` (n,) float64, increasing; ``boxes`` (n, 4) x, y, width, height; ``smoothed`` (n, 7). ``trust``:
    ``ok`` or the reason not to. Steps longer than ``max_gap`` are gaps. ``held``: until when the last sample
    still stands, where nobody looked again after it.
    """

    face_id: int
    times: DoubleArray
    boxes: FloatArray
    smoothed: FloatArray
    trust: str
    max_gap: float
    held: float

    def at(self, time: float) -> FaceState | None:
        """The face at ``time``; None before its first sample, after its last and in gaps."""
        if time < self.times[0] - _EXACT or time > max(self.held, self.times[-1]) + _EXACT:
            return None
        before = max(0, int(np.searchsorted(self.times, time + _EXACT, "right")) - 1)
        after = min(before + 1, len(self.times) - 1)
        step = float(self.times[after] - self.times[before])
        part = (time - float(self.times[before])) / step if step > 0 else 0.0
        if step > self.max_gap and part > 0:
            if abs(time - self.times[before]) > _EXACT:
                return None
            part = 0.0
        x, y, width, height = _between(self.boxes, before, after, part).tolist()
        leading = int(self.smoothed[before].argmax())
        return FaceState(
            (x, y, width, height),
            _between(self.smoothed, before, after, part),
            leading,
            float(self.smoothed[before, leading]),
        )

    def over(self, times: DoubleArray) -> tuple[npt.NDArray[np.bool_], FloatArray]:
        """For ``times`` (n,) between the first and the last sample: whether each is outside of gaps (n,), and the
        probabilities (n, 7)."""
        last = len(self.times) - 1
        before = np.clip(np.searchsorted(self.times, times, "right") - 1, 0, max(last - 1, 0))
        steps = self.times[np.minimum(before + 1, last)] - self.times[before]
        values = [np.interp(times, self.times, column) for column in self.smoothed.T]
        return steps <= self.max_gap, np.asarray(np.stack(values, axis=1), np.float32)

    def cover(self, time: float, reach: float) -> Box | None:
        """A box that hides the face, whether or not it was seen: also in gaps of the track, and for ``reach``
        seconds before its first and after its last sample, where it grows by a half since the face may move."""
        first, last = float(self.times[0]), max(self.held, float(self.times[-1]))
        away = max(first - time, time - last, 0.0)
        if away > reach + _EXACT:
            return None
        before = int(np.clip(np.searchsorted(self.times, time, "right") - 1, 0, len(self.times) - 1))
        after = min(before + 1, len(self.times) - 1)
        step = float(self.times[after] - self.times[before])
        part = min(max((time - float(self.times[before])) / step, 0.0), 1.0) if step > 0 else 0.0
        x, y, width, height = _between(self.boxes, before, after, part).tolist()
        # what it may do between two looks grows with the way that it goes
        moved = np.abs(self.boxes[after] - self.boxes[before]).max() * min(part, 1 - part)
        margin = 0.5 * away / reach * max(width, height) / 2 if reach > 0 else 0.0
        margin += float(moved) / 2
        return x - margin, y - margin, width + 2 * margin, height + 2 * margin


def _between(values: FloatArray, before: int, after: int, part: float) -> FloatArray:
    return np.asarray((1 - part) * values[before] + part * values[after], np.float32)
