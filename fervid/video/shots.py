"""Finding where one shot ends and the next begins: hard cuts, dissolves and fades through a plain picture.

Everything is judged on thumbnails, against time in seconds. Two pictures that are alike are compared after the
best linear change of brightness and contrast, so that a flash or a swelling light is no cut. A gradual change is one
whose pictures are all mixtures of the picture before and the picture after (the production model of Hampapur,
Jain and Weymouth, 1995); the pictures of a pan or of a moving crowd are not.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from fervid.runtime.opencv import cv2
from fervid.types import ByteArray, FloatArray

MAX_STALL = 3.0
"""After missing frames a picture may have moved this many times further than usual before it is a cut."""
FLASH = 0.3
"""Seconds after which the light of a flash is gone."""
ALIKE = 0.75
"""Correlation above which two pictures are compared without their light."""
LIT = 0.4
"""Correlation with the picture before above which a jump may be that of a flash, which is over in a moment."""
SPANS = (0.5, 0.8, 1.3)
"""Seconds over which a gradual change is looked for."""
LOOK = 0.06
"""Seconds between two looks for one."""
SETTLED = 0.12
"""Seconds at either end of such a span in which the picture must hardly change: the change is over."""
UNLIKE = 0.6
"""Correlation above which two pictures may be of one shot."""
MIXED = 0.4
"""Largest share of a picture, as a standard deviation, that a mixture may leave unexplained."""
DONE = 0.92
"""Share that the picture at either end must have there."""
WHOLE = 1.05
"""Largest sum of the two shares. A picture that moves can be explained by two of its places, but not by their mean."""
NOISE = 3.0
"""Standard deviation in gray levels that is put down to the camera."""
FLAT = 4.0
"""Standard deviation in gray levels below which a picture shows nothing."""


@dataclass(frozen=True, eq=False)
class _Picture:
    """A thumbnail, ``levels`` (n,) uint8, as its ``mean`` and the rest: ``pixels`` (n,) float32, ``spread`` their
    standard deviation."""

    time: float
    levels: ByteArray
    mean: float
    pixels: FloatArray
    spread: float
    shape: tuple[int, ...]


@dataclass
class _Candidate:
    """A jump that may turn out to be a flash: the picture ``before`` it, and how large it was."""

    time: float
    change: float
    before: _Picture
    light: bool


class ShotBoundaryDetector:
    """Finds the shots of a film from the thumbnails of successive decoded frames.

    A hard cut is a jump of the picture that is large in itself and against what the motion of the frames
    around it would make of the same time: where frames are missing, a moving picture jumps too, and is no
    cut. ``threshold``: mean jump in gray levels, for a picture of full contrast.
    """

    def __init__(self, threshold: float = 16.0, ratio: float = 4.0) -> None:
        self._threshold, self._ratio = threshold, ratio
        self._history: deque[_Picture] = deque()
        self._recent: deque[tuple[float, float]] = deque(maxlen=12)
        self._candidate: _Candidate | None = None
        self._looked = -np.inf
        self._cuts: list[float] = []

    def update(self, time: float, thumbnail: ByteArray) -> None:
        """Add the frame at ``time`` seconds; ``thumbnail`` (h, w) uint8."""
        current = _picture(time, thumbnail)
        last = self._history[-1] if self._history else None
        if last is not None and last.shape != current.shape:
            self._accept()
            self._begin(time)
        elif last is not None and not self._flash_is_over(current):
            self._compare(last, current)
        self._history.append(current)
        while time - self._history[0].time > 1.3 * max(SPANS):
            self._history.popleft()

    def finish(self) -> list[float]:
        """The times of the first frames of all shots but the first."""
        self._accept()
        return list(self._cuts)

    def _begin(self, time: float) -> None:
        """A shot begins at ``time``; nothing before it is compared with it any more."""
        self._cuts.append(time)
        self._history.clear()
        self._recent.clear()

    def _accept(self) -> None:
        """What was taken for a flash has lasted, and is a cut."""
        if self._candidate is not None:
            self._cuts.append(self._candidate.time)
            self._candidate = None

    def _flash_is_over(self, current: _Picture) -> bool:
        """Whether the picture is again as it was before the last jump, which then was no cut."""
        candidate = self._candidate
        if candidate is None:
            return False
        if current.time - candidate.time > FLASH or not candidate.light:
            self._accept()
            return False
        back = _correlation(candidate.before, current) > ALIKE
        if not back or _change(candidate.before, current) > 0.5 * candidate.change:
            return False
        self._candidate = None
        self._history.clear()
        self._recent.clear()
        return True

    def _compare(self, last: _Picture, current: _Picture) -> None:
        change, elapsed = _change(last, current), current.time - last.time
        contrast = max(current.spread, last.spread, 8.0)
        least = self._threshold * (min(1.0, contrast / 40) if self._recent else 1.0)
        usual = median(change for change, _ in self._recent) if self._recent else 0.0
        step = median(step for _, step in self._recent) if self._recent else elapsed
        expected = max(usual, 0.5) * min(max(elapsed / max(step, 1e-3), 1.0), MAX_STALL)
        if change > least and change > self._ratio * expected:
            self._accept()
            light = current.spread < 0.5 * last.spread or _correlation(last, current) > LIT
            self._candidate = _Candidate(current.time, change, last, light)
            self._history.clear()
            self._recent.clear()
        elif self._candidate is None and current.time - self._looked >= LOOK:
            self._looked = current.time
            begin = self._gradual(current, least)
            if begin is not None:
                self._begin(begin)
        # the jump itself counts too, or a wild shot would be cut at each of its frames
        self._recent.append((change, elapsed))

    def _gradual(self, current: _Picture, least: float) -> float | None:
        """The time at which the picture of a dissolve or fade that ends here becomes that of the next shot."""
        for span in SPANS:
            first = next((one for one in reversed(self._history) if current.time - one.time >= span - 1e-6), None)
            if first is None or current.time - first.time > 1.3 * span:
                continue
            if current.spread < FLAT or _correlation(first, current) > UNLIKE or _change(first, current) < least:
                continue
            between = [picture for picture in self._history if picture.time > first.time]
            plain = [picture for picture in between if picture.spread < FLAT]
            if plain and first.spread >= FLAT:
                return plain[-1].time  # it went through black, or white, and came out as another
            if not _is_mixture(first, current, between):
                continue
            for picture in between:
                before, after = _shares(first, current, picture)
                if after > (before if first.spread >= FLAT else 0.0):
                    return picture.time
            return current.time
        return None


def _picture(time: float, thumbnail: ByteArray) -> _Picture:
    levels = np.ascontiguousarray(thumbnail).ravel()
    mean = cv2.mean(levels)[0]
    pixels = levels - np.float32(mean)
    spread = math.sqrt(float(pixels @ pixels) / len(pixels))
    return _Picture(time, levels, mean, pixels, spread, thumbnail.shape)


def _correlation(first: _Picture, second: _Picture) -> float:
    """-1 to 1; 0 where one of them shows nothing."""
    if min(first.spread, second.spread) < 1e-3:
        return 0.0
    return float(first.pixels @ second.pixels) / (len(first.pixels) * first.spread * second.spread)


def _change(first: _Picture, second: _Picture) -> float:
    """Mean absolute difference in gray levels; where the pictures are alike, what no change of light explains of it,
    and where one shows nothing, what the other shows.
    """
    correlation = _correlation(first, second)
    if min(first.spread, second.spread) >= FLAT:
        plain = _distance(first.levels, second.levels)
    else:
        plain = _distance(first.pixels, second.pixels)
    if correlation <= ALIKE:
        return plain
    gain = correlation * second.spread / max(first.spread, 1e-3)
    return min(plain, _distance(np.float32(gain) * first.pixels, second.pixels))


def _distance(first: FloatArray | ByteArray, second: FloatArray | ByteArray) -> float:
    """Mean absolute difference; every frame of a film passes here."""
    return cv2.norm(first, second, cv2.NORM_L1) / len(first)


def _shares(first: _Picture, last: _Picture, picture: _Picture) -> tuple[float, float]:
    """How much of ``first`` and of ``last`` makes up ``picture``, by least squares."""
    basis = np.stack([first.pixels, last.pixels])
    gram = basis @ basis.T + np.eye(2, dtype=np.float32)
    before, after = np.linalg.solve(gram, basis @ picture.pixels)
    return float(before), float(after)


def _is_mixture(first: _Picture, last: _Picture, between: Sequence[_Picture]) -> bool:
    """Whether the pictures go over from ``first`` to ``last`` as a dissolve or a fade does, and are done."""
    began = [picture for picture in between if picture.time - first.time <= SETTLED][-1:]
    ended = [picture for picture in between if last.time - picture.time <= SETTLED][:1]
    if ended and _shares(first, last, ended[0])[1] < DONE:
        return False
    if began and first.spread >= FLAT and _shares(first, last, began[0])[0] < DONE:
        return False
    shares = []
    for picture in between[:: max(1, len(between) // 10)]:
        before, after = _shares(first, last, picture)
        rest = picture.pixels - before * first.pixels - after * last.pixels
        explained = float(rest.std()) <= max(MIXED * picture.spread, NOISE)
        if not explained or min(before, after) < -0.15 or before + after > WHOLE:
            return False
        shares.append((before, after))
    if len(shares) < 3:
        return False
    falling, rising = np.diff(shares, axis=0).T
    part = sum(0.08 < after < 0.92 or before + after < 0.9 for before, after in shares)
    seen = first.spread >= FLAT
    return part >= 2 and float(rising.min()) > -0.12 and (not seen or float(falling.max()) < 0.12)
