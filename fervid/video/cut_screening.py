"""Where there may be a cut, as far as the frames show that were decoded.

Most of a video certainly has no cut, which shows without the frames that were left out: neighbours among the others are
alike, and none are mixtures of an earlier and a later one. Elsewhere ``ShotBoundaryDetector`` needs all frames. The
conditions here are those of that detector, made so much weaker that missing frames make no difference.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from statistics import median

from fervid.types import ByteArray, PictureShape
from fervid.video.shots import (
    HISTORY_SECONDS,
    REMEMBERED,
    SEARCH_INTERVAL,
    Thumbnail,
    TransitionRule,
    find_transition,
    is_shifted,
    make_thumbnail,
    may_be_flash,
    picture_change,
)

MIN_CHANGE, MIN_CHANGE_OVER, MIN_RATIO = 15.9, 12.0, 3.0
"""Smallest change that may be a cut, as the mean difference in gray levels of a frame with full contrast, between
neighbours and over missing frames, and its smallest ratio to the usual change from frame to frame. Smaller than those
of a cut."""
SURE_CHANGE, SURE_RATIO = 16.0, 6.0
"""The same for a change between neighbours that certainly is a cut. Not smaller than those of a cut."""
MIN_TRANSITION_CHANGE = 12.0
"""Smallest change from the first to the last frame of a gradual transition, like ``MIN_CHANGE``."""
LOOSE_RULE = TransitionRule(
    same_shot=0.63,
    residual=0.43,
    end_share=0.86,
    share_sum=1.08,
    slack=0.05,
    blank=8.0,
    longest=1.45,
)
"""What may be a gradual transition."""
SEARCHED_SECONDS = LOOSE_RULE.longest * HISTORY_SECONDS
"""Seconds before a frame in which a gradual transition that ends there may begin."""


class Verdict(Enum):
    """What the decoded frames say about cuts.

    Certainly none; perhaps one between this frame and the one before it; perhaps a gradual one that ends about here;
    certainly a shot begins at this frame.
    """

    NONE = 0
    JUMP = 1
    TRANSITION = 2
    CUT = 3


class CutScreening:
    """Tells for each decoded frame whether there may be a cut at it or shortly before it."""

    def __init__(self) -> None:
        self._history: deque[Thumbnail] = deque()
        self._recent: deque[tuple[int, float, int]] = deque()
        """Number of the frame, its change in gray levels, and number of frames since the one before."""
        self._count = 0
        self._last_search = 0.0

    def add(self, time: float, thumbnail: ByteArray, shape: PictureShape, skipped: int, search: bool = True) -> Verdict:
        """Add the next frame that was decoded.

        Args:
            time: Its time in seconds.
            thumbnail: (h, w) uint8 gray thumbnail.
            shape: Shape of the frame.
            skipped: Number of frames directly before it that were not decoded.
            search: Whether to look for gradual transitions.

        Returns:
            What is known. A change of the picture's size is not reported.
        """
        current = make_thumbnail(time, thumbnail, shape)
        self._count += 1 + skipped
        last = self._history[-1] if self._history else None
        verdict = Verdict.NONE
        if last is not None and last.layout != current.layout:
            self._begin()
        elif last is not None:
            verdict = self._compare(last, current, skipped, search)
            if verdict is Verdict.CUT:
                self._begin()
        self._history.append(current)
        while time - self._history[0].time > SEARCHED_SECONDS:
            self._history.popleft()
        return verdict

    def _begin(self) -> None:
        self._history.clear()
        self._recent.clear()

    def _compare(self, last: Thumbnail, current: Thumbnail, skipped: int, search: bool) -> Verdict:
        change = picture_change(last, current)
        while self._recent and self._recent[0][0] < self._count - REMEMBERED:
            self._recent.popleft()
        least = median(size / steps for _, size, steps in self._recent) if self._recent else 0.0
        most = median(size for _, size, _ in self._recent) if self._recent else 0.0
        self._recent.append((self._count, change, 1 + skipped))
        contrast = min(1.0, max(current.deviation, last.deviation, 8.0) / 40)
        if change > (MIN_CHANGE_OVER if skipped else MIN_CHANGE) * contrast and change > MIN_RATIO * max(least, 0.5):
            sure = (
                skipped == 0
                and change > SURE_CHANGE
                and change > SURE_RATIO * max(most, 0.5)
                and not may_be_flash(last, current)
                and not is_shifted(last, current)
            )
            return Verdict.CUT if sure else Verdict.JUMP
        if search and current.time - self._last_search >= SEARCH_INTERVAL / 2:
            self._last_search = current.time
            if find_transition(self._history, current, MIN_TRANSITION_CHANGE * contrast, LOOSE_RULE) is not None:
                return Verdict.TRANSITION
        return Verdict.NONE
