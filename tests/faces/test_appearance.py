"""Appearance descriptors and face alignment."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fervid.faces.alignment import TEMPLATE, align, area_resize, similarity_transform, widened
from fervid.faces.appearance import _count_colours, appearance
from fervid.faces.detectors import create_detector
from fervid.settings import ScanSettings
from fervid.types import ByteArray, Face, FloatArray
from fervid.video.reader import VideoReader
from tests.support.paths import ROOT


@lru_cache(maxsize=4)
def portrait(name: str) -> tuple[ByteArray, Face]:
    """The first frame of a sample clip and the face in it."""
    with VideoReader(ROOT / "sample_videos" / name, fps=1) as reader:
        image = next(frame.image for frame in reader.frames() if frame.sampled)
    return image, create_detector(ScanSettings()).detect(image)[0]


def describe(image: ByteArray, face: Face) -> FloatArray:
    return appearance(image, np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8), face)


def rotate_around(image: ByteArray, face: Face, degrees: float, scale: float) -> tuple[ByteArray, Face]:
    """The image rotated around the face, and the face in it."""
    height, width = image.shape[:2]
    centre = face.x + face.width / 2, face.y + face.height / 2
    matrix = np.asarray(cv2.getRotationMatrix2D(centre, degrees, scale))
    rotated = np.asarray(cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE), np.uint8)
    points = np.array(face.landmarks) @ matrix[:, :2].T + matrix[:, 2]
    box = centre[0] - face.width * scale / 2, centre[1] - face.height * scale / 2
    landmarks = tuple((float(x), float(y)) for x, y in points)
    return rotated, Face(*box, face.width * scale, face.height * scale, face.score, landmarks)


@pytest.mark.parametrize("name", ["pan_zoom.mp4", "rotated.mp4"])
def test_a_descriptor_is_a_unit_vector_without_negative_elements(name: str) -> None:
    vector = describe(*portrait(name))
    assert vector.shape == (272,)
    assert vector.dtype == np.float32
    assert float(vector @ vector) == pytest.approx(1, abs=1e-5)
    assert vector.min() >= 0


@pytest.mark.parametrize("name", ["pan_zoom.mp4", "rotated.mp4"])
@pytest.mark.parametrize(("degrees", "scale"), [(0, 0.6), (0, 1.4), (20, 1.0), (-30, 0.8)])
def test_a_tilted_or_nearer_face_has_a_similar_descriptor_and_another_face_has_not(
    name: str, degrees: float, scale: float
) -> None:
    image, face = portrait(name)
    other = describe(*portrait("rotated.mp4" if name == "pan_zoom.mp4" else "pan_zoom.mp4"))
    there = describe(*rotate_around(image, face, degrees, scale))
    assert float(describe(image, face) @ there) > 0.93
    assert float(other @ there) < 0.85


def test_boxes_without_landmarks_or_outside_the_image_have_descriptors_too() -> None:
    image, face = portrait("pan_zoom.mp4")
    bare = describe(image, replace(face, landmarks=()))
    assert float(bare @ bare) == pytest.approx(1, abs=1e-5)
    away = describe(image, Face(-500, -500, 40, 40, 0.7))
    assert float(away @ away) == pytest.approx(1, abs=1e-5)


def test_colours_are_those_of_cielab() -> None:
    image = np.random.default_rng(3).integers(0, 256, (32, 24, 3)).astype(np.uint8)
    lab = np.asarray(cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_BGR2LAB), np.float64).reshape(-1, 3)
    edges = [np.linspace(0, 100, 5), np.linspace(-42, 42, 7), np.linspace(-42, 42, 7)]
    for edge in edges[1:]:
        edge[[0, -1]] = -np.inf, np.inf  # stronger colours count in the outer bins
    expected = np.histogramdd(lab, edges)[0].ravel()
    found = _count_colours(image)
    assert found.sum() == 32 * 24
    # OpenCV interpolates in a table, with errors of up to 0.3, so pixels near an edge may lie on its other side
    assert np.abs(found - expected).sum() / 2 < 0.03 * 32 * 24


@given(
    degrees=st.floats(-180, 180), scale=st.floats(0.1, 10), shift=st.tuples(st.floats(-500, 500), st.floats(-500, 500))
)
def test_the_transform_inverts_rotation_scale_and_shift(
    degrees: float, scale: float, shift: tuple[float, float]
) -> None:
    angle = np.deg2rad(degrees)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = TEMPLATE @ turn.T + shift
    matrix = similarity_transform(points, TEMPLATE)
    assert points @ matrix[:, :2].T + matrix[:, 2] == pytest.approx(TEMPLATE, abs=1e-6)


@pytest.mark.parametrize("scale", [1.0, 0.5])
@pytest.mark.parametrize("side", [32, 112])
def test_the_eyes_of_an_aligned_face_are_at_the_template(side: int, scale: float) -> None:
    image, face = rotate_around(*portrait("rotated.mp4"), 25, scale)
    for x, y in face.landmarks:
        cv2.circle(image, (round(x), round(y)), max(4, round(10 * scale)), (0, 255, 0), -1)
    aligned = align(image, face, side)
    assert aligned.shape == (side, side, 3)
    green = aligned[:, :, 1].astype(int) - aligned[:, :, [0, 2]].max(axis=2)
    rows, columns = np.nonzero(green > 40)
    spots = np.stack([columns + 0.5, rows + 0.5], axis=1) * 112 / side
    # faces differ from the template by a few of its pixels
    for point in TEMPLATE:
        assert np.linalg.norm(spots - point, axis=1).min() < 9


@pytest.mark.parametrize("shape", [(720, 1280, 3), (601, 333), (100, 90, 3)])
def test_shrinking_in_steps_averages_as_in_one(shape: tuple[int, ...]) -> None:
    random = np.random.default_rng(1)
    coarse = random.integers(0, 256, (12, 16, *shape[2:])).astype(np.uint8)
    image = np.asarray(cv2.resize(coarse, shape[1::-1], interpolation=cv2.INTER_CUBIC), np.uint8)
    once = np.asarray(cv2.resize(image, (24, 32), interpolation=cv2.INTER_AREA), np.float64)
    steps = area_resize(image, (24, 32)).astype(np.float64)
    assert np.abs(steps - once).mean() < 1.5
    assert np.abs(steps - once).max() < 12


@pytest.mark.parametrize(
    ("part", "wider"),
    [
        ((10, 20, 299, 441), (10, 20, 302, 444)),  # 289 by 421, halved twice
        ((511, 79, 800, 500), (508, 76, 800, 500)),  # at the right and lower border of the image
        ((0, 20, 800, 441), (0, 20, 800, 444)),
        ((10, 20, 61, 91), (10, 20, 61, 91)),  # it is not halved
    ],
)
def test_a_part_is_widened_so_that_it_can_be_halved(
    part: tuple[int, int, int, int], wider: tuple[int, int, int, int]
) -> None:
    assert widened(part, (800, 500), (24, 32)) == wider
