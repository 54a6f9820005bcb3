"""Crop geometry, normalisation and face quality."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fervid.faces.crop import FER2013_GEOMETRY, SIZE, CropGeometry, crop_face, fit_square, normalize
from fervid.faces.detectors import create_detector
from fervid.faces.quality import face_quality
from fervid.settings import ScanSettings
from fervid.types import ByteArray, Face
from fervid.video.reader import VideoReader

PLAIN = CropGeometry(scale=1.0, shift_x=0.0, shift_y=0.0)


def texture(height: int, width: int, seed: int = 0, grain: int = 4) -> ByteArray:
    """Smooth noise over the complete range of gray."""
    rows, columns = -(-height // grain) + 2, -(-width // grain) + 2
    noise = np.random.default_rng(seed).integers(0, 256, (rows, columns)).astype(np.uint8)
    large = cv2.resize(noise, None, fx=grain, fy=grain, interpolation=cv2.INTER_CUBIC)
    return np.asarray(large[:height, :width], np.uint8)


def moved(face: Face, dx: float, dy: float) -> Face:
    return replace(face, x=face.x + dx, y=face.y + dy)


def padded(gray: ByteArray, margin: int) -> ByteArray:
    return np.asarray(cv2.copyMakeBorder(gray, margin, margin, margin, margin, cv2.BORDER_REPLICATE), np.uint8)


# geometry


def test_the_square_of_a_known_box() -> None:
    geometry = CropGeometry(scale=1.5, shift_x=0.1, shift_y=-0.2)
    # side 1.5 * sqrt(40 * 90) = 90; centre (30 + 9, 65 - 18)
    assert geometry.square(Face(10, 20, 40, 90, 1.0)) == pytest.approx((-6, 2, 90))


@given(
    x=st.floats(-500, 500),
    y=st.floats(-500, 500),
    width=st.floats(1, 400),
    height=st.floats(1, 400),
    factor=st.floats(0.1, 10),
)
def test_the_square_moves_and_grows_with_the_box(
    x: float, y: float, width: float, height: float, factor: float
) -> None:
    left, top, side = FER2013_GEOMETRY.square(Face(x, y, width, height, 1.0))
    assert side == pytest.approx(FER2013_GEOMETRY.scale * np.sqrt(width * height))
    expected = (left + 7, top - 3, side)
    assert FER2013_GEOMETRY.square(Face(x + 7, y - 3, width, height, 1.0)) == pytest.approx(expected, abs=1e-6)
    grown = Face(x * factor, y * factor, width * factor, height * factor, 1.0)
    assert FER2013_GEOMETRY.square(grown) == pytest.approx((left * factor, top * factor, side * factor), abs=1e-6)


def test_a_box_of_the_crops_size_is_cut_out_pixel_for_pixel() -> None:
    gray = texture(200, 300)
    crop = crop_face(gray, Face(100, 50, SIZE, SIZE, 1.0), PLAIN)
    assert np.array_equal(crop, gray[50 : 50 + SIZE, 100 : 100 + SIZE])


@given(dx=st.integers(-40, 40), dy=st.integers(-40, 40), quarters=st.integers(60, 480), seed=st.integers(0, 3))
def test_a_face_that_moves_by_whole_pixels_gives_the_same_crop(dx: int, dy: int, quarters: int, seed: int) -> None:
    scene, geometry = texture(500, 500, seed), CropGeometry(1.25, 0.125, -0.0625)
    face = Face(140.25, 130.75, quarters / 4, quarters / 4, 1.0)
    still, shifted = scene[50:450, 50:450], scene[50 - dy : 450 - dy, 50 - dx : 450 - dx]
    crop = crop_face(still, face, geometry)
    assert np.array_equal(crop_face(shifted, moved(face, dx, dy), geometry), crop)


@given(
    x=st.floats(-120, 160),
    y=st.floats(-120, 140),
    width=st.floats(5, 150),
    height=st.floats(5, 150),
)
def test_outside_the_image_its_edge_repeats(x: float, y: float, width: float, height: float) -> None:
    gray, face = texture(80, 100), Face(x, y, width, height, 1.0)
    crop = crop_face(gray, face, FER2013_GEOMETRY)
    expected = crop_face(padded(gray, 300), moved(face, 300, 300), FER2013_GEOMETRY)
    assert np.abs(crop.astype(int) - expected).max() <= 1


@pytest.mark.parametrize(("x", "y", "corner"), [(-90, -90, (0, 0)), (900, 700, (-1, -1)), (-90, 700, (-1, 0))])
def test_a_box_beyond_a_corner_shows_the_corner(x: float, y: float, corner: tuple[int, int]) -> None:
    gray = texture(80, 100)
    assert np.all(crop_face(gray, Face(x, y, 40, 40, 1.0), PLAIN) == gray[corner])


@pytest.mark.parametrize("size", [1, 3, 20, 47.5, 48, 49, 100, 333])
def test_every_size_of_face_gives_a_crop_of_one_size_and_keeps_flat_gray(size: float) -> None:
    crop = crop_face(np.full((400, 400), 93, np.uint8), Face(20, 20, size, size, 1.0), FER2013_GEOMETRY)
    assert crop.shape == (SIZE, SIZE)
    assert crop.dtype == np.uint8
    assert np.all(crop == 93)


def test_cropping_does_not_change_the_image() -> None:
    gray = texture(100, 100)
    kept = gray.copy()
    crop_face(gray, Face(-20, -20, 90, 90, 1.0), FER2013_GEOMETRY)
    assert np.array_equal(gray, kept)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_a_larger_image_of_one_face_gives_nearly_the_same_crop(factor: int) -> None:
    gray, face = texture(120, 120, grain=12), Face(30, 30, SIZE, SIZE, 1.0)
    large = np.asarray(cv2.resize(gray, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR), np.uint8)
    grown = Face(30 * factor, 30 * factor, SIZE * factor, SIZE * factor, 1.0)
    difference = crop_face(large, grown, PLAIN).astype(float) - crop_face(gray, face, PLAIN)
    assert np.abs(difference).mean() < 2


def test_shrinking_averages_fine_texture() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (480, 480)).astype(np.uint8)
    crop = crop_face(noise, Face(0, 0, 480, 480, 1.0), PLAIN)
    averages = noise.reshape(SIZE, 10, SIZE, 10).mean(axis=(1, 3))
    assert np.abs(crop - averages).max() <= 1


def test_enlarging_keeps_a_ramp_monotone() -> None:
    ramp = np.tile(np.arange(0, 240, 10, dtype=np.uint8), (24, 1))
    crop = crop_face(ramp, Face(0, 0, 24, 24, 1.0), PLAIN).astype(int)
    assert np.all(np.diff(crop, axis=1) >= 0)
    assert len(np.unique(crop)) > 24


def test_an_image_of_crop_size_is_used_unchanged() -> None:
    gray = texture(SIZE, SIZE)
    assert np.array_equal(fit_square(gray), gray)
    wide = np.hstack([np.zeros((SIZE, 10), np.uint8), gray, np.zeros((SIZE, 10), np.uint8)])
    assert np.array_equal(fit_square(wide), gray)
    assert np.array_equal(fit_square(np.ascontiguousarray(wide.T)), gray.T)


# normalisation


def test_each_crop_gets_mean_zero_and_deviation_one() -> None:
    crops = np.stack([texture(SIZE, SIZE, seed) // (seed + 1) for seed in range(5)])
    values = normalize(crops)
    assert values.shape == (5, SIZE, SIZE, 1)
    assert values.dtype == np.float32
    assert values.mean(axis=(1, 2, 3)) == pytest.approx(np.zeros(5), abs=1e-5)
    assert values.std(axis=(1, 2, 3)) == pytest.approx(np.ones(5), abs=1e-4)


def test_a_crop_is_normalised_by_itself_alone() -> None:
    crops = np.stack([texture(SIZE, SIZE, seed) for seed in range(4)])
    assert np.array_equal(normalize(crops)[2], normalize(crops[2:3])[0])
    assert normalize(crops[:0]).shape == (0, SIZE, SIZE, 1)


@given(gain=st.floats(0.2, 1.0), offset=st.integers(0, 50))
def test_brightness_and_contrast_cancel(gain: float, offset: int) -> None:
    crop = texture(SIZE, SIZE)
    changed = np.round(crop * gain * 0.8 + offset).astype(np.uint8)
    assert np.abs(normalize(changed[None]) - normalize(crop[None])).max() < 0.06


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_flat_crop_becomes_zero(level: int) -> None:
    assert np.all(normalize(np.full((1, SIZE, SIZE), level, np.uint8)) == 0)


def test_the_noise_of_a_flat_crop_is_not_amplified() -> None:
    noise = (128 + np.random.default_rng(0).integers(-1, 2, (1, SIZE, SIZE))).astype(np.uint8)
    assert normalize(noise).std() < 0.25


# quality

EYES_AND_NOSE = ((40.0, 40.0), (60.0, 40.0), (50.0, 50.0))
GOOD = Face(20, 20, 60, 70, 0.99, EYES_AND_NOSE)


def quality(face: Face = GOOD, crop: ByteArray | None = None) -> float:
    return face_quality(face, texture(SIZE, SIZE) if crop is None else crop, 200, 150)


def blurred(deviation: float) -> ByteArray:
    return np.asarray(cv2.GaussianBlur(texture(SIZE, SIZE), (0, 0), deviation), np.uint8)


def falls(values: list[float]) -> bool:
    return bool(np.all(np.diff(values) < 0))


def test_a_large_sharp_frontal_complete_face_with_a_high_score_is_near_one() -> None:
    assert 0.95 < quality() <= 1


@given(
    box=st.tuples(st.floats(-300, 300), st.floats(-300, 300), st.floats(0, 400), st.floats(0, 400)),
    score=st.floats(0, 1),
    points=st.lists(st.tuples(st.floats(-50, 250), st.floats(-50, 250)), max_size=5),
    flat=st.booleans(),
)
def test_quality_lies_between_zero_and_one(
    box: tuple[float, float, float, float], score: float, points: list[tuple[float, float]], flat: bool
) -> None:
    crop = np.full((SIZE, SIZE), 9, np.uint8) if flat else texture(SIZE, SIZE)
    assert 0 <= quality(Face(*box, score, tuple(points)), crop) <= 1


def test_quality_falls_with_size() -> None:
    assert falls([quality(replace(GOOD, width=size, height=size * 1.2)) for size in (48, 40, 30, 20, 10, 3)])


def test_pixels_beyond_the_crop_size_do_not_raise_quality() -> None:
    assert quality(replace(GOOD, width=60, height=60)) == quality(replace(GOOD, width=120, height=100))


def test_quality_falls_with_blur() -> None:
    assert falls([quality(crop=blurred(deviation)) for deviation in (1.3, 1.6, 1.9, 2.2)])
    assert quality(crop=blurred(1.3)) < quality()


def test_quality_falls_with_truncation_on_every_side() -> None:
    for direction in ((-1, 0), (0, -1)):
        assert falls(
            [quality(replace(GOOD, x=20 * direction[0] * step, y=20 * direction[1] * step)) for step in (0, 1, 2)]
        )
    assert falls([quality(replace(GOOD, x=140 + 15 * step)) for step in range(4)])
    assert falls([quality(replace(GOOD, y=80 + 15 * step)) for step in range(4)])


def test_quality_falls_as_the_nose_leaves_the_middle_to_either_side() -> None:
    for side in (-1, 1):
        turned = [replace(GOOD, landmarks=(*EYES_AND_NOSE[:2], (50.0 + side * away, 50.0))) for away in (0, 4, 8, 10)]
        assert falls([quality(face) for face in turned])


def test_a_tilted_head_is_as_good_as_an_upright_one() -> None:
    turn = np.array([[0.8, -0.6], [0.6, 0.8]])
    tilted = tuple((float(x), float(y)) for x, y in (turn @ np.array(EYES_AND_NOSE).T).T)
    assert quality(replace(GOOD, landmarks=tilted)) == pytest.approx(quality())


def test_quality_falls_with_the_detectors_score() -> None:
    assert falls([quality(replace(GOOD, score=score)) for score in (1.0, 0.9, 0.7, 0.4)])


def test_without_landmarks_pose_does_not_count() -> None:
    assert quality(replace(GOOD, landmarks=())) == pytest.approx(quality())


def test_quality_falls_as_the_image_darkens() -> None:
    assert falls([quality(crop=np.asarray(texture(SIZE, SIZE) // part, np.uint8)) for part in (1, 8, 16)])


def test_a_box_that_ends_at_the_border_counts_as_incomplete() -> None:
    complete = quality(replace(GOOD, x=40, width=50))
    assert quality(replace(GOOD, x=0, width=30)) < 0.75 * complete
    assert quality(replace(GOOD, x=170, width=30)) < 0.75 * complete
    assert quality(replace(GOOD, x=40, width=30)) > quality(replace(GOOD, x=0, width=30))


# quality of real crops


def qualities_of(image: ByteArray) -> list[float]:
    """Quality of each face of an image, the widest first."""
    gray = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)
    height, width = gray.shape
    faces = sorted(create_detector(ScanSettings()).detect(image), key=lambda face: -face.width)
    return [face_quality(face, crop_face(gray, face, FER2013_GEOMETRY), width, height) for face in faces]


def still(path: Path, time: float) -> ByteArray:
    with VideoReader(path, fps=0, start=time) as reader:
        return next(frame.image for frame in reader.frames() if frame.sampled)


def test_a_close_up_has_high_quality_and_worse_views_of_it_low_quality(shared_media: Path) -> None:
    image = still(shared_media / "talking_d3.mp4", 1.0)
    assert qualities_of(image)[0] > 0.95
    far = np.full((360, 640, 3), 128, np.uint8)
    far[100:134, 100:134] = cv2.resize(image, (34, 34), interpolation=cv2.INTER_AREA)
    assert qualities_of(far)[0] < 0.45
    assert qualities_of(np.ascontiguousarray(image[:, 256:]))[0] < 0.45
    blurred_much = np.asarray(cv2.GaussianBlur(image, (0, 0), 12), np.uint8)
    assert qualities_of(blurred_much)[0] < 0.8
    assert qualities_of((image // 12).astype(np.uint8))[0] < 0.45


def test_profiles_and_dark_faces_have_low_quality(shared_media: Path) -> None:
    assert qualities_of(still(shared_media / "hamilton_cuts.mp4", 2.0))[0] < 0.1
    audience = qualities_of(still(shared_media / "hamilton_cuts.mp4", 9.0))
    assert len(audience) >= 4
    assert max(audience) < 0.45
    assert qualities_of(still(shared_media / "hamilton_cuts.mp4", 5.0))[0] > 0.6
