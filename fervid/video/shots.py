"""Shot boundary detection: hard cuts, dissolves, and fades through black or white.

It compares thumbnails of frames; all times are in seconds. A change of the picture's size or orientation begins a shot
too. Similar frames are compared after the best linear change of
brightness and contrast, so that a flash or a change of light is not taken for a cut. A transition is gradual if all its
frames are mixtures of the frame before and the frame after it (the production model of Hampapur, Jain and Weymouth,
1995). Frames of a pan or of a moving crowd are not.

Frames may be left out where there certainly is no cut (see ``cut_screening``). The detector looks for cuts only where
it was given every frame that bears on them, so what it finds is what it would find with all frames.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import cast

import numpy as np

from fervid.runtime.opencv import cv2
from fervid.types import ByteArray, FloatArray, PictureShape

MAX_STALL = 3.0
"""After missing frames, motion may explain a jump of up to this many times the usual change."""
REMEMBERED = 12
"""Number of earlier changes whose median is the usual one."""
FLASH_SECONDS = 0.3
"""Longest flash of light in seconds."""
SIMILAR = 0.75
"""Correlation above which two frames are compared without differences in brightness and contrast."""
FLASH_CORRELATION = 0.4
"""A jump may be a flash if its frame correlates more than this with the frame before it."""
TRANSITION_SECONDS = (0.5, 0.8, 1.3)
"""Durations of gradual transitions that are searched for, in seconds."""
HISTORY_SECONDS = 1.3 * TRANSITION_SECONDS[-1]
"""Seconds of earlier frames that are remembered."""
SEARCH_INTERVAL = 0.06
"""Seconds between two searches for a gradual transition."""
STABLE_SECONDS = 0.12
"""Seconds at both ends of a transition in which the frame must hardly change."""
MAX_SHIFT = 0.1
"""Largest motion of the whole image from one frame to the next, as a share of its width, that is not a cut."""
SAME_VIEW = 0.85
"""Correlation after that motion from which two frames show the same view."""
NOISE = 3.0
"""Standard deviation in gray levels that is attributed to camera noise."""
FLAT = 4.0
"""Standard deviation in gray levels below which a frame is blank."""


@dataclass(frozen=True)
class TransitionRule:
    """When the frames between two frames are taken for a gradual transition.

    Attributes:
        same_shot: Correlation of the two above which they may belong to the same shot.
        residual: Largest standard deviation that a mixture may leave unexplained, as a share of that of the frame.
        end_share: Smallest share that the two must have in the frames beside them.
        share_sum: Largest sum of both shares. Motion can look like a mixture of two frames, but then the shares sum to
            more.
        slack: How far a share may be below 0, or go back.
        mixed: How many frames must be mixtures of both.
        shares: How many frames must lie between the two.
        blank: Standard deviation in gray levels below which a frame between them is blank.
        longest: Longest time between the two, in durations of the transition.
    """

    same_shot: float = 0.6
    residual: float = 0.4
    end_share: float = 0.92
    share_sum: float = 1.05
    slack: float = 0.0
    mixed: int = 2
    shares: int = 3
    blank: float = FLAT
    longest: float = 1.3


RULE = TransitionRule()


@dataclass(frozen=True, eq=False)
class Thumbnail:
    """A thumbnail with its statistics.

    Attributes:
        time: Time of the frame in seconds.
        levels: (n,) uint8 gray levels.
        mean: Their mean.
        pixels: (n,) float32: levels minus mean.
        deviation: Their standard deviation.
        layout: Size of the thumbnail, and size and orientation of its frame.
    """

    time: float
    levels: ByteArray
    mean: float
    pixels: FloatArray
    deviation: float
    layout: tuple[object, ...]


@dataclass
class _Candidate:
    """A jump that is a cut unless it turns out to be a flash.

    ``change``: its size. ``before``: the frame before it. ``may_be_flash``: whether it can still be a flash.
    """

    time: float
    change: float
    before: Thumbnail
    may_be_flash: bool


class ShotBoundaryDetector:
    """Finds the shots of a video from thumbnails of its frames.

    A hard cut is a change that is large in itself and large relative to the motion of the frames around it. The motion
    is scaled to the time between frames, because a moving image also jumps where frames are missing.
    """

    def __init__(self, threshold: float = 16.0, ratio: float = 4.0) -> None:
        """Start before the first frame.

        Args:
            threshold: Smallest change of a cut, as the mean difference in gray levels of a frame with full contrast.
            ratio: Smallest ratio between the change of a cut and the usual change.
        """
        self._threshold, self._ratio = threshold, ratio
        self._history: deque[Thumbnail] = deque()
        self._recent: deque[tuple[float, float]] = deque(maxlen=REMEMBERED)
        self._candidate: _Candidate | None = None
        self._last_search = -np.inf
        self._cuts: list[float] = []
        self._gap, self._since_gap = -math.inf, REMEMBERED + 1
        """Time of the frame after the last ones that were left out, and number of frames since. A new shot begins
        without them."""

    def update(
        self,
        time: float,
        thumbnail: ByteArray,
        shape: PictureShape | None = None,
        skipped: Sequence[float] = (),
        is_cut: bool = False,
    ) -> None:
        """Add the next frame. If its size or orientation is not that of the frame before, a shot begins.

        Args:
            time: Time of the frame in seconds.
            thumbnail: (h, w) uint8 gray thumbnail.
            shape: Shape of the frame; None if it is the same for all frames.
            skipped: Times in seconds of the frames directly before it that were left out.
            is_cut: Whether a shot certainly begins with the frame. It counts only if frames were left out before.
        """
        current = make_thumbnail(time, thumbnail, shape)
        last = self._history[-1] if self._history else None
        if skipped:
            self._leave_out(time, skipped)
        else:
            self._since_gap += 1
        if last is not None and last.layout != current.layout:
            self._accept()
            self._begin(time)
        elif self._since_gap <= REMEMBERED:
            self._follow(last, current, is_cut)
        elif last is not None and not self._flash_is_over(current):
            self._compare(last, current)
        self._history.append(current)
        while time - self._history[0].time > HISTORY_SECONDS:
            self._history.popleft()

    def _leave_out(self, time: float, skipped: Sequence[float]) -> None:
        """Pass over frames without a cut, before a frame at ``time``."""
        self._accept()
        self._forget()
        self._gap, self._since_gap = time, 0
        for one in skipped:
            self._search_is_due(one)

    def _follow(self, last: Thumbnail | None, current: Thumbnail, is_cut: bool) -> None:
        """Add a frame that is not searched for a cut."""
        if is_cut and last is not None:
            self._begin(current.time)
        else:
            self._search_is_due(current.time)
        if last is not None and self._since_gap:
            self._recent.append((picture_change(last, current), current.time - last.time))

    def _search_is_due(self, time: float) -> bool:
        """Whether gradual transitions are searched for at the next frame."""
        due = time - self._last_search >= SEARCH_INTERVAL
        if due:
            self._last_search = time
        return due

    def finish(self) -> list[float]:
        """Finish after the last frame.

        Returns:
            Times in seconds of the first frame of each shot except the first.
        """
        self._accept()
        return list(self._cuts)

    def _begin(self, time: float) -> None:
        """Begin a shot. Its frames are not compared with earlier ones."""
        self._cuts.append(time)
        self._forget()

    def _forget(self) -> None:
        """Forget the earlier frames."""
        self._history.clear()
        self._recent.clear()
        self._gap, self._since_gap = -math.inf, REMEMBERED + 1

    def _accept(self) -> None:
        """Turn the candidate into a cut."""
        if self._candidate is not None:
            self._cuts.append(self._candidate.time)
            self._candidate = None

    def _flash_is_over(self, current: Thumbnail) -> bool:
        """Whether the frame resembles the one before the candidate. The candidate then was a flash, not a cut."""
        candidate = self._candidate
        if candidate is None:
            return False
        if current.time - candidate.time > FLASH_SECONDS or not candidate.may_be_flash:
            self._accept()
            return False
        back = correlation(candidate.before, current) > SIMILAR
        if not back or picture_change(candidate.before, current) > 0.5 * candidate.change:
            return False
        self._candidate = None
        self._forget()
        return True

    def _compare(self, last: Thumbnail, current: Thumbnail) -> None:
        change, elapsed = picture_change(last, current), current.time - last.time
        contrast = max(current.deviation, last.deviation, 8.0)
        min_change = self._threshold * (min(1.0, contrast / 40) if self._recent else 1.0)
        usual = median(change for change, _ in self._recent) if self._recent else 0.0
        step = median(step for _, step in self._recent) if self._recent else elapsed
        expected = max(usual, 0.5) * min(max(elapsed / max(step, 1e-3), 1.0), MAX_STALL)
        if change > min_change and change > self._ratio * expected and not is_shifted(last, current):
            self._accept()
            self._candidate = _Candidate(current.time, change, last, may_be_flash(last, current))
            self._forget()
        elif self._candidate is None and self._search_is_due(current.time):
            known = current.time - self._gap >= HISTORY_SECONDS
            begin = find_transition(self._history, current, min_change) if known else None
            if begin is not None:
                self._begin(begin)
        # The jump itself counts as motion too; otherwise a shot with violent motion would be cut at each frame.
        self._recent.append((change, elapsed))


def find_transition(
    history: Sequence[Thumbnail], current: Thumbnail, min_change: float, rule: TransitionRule = RULE
) -> float | None:
    """Find a dissolve or fade that ends at a frame.

    Args:
        history: The frames before it, in order.
        current: The frame.
        min_change: Smallest change from the first to the last frame.
        rule: What counts as one.

    Returns:
        The time in seconds at which the next shot begins to dominate; None if there is none.
    """
    for duration in TRANSITION_SECONDS:
        first = next((frame for frame in reversed(history) if current.time - frame.time >= duration - 1e-6), None)
        if first is None or current.time - first.time > rule.longest * duration:
            continue
        if (
            current.deviation < FLAT
            or correlation(first, current) > rule.same_shot
            or picture_change(first, current) < min_change
        ):
            continue
        between = [frame for frame in history if frame.time > first.time]
        blank = [frame for frame in between if frame.deviation < rule.blank]
        if blank and first.deviation >= FLAT:
            return blank[-1].time  # a fade through black or white
        pair = _Pair(first, current)
        if not _is_mixture(pair, between, rule):
            continue
        for frame in between:
            before, after = pair.shares_in(frame)
            if after > (before if first.deviation >= FLAT else 0.0):
                return frame.time
        return current.time
    return None


def make_thumbnail(time: float, thumbnail: ByteArray, shape: PictureShape | None) -> Thumbnail:
    """Compute the statistics of a thumbnail.

    Args:
        time: Time of the frame in seconds.
        thumbnail: (h, w) uint8 gray thumbnail.
        shape: Shape of the frame; None if it is the same for all frames.

    Returns:
        The thumbnail with its statistics.
    """
    levels = np.ascontiguousarray(thumbnail).ravel()
    mean = cv2.mean(levels)[0]
    pixels = levels - np.float32(mean)
    deviation = math.sqrt(float(pixels @ pixels) / len(pixels))
    return Thumbnail(time, levels, mean, pixels, deviation, (thumbnail.shape, shape.layout if shape else None))


def may_be_flash(first: Thumbnail, second: Thumbnail) -> bool:
    """Tell whether a large change may be a flash of light, or of darkness.

    Args:
        first: The frame before it.
        second: The frame after it.

    Returns:
        Whether it may.
    """
    return second.deviation < 0.5 * first.deviation or correlation(first, second) > FLASH_CORRELATION


def correlation(first: Thumbnail, second: Thumbnail) -> float:
    """Correlate two frames.

    Args:
        first: One frame.
        second: Another one of the same layout.

    Returns:
        Pearson correlation, -1 to 1; 0 if a frame has no contrast.
    """
    if min(first.deviation, second.deviation) < 1e-3:
        return 0.0
    return float(first.pixels @ second.pixels) / (len(first.pixels) * first.deviation * second.deviation)


def picture_change(first: Thumbnail, second: Thumbnail) -> float:
    """Measure how much two frames differ.

    Args:
        first: One frame.
        second: A later one of the same layout.

    Returns:
        Mean absolute difference in gray levels. For similar frames this is the difference that a linear change of
        brightness and contrast does not explain. If a frame is blank, the difference in brightness does not count.
    """
    alike = correlation(first, second)
    if min(first.deviation, second.deviation) >= FLAT:
        difference = _distance(first.levels, second.levels)
    else:
        difference = _distance(first.pixels, second.pixels)
    if alike <= SIMILAR:
        return difference
    gain = alike * second.deviation / max(first.deviation, 1e-3)
    return min(difference, _distance(np.float32(gain) * first.pixels, second.pixels))


def _distance(first: FloatArray | ByteArray, second: FloatArray | ByteArray) -> float:
    """Mean absolute difference. OpenCV is used for speed, because this runs for every frame."""
    return cv2.norm(first, second, cv2.NORM_L1) / len(first)


def is_shifted(first: Thumbnail, second: Thumbnail) -> bool:
    """Find out whether the camera moved a little, by phase correlation (Kuglin and Hines, 1975).

    Args:
        first: One frame.
        second: A later one of the same layout.

    Returns:
        Whether both show the same view, shifted by at least a pixel.
    """
    if min(first.deviation, second.deviation) < FLAT:
        return False
    height, width = cast(tuple[int, int], first.layout[0])
    before, after = (frame.pixels.reshape(height, width) for frame in (first, second))
    shift, _ = cv2.phaseCorrelate(before, after, cv2.createHanningWindow((width, height), cv2.CV_32F))
    margin = math.ceil(max(map(abs, shift)))
    if not 1 <= margin <= min(MAX_SHIFT * width, height / 4):
        return False
    moved = np.asarray(cv2.warpAffine(before, np.array([[1, 0, shift[0]], [0, 1, shift[1]]]), (width, height)))
    inside = slice(margin, height - margin), slice(margin, width - margin)
    one, other = moved[inside].ravel(), after[inside].ravel()
    return min(float(one.std()), float(other.std())) >= FLAT and float(np.corrcoef(one, other)[0, 1]) >= SAME_VIEW


class _Pair:
    """Two frames, of which those between them may be mixtures."""

    def __init__(self, first: Thumbnail, last: Thumbnail) -> None:
        self.first, self.last = first, last
        self._of_first, self._of_last = float(first.pixels @ first.pixels) + 1, float(last.pixels @ last.pixels) + 1
        self._of_both = float(first.pixels @ last.pixels)
        # above 0: the two hardly correlate
        self._determinant = self._of_first * self._of_last - self._of_both * self._of_both

    def shares_in(self, frame: Thumbnail) -> tuple[float, float]:
        """Shares of the first and the last frame in another one, by least squares."""
        before, after = float(self.first.pixels @ frame.pixels), float(self.last.pixels @ frame.pixels)
        return (
            (before * self._of_last - after * self._of_both) / self._determinant,
            (after * self._of_first - before * self._of_both) / self._determinant,
        )


def _is_mixture(pair: _Pair, between: Sequence[Thumbnail], rule: TransitionRule) -> bool:
    """Whether the frames change from the first to the last one of a pair as in a complete dissolve or fade."""
    first, last = pair.first, pair.last
    began = [frame for frame in between if frame.time - first.time <= STABLE_SECONDS][-1:]
    ended = [frame for frame in between if last.time - frame.time <= STABLE_SECONDS][:1]
    if ended and pair.shares_in(ended[0])[1] < rule.end_share:
        return False
    if began and first.deviation >= FLAT and pair.shares_in(began[0])[0] < rule.end_share:
        return False
    shares = []
    for frame in between[:: max(1, len(between) // 10)]:
        before, after = pair.shares_in(frame)
        rest = frame.pixels - before * first.pixels - after * last.pixels
        explained = math.sqrt(float(rest @ rest) / len(rest)) <= max(rule.residual * frame.deviation, NOISE)
        if not explained or min(before, after) < -0.15 - rule.slack or before + after > rule.share_sum:
            return False
        shares.append((before, after))
    if len(shares) < rule.shares:
        return False
    if len(shares) < 2:
        return True
    falling, rising = np.diff(shares, axis=0).T
    mixed = sum(0.08 < after < 0.92 or before + after < 0.9 for before, after in shares)
    has_first, turn = first.deviation >= FLAT, 0.12 + rule.slack
    return mixed >= rule.mixed and float(rising.min()) > -turn and (not has_first or float(falling.max()) < turn)
