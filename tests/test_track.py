"""Following faces through time, and finding cuts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fervid.track import CutDetector, FaceTracker
from fervid.types import ByteArray, Face, FloatArray
from fervid.video import VideoReader
from tests.conftest import ROOT

SIZE = 100.0

Tracks = list[list[tuple[int, int]]]


def at(x: float, y: float = 100.0, size: float = SIZE, score: float = 0.9) -> Face:
    """A face whose centre is at (x, y)."""
    return Face(x - size / 2, y - size / 2, size, size, score)


def follow(
    frames: Sequence[list[Face]], times: Sequence[float] | None = None, cuts: Iterable[int] = (), **options: float
) -> Tracks:
    """The tracks through the faces of each sample, 5 a second unless ``times`` says otherwise."""
    tracker = FaceTracker(**options)
    for sample, faces in enumerate(frames):
        if sample in cuts:
            tracker.cut()
        tracker.update(sample / 5 if times is None else times[sample], faces)
    return tracker.finish()


def whole(count: int, position: int = 0, first: int = 0) -> list[tuple[int, int]]:
    return [(sample, position) for sample in range(first, first + count)]


# one face


def test_one_face_is_one_track_from_its_first_sample_on() -> None:
    assert follow([[at(100)]] * 10) == [whole(10)]


def test_nothing_gives_nothing() -> None:
    assert follow([]) == []
    assert follow([[]] * 20) == []
    tracker = FaceTracker()
    tracker.cut()
    assert tracker.finish() == []


@pytest.mark.parametrize("speed", [0, 60, 150, 300])
def test_a_moving_face_is_one_track(speed: float) -> None:
    assert follow([[at(100 + speed * sample / 5)] for sample in range(15)]) == [whole(15)]


@pytest.mark.parametrize("growth", [0.8, 0.9, 1.1, 1.25])
def test_a_face_that_comes_or_goes_is_one_track(growth: float) -> None:
    assert follow([[at(300, 300, 200 * growth**sample)] for sample in range(8)]) == [whole(8)]


def test_a_jump_across_the_picture_is_another_face() -> None:
    assert follow([[at(100)]] * 5 + [[at(900)]] * 5) == [whole(5), whole(5, first=5)]


def test_a_sudden_change_of_size_is_another_face() -> None:
    assert follow([[at(100)]] * 5 + [[at(100, size=260)]] * 5) == [whole(5), whole(5, first=5)]


# misses


@pytest.mark.parametrize(("missed", "tracks"), [(1, 1), (3, 1), (4, 1), (5, 2), (9, 2)])
def test_a_face_is_found_again_within_the_gap_only(missed: int, tracks: int) -> None:
    # at 5 a second a face missed 4 times is unseen for 1.0 s, which is the longest gap allowed
    frames: list[list[Face]] = [[at(100)]] * 5 + [[]] * missed + [[at(100)]] * 5
    expected = [whole(5), whole(5, first=5 + missed)]
    assert follow(frames, max_gap=1.0) == (expected if tracks == 2 else [expected[0] + expected[1]])


@pytest.mark.parametrize("step", [0.05, 0.2, 1.0])
def test_the_gap_is_measured_in_seconds_whatever_the_rate(step: float) -> None:
    for unseen, tracks in ((2.0, 1), (2.0 + step, 2)):
        first = [index * step for index in range(10)]
        times = first + [first[-1] + unseen + index * step for index in range(10)]
        assert len(follow([[at(100)]] * 20, times, max_gap=2.0)) == tracks


def test_a_face_that_goes_on_while_unseen_is_met_where_it_should_be() -> None:
    frames = [[at(100 + 40 * sample)] if sample not in (6, 7) else [] for sample in range(14)]
    assert len(follow(frames)) == 1


def test_irregular_steps() -> None:
    times = np.cumsum(np.random.default_rng(0).uniform(0.03, 0.7, 40))
    frames = [[at(100 + 90 * float(time)), at(100 + 90 * float(time), 400)] for time in times]
    assert follow(frames, times.tolist()) == [whole(40), whole(40, 1)]


# several faces


def test_tracks_are_in_the_order_of_their_first_sample() -> None:
    frames = [[at(100)], [at(100)], [at(500), at(100)], *[[at(500), at(300), at(100)]] * 6]
    tracks = follow(frames)
    assert [track[0] for track in tracks] == [(0, 0), (2, 0), (3, 1)]
    assert [len(track) for track in tracks] == [9, 7, 6]


def test_a_track_that_ends_early_does_not_come_first() -> None:
    frames = [[at(100), at(500)] if 3 <= sample < 8 else [at(100)] for sample in range(20)]
    assert follow(frames) == [whole(20), whole(5, 1, first=3)]


def test_the_order_of_the_detections_does_not_matter() -> None:
    random = np.random.default_rng(0)
    spots = [100, 300, 500, 700]
    frames, places = [], []
    for _ in range(20):
        order = random.permutation(4)
        frames.append([at(spots[place]) for place in order])
        places.append(order.tolist())
    for track in follow(frames):
        assert len(track) == 20
        assert len({places[sample][position] for sample, position in track}) == 1


def crossing(apart: float) -> list[list[Face]]:
    """Two faces that pass each other; the one that starts left comes first in each sample."""
    return [[at(100 + 40 * s), at(900 - 40 * s, 100 + apart)] for s in range(21)]


def test_two_faces_that_pass_at_a_distance_keep_their_tracks() -> None:
    assert follow(crossing(120)) == [whole(21), whole(21, 1)]


def test_two_faces_that_pass_through_each_other_keep_their_course() -> None:
    assert follow(crossing(0)) == [whole(21), whole(21, 1)]


def looks() -> tuple[FloatArray, FloatArray]:
    """Two people's appearances."""
    vectors = np.random.default_rng(0).normal(size=(2, 256))
    first, second = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return first.astype(np.float32), second.astype(np.float32)


def turning_back(appearances: bool) -> Tracks:
    """Two faces meet and each turns back, which by motion alone looks like passing."""
    tracker, (one, other) = FaceTracker(), looks()
    for sample in range(21):
        away = abs(sample - 10) * 20 + 12
        faces = [at(500 - away), at(500 + away)]
        tracker.update(sample / 5, faces, [one, other] if appearances else None)
    return tracker.finish()


def test_appearance_tells_turning_back_from_passing() -> None:
    assert turning_back(appearances=True) == [whole(21), whole(21, 1)]
    assert turning_back(appearances=False) != turning_back(appearances=True)


def test_appearance_decides_who_came_back() -> None:
    tracker, (one, other) = FaceTracker(max_gap=2.0), looks()
    for sample in range(6):
        tracker.update(sample / 5, [at(400), at(460)], [one, other])
    for sample in range(9, 15):
        tracker.update(sample / 5, [at(430)], [other])
    tracks = tracker.finish()
    assert [sample for sample, position in tracks[1] if sample >= 6] == list(range(6, 12))
    assert len(tracks[0]) == 6


# cuts


def test_a_cut_ends_every_track() -> None:
    frames = [[at(100), at(400)]] * 12
    parts = [whole(5), whole(5, 1), whole(7, first=5), whole(7, 1, first=5)]
    assert follow(frames, cuts=[5]) == parts


def test_a_cut_before_the_first_sample_changes_nothing() -> None:
    assert follow([[at(100)]] * 6, cuts=[0]) == [whole(6)]


# evidence


@pytest.mark.parametrize("seen", [1, 2])
def test_a_flicker_is_no_face(seen: int) -> None:
    frames: list[list[Face]] = [[]] * 5 + [[at(100)]] * seen + [[]] * 10
    assert follow(frames) == []
    assert follow(frames, min_track=0.0) == []
    assert follow([[at(500), *faces] for faces in frames]) == [whole(15 + seen)]


def test_a_face_that_has_proved_itself_counts_from_its_first_sample_on() -> None:
    assert follow([[]] * 4 + [[at(100)]] * 3 + [[]] * 4, min_track=0.4) == [whole(3, first=4)]


def test_seen_often_but_too_briefly_is_no_face() -> None:
    times = [index / 25 for index in range(50)]
    frames: list[list[Face]] = [[at(100)] if 10 <= index < 20 else [] for index in range(50)]
    assert follow(frames, times, min_track=0.4) == []
    assert follow(frames, times, min_track=0.3) == [whole(10, first=10)]


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_short_shot_asks_for_no_more_than_it_has(length: int) -> None:
    frames: list[list[Face]] = [[]] * 6 + [[at(100)]] * length + [[]] * 6
    assert follow(frames, cuts=[6, 6 + length], min_track=0.4) == [whole(length, first=6)]


def test_a_film_of_one_frame_has_its_face() -> None:
    assert follow([[at(100)]]) == [[(0, 0)]]


@pytest.mark.parametrize("step", [0.8, 2.0, 10.0])
def test_a_slow_film_keeps_its_face_and_may_miss_it_once(step: float) -> None:
    frames: list[list[Face]] = [[at(100)] if index != 5 else [] for index in range(10)]
    (track,) = follow(frames, [step * index for index in range(10)])
    assert [sample for sample, _ in track] == [0, 1, 2, 3, 4, 6, 7, 8, 9]


def test_two_looks_are_enough_where_samples_are_far_apart() -> None:
    frames: list[list[Face]] = [[at(100)] if index in (10, 11) else [] for index in range(60)]
    assert follow(frames, [float(index) for index in range(60)]) == [[(10, 0), (11, 0)]]


def test_a_stall_in_a_fast_film_ends_the_track() -> None:
    times = [0.2 * index + (1.4 if index >= 10 else 0.0) for index in range(20)]
    assert follow([[at(100)]] * 20, times) == [whole(10), whole(10, first=10)]


# invariants

faces = st.builds(at, st.integers(0, 600), st.integers(0, 400), st.sampled_from([60.0, 100.0, 170.0]))


@given(
    frames=st.lists(st.lists(faces, max_size=4), max_size=25),
    steps=st.lists(st.floats(0.01, 0.4), min_size=25, max_size=25),
    cuts=st.sets(st.integers(0, 24), max_size=3),
)
def test_invariants(frames: list[list[Face]], steps: list[float], cuts: set[int]) -> None:
    times = np.cumsum(steps).tolist()
    tracks = follow(frames, times, cuts, max_gap=1.0)
    used = [entry for track in tracks for entry in track]
    assert len(used) == len(set(used))
    assert [track[0] for track in tracks] == sorted(track[0] for track in tracks)
    for track in tracks:
        samples = [sample for sample, _ in track]
        assert np.all(np.diff(samples) > 0)
        assert np.all(np.diff([times[sample] for sample in samples]) <= 1.0 + 1e-5)
        assert all(0 <= position < len(frames[sample]) for sample, position in track)
        assert not any(samples[0] < cut <= samples[-1] for cut in cuts)


# finding cuts


def scene(seed: int, height: int = 200, width: int = 300) -> ByteArray:
    """A made landscape with detail at all sizes."""
    random, total = np.random.default_rng(seed), np.zeros((height, width), np.float64)
    for cell in (8, 32, 100):
        noise = random.normal(size=(height // cell + 2, width // cell + 2))
        total += cell**0.5 * cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(128 + 45 * (total - total.mean()) / total.std(), 0, 255), np.uint8)


def found(thumbnails: Iterable[ByteArray]) -> list[int]:
    """The frames that begin a shot, 25 a second."""
    detector = CutDetector()
    return [index for index, thumbnail in enumerate(thumbnails) if detector.update(index / 25, thumbnail)]


def window(picture: ByteArray, x: float, y: float, zoom: float = 1.0) -> ByteArray:
    """A (40, 64) view at (x, y); ``zoom`` above 1 shows less, larger."""
    matrix = np.array([[zoom, 0, -x * zoom], [0, zoom, -y * zoom]])
    return np.asarray(cv2.warpAffine(picture, matrix, (64, 40), flags=cv2.INTER_LINEAR), np.uint8)


@pytest.mark.parametrize("seed", range(5))
def test_a_hard_cut_is_found_on_its_frame(seed: int) -> None:
    before, after = scene(seed), scene(seed + 100)
    shots = [window(before, 20, 20)] * 20 + [window(after, 20, 20)] * 20 + [window(before, 90, 90)] * 5
    assert found(shots) == [20, 40]


def test_a_cut_between_two_moving_shots_is_found() -> None:
    before, after = scene(1), scene(2)
    shots = [window(before, 2 * i, 20) for i in range(25)] + [window(after, 150 - 2 * i, 60) for i in range(25)]
    assert found(shots) == [25]


def test_a_cut_to_a_wild_shot_is_one_cut() -> None:
    strobe = [window(scene(seed), 20, 20) for seed in range(2, 30)]
    assert found([*[window(scene(1), 20, 20)] * 20, *strobe]) == [20]


@pytest.mark.parametrize("length", [4, 5, 12])
def test_short_shots_are_told_apart(length: int) -> None:
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
def test_motion_is_no_cut(motion: str) -> None:
    assert found(MOTIONS[motion](index) for index in range(50)) == []


@pytest.mark.parametrize("missing", [1, 3, 17])
def test_a_moving_picture_that_jumps_where_frames_are_missing_is_no_cut(missing: int) -> None:
    detector, shown = CutDetector(), [index for index in range(60) if not 30 < index <= 30 + missing]
    thumbnails = {index: window(scene(3), 10 + 2 * index, 60) for index in shown}
    assert not any(detector.update(index / 25, thumbnails[index]) for index in shown)


@pytest.mark.parametrize("missing", [1, 3])
def test_a_cut_where_a_few_frames_are_missing_is_found(missing: int) -> None:
    detector, before, after = CutDetector(), window(scene(1), 20, 20), window(scene(2), 20, 20)
    shown = [*range(31), *range(31 + missing, 60)]
    cuts = [index for index in shown if detector.update(index / 25, before if index <= 30 else after)]
    assert cuts == [31 + missing]


def test_a_dissolve_is_no_hard_cut() -> None:
    before, after = window(scene(1), 20, 20).astype(float), window(scene(2), 20, 20).astype(float)
    shares = np.clip((np.arange(60) - 15) / 30, 0, 1)
    assert found(((1 - share) * before + share * after).astype(np.uint8) for share in shares) == []


def test_a_change_of_picture_size_is_a_cut() -> None:
    assert found([np.zeros((40, 64), np.uint8)] * 3 + [np.zeros((48, 64), np.uint8)] * 3) == [3]


def test_no_film_no_cut() -> None:
    assert found([]) == []
    assert found([window(scene(0), 0, 0)]) == []


def cut_times(path: Path) -> list[float]:
    detector = CutDetector()
    with VideoReader(path) as reader:
        return [frame.time for frame in reader.frames() if detector.update(frame.time, frame.thumbnail)]


def test_cuts_of_a_musical(shared_media: Path) -> None:
    assert cut_times(shared_media / "hamilton_cuts.mp4") == pytest.approx([1.52, 3.59, 7.89], abs=0.05)


def test_the_cut_of_the_sample_clip_and_none_in_the_others() -> None:
    found = {path.name: cut_times(path) for path in sorted((ROOT / "sample_videos").glob("*.mp4"))}
    assert found.pop("cut.mp4") == pytest.approx([3.0], abs=0.02)
    assert found
    assert all(times == [] for times in found.values()), found


@pytest.mark.parametrize("name", ["wolfgang.mp4", "talking_d3.mp4", "d9_vfr.mp4", "composite_cross.mp4"])
def test_no_cut_in_a_film_of_one_shot(shared_media: Path, name: str) -> None:
    assert cut_times(shared_media / name) == []
