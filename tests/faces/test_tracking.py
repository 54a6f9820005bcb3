"""Tracking: tracks within shots, gaps, crossings and evidence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fervid.faces.tracking import FaceTracker
from fervid.types import Face, FloatArray

SIZE = 100.0

Tracks = list[list[tuple[int, int]]]


def at(x: float, y: float = 100.0, size: float = SIZE, score: float = 0.9) -> Face:
    """A face whose centre is at (x, y)."""
    return Face(x - size / 2, y - size / 2, size, size, score)


def follow(
    frames: Sequence[list[Face]], times: Sequence[float] | None = None, cuts: Iterable[int] = (), **options: Any
) -> Tracks:
    """The tracks through the faces of each sample, 5 a second unless ``times`` says otherwise."""
    tracker = FaceTracker(**options)
    clock = [sample / 5 for sample in range(len(frames))] if times is None else times
    for time, faces in zip(clock, frames, strict=False):
        tracker.update(time, faces)
    return tracker.finish([clock[cut] for cut in sorted(cuts) if cut < len(frames)])


def track(count: int, position: int = 0, first: int = 0) -> list[tuple[int, int]]:
    return [(sample, position) for sample in range(first, first + count)]


# one face


def test_one_face_is_one_track_from_its_first_sample() -> None:
    assert follow([[at(100)]] * 10) == [track(10)]


def test_no_samples_give_no_tracks() -> None:
    assert follow([]) == []
    assert follow([[]] * 20) == []
    assert FaceTracker().finish([1.0, 2.0]) == []


@pytest.mark.parametrize("speed", [0, 60, 150, 300])
def test_a_moving_face_is_one_track(speed: float) -> None:
    assert follow([[at(100 + speed * sample / 5)] for sample in range(15)]) == [track(15)]


@pytest.mark.parametrize("growth", [0.8, 0.9, 1.1, 1.25])
def test_a_face_that_approaches_or_recedes_is_one_track(growth: float) -> None:
    assert follow([[at(300, 300, 200 * growth**sample)] for sample in range(8)]) == [track(8)]


def test_a_jump_across_the_image_is_another_face() -> None:
    assert follow([[at(100)]] * 5 + [[at(900)]] * 5) == [track(5), track(5, first=5)]


def test_a_sudden_change_of_size_is_another_face() -> None:
    assert follow([[at(100)]] * 5 + [[at(100, size=260)]] * 5) == [track(5), track(5, first=5)]


# missed samples


@pytest.mark.parametrize(("missed", "tracks"), [(1, 1), (3, 1), (4, 1), (5, 2), (9, 2)])
def test_a_track_continues_only_within_the_gap(missed: int, tracks: int) -> None:
    # at 5 a second a face missed 4 times is unseen for 1.0 s, which is the longest gap allowed
    frames: list[list[Face]] = [[at(100)]] * 5 + [[]] * missed + [[at(100)]] * 5
    expected = [track(5), track(5, first=5 + missed)]
    assert follow(frames, max_gap=1.0) == (expected if tracks == 2 else [expected[0] + expected[1]])


@pytest.mark.parametrize("step", [0.05, 0.2, 1.0])
def test_the_gap_is_measured_in_seconds_at_any_rate(step: float) -> None:
    for unseen, tracks in ((2.0, 1), (2.0 + step, 2)):
        first = [index * step for index in range(10)]
        times = first + [first[-1] + unseen + index * step for index in range(10)]
        assert len(follow([[at(100)]] * 20, times, max_gap=2.0)) == tracks


def test_a_hidden_face_continues_at_its_predicted_position() -> None:
    frames = [[at(100 + 40 * sample)] if sample not in (6, 7) else [] for sample in range(14)]
    assert len(follow(frames)) == 1


def test_irregular_steps() -> None:
    times = np.cumsum(np.random.default_rng(0).uniform(0.03, 0.7, 40))
    frames = [[at(100 + 90 * float(time)), at(100 + 90 * float(time), 400)] for time in times]
    assert follow(frames, times.tolist()) == [track(40), track(40, 1)]


# several faces


def test_tracks_are_in_the_order_of_their_first_sample() -> None:
    frames = [[at(100)], [at(100)], [at(500), at(100)], *[[at(500), at(300), at(100)]] * 6]
    tracks = follow(frames)
    assert [track[0] for track in tracks] == [(0, 0), (2, 0), (3, 1)]
    assert [len(track) for track in tracks] == [9, 7, 6]


def test_a_track_that_ends_early_does_not_come_first() -> None:
    frames = [[at(100), at(500)] if 3 <= sample < 8 else [at(100)] for sample in range(20)]
    assert follow(frames) == [track(20), track(5, 1, first=3)]


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
    assert follow(crossing(120)) == [track(21), track(21, 1)]


def test_two_faces_that_pass_through_each_other_keep_their_tracks() -> None:
    assert follow(crossing(0)) == [track(21), track(21, 1)]


def descriptors() -> tuple[FloatArray, FloatArray]:
    """Two people's appearances."""
    vectors = np.random.default_rng(0).normal(size=(2, 256))
    first, second = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return first.astype(np.float32), second.astype(np.float32)


def meeting(passing: bool) -> Tracks:
    """Two faces meet, and one is hidden for 0.6 s. Only appearance shows whether they pass or turn back."""
    tracker, (one, other) = FaceTracker(), descriptors()
    for sample in range(21):
        away = abs(sample - 10) * 20
        left, right = (other, one) if passing and sample > 10 else (one, other)
        if abs(sample - 10) <= 1:
            tracker.update(sample / 5, [at(500)], [one])
        else:
            tracker.update(sample / 5, [at(500 - away), at(500 + away)], [left, right])
    return tracker.finish()


@pytest.mark.parametrize("passing", [False, True])
def test_appearance_distinguishes_turning_back_from_passing(passing: bool) -> None:
    after = (1, 0) if passing else (0, 1)
    first = track(9) + track(3, 0, first=9) + track(9, after[0], first=12)
    assert meeting(passing) == [first, track(9, 1) + track(9, after[1], first=12)]


def test_appearance_decides_who_returns() -> None:
    tracker, (one, other) = FaceTracker(max_gap=2.0), descriptors()
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
    parts = [track(5), track(5, 1), track(7, first=5), track(7, 1, first=5)]
    assert follow(frames, cuts=[5]) == parts


def test_a_cut_before_the_first_sample_changes_nothing() -> None:
    assert follow([[at(100)]] * 6, cuts=[0]) == [track(6)]


# requirements


@pytest.mark.parametrize("seen", [1, 2])
def test_a_short_false_detection_is_not_a_track(seen: int) -> None:
    frames: list[list[Face]] = [[]] * 5 + [[at(100)]] * seen + [[]] * 10
    assert follow(frames) == []
    assert follow(frames, min_track=0.0) == []
    assert follow([[at(500), *faces] for faces in frames]) == [track(15 + seen)]


def test_a_track_begins_with_its_first_sample() -> None:
    assert follow([[]] * 4 + [[at(100)]] * 3 + [[]] * 4, min_track=0.4) == [track(3, first=4)]


def test_many_samples_in_too_short_a_time_are_not_a_track() -> None:
    times = [index / 25 for index in range(50)]
    frames: list[list[Face]] = [[at(100)] if 10 <= index < 20 else [] for index in range(50)]
    assert follow(frames, times, min_track=0.4) == []
    assert follow(frames, times, min_track=0.3) == [track(10, first=10)]


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_short_shot_lowers_the_requirements(length: int) -> None:
    frames: list[list[Face]] = [[]] * 6 + [[at(100)]] * length + [[]] * 6
    assert follow(frames, cuts=[6, 6 + length], min_track=0.4) == [track(length, first=6)]


def test_a_video_of_one_frame_has_a_track() -> None:
    assert follow([[at(100)]]) == [[(0, 0)]]


@pytest.mark.parametrize("step", [0.8, 2.0, 10.0])
def test_at_a_low_rate_one_missed_sample_does_not_end_a_track(step: float) -> None:
    frames: list[list[Face]] = [[at(100)] if index != 5 else [] for index in range(10)]
    (track,) = follow(frames, [step * index for index in range(10)])
    assert [sample for sample, _ in track] == [0, 1, 2, 3, 4, 6, 7, 8, 9]


def test_two_samples_are_enough_at_a_low_rate() -> None:
    frames: list[list[Face]] = [[at(100)] if index in (10, 11) else [] for index in range(60)]
    assert follow(frames, [float(index) for index in range(60)]) == [[(10, 0), (11, 0)]]


def test_a_stall_at_a_high_rate_ends_the_track() -> None:
    times = [0.2 * index + (1.4 if index >= 10 else 0.0) for index in range(20)]
    assert follow([[at(100)]] * 20, times) == [track(10), track(10, first=10)]


def test_a_different_descriptor_does_not_end_the_track_of_a_face_that_hardly_moves() -> None:
    tracker, (one, other) = FaceTracker(), descriptors()
    for index in range(50):
        tracker.update(index / 25, [at(100 + index / 5)], [other if index in (20, 21) else one])
    assert tracker.finish() == [track(50)]


def test_another_face_in_the_place_of_one_that_left_is_another_track() -> None:
    tracker, (one, other) = FaceTracker(), descriptors()
    for sample in range(10):
        tracker.update(sample / 5, [at(100)], [one])
    for sample in range(13, 20):
        tracker.update(sample / 5, [at(110)], [other])
    assert tracker.finish() == [track(10), track(7, first=10)]


def test_a_fast_pan_by_one_face_width_does_not_swap_neighbours() -> None:
    vectors = np.random.default_rng(1).normal(size=(4, 256))
    descriptors = [np.asarray(v / np.linalg.norm(v), np.float32) for v in vectors]
    tracker = FaceTracker()
    for sample in range(14):
        shift = 140.0 if sample >= 7 else 0.0
        tracker.update(sample / 5, [at(200 + 140 * i + shift) for i in range(4)], descriptors)
    assert tracker.finish() == [track(14, i) for i in range(4)]


# invariants

faces = st.builds(at, st.integers(0, 600), st.integers(0, 400), st.sampled_from([60.0, 100.0, 170.0]))
"""Faces close enough together to be confused."""


@st.composite
def videos(draw: st.DrawFn) -> tuple[list[list[Face]], list[list[FloatArray]], list[float], list[int]]:
    """Faces, their descriptors, times (some twice, some after a stall) and the first samples of new shots."""
    frames = draw(st.lists(st.lists(faces, max_size=4), max_size=18))
    people = np.random.default_rng(draw(st.integers(0, 3))).normal(size=(4, 16))
    people /= np.linalg.norm(people, axis=1, keepdims=True)
    who = [[draw(st.integers(0, 3)) for _ in row] for row in frames]
    steps = draw(st.lists(st.sampled_from([0.0, 0.04, 0.2, 0.37, 1.3]), min_size=25, max_size=25))
    cuts = draw(st.sets(st.integers(0, 24), max_size=3))
    shown = [[np.asarray(people[number], np.float32) for number in row] for row in who]
    return frames, shown, np.cumsum(steps).tolist()[: len(frames)], sorted(cut for cut in cuts if cut < len(frames))


Video = tuple[list[list[Face]], list[list[FloatArray]], list[float], list[int]]


def tracks_of(video: Video, shift: float = 0.0, with_appearance: bool = True) -> Tracks:
    frames, shown, times, cuts = video
    tracker = FaceTracker(max_gap=1.0)
    for time, row, seen in zip(times, frames, shown, strict=True):
        tracker.update(time + shift, row, seen if with_appearance else None)
    return tracker.finish([times[cut] + shift for cut in cuts])


@given(video=videos(), with_appearance=st.booleans())
def test_invariants(video: Video, with_appearance: bool) -> None:
    frames, _, times, cuts = video
    tracks = tracks_of(video, with_appearance=with_appearance)
    used = [entry for track in tracks for entry in track]
    assert len(used) == len(set(used))
    assert [track[0] for track in tracks] == sorted(track[0] for track in tracks)
    limits = [times[cut] for cut in cuts]
    for track in tracks:
        samples = [sample for sample, _ in track]
        assert np.all(np.diff(samples) > 0), "two faces of one sample in one track, or out of order"
        seen = [times[sample] for sample in samples]
        shot = [time for time in times if sum(time >= limit for limit in limits) == sum(seen[0] >= x for x in limits)]
        step = float(np.median(np.diff(shot))) if len(shot) > 1 else 0.0
        assert np.all(np.diff(seen) <= max(1.0, 2.5 * step) + 1e-5)
        assert all(0 <= position < len(frames[sample]) for sample, position in track)
        assert not any(seen[0] < limit <= seen[-1] for limit in limits)


@given(video=videos(), shift=st.sampled_from([0.1, 7.0, 1234.56, 86400.0]))
def test_shifting_all_times_changes_nothing(video: Video, shift: float) -> None:
    assert tracks_of(video, shift) == tracks_of(video)


@given(video=videos(), with_appearance=st.booleans())
def test_every_track_meets_the_requirements_that_its_shot_allows(video: Video, with_appearance: bool) -> None:
    _, _, times, cuts = video
    limits = [times[cut] for cut in cuts]
    for track in tracks_of(video, with_appearance=with_appearance):
        begin, end = times[track[0][0]], times[track[-1][0]]
        shot = [time for time in times if sum(time >= x for x in limits) == sum(begin >= x for x in limits)]
        assert len(track) >= min(2, len(shot))
        assert end - begin >= min(0.4, shot[-1] - shot[0]) - 1e-5
