"""Faces between two detections, on drawn images whose motion is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fervid.faces.following import FacesBetween
from fervid.runtime.opencv import cv2
from fervid.types import ByteArray, Face

SIDE = 80
THRESHOLD = 0.65


def texture(seed: int) -> ByteArray:
    """A smooth pattern, (SIDE, SIDE) uint8, in place of a face."""
    noise = np.random.default_rng(seed).uniform(0, 255, (8, 8)).astype(np.float32)
    return np.asarray(np.clip(cv2.resize(noise, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC), 0, 255), np.uint8)


def drawn(*places: tuple[float, float], seed: int = 0) -> ByteArray:
    """(240, 320, 3): a pattern at each place, its left and top edge. Parts of pixels count."""
    image = np.full((240, 320), 90, np.uint8)
    for number, (x, y) in enumerate(places):
        shift = np.array([[1, 0, x], [0, 1, y]], np.float64)
        cv2.warpAffine(texture(seed + number), shift, (320, 240), dst=image, borderMode=cv2.BORDER_TRANSPARENT)
    return np.repeat(image[:, :, None], 3, axis=2)


def face(x: float, y: float, score: float = 0.95) -> Face:
    points = tuple((x + SIDE * across, y + SIDE * down) for across, down in ((0.3, 0.4), (0.7, 0.4), (0.5, 0.6)))
    return Face(x, y, SIDE, SIDE, score, points)


def test_a_face_that_moves_evenly_is_followed() -> None:
    first, last = face(100, 60, 0.99), face(109, 66, 0.9)
    between = FacesBetween(drawn((100, 60)), [first], drawn((109, 66)), [last], THRESHOLD)
    assert between.can_follow
    found = between.at(drawn((103, 62)), 1 / 3)
    assert found is not None
    (one,) = found
    assert one.followed
    assert one.score == 0.9  # the lower one: nothing was detected here
    assert one.box == pytest.approx((103, 62, SIDE, SIDE))
    assert np.allclose(one.landmarks, face(103, 62).landmarks)


@pytest.mark.parametrize(
    ("image", "why"),
    [
        (drawn((100, 60)), "it has not moved yet"),
        (drawn((109, 66)), "it has moved already"),
        (drawn((104.5, 63), seed=5), "another face"),
        (drawn(), "no face"),
        (np.zeros((240, 320, 3), np.uint8), "a black frame"),
    ],
)
def test_a_frame_that_disagrees_is_not_followed(image: ByteArray, why: str) -> None:
    between = FacesBetween(drawn((100, 60)), [face(100, 60)], drawn((109, 66)), [face(109, 66)], THRESHOLD)
    assert between.at(image, 0.5) is None, why


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ([face(100, 60)], []),
        ([face(100, 60)], [face(100, 60), face(220, 60)]),
        ([face(100, 60)], [face(130, 60)]),
        ([face(100, 60)], [replace(face(92, 52), width=96, height=96)]),
        ([face(100, 60)], [face(100, 60, 0.7)]),
        ([face(-2, 60)], [face(6, 60)]),
        ([face(40, 60), face(130, 60)], [face(40, 60), face(130, 60)]),
        ([replace(face(100, 60), landmarks=())], [face(100, 60)]),
        ([Face(100, 60, 20, 20, 0.95)], [Face(100, 60, 20, 20, 0.95)]),
    ],
    ids=["gone", "new", "fast", "larger", "doubtful", "at the border", "neighbours", "landmarks", "small"],
)
def test_an_interval_in_doubt_is_not_followed(first: list[Face], last: list[Face]) -> None:
    images = [drawn(*((one.x, one.y) for one in faces)) for faces in (first, last)]
    between = FacesBetween(images[0], first, images[1], last, THRESHOLD)
    assert not between.can_follow
    assert between.at(images[0], 0.5) is None


def test_faces_keep_their_partners_and_the_best_comes_first() -> None:
    places = (20.0, 60.0), (200.0, 60.0)
    first, last = [face(*places[0], 0.8), face(*places[1], 0.9)], [face(*places[1], 0.9), face(*places[0], 0.8)]
    found = FacesBetween(drawn(*places), first, drawn(*places), last, THRESHOLD).at(drawn(*places), 0.5)
    assert found is not None
    assert [(one.x, one.score) for one in found] == [(200, 0.9), (20, 0.8)]


def test_an_interval_without_faces_has_none() -> None:
    between = FacesBetween(drawn(), [], drawn(), [], THRESHOLD)
    assert between.can_follow
    assert between.at(drawn(), 0.5) == []


def test_images_stay_as_they_are() -> None:
    images = [drawn((100, 60)), drawn((103, 60)), drawn((106, 60))]
    kept = [image.copy() for image in images]
    between = FacesBetween(images[0], [face(100, 60)], images[2], [face(106, 60)], THRESHOLD)
    assert between.at(images[1], 0.5)
    assert all(np.array_equal(*pair) for pair in zip(images, kept, strict=True))
