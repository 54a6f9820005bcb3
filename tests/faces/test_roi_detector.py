"""The region detector finds the same faces as detection on full images."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fervid.faces.boxes import iou, shrink
from fervid.faces.retinaface import RetinaFace, SmallFaces
from fervid.faces.roi_detector import (
    CHANGE_MARGIN,
    PERIOD,
    STRIDE,
    RegionDetector,
    _merge_regions,
    _Region,
    _region,
    detect_around,
)
from fervid.settings import ScanSettings
from fervid.types import ByteArray, Face
from fervid.video.reader import VideoReader
from tests.support.paths import ROOT

SAMPLES = sorted((ROOT / "sample_videos").glob("*.mp4"))
EVERYDAY_SAMPLES = ("crossing.mp4", "cut.mp4", "leaving.mp4")
REAL = ("composite_cross.mp4", "wolfgang.mp4", "hamilton_cuts.mp4", "face_noface_hevc_vfr.mov", "no_face.mp4")
EVERYDAY_REAL = (("composite_cross.mp4", 5.0), ("face_noface_hevc_vfr.mov", 5.0))
"""The other clips, and the other rates, take their turn nightly."""
STEP = 0.2


class RecordingDetector(RetinaFace):
    """Records (height, width) of each image that it processes."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[tuple[int, ...]] = []

    def detect_unscaled(
        self, image: ByteArray, threshold: float, factor: float = 1.0, small_faces: SmallFaces = "all"
    ) -> list[Face]:
        self.sizes.append(image.shape[:2])
        return super().detect_unscaled(image, threshold, factor, small_faces)


@pytest.fixture(scope="module")
def plain() -> RetinaFace:
    return RetinaFace()


def samples_of(path: Path, fps: float = 5.0, start: float = 0.0) -> Iterator[tuple[float, ByteArray]]:
    """(time, image shrunk to the detector's long side) of each sample."""
    with VideoReader(path, fps=fps, start=start) as reader:
        for frame in reader.frames():
            if frame.sampled:
                yield frame.time, shrink(frame.image, ScanSettings().long_side)[0]


def play(samples: Sequence[ByteArray], detector: RetinaFace) -> list[list[Face]]:
    """The faces in consecutive images."""
    adaptive = RegionDetector(detector)
    return [adaptive.detect(index * STEP, image) for index, image in enumerate(samples)]


@pytest.fixture(scope="module")
def scene(plain: RetinaFace) -> tuple[ByteArray, ByteArray, Face]:
    """An image without people, the same image with one person, and the face."""
    empty, *_ = (image for time, image in samples_of(ROOT / "sample_videos" / "leaving.mp4") if time > 3.5)
    _, image = next(samples_of(ROOT / "sample_videos" / "pan_zoom.mp4"))
    (face,) = plain.detect(image)
    top, left = max(0, int(face.y - 20)), max(0, int(face.x - 20))
    part = image[top : int(face.y + face.height + 20), left : int(face.x + face.width + 20)]
    small = np.asarray(cv2.resize(part, (84, 96), interpolation=cv2.INTER_AREA), np.uint8)
    shown = empty.copy()
    shown[100:196, 200:284] = small
    (found,) = plain.detect(shown)
    return empty, shown, found


def assert_same_faces(found: list[Face], expected: list[Face], min_iou: float = 0.7) -> None:
    assert len(found) == len(expected)
    for face in expected:
        assert iou(face.box, [other.box for other in found]).max() > min_iou


def nightly(*values: Any, unless: bool) -> Any:
    """The values of a test, which runs nightly only unless it belongs to every run."""
    return pytest.param(*values, marks=() if unless else pytest.mark.slow)


@pytest.mark.parametrize(
    "path", [nightly(path, unless=path.name in EVERYDAY_SAMPLES) for path in SAMPLES], ids=lambda path: path.name
)
def test_the_faces_are_those_of_the_plain_detector(path: Path, plain: RetinaFace) -> None:
    adaptive = RegionDetector(plain)
    for time, image in samples_of(path):
        assert_same_faces(adaptive.detect(time, image), plain.detect(image))


@pytest.mark.parametrize(
    ("name", "fps"),
    [nightly(name, fps, unless=(name, fps) in EVERYDAY_REAL) for name, fps in itertools.product(REAL, (5.0, 0.0))],
)
def test_on_real_clips_no_face_is_missed_or_added(name: str, fps: float, shared_media: Path, plain: RetinaFace) -> None:
    watched = RecordingDetector()
    adaptive = RegionDetector(watched)
    faces = missed = added = samples = 0
    for time, image in samples_of(shared_media / name, fps):
        if samples == 60:
            break
        found, expected = adaptive.detect(time, image), plain.detect(image)
        samples += 1
        faces += len(expected)
        overlaps = iou([face.box for face in expected], [face.box for face in found])
        missed += int((overlaps < 0.5).all(axis=1).sum())
        added += int((overlaps < 0.5).all(axis=0).sum())
    assert missed <= 0.01 * faces
    assert added <= 0.01 * faces
    assert sum(height * width for height, width in watched.sizes) < 1.1 * samples * image.shape[0] * image.shape[1]


def test_a_period_does_not_depend_on_samples_before_it(plain: RetinaFace) -> None:
    samples = list(samples_of(ROOT / "sample_videos" / "crossing.mp4", fps=10))
    assert samples[-1][0] > PERIOD
    first, second = RegionDetector(plain), RegionDetector(plain)
    whole = [(time, first.detect(time, image)) for time, image in samples]
    part = [(time, second.detect(time, image)) for time, image in samples if time >= PERIOD]
    assert [found for found in whole if found[0] >= PERIOD] == part


def test_the_first_sample_of_a_period_is_processed_as_a_full_image(plain: RetinaFace) -> None:
    adaptive, due = RegionDetector(plain), -1.0
    for time, image in samples_of(ROOT / "sample_videos" / "crossing.mp4"):
        found = adaptive.detect(time, image)
        if time // PERIOD != due:
            assert found == plain.detect(image)
        due = time // PERIOD


def test_a_static_empty_scene_costs_one_detection_per_period(scene: tuple[ByteArray, ByteArray, Face]) -> None:
    empty, _, _ = scene
    watched = RecordingDetector()
    assert play([empty] * round(2 * PERIOD / STEP), watched) == [[]] * round(2 * PERIOD / STEP)
    assert watched.sizes == [empty.shape[:2]] * 2


def test_a_static_face_costs_only_its_surroundings(scene: tuple[ByteArray, ByteArray, Face]) -> None:
    _, shown, face = scene
    watched = RecordingDetector()
    for found in play([shown] * 8, watched):
        assert_same_faces(found, [face], 0.9)
    first, *rest = watched.sizes
    assert first == shown.shape[:2]
    assert len(rest) == 7
    assert all(height * width < 0.4 * shown.shape[0] * shown.shape[1] for height, width in rest)


def test_a_face_that_comes_and_goes_is_found_in_the_same_sample(scene: tuple[ByteArray, ByteArray, Face]) -> None:
    empty, shown, face = scene
    found = play([empty, empty, shown, shown, empty, shown], RecordingDetector())
    assert [len(faces) for faces in found] == [0, 0, 1, 1, 0, 1]
    assert_same_faces(found[2], [face], 0.8)


def test_a_second_face_is_found_beside_one_that_stays(scene: tuple[ByteArray, ByteArray, Face]) -> None:
    _, shown, face = scene
    both = shown.copy()
    both[220:316, 340:424] = shown[100:196, 200:284]
    found = play([shown, shown, both, both], RecordingDetector())
    assert [len(faces) for faces in found] == [1, 1, 2, 2]
    other = Face(face.x + 140, face.y + 120, face.width, face.height, face.score)
    assert_same_faces(found[2], [face, other], 0.8)


def test_a_face_may_move_far_between_samples(scene: tuple[ByteArray, ByteArray, Face]) -> None:
    empty, shown, face = scene
    moved = empty.copy()
    moved[200:296, 20:104] = shown[100:196, 200:284]
    found = play([shown, shown, moved, shown], RecordingDetector())
    other = Face(face.x - 180, face.y + 100, face.width, face.height, face.score)
    assert_same_faces(found[2], [other], 0.8)
    assert_same_faces(found[3], [face], 0.8)


def test_after_a_cut_the_full_image_is_processed(plain: RetinaFace, scene: tuple[ByteArray, ByteArray, Face]) -> None:
    _, shown, _ = scene
    _, couple = next(samples_of(ROOT / "sample_videos" / "crossing.mp4"))
    couple = np.asarray(cv2.resize(couple, shown.shape[1::-1]), np.uint8)
    found = play([shown, shown, couple], plain)
    assert len(found[2]) == 2
    assert_same_faces(found[2], plain.detect(couple))


def test_samples_before_a_cut_do_not_matter_after_it(
    plain: RetinaFace, scene: tuple[ByteArray, ByteArray, Face]
) -> None:
    """A small face makes the rest of its period use full resolution, but not the next shot."""
    empty, shown, _ = scene
    before = empty.copy()
    half = np.asarray(cv2.resize(shown, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)
    before[: half.shape[0], : half.shape[1]] = half
    assert [face.width < 45 for face in plain.detect(before)] == [True]
    _, couple = next(samples_of(ROOT / "sample_videos" / "crossing.mp4"))
    couple = np.asarray(cv2.resize(couple, before.shape[1::-1]), np.uint8)
    lit = couple.copy()
    lit[-80:, 200:400] = 255
    one, other = RecordingDetector(), RecordingDetector()
    assert play([before, before, couple, lit], one)[2:] == play([couple, lit], other)
    assert len(other.sizes) > 2
    assert one.sizes[-len(other.sizes) :] == other.sizes


def test_the_image_size_may_change(plain: RetinaFace, scene: tuple[ByteArray, ByteArray, Face]) -> None:
    _, shown, _ = scene
    half = np.asarray(cv2.resize(shown, None, fx=0.5, fy=0.7), np.uint8)
    assert play([shown, half, shown], plain)[1] == plain.detect(half)


@pytest.mark.parametrize("shape", [(1, 1), (3, 500), (500, 3), (31, 33)])
def test_images_of_any_shape_are_accepted(shape: tuple[int, int], plain: RetinaFace) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (4, *shape, 3)).astype(np.uint8)
    assert play(list(noise), plain) == [[]] * 4


# regions


boxes = st.tuples(st.floats(-100, 700), st.floats(-100, 400), st.floats(1, 400), st.floats(1, 400))


@given(box=boxes, step=st.sampled_from([1, 2, 4]), width=st.integers(1, 640), height=st.integers(1, 360))
def test_a_region_is_inside_the_image_on_the_networks_grid(
    box: tuple[float, float, float, float], step: int, width: int, height: int
) -> None:
    region = _region(box, CHANGE_MARGIN, width, height, False, step)
    assert 0 <= region.left < region.right <= width
    assert 0 <= region.top < region.bottom <= height
    assert region.left % (STRIDE * step) == region.top % (STRIDE * step) == 0
    x, y, across, down = box
    if 0 <= x < x + across <= width and 0 <= y < y + down <= height:
        assert region.left <= max(0, x - CHANGE_MARGIN)
        assert region.right >= min(width, x + across + CHANGE_MARGIN)
        assert region.top <= max(0, y - CHANGE_MARGIN)
        assert region.bottom >= min(height, y + down + CHANGE_MARGIN)


@given(given=st.lists(st.tuples(boxes, st.sampled_from([1, 2])), max_size=8))
def test_merged_regions_contain_all_regions_and_are_separate(
    given: list[tuple[tuple[float, float, float, float], int]],
) -> None:
    regions = [_region(box, CHANGE_MARGIN, 640, 360, False, step) for box, step in given]
    merged = _merge_regions(regions)
    for region in regions:
        assert any(holds(other, region) for other in merged)
    for first, one in enumerate(merged):
        assert not any(one.should_merge(other) for other in merged[:first])
    assert sum(region.cost for region in merged) <= sum(region.cost for region in regions) + 1e-6 or len(regions) > len(
        merged
    )


def holds(one: _Region, other: _Region) -> bool:
    return (
        one.step == other.step
        and one.left <= other.left
        and one.top <= other.top
        and one.right >= other.right
        and one.bottom >= other.bottom
    )


def test_around_known_faces_the_same_ones_are_found_on_fewer_pixels(scene: tuple[ByteArray, ByteArray, Face]) -> None:
    _, image, face = scene
    detector = RecordingDetector()
    whole = detector.detect(image, (image, 1.0))
    detector.sizes.clear()
    (again,) = detect_around(lambda part: detector.detect(part, (part, 1.0)), image, [face])
    assert iou([again.box], [one.box for one in whole]).max() > 0.95
    assert sum(height * width for height, width in detector.sizes) < 0.4 * image.shape[0] * image.shape[1]


def test_around_faces_all_over_the_image_the_whole_is_searched(scene: tuple[ByteArray, ByteArray, Face]) -> None:
    _, image, _ = scene
    height, width = image.shape[:2]
    detector = RecordingDetector()
    corners = [Face(x, y, 90.0, 90.0, 0.9) for x in (0.0, width - 90.0) for y in (0.0, height - 90.0)]
    middle = Face(width / 4, height / 4, width / 2, height / 2, 0.9)
    found = detect_around(lambda part: detector.detect(part, (part, 1.0)), image, [*corners, middle])
    assert found == detector.detect(image, (image, 1.0))
    assert detect_around(lambda part: detector.detect(part, (part, 1.0)), image, []) == []


@pytest.mark.parametrize("threshold", [0.65, pytest.param(0.3, marks=pytest.mark.slow)])
def test_the_gate_changes_no_face_of_a_whole_image(threshold: float) -> None:
    detector = RetinaFace(threshold)
    for path in SAMPLES:
        for _, image in samples_of(path, fps=1.0):
            all_parts = detector.detect_unscaled(image, threshold)
            gated = detector.detect(image, (image, 1.0))
            assert [face.score for face in gated] == pytest.approx([face.score for face in all_parts], abs=1e-3)
            if gated:
                boxes = np.array([face.box for face in gated])
                np.testing.assert_allclose(boxes, [face.box for face in all_parts], atol=0.1)


def test_faces_of_a_low_score_are_searched_without_the_gate(scene: tuple[ByteArray, ByteArray, Face]) -> None:
    _, image, _ = scene
    detector = RetinaFace(0.02)
    assert detector.detect(image, (image, 1.0)) == detector.detect_unscaled(image, 0.02)
