"""The face mesh: it follows the face through turns and mirrors, and depends on nothing else in the image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fervid.faces.detectors import create_detector
from fervid.faces.measures import FaceMeasures, measure, packed, values_of
from fervid.faces.mesh import MESH_SIDE, TOGETHER, FaceMesher, Mesh, Square
from fervid.faces.pose import MAX_YAW, angles, head_pose, is_known, rotation_of
from fervid.faces.quality import face_quality
from fervid.runtime.opencv import cv2
from fervid.settings import ScanSettings
from fervid.types import MEASURES, ByteArray, Face
from fervid.video.reader import VideoReader
from tests.support.paths import ROOT


@pytest.fixture(scope="module")
def mesher() -> FaceMesher:
    return FaceMesher()


@pytest.fixture(scope="module")
def couple() -> tuple[ByteArray, list[Face]]:
    """A frame with two people side by side, and their faces from left to right."""
    with VideoReader(ROOT / "sample_videos" / "crossing.mp4", fps=5, start=1.0) as reader:
        image = next(frame.image for frame in reader.frames() if frame.sampled)
    faces = create_detector(ScanSettings()).detect(image)
    assert len(faces) == 2
    return image, sorted(faces, key=lambda face: face.x)


def same(one: Mesh, other: Mesh) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name), equal_nan=True)
        for name in ("points", "presence", "lids", "irises")
    )


def test_a_mesh_has_the_same_bits_whatever_else_is_looked_at(
    mesher: FaceMesher, couple: tuple[ByteArray, list[Face]]
) -> None:
    image, faces = couple
    both = mesher.find(image, faces)
    assert [same(one, two) for one, two in zip(both, FaceMesher().find(image, faces[::-1])[::-1], strict=True)] == 2 * [
        True
    ]
    assert same(both[0], mesher.find(image, faces[:1])[0])


def test_a_mesh_and_its_eyes_have_the_same_bits_in_any_batch(
    mesher: FaceMesher, couple: tuple[ByteArray, list[Face]]
) -> None:
    image, faces = couple
    many = [replace(face, x=face.x + 2.5 * shift, y=face.y - shift) for shift in range(-2, 3) for face in faces]
    assert len(many) > 2 * TOGETHER
    alone = [mesher.find(image, [face], both_eyes=True)[0] for face in many]
    assert np.isfinite([mesh.lids for mesh in alone]).all()
    assert all(same(one, two) for one, two in zip(mesher.find(image, many, both_eyes=True), alone, strict=True))


def test_angles_and_eyes_are_not_measured_where_the_landmarks_show_a_profile(
    mesher: FaceMesher, couple: tuple[ByteArray, list[Face]]
) -> None:
    image, (face, _) = couple
    right, left, *others = face.landmarks
    middle = [(one + other) / 2 for one, other in zip(right, left, strict=True)]
    closer = [(0.6 * middle[0] + 0.4 * x, 0.6 * middle[1] + 0.4 * y) for x, y in (right, left)]
    known, unknown = mesher.find(image, [face, replace(face, landmarks=(*closer, *others))], both_eyes=True)
    assert known.pose_known
    assert np.isfinite(known.lids).all()
    assert not unknown.pose_known
    assert np.isnan(unknown.lids).all()
    measures = measure(unknown)
    assert np.isnan(
        [measures.head_yaw, measures.head_pitch, measures.head_roll, measures.eyes_open, measures.gaze_x]
    ).all()
    assert np.isfinite([measures.mouth_open, measures.smile, measures.turned]).all()


@pytest.mark.parametrize(("presence", "known"), [(1.0, True), (0.94, False)])
def test_a_pose_is_known_only_if_the_network_is_sure_of_the_face(presence: float, known: bool) -> None:
    frontal = ((30.0, 50.0), (70.0, 50.0), (50.0, 70.0), (33.0, 95.0), (67.0, 95.0))
    pose = turned_canonical(20, 0, 0).pose
    assert is_known(pose, presence, Face(0, 0, 100, 130, 1.0, frontal)) == known


def test_a_mesh_lies_on_its_face(mesher: FaceMesher, couple: tuple[ByteArray, list[Face]]) -> None:
    image, faces = couple
    for face, mesh in zip(faces, mesher.find(image, faces, both_eyes=True), strict=True):
        assert mesh.presence > 0.99
        low, high = mesh.points[:, :2].min(axis=0), mesh.points[:, :2].max(axis=0)
        assert np.all(low > np.array([face.x, face.y]) - 0.3 * face.height)
        assert np.all(high < np.array([face.x + face.width, face.y + face.height]) + 0.3 * face.height)
        for place in (0, 1):  # the detector's eyes: the person's right one, then the left one
            eye = np.array(face.landmarks[place])
            assert np.linalg.norm(mesh.irises[place][0] - eye) < 0.06 * face.height
            assert np.linalg.norm(mesh.lids[place].mean(axis=0) - eye) < 0.06 * face.height


@pytest.mark.parametrize("degrees", [-150, -90, -35, 20, 90, 180])
def test_turning_the_image_turns_the_mesh_and_changes_the_roll_alone(
    mesher: FaceMesher, couple: tuple[ByteArray, list[Face]], degrees: int
) -> None:
    """``degrees``: clockwise."""
    image, (face, _) = couple
    before = measure(mesher.find(image, [face])[0])
    matrix = cv2.getRotationMatrix2D((face.x + face.width / 2, face.y + face.height / 2), -degrees, 1.0)
    turned = np.asarray(cv2.warpAffine(image, matrix, image.shape[1::-1], borderMode=cv2.BORDER_REPLICATE), np.uint8)
    landmarks = np.array(face.landmarks) @ matrix[:, :2].T + matrix[:, 2]
    mesh = mesher.find(turned, [replace(face, landmarks=tuple(map(tuple, landmarks.tolist())))])[0]
    after = measure(mesh)
    change = (after.head_roll - before.head_roll + degrees + 180) % 360 - 180
    assert abs(change) < 2
    for name in ("head_yaw", "head_pitch"):
        assert abs(getattr(after, name) - getattr(before, name)) < 3
    for name in ("eyes_open", "mouth_open", "smile", "gaze_x", "gaze_y"):
        assert abs(getattr(after, name) - getattr(before, name)) < 0.06, name


def test_a_mirrored_face_has_mirrored_measures(mesher: FaceMesher, couple: tuple[ByteArray, list[Face]]) -> None:
    image, (face, _) = couple
    width = image.shape[1]
    points = [(width - x, y) for x, y in face.landmarks]
    landmarks = (points[1], points[0], points[2], points[4], points[3])
    mirrored = replace(face, x=width - face.x - face.width, landmarks=landmarks)
    one, other = (
        measure(mesher.find(image, [face])[0]),
        measure(mesher.find(np.ascontiguousarray(image[:, ::-1]), [mirrored], both_eyes=True)[0]),
    )
    for name, limit in {"head_yaw": 3.0, "head_roll": 3.0, "gaze_x": 0.05}.items():
        assert abs(getattr(one, name) + getattr(other, name)) < limit, name
    assert abs(one.eye_open_right - other.eye_open_left) < 0.06
    assert abs(one.smile - other.smile) < 0.05


def test_a_face_without_landmarks_is_measured_by_its_box(
    mesher: FaceMesher, couple: tuple[ByteArray, list[Face]]
) -> None:
    image, (face, _) = couple
    one, other = (measure(mesh) for mesh in mesher.find(image, [face, replace(face, landmarks=())]))
    assert abs(one.head_yaw - other.head_yaw) < 4
    assert abs(one.eyes_open - other.eyes_open) < 0.06


@pytest.mark.parametrize("face", [Face(-40, -30, 20, 20, 0.9), Face(2000, 10, 60, 80, 0.9), Face(3, 3, 1, 1, 0.9)])
def test_what_is_no_face_is_not_measured(mesher: FaceMesher, face: Face) -> None:
    image = np.random.default_rng(0).integers(0, 256, (120, 160, 3)).astype(np.uint8)
    measures = measure(mesher.find(image, [face])[0])
    assert measures.presence < 0.5
    assert np.isnan(values_of(measures)).all()


def test_small_eyes_are_not_measured(mesher: FaceMesher, couple: tuple[ByteArray, list[Face]]) -> None:
    image, (face, _) = couple
    factor = 14 / face.width
    small = np.asarray(cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8)
    landmarks = tuple((x * factor, y * factor) for x, y in face.landmarks)
    x, y, width, height = (value * factor for value in face.box)
    shrunk = Face(x, y, width, height, 0.9, landmarks)
    measures = measure(mesher.find(small, [shrunk])[0])
    assert np.isnan([measures.eyes_open, measures.gaze_x, measures.gaze_y]).all()


def turned_canonical(yaw: float, pitch: float, roll: float, scale: float = 120.0) -> Mesh:
    """The canonical face at a known pose, as a mesh in pixels."""
    from fervid.faces.pose import _canonical

    points, factor = _canonical().points, _canonical().factor
    placed = scale * points @ rotation_of(yaw, pitch, roll).T * (1, -1, -1 / factor) + (300, 200, 7)
    eyes = np.zeros((2, 16, 2), np.float32)
    for place, (outer, inner) in enumerate(((33, 133), (263, 362))):
        eyes[place, :9] = np.linspace(placed[outer, :2], placed[inner, :2], 9)
        eyes[place, 9:] = eyes[place, 1:8]
    irises = np.repeat(eyes.mean(axis=1, keepdims=True), 5, axis=1)
    found = head_pose(placed.astype(np.float32))
    known = is_known(found, 1.0, Face(0, 0, 100, 130, 1.0))
    return Mesh(placed.astype(np.float32), 1.0, found, known, 0, eyes, irises)


@pytest.mark.parametrize("pose", [(0, 0, 0), (30, 0, 0), (0, -25, 0), (0, 0, 40), (-50, 20, -170), (10, 35, 95)])
def test_the_pose_of_the_canonical_face_is_found(pose: tuple[float, float, float]) -> None:
    mesh = turned_canonical(*pose)
    found = mesh.pose
    assert angles(found.rotation) == pytest.approx(pose, abs=0.01)
    assert found.scale == pytest.approx(120, rel=1e-4)
    assert found.residual < 1e-4
    straight, turned = measure(turned_canonical(0, 0, 0)), measure(mesh)
    for name in ("mouth_open", "smile"):
        assert getattr(turned, name) == pytest.approx(getattr(straight, name), abs=1e-3), name
    towards = np.cos(np.radians(pose[0])) * np.cos(np.radians(pose[1]))
    assert turned.turned == pytest.approx(np.degrees(np.arccos(towards)), abs=0.1)
    uncertain = [turned.head_yaw, turned.head_pitch, turned.head_roll, turned.eyes_open, turned.gaze_x, turned.gaze_y]
    if abs(pose[0]) > MAX_YAW:
        assert np.isnan(uncertain).all()
    else:
        assert np.isfinite(uncertain).all()
        assert turned.eyes_open < 0.02


def test_a_head_that_is_turned_away_has_a_low_quality_also_where_its_angles_are_not_measured() -> None:
    face, crop = Face(100, 100, 100, 130, 1.0), np.random.default_rng(0).integers(0, 256, (48, 48)).astype(np.uint8)
    straight, away = measure(turned_canonical(0, 0, 0)), measure(turned_canonical(48, 0, 0))
    assert np.isnan(away.head_yaw)
    assert np.isfinite([away.mouth_open, away.smile, away.turned]).all()
    limits = [face_quality(face, crop, 400, 400, measures) for measures in (straight, away)]
    assert 0 < limits[1] < 0.1 * limits[0]


@pytest.mark.parametrize("pose", [(-80.0, 10.0, 5.0), (45.0, -60.0, 170.0)])
def test_angles_and_rotation_are_inverse(pose: tuple[float, float, float]) -> None:
    rotation = rotation_of(*pose)
    assert np.allclose(rotation @ rotation.T, np.eye(3))
    assert angles(rotation) == pytest.approx(pose)


def test_the_signs_of_the_angles() -> None:
    """x to the person's left, which is the right of the image; y up; z towards the camera."""
    nose, top = np.array([0, 0, 1.0]), np.array([0, 1.0, 0])
    assert (rotation_of(20, 0, 0) @ nose)[0] > 0
    assert (rotation_of(0, 20, 0) @ nose)[1] > 0
    assert (rotation_of(0, 0, 20) @ top)[0] < 0


def test_a_packed_mesh_has_its_points_and_eyes(mesher: FaceMesher, couple: tuple[ByteArray, list[Face]]) -> None:
    image, faces = couple
    mesh = mesher.find(image, faces, both_eyes=True)[0]
    measures = measure(mesh)
    row = packed(mesh, measures)
    assert row.dtype == np.float16
    assert np.abs(row[:-3].reshape(468, 3)[:, :2] - mesh.points[:, :2]).max() <= 0.25
    assert row[-3:] == pytest.approx([measures.eye_open_right, measures.eye_open_left, mesh.presence], abs=1e-3)


def test_every_column_is_a_measure() -> None:
    names = FaceMeasures.__dataclass_fields__
    assert set(MEASURES) <= set(names)
    assert len(values_of(None)) == len(MEASURES)


def test_a_square_is_cut_where_its_points_are_put_back() -> None:
    """A white dot in an image is at the place in the cut that is mapped back onto the dot."""
    image = np.zeros((200, 300, 3), np.uint8)
    cv2.circle(image, (140, 90), 3, (255, 255, 255), -1)
    for side, roll in ((100.0, 0.0), (150.0, 50.0), (600.0, -120.0)):
        square = Square(150, 100, side, roll)
        cut = square.cut(image, MESH_SIDE)[:, :, 0].astype(np.float64)
        rows, columns = np.mgrid[:MESH_SIDE, :MESH_SIDE] + 0.5
        dot = np.array([[(columns * cut).sum(), (rows * cut).sum()]]) / cut.sum()
        assert square.to_image(dot, MESH_SIDE)[0] == pytest.approx((140.5, 90.5), abs=0.6)
