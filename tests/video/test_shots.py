"""Shot boundary detection."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from fervid.types import ByteArray
from fervid.video import shots as cuts
from fervid.video.reader import VideoReader
from fervid.video.shots import ShotBoundaryDetector
from tests.support.paths import ROOT


@lru_cache(maxsize=64)
def scene(seed: int, height: int = 200, width: int = 300) -> ByteArray:
    """A synthetic landscape with detail at all scales."""
    random, total = np.random.default_rng(seed), np.zeros((height, width), np.float64)
    for cell in (8, 32, 100):
        noise = random.normal(size=(height // cell + 2, width // cell + 2))
        total += cell**0.5 * cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(128 + 45 * (total - total.mean()) / total.std(), 0, 255), np.uint8)


def found(thumbnails: Iterable[ByteArray]) -> list[int]:
    """Indices of the frames that begin a shot, at 25 frames per second."""
    detector = ShotBoundaryDetector()
    for index, thumbnail in enumerate(thumbnails):
        detector.update(index / 25, thumbnail)
    return [round(time * 25) for time in detector.finish()]


def window(image: ByteArray, x: float, y: float, zoom: float = 1.0) -> ByteArray:
    """A (40, 64) view at (x, y); ``zoom`` above 1 shows less, larger."""
    matrix = np.array([[zoom, 0, -x * zoom], [0, zoom, -y * zoom]])
    return np.asarray(cv2.warpAffine(image, matrix, (64, 40), flags=cv2.INTER_LINEAR), np.uint8)


@pytest.mark.parametrize("seed", range(5))
def test_a_hard_cut_is_found_on_its_frame(seed: int) -> None:
    before, after = scene(seed), scene(seed + 100)
    shots = [window(before, 20, 20)] * 20 + [window(after, 20, 20)] * 20 + [window(before, 90, 90)] * 5
    assert found(shots) == [20, 40]


def test_a_cut_between_two_moving_shots_is_found() -> None:
    before, after = scene(1), scene(2)
    shots = [window(before, 2 * i, 20) for i in range(25)] + [window(after, 150 - 2 * i, 60) for i in range(25)]
    assert found(shots) == [25]


def test_a_cut_to_a_shot_with_violent_motion_is_one_cut() -> None:
    strobe = [window(scene(seed), 20, 20) for seed in range(2, 30)]
    assert found([*[window(scene(1), 20, 20)] * 20, *strobe]) == [20]


@pytest.mark.parametrize("length", [4, 5, 12])
def test_short_shots_are_separated(length: int) -> None:
    shots = [window(scene(seed), 20 + i, 20) for seed in range(10) for i in range(length)]
    assert found(shots) == list(range(length, 10 * length, length))


def test_a_cut_between_dark_shots_is_found() -> None:
    shots = [window(scene(1) // 8, 20, 20)] * 15 + [window(scene(2) // 8, 20, 20)] * 15
    assert found(shots) == [15]


def jitter(index: int) -> tuple[float, float]:
    x, y = np.random.default_rng(index).normal(0, 0.5, 2)
    return 60 + float(x), 60 + float(y)


MOTIONS: dict[str, Callable[[int], ByteArray]] = {
    "still": lambda i: window(scene(3), 60, 60),
    "slow pan": lambda i: window(scene(3), 10 + 0.7 * i, 60),
    "fast pan": lambda i: window(scene(3), 10 + 3 * i, 60),
    "tilt": lambda i: window(scene(3), 60, 5 + 2 * i),
    "zoom in": lambda i: window(scene(3), 60, 60, 1.02**i),
    "zoom out": lambda i: window(scene(3), 60, 60, 2 * 0.985**i),
    "hand-held": lambda i: window(scene(3), *jitter(i)),
    "fade to black": lambda i: np.round(window(scene(3), 60, 60) * (1 - i / 60)).astype(np.uint8),
    "swelling light": lambda i: np.round(window(scene(3), 60, 60) * (0.7 + 0.1 * np.sin(i / 3))).astype(np.uint8),
    "black": lambda i: np.zeros((40, 64), np.uint8),
    "grain": lambda i: np.random.default_rng(i).integers(100, 130, (40, 64)).astype(np.uint8),
}


@pytest.mark.parametrize("motion", MOTIONS)
def test_motion_is_not_a_cut(motion: str) -> None:
    assert found(MOTIONS[motion](index) for index in range(50)) == []


@pytest.mark.parametrize("shift", [4, 6])
def test_a_camera_that_starts_to_move_fast_is_not_a_cut(shift: int) -> None:
    assert found(window(scene(3), 20 + shift * max(0, index - 20), 60) for index in range(28)) == []


@pytest.mark.parametrize("missing", [1, 3, 17])
def test_a_jump_of_a_moving_image_at_missing_frames_is_not_a_cut(missing: int) -> None:
    detector, shown = ShotBoundaryDetector(), [index for index in range(60) if not 30 < index <= 30 + missing]
    thumbnails = {index: window(scene(3), 10 + 2 * index, 60) for index in shown}
    for index in shown:
        detector.update(index / 25, thumbnails[index])
    assert detector.finish() == []


@pytest.mark.parametrize("missing", [1, 3])
def test_a_cut_where_a_few_frames_are_missing_is_found(missing: int) -> None:
    detector, before, after = ShotBoundaryDetector(), window(scene(1), 20, 20), window(scene(2), 20, 20)
    shown = [*range(31), *range(31 + missing, 60)]
    for index in shown:
        detector.update(index / 25, before if index <= 30 else after)
    assert detector.finish() == [(31 + missing) / 25]


def joined(seconds: float, way: str, rate: int = 25, drift: float = 0.0) -> list[ByteArray]:
    """Two shots of 2 s with a transition of ``seconds`` in the middle. ``drift``: motion in pixels."""
    frames = []
    for index in range(4 * rate):
        done = float(np.clip((index / rate - 2) / seconds + 0.5, 0, 1))
        before = window(scene(1), 20 + drift * index, 20).astype(float)
        after = window(scene(2), 40 + drift * index, 20).astype(float)
        black = np.full_like(before, 16)
        if way == "dissolve":
            image = (1 - done) * before + done * after
        elif done < 0.5:
            image = (1 - 2 * done) * before + 2 * done * black
        else:
            image = (2 * done - 1) * after + (2 - 2 * done) * black
        noise = np.random.default_rng(index).normal(0, 1.5, image.shape)
        frames.append(np.asarray(np.clip(image + noise, 0, 255), np.uint8))
    return frames


@pytest.mark.parametrize("rate", [25, 60, 12])
@pytest.mark.parametrize("way", ["dissolve", "black"])
@pytest.mark.parametrize("seconds", [0.3, 0.5, 0.8, 1.0])
def test_a_transition_of_up_to_a_second_is_one_cut_within_it(seconds: float, way: str, rate: int) -> None:
    detector = ShotBoundaryDetector()
    for index, thumbnail in enumerate(joined(seconds, way, rate)):
        detector.update(index / rate, thumbnail)
    (time,) = detector.finish()
    assert abs(time - 2) <= 0.5 * seconds + 1 / rate


def test_a_dissolve_is_cut_where_the_next_shot_dominates() -> None:
    assert found(joined(0.8, "dissolve")) == [pytest.approx(50, abs=2)]


@pytest.mark.parametrize("drift", [0.05, 0.1])
def test_a_dissolve_between_moving_shots_is_found(drift: float) -> None:
    assert found(joined(0.6, "dissolve", drift=drift)) == [pytest.approx(50, abs=4)]


def lit(gain: float, offset: float) -> ByteArray:
    return np.asarray(np.clip(window(scene(3), 60, 60) * gain + offset, 0, 255), np.uint8)


@pytest.mark.parametrize("length", [1, 2, 6])
@pytest.mark.parametrize(("gain", "offset"), [(1.0, 90), (0.5, 140), (0.3, 0), (0.0, 255), (0.0, 0)])
def test_a_flash_or_a_blackout_is_not_a_cut(length: int, gain: float, offset: float) -> None:
    frames = [lit(1, 0)] * 20 + [lit(gain, offset)] * length + [lit(1, 0)] * 20
    assert found(frames) == []


def test_a_flash_at_a_cut_leaves_one_cut() -> None:
    before, after = window(scene(1), 20, 20), window(scene(2), 20, 20)
    (frame,) = found([before] * 20 + [np.full((40, 64), 250, np.uint8)] * 2 + [after] * 20)
    assert 20 <= frame <= 22


def test_a_change_of_frame_size_is_a_cut() -> None:
    assert found([np.zeros((40, 64), np.uint8)] * 3 + [np.zeros((48, 64), np.uint8)] * 3) == [3]


def test_shifting_all_times_shifts_the_cuts() -> None:
    frames = [*joined(0.5, "dissolve"), *[window(scene(5), 20, 20)] * 30]
    results = []
    for shift in (0.0, 5.0, 1000.0):
        detector = ShotBoundaryDetector()
        for index, thumbnail in enumerate(frames):
            detector.update(shift + index / 25, thumbnail)
        results.append([round(time - shift, 3) for time in detector.finish()])
    assert results[0] == results[1] == results[2]
    assert len(results[0]) == 2


def test_no_frames_give_no_cuts() -> None:
    assert found([]) == []
    assert found([window(scene(0), 0, 0)]) == []


def cut_times(path: Path) -> list[float]:
    detector = ShotBoundaryDetector()
    with VideoReader(path) as reader:
        for frame in reader.frames():
            detector.update(frame.time, frame.thumbnail)
    return detector.finish()


def test_cuts_of_a_musical(shared_media: Path) -> None:
    assert cut_times(shared_media / "hamilton_cuts.mp4") == pytest.approx([1.52, 3.59, 7.89], abs=0.05)


def test_the_cut_of_the_sample_clip_and_none_in_the_others() -> None:
    found = {path.name: cut_times(path) for path in sorted((ROOT / "sample_videos").glob("*.mp4"))}
    assert found.pop("cut.mp4") == pytest.approx([3.0], abs=0.02)
    assert found
    assert all(times == [] for times in found.values()), found


@pytest.mark.parametrize("name", ["wolfgang.mp4", "talking_d3.mp4", "d9_vfr.mp4", "composite_cross.mp4"])
def test_no_cut_in_a_video_of_one_shot(shared_media: Path, name: str) -> None:
    assert cut_times(shared_media / name) == []


# fast arithmetic compared with the formulas


def plainly_changed(first: ByteArray, second: ByteArray) -> float:
    """The mean absolute difference in double precision."""
    one, other = (image.astype(np.float64).ravel() for image in (first, second))
    a, b = one - one.mean(), other - other.mean()
    spreads = a.std(), b.std()
    alike = 0.0 if min(spreads) < 1e-3 else float(a @ b) / (len(a) * spreads[0] * spreads[1])
    plain = float(np.abs(other - one if min(spreads) >= cuts.FLAT else b - a).mean())
    if alike <= cuts.SIMILAR:
        return plain
    return min(plain, float(np.abs(b - alike * spreads[1] / max(spreads[0], 1e-3) * a).mean()))


@pytest.mark.parametrize("seed", range(40))
def test_the_change_between_two_frames_agrees_with_its_formula(seed: int) -> None:
    random = np.random.default_rng(seed)
    first = random.integers(0, 256, (36, 64)).astype(np.uint8)
    if seed % 4 == 0:
        first[:] = random.integers(0, 256)
    noise = random.normal(0, random.choice([0.5, 5, 60]), first.shape)
    second = np.clip(first * random.uniform(0.2, 1.2) + random.uniform(-40, 60) + noise, 0, 255).astype(np.uint8)
    one, other = cuts.make_thumbnail(0.0, first, None), cuts.make_thumbnail(0.1, second, None)
    assert one.deviation == pytest.approx(float(first.std()), abs=1e-4)
    assert one.mean == pytest.approx(float(first.mean()), abs=1e-4)
    assert cuts.picture_change(one, other) == pytest.approx(plainly_changed(first, second), abs=1e-3)
