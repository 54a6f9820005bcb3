"""The style ``head``: axes and outlines of the face, and where there are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fervid.annotate.annotate import annotate
from fervid.annotate.head import AXIS_COLORS, draw_head
from fervid.annotate.yuv_canvas import Canvas
from fervid.errors import UsageError
from fervid.runtime.opencv import cv2
from fervid.timeline.interpolation import FaceState, FaceTimeline
from fervid.types import ByteArray, FloatArray
from tests.support.synthetic_results import MadeFace, MadeVideo, write_results

BOX = (100.0, 60.0, 120.0, 160.0)
HAPPY = np.eye(7, dtype=np.float32)[3]


def drawn(angles: tuple[float, float, float] | None, outline: FloatArray | None = None) -> ByteArray:
    """A gray frame with a head, (240, 320, 3) blue-green-red."""
    planes = np.full((360, 320), 128, np.uint8)
    draw_head(Canvas(planes, 6), FaceState(BOX, HAPPY, 3, 1.0, angles, outline), 3)
    return np.asarray(cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420), np.uint8)


def reach(image: ByteArray, axis: int) -> tuple[float, float]:
    """How far the pixels of an axis lie from the middle of the face on average, to the right and upwards."""
    near = np.abs(image.astype(int) - np.array(AXIS_COLORS[axis][::-1])).sum(axis=2) < 90
    rows, columns = np.nonzero(near)
    assert len(rows) > 10
    return float(columns.mean() - 160), float(140 - rows.mean())


def test_a_straight_head_has_an_axis_to_its_left_and_one_up() -> None:
    image = drawn((0, 0, 0))
    left, up = reach(image, 0), reach(image, 1)
    assert left[0] > 15
    assert abs(left[1]) < 3
    assert up[1] > 15
    assert abs(up[0]) < 3


@pytest.mark.parametrize(
    ("angles", "right", "up"), [((40, 0, 0), 1, 0), ((-40, 0, 0), -1, 0), ((0, 40, 0), 0, 1), ((0, -40, 0), 0, -1)]
)
def test_the_axis_forward_points_where_the_face_looks(angles: tuple[float, float, float], right: int, up: int) -> None:
    across, along = reach(drawn(angles), 2)  # the person's left is on the right of the image
    assert np.sign(round(across / 8)) == right
    assert np.sign(round(along / 8)) == up


def test_a_head_that_leans_to_its_right_shoulder_points_up_to_the_left() -> None:
    across, up = reach(drawn((0, 0, 30)), 1)
    assert across < -5 < 5 < up


def test_outlines_lie_in_the_box_and_nothing_is_drawn_without_a_pose() -> None:
    outline = np.random.default_rng(1).uniform(0, 1, (68, 2)).astype(np.float32)
    changed = (drawn((0, 0, 0), outline) != drawn((0, 0, 0))).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert len(rows) > 500
    assert columns.min() >= 95
    assert columns.max() <= 225
    assert rows.min() >= 55
    assert rows.max() <= 225
    assert (drawn(None, outline) == 128).all() or np.ptp(drawn(None, outline)) <= 2


def test_angles_and_outlines_between_samples() -> None:
    angles = np.array([(0, 0, 170), (10, -10, -170), (np.nan,) * 3], np.float32)
    outlines = np.stack([np.zeros((68, 2)), np.ones((68, 2)), np.full((68, 2), np.nan)]).astype(np.float16)
    boxes, smoothed = np.tile(np.array(BOX, np.float32), (3, 1)), np.tile(HAPPY, (3, 1))
    face = FaceTimeline(
        0, np.arange(3.0), boxes, smoothed, "ok", np.zeros(2, bool), 2.0, angles=angles, outlines=outlines
    )
    middle, last, unknown = face.at(0.5), face.at(1.0), face.at(1.5)
    assert middle is not None
    assert last is not None
    assert unknown is not None
    assert middle.angles == pytest.approx((5, -5, 180))
    assert middle.outline is not None
    np.testing.assert_allclose(middle.outline, 0.5)
    assert last.angles == pytest.approx((10, -10, -170))
    assert unknown.angles is None
    assert unknown.outline is None


def test_results_without_the_pose_are_refused(tmp_path: Path) -> None:
    face = MadeFace(range(10), np.tile(HAPPY, (10, 1)))
    results = write_results(tmp_path / "r.parquet", [MadeVideo("a.mp4", [face], 10)])
    with pytest.raises(UsageError, match="measures"):
        annotate(results, None, tmp_path / "out", "head")
