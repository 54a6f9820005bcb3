"""Whether the frames that were not decoded between two others are needed to tell a cut from motion."""

from __future__ import annotations

from collections import deque
from statistics import median

from fervid.types import ByteArray, PictureShape
from fervid.video.shots import Thumbnail, make_thumbnail, picture_change

MIN_CHANGE = 10.0
"""Smallest change over missing frames that may hide a cut, as the mean difference in gray levels of a frame with full
contrast. Smaller than that of a cut."""
MIN_RATIO = 2.0
"""Smallest ratio to the usual change. Smaller than that of a cut."""
REMEMBERED = 12
"""Number of earlier changes whose median is the usual one."""


class DoubtfulJumps:
    """Finds the jumps over missing frames that may be a cut.

    The answer depends only on the frames since ``restart``.
    """

    def __init__(self) -> None:
        self._last: Thumbnail | None = None
        self._recent: deque[tuple[float, float]] = deque(maxlen=REMEMBERED)

    def restart(self) -> None:
        """Forget the changes so far. The last frame stays known."""
        self._recent.clear()

    def add(self, time: float, thumbnail: ByteArray, shape: PictureShape, skipped: int) -> bool:
        """Add the next frame that was decoded.

        Args:
            time: Its time in seconds.
            thumbnail: (h, w) uint8 gray thumbnail.
            shape: Shape of the frame.
            skipped: Number of frames directly before it that were not decoded.

        Returns:
            Whether those are needed.
        """
        last, self._last = self._last, make_thumbnail(time, thumbnail, shape)
        if last is None or last.layout != self._last.layout:
            self._recent.clear()
            return False
        size, elapsed = picture_change(last, self._last), time - last.time
        contrast = max(last.deviation, self._last.deviation, 8.0)
        usual = median(size for size, _ in self._recent) if self._recent else 0.0
        step = median(step for _, step in self._recent) if self._recent else elapsed
        self._recent.append((size, elapsed))
        expected = max(usual, 0.5) * max(elapsed / max(step, 1e-3), 1.0)
        return skipped > 0 and size > MIN_CHANGE * min(1.0, contrast / 40) and size > MIN_RATIO * expected
