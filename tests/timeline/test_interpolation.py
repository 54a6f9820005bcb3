"""The box and the probabilities of a face between its samples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fervid.timeline.interpolation import FaceTimeline
from fervid.types import EMOTIONS

BOX = (10.0, 20.0, 30.0, 40.0)


def timeline(
    times: list[float], boxes: list[tuple[float, ...]], max_gap: float = 1.0, held: float = 0.0
) -> FaceTimeline:
    """A face whose leading emotion changes with every sample."""
    smoothed = np.full((len(times), len(EMOTIONS)), 0.05, np.float32)
    smoothed[np.arange(len(times)), np.arange(len(times)) % len(EMOTIONS)] = 0.7
    return FaceTimeline(0, np.array(times), np.array(boxes, np.float32), smoothed, "ok", np.diff(times) > max_gap, held)


def moved(by: float) -> tuple[float, ...]:
    return (BOX[0] + by, *BOX[1:])


@pytest.mark.parametrize(("time", "x"), [(1.0, 10), (1.1, 20), (1.15, 25), (1.2, 30), (1.3, 25), (1.4, 20)])
def test_boxes_move_evenly_from_sample_to_sample(time: float, x: float) -> None:
    moment = timeline([1.0, 1.2, 1.4], [moved(0), moved(20), moved(10)]).at(time)
    assert moment is not None
    assert moment.box == pytest.approx((x, *BOX[1:]), abs=1e-3)


@pytest.mark.parametrize("time", [0.0, 0.999, 1.21, 5.0])
def test_nothing_is_shown_before_the_first_and_after_the_last_sample(time: float) -> None:
    assert timeline([1.0, 1.2], [BOX, BOX]).at(time) is None


@pytest.mark.parametrize(("time", "shown"), [(1.0, True), (1.05, False), (1.5, False), (1.99, False), (2.0, True)])
def test_nothing_is_shown_in_a_gap(time: float, shown: bool) -> None:
    assert (timeline([0.8, 1.0, 2.0, 2.2], [BOX] * 4, max_gap=0.9).at(time) is not None) == shown


def test_a_step_of_exactly_max_gap_is_interpolated() -> None:
    assert timeline([1.0, 2.0], [BOX, BOX], max_gap=1.0).at(1.5) is not None


@pytest.mark.parametrize(("time", "shown"), [(1.3, True), (1.4, True), (1.41, False)])
def test_the_last_sample_is_held_where_no_later_frame_was_sampled(time: float, shown: bool) -> None:
    assert (timeline([1.0, 1.2], [BOX, BOX], held=1.4).at(time) is not None) == shown


def test_label_and_confidence_are_those_of_the_sample_before() -> None:
    for time, emotion in ((1.0, 0), (1.19, 0), (1.2, 1), (1.4, 2)):
        moment = timeline([1.0, 1.2, 1.4], [BOX] * 3).at(time)
        assert moment is not None
        assert moment.emotion == emotion
        assert moment.confidence == pytest.approx(0.7)


@given(st.floats(1.0, 3.0))
def test_probabilities_between_samples_sum_to_one(time: float) -> None:
    moment = timeline([1.0, 1.3, 2.0, 2.1, 3.0], [BOX] * 5).at(time)
    assert moment is not None
    assert moment.probabilities.sum() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("time", [0.71, 0.9, 1.0, 1.5, 2.9, 4.0, 4.2, 4.29])
def test_a_blur_box_covers_gaps_and_extends_beyond_both_ends(time: float) -> None:
    cover = timeline([1.0, 1.2, 4.0], [BOX, moved(8), moved(40)], max_gap=0.5).blur_box(time, margin=0.3)
    assert cover is not None
    x, y, width, height = cover
    assert width >= BOX[2]
    assert height >= BOX[3]
    assert y <= BOX[1]
    assert x <= 10 + 40


@pytest.mark.parametrize("time", [0.69, 4.31])
def test_a_blur_box_ends_after_the_margin(time: float) -> None:
    assert timeline([1.0, 4.0], [BOX, BOX]).blur_box(time, margin=0.3) is None


@given(st.floats(1.0, 1.4), st.floats(-60, 60), st.floats(-60, 60))
def test_a_blur_box_contains_the_box(time: float, first: float, second: float) -> None:
    face = timeline([1.0, 1.2, 1.4], [moved(0), moved(first), moved(second)])
    cover, moment = face.blur_box(time, margin=0.3), face.at(time)
    assert cover is not None
    assert moment is not None
    for axis in (0, 1):
        assert cover[axis] <= moment.box[axis] + 0.01
        assert cover[axis] + cover[axis + 2] >= moment.box[axis] + moment.box[axis + 2] - 0.01


def test_a_timeline_of_one_sample() -> None:
    face = timeline([1.0], [BOX])
    moment = face.at(1.0)
    assert moment is not None
    assert moment.box == BOX
    assert face.at(1.1) is None
    assert face.blur_box(1.1, margin=0.2) is not None


def test_many_times_at_once_equal_single_times() -> None:
    face = timeline([1.0, 1.3, 2.5, 2.6, 3.0], [BOX] * 5, max_gap=0.9)
    times = np.linspace(1.0, 3.0, 401)
    shown, values = face.sample_at(times)
    for time, there, value in zip(times, shown, values, strict=True):
        moment = face.at(float(time))
        if np.abs(face.times - time).min() > 1e-3:
            assert there == (moment is not None)
        if there and moment is not None:
            np.testing.assert_allclose(value, moment.probabilities, atol=1e-5)
