"""Cuts found with frames left out: those that are found with all frames, and few frames are decoded again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import cv2
import numpy as np
import pytest

from fervid.scan.doubtful_stretches import DoubtfulStretches
from fervid.scan.frame_analysis import FrameAnalyzer, FrameResult
from fervid.types import ByteArray, PictureShape
from fervid.video.shots import ShotBoundaryDetector

SHAPE = PictureShape((640, 360))
RATE = 25


def landscape(seed: int) -> ByteArray:
    """A synthetic image with detail at all scales."""
    random, total = np.random.default_rng(seed), np.zeros((120, 200), np.float64)
    for cell in (6, 20, 60):
        noise = random.normal(size=(120 // cell + 2, 200 // cell + 2))
        total += cell**0.5 * cv2.resize(noise, (200, 120), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(128 + 45 * (total - total.mean()) / total.std(), 0, 255), np.uint8)


def shot(random: np.random.Generator, speeds: tuple[float, ...] = (0.0, 0.2, 1.0)) -> Iterator[ByteArray]:
    """A view that moves over a landscape, or stands still; noise on top."""
    image, speed = landscape(int(random.integers(1, 10**6))), random.choice(speeds) * random.normal(size=2)
    place = random.uniform(30, 50, 2)
    while True:
        place = np.clip(place + speed, 0, 75)
        matrix = np.array([[1, 0, -place[0]], [0, 1, -place[1]]])
        view = np.asarray(cv2.warpAffine(image, matrix, (64, 36)), np.float64)
        yield np.clip(view + random.normal(0, 1.5, view.shape), 0, 255).astype(np.uint8)


def mixed(one: ByteArray, other: ByteArray, share: float) -> ByteArray:
    return np.round(one * (1 - share) + other * share).astype(np.uint8)


def video(seed: int) -> list[ByteArray]:
    """Shots of 1 to 5 s between cuts, inserts, dissolves, fades through black or white, and flashes."""
    random = np.random.default_rng(seed)
    images: list[ByteArray] = []
    piece = shot(random)
    for kind in random.permutation(["cut", "insert", "dissolve", "black", "white", "flash", "cut"]).tolist():
        images += [next(piece) for _ in range(int(random.integers(25, 125)))]
        length = int(random.integers(5, 28))
        if kind == "insert":
            other = shot(random)
            images += [next(other) for _ in range(int(random.integers(3, 6)))]
        elif kind == "flash":
            images += [np.clip(next(piece).astype(int) + 120, 0, 255).astype(np.uint8) for _ in range(2)]
        elif kind == "cut":
            piece = shot(random)
        else:
            following = shot(random)
            steps = [(number + 1) / (length + 1) for number in range(length)]
            if kind == "dissolve":
                images += [mixed(next(piece), next(following), share) for share in steps]
            else:
                blank = np.full((36, 64), 0 if kind == "black" else 255, np.uint8)
                images += [mixed(next(piece), blank, share) for share in steps]
                images += [mixed(blank, next(following), share) for share in steps]
            piece = following
    return [*images, *(next(piece) for _ in range(40))]


class Source:
    """Stands for the reader that left out the frames.

    ``again``: number of frames that were decoded again. ``rests``: whether no frame will be left out for a while.
    """

    first_index = 0
    rests = False

    def __init__(self, results: list[FrameResult]) -> None:
        self._results, self._forgotten = results, 0
        self.again = 0

    def frames_between(self, first: int, last: int) -> list[FrameResult]:
        assert self._forgotten <= first < last
        self.again += last - first - 1
        return self._results[first + 1 : last]

    def forget(self, index: int) -> None:
        self._forgotten = index


class Analyzer:
    """Gives the results that exist."""

    def analyze_frame(self, result: FrameResult) -> FrameResult:
        return result


def found(
    images: list[ByteArray], keep: Callable[[int], bool], rests: Callable[[int], bool] = lambda number: False
) -> tuple[list[float], int]:
    """The cuts if only some frames are decoded at once, and the number of those that are decoded again.

    ``rests``: whether the reader decodes this frame and those of some seconds after it in any case."""
    results = [FrameResult(number / RATE, image, SHAPE, None) for number, image in enumerate(images)]
    source, detector = Source(results), ShotBoundaryDetector()
    stretches = DoubtfulStretches(cast(FrameAnalyzer, Analyzer()), cast(Any, source))
    given: list[FrameResult] = []
    skipped: tuple[float, ...] = ()
    for number, result in enumerate(results):
        if not keep(number) and number < len(results) - 1:
            skipped += (result.time,)
            continue
        shown = FrameResult(result.time, result.thumbnail, SHAPE, None, skipped=skipped)
        source.rests = rests(number)
        given, skipped = [*given, *stretches.add(shown)], ()
    given += stretches.finish()
    times = [time for result in given for time in (*result.skipped, result.time)]
    assert times == [result.time for result in results]
    for result in given:
        detector.update(result.time, result.thumbnail, result.shape, result.skipped, result.is_cut)
    return detector.finish(), source.again


PATTERNS: dict[str, Callable[[int], bool]] = {
    "every second": lambda number: number % 2 == 0,
    "one of three, and samples": lambda number: number % 3 == 0 or number % 5 == 0,
}


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("seeds", [range(3), pytest.param(range(3, 60), marks=pytest.mark.slow)], ids=str)
def test_the_cuts_are_those_of_all_frames(seeds: range, pattern: str) -> None:
    count = 0
    for seed in seeds:
        images = video(seed)
        cuts, _ = found(images, lambda _: True)
        assert found(images, PATTERNS[pattern])[0] == cuts, seed
        count += len(cuts)
    assert count >= 4 * len(seeds)


@pytest.mark.parametrize("seeds", [range(3), pytest.param(range(3, 60), marks=pytest.mark.slow)], ids=str)
def test_nothing_is_missed_after_a_time_in_which_every_frame_is_decoded(seeds: range) -> None:
    for seed in seeds:
        images = video(seed)
        begin, end = len(images) // 4, 3 * len(images) // 4

        def kept(number: int, begin: int = begin, end: int = end) -> bool:
            return number % 2 == 0 or begin <= number < end

        def rests(number: int, begin: int = begin, end: int = end) -> bool:
            return begin <= number < end - 2 * RATE

        assert found(images, kept, rests)[0] == found(images, lambda _: True)[0], seed


def test_frames_of_a_calm_shot_stay_left_out() -> None:
    piece = shot(np.random.default_rng(5), (0.0,))
    cuts, again = found([next(piece) for _ in range(300)], PATTERNS["every second"])
    assert cuts == []
    assert again == 0


def test_a_cut_between_decoded_neighbours_needs_no_more_frames() -> None:
    random = np.random.default_rng(2)
    one, other = shot(random, (0.0,)), shot(random, (0.0,))
    images = [*(next(one) for _ in range(101)), *(next(other) for _ in range(100))]
    cuts, again = found(images, lambda number: number % 2 == 0 or number == 101)
    assert cuts == [101 / RATE]
    assert again == 0


@pytest.mark.parametrize("first", [150, 151])
def test_the_frames_around_a_dissolve_are_decoded_again(first: int) -> None:
    random = np.random.default_rng(3)
    one, other = shot(random, (0.0,)), shot(random, (0.0,))
    images = [next(one) for _ in range(first)]
    images += [mixed(next(one), next(other), (number + 1) / 16) for number in range(15)]
    images += [next(other) for _ in range(150)]
    cuts, again = found(images, PATTERNS["every second"])
    assert cuts == found(images, lambda _: True)[0]
    assert len(cuts) == 1
    assert 15 < again < 60
