"""A face between its samples: its box and probabilities at any time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fervid.types import Box, DoubleArray, FloatArray, HalfArray

_TIME_TOLERANCE = 1e-6
"""Seconds by which the time of a frame may differ from that of a sample and still be the same."""


@dataclass(frozen=True, eq=False)
class FaceState:
    """A face at one time.

    Attributes:
        box: Interpolated between the samples before and after.
        probabilities: (7,) float32, interpolated as well.
        emotion: Index of the leading emotion of the sample before, as in its row of the table.
        confidence: Probability of that emotion in the sample before.
        angles: Yaw, pitch and roll of the head in degrees; None if they are unknown.
        outline: (68, 2) float32 landmarks, in widths and heights of the box from its upper left corner; None if there
            are none.
    """

    box: Box
    probabilities: FloatArray
    emotion: int
    confidence: float
    angles: tuple[float, float, float] | None = None
    outline: FloatArray | None = None


@dataclass(frozen=True)
class Owner:
    """Whose face it is, for drawings.

    Attributes:
        name: What the person is called.
        short: The same where there is little room.
        first: Number of the person's first face. Faces with the same number are drawn as one.
    """

    name: str
    short: str
    first: int


@dataclass(frozen=True, eq=False)
class FaceTimeline:
    """The samples of one face.

    Attributes:
        face_id: Number of the face in the tables.
        times: (n,) float64 increasing times in seconds.
        boxes: (n, 4) float32 x, y, width, height in pixels of the frame as shown.
        smoothed: (n, 7) float32 smoothed probabilities.
        trust: ``ok``, or the reasons for doubt.
        gap_follows: (n - 1,) whether a gap follows each sample but the last, as ``gaps.gaps`` finds them.
        held_until: Until when the last sample counts, in seconds: later than its time if no frame was sampled
            after it.
        owner: The person; None if it is not known.
        angles: (n, 3) float32 yaw, pitch and roll in degrees, NaN where they are unknown; None if there are none.
        outlines: (n, 68, 2) float16 landmarks as in FaceState, NaN where they are unknown; None if there are none.
    """

    face_id: int
    times: DoubleArray
    boxes: FloatArray
    smoothed: FloatArray
    trust: str
    gap_follows: npt.NDArray[np.bool_]
    held_until: float
    owner: Owner | None = None
    angles: FloatArray | None = None
    outlines: HalfArray | None = None

    @property
    def first(self) -> int:
        """Number of the first face of the same person; ``face_id`` if the person is not known."""
        return self.face_id if self.owner is None else self.owner.first

    @property
    def short(self) -> str:
        """What it is called where there is little room: its number if the person is not known."""
        return str(self.face_id) if self.owner is None else self.owner.short

    @property
    def name(self) -> str:
        """What it is called: its number if the person is not known."""
        return str(self.face_id) if self.owner is None else self.owner.name

    def at(self, time: float) -> FaceState | None:
        """Get the face at one time.

        Args:
            time: Seconds.

        Returns:
            The state of the face; None before its first sample, after its last and in gaps.
        """
        if time < self.times[0] - _TIME_TOLERANCE or time > max(self.held_until, self.times[-1]) + _TIME_TOLERANCE:
            return None
        before, after, fraction = self._position(time, _TIME_TOLERANCE)
        if after > before and self.gap_follows[before] and fraction > 0:
            if abs(time - self.times[before]) > _TIME_TOLERANCE:
                return None
            fraction = 0.0
        x, y, width, height = _interpolate(self.boxes, before, after, fraction).tolist()
        leading = int(self.smoothed[before].argmax())
        return FaceState(
            (x, y, width, height),
            _interpolate(self.smoothed, before, after, fraction),
            leading,
            float(self.smoothed[before, leading]),
            self._angles(before, after, fraction),
            self._outline(before, after, fraction),
        )

    def _angles(self, before: int, after: int, fraction: float) -> tuple[float, float, float] | None:
        if self.angles is None:
            return None
        turn = (self.angles[after] - self.angles[before] + 180.0) % 360.0 - 180.0  # the shorter way
        yaw, pitch, roll = (
            (self.angles[before] + fraction * turn).tolist() if fraction else self.angles[before].tolist()
        )
        return (yaw, pitch, roll) if math.isfinite(yaw + pitch + roll) else None

    def _outline(self, before: int, after: int, fraction: float) -> FloatArray | None:
        if self.outlines is None:
            return None
        first, second = (self.outlines[row].astype(np.float32) for row in (before, after))
        outline = (1 - fraction) * first + fraction * second if fraction else first
        return outline if np.isfinite(outline).all() else None

    def sample_at(self, times: DoubleArray) -> tuple[npt.NDArray[np.bool_], FloatArray]:
        """Get the probabilities at many times at once.

        Args:
            times: (m,) seconds, from the first to the last sample.

        Returns:
            (m,) whether each time is outside all gaps, and (m, 7) float32 probabilities.
        """
        before = np.searchsorted(self.times, times, "right") - 1
        in_gap = np.append(self.gap_follows, False)[np.clip(before, 0, len(self.times) - 1)]
        values = [np.interp(times, self.times, column) for column in self.smoothed.T]
        return ~in_gap, np.asarray(np.stack(values, axis=1), np.float32)

    def blur_box(self, time: float, margin: float) -> Box | None:
        """Get a box that covers the face, whether or not it was detected.

        The box also covers gaps. Before the first sample and after the last it grows by up to a half, because the
        face may move.

        Args:
            time: Seconds.
            margin: Seconds before the first and after the last sample for which the face is still covered.

        Returns:
            The box; None further than ``margin`` from the samples.
        """
        first, last = float(self.times[0]), max(self.held_until, float(self.times[-1]))
        outside = max(first - time, time - last, 0.0)
        if outside > margin + _TIME_TOLERANCE:
            return None
        before, after, fraction = self._position(time)
        x, y, width, height = _interpolate(self.boxes, before, after, fraction).tolist()
        # between two samples, the face may leave the straight line by more the further it moves
        moved = np.abs(self.boxes[after] - self.boxes[before]).max() * min(fraction, 1 - fraction)
        growth = 0.5 * outside / margin * max(width, height) / 2 if margin > 0 else 0.0
        growth += float(moved) / 2
        return x - growth, y - growth, width + 2 * growth, height + 2 * growth

    def _position(self, time: float, tolerance: float = 0.0) -> tuple[int, int, float]:
        """Indices of the samples before and after ``time``, and where it is between them, from 0 to 1."""
        last = len(self.times) - 1
        before = int(np.clip(np.searchsorted(self.times, time + tolerance, "right") - 1, 0, last))
        after = min(before + 1, last)
        step = float(self.times[after] - self.times[before])
        return before, after, min(max((time - float(self.times[before])) / step, 0.0), 1.0) if step > 0 else 0.0


def _interpolate(values: FloatArray, before: int, after: int, fraction: float) -> FloatArray:
    return np.asarray((1 - fraction) * values[before] + fraction * values[after], np.float32)
