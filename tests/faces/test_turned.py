"""Faces on their side and upside down: found, cropped upright, judged like the upright face, or of low quality.

Members of the kind: every angle; two people, one turned and one upright, together or one after the other; a face that
the detector misses unless the frame is turned; landmarks in the wrong places, or upright ones in a turned face (YuNet;
RetinaFace in large faces); no landmarks at all; profiles (eyes at one place, upright); faces at the border; a shot
without any face; segments that begin in such a shot; still images; recordings whose rotation is not stated
(``test_rotate``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fervid
from fervid.faces.crop import FER2013_GEOMETRY, SIZE, crop_face
from fervid.faces.detect_and_crop import FoundFaces, find_faces
from fervid.faces.detectors import load_detector
from fervid.faces.quality import face_quality
from fervid.faces.roll import approximate_roll, looks_turned, roll_of, turned_by
from fervid.faces.turned_faces import TURNS, TurnedFaceDetector
from fervid.images import classify_images
from fervid.scan.frame_analysis import SCHEDULE_PERIOD, FrameAnalyzer
from fervid.scan.records import read_frame_results
from fervid.scan.scan import rotation_hint, scan_video
from fervid.scan.segments import divide_video, join_segments, scan_segment
from fervid.scan.turned_looks import LOOK_PERIOD, MEMORY_PERIOD
from fervid.settings import ScanSettings
from fervid.types import ByteArray, Face, Frame, PictureShape, Track
from fervid.video.reader import VideoReader
from tests.support.clips import draw_number, encode
from tests.support.detectors import require
from tests.support.paths import SAMPLES

UPRIGHT = Face(100, 80, 60, 80, 0.99, ((118.0, 110.0), (143.0, 110.0), (130.0, 125.0), (121.0, 140.0), (140.0, 140.0)))


def still(name: str, time: float = 0.0) -> ByteArray:
    with VideoReader(SAMPLES / f"{name}.mp4", fps=0, start=time) as reader:
        return next(frame.image for frame in reader.frames() if frame.sampled)


def turned(image: ByteArray, degrees: float) -> ByteArray:
    """The image turned clockwise, on a canvas that holds all of it."""
    height, width = image.shape[:2]
    side = int(np.hypot(height, width)) + 1
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), -degrees, 1)
    matrix[:, 2] += (side - width) / 2, (side - height) / 2
    return np.asarray(cv2.warpAffine(image, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def quarter(image: ByteArray, degrees: int) -> ByteArray:
    return np.ascontiguousarray(np.rot90(image, -degrees // 90))


def turned_face(face: Face, degrees: float, x: float = 130.0, y: float = 120.0) -> Face:
    """The face with its landmarks turned clockwise around a point; the box stays."""
    sine, cosine = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    points = tuple(
        (float(x + cosine * (px - x) - sine * (py - y)), float(y + sine * (px - x) + cosine * (py - y)))
        for px, py in face.landmarks
    )
    return replace(face, landmarks=points)


# roll


@given(degrees=st.floats(-180, 180))
def test_roll_is_the_angle_of_the_eyes(degrees: float) -> None:
    face = turned_face(UPRIGHT, degrees)
    for roll in (roll_of(face), approximate_roll(face)):
        assert roll is not None
        assert abs(turned_by(roll, -degrees)) < 3
        assert -180 < roll <= 180
    if abs(abs(degrees) - 30) > 3:
        assert looks_turned(face) == (abs(degrees) > 30)


def test_implausible_landmarks_have_no_roll() -> None:
    eyes_at_one_place = replace(UPRIGHT, landmarks=(UPRIGHT.landmarks[0],) * 2 + UPRIGHT.landmarks[2:])
    mirrored = replace(UPRIGHT, landmarks=tuple(UPRIGHT.landmarks[index] for index in (1, 0, 2, 4, 3)))
    missing = replace(UPRIGHT, landmarks=())
    nowhere = replace(UPRIGHT, landmarks=((np.nan, np.nan),) * 5)
    for face in (eyes_at_one_place, mirrored, missing, nowhere, replace(UPRIGHT, landmarks=UPRIGHT.landmarks[:1] * 5)):
        assert roll_of(face) is None
    assert not looks_turned(eyes_at_one_place)  # a profile
    assert approximate_roll(missing) is None


# crops and quality


@pytest.mark.parametrize("degrees", [-29, -10, 0, 10, 29])
def test_up_to_thirty_degrees_nothing_changes(degrees: float) -> None:
    image = np.asarray(cv2.cvtColor(still("cut"), cv2.COLOR_BGR2GRAY), np.uint8)
    face = turned_face(UPRIGHT, degrees)
    crop = crop_face(image, face, FER2013_GEOMETRY)
    assert np.array_equal(crop, crop_face(image, replace(face, landmarks=()), FER2013_GEOMETRY))
    assert face_quality(face, crop, 480, 360) == face_quality(turned_face(face, -degrees), crop, 480, 360)


@pytest.mark.parametrize("degrees", [40, 90, 135, 180, 225, 270, 310])
@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_beyond_it_the_crop_is_turned_upright(degrees: int, scale: float) -> None:
    image = np.asarray(cv2.cvtColor(still("cut"), cv2.COLOR_BGR2GRAY), np.uint8)
    image = np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    (found,) = load_detector().detect(np.repeat(image[:, :, None], 3, 2))
    height, width = image.shape
    centre = found.x + found.width / 2, found.y + found.height / 2
    side = int(np.hypot(height, width)) + 1
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), -degrees, 1)
    matrix[:, 2] += (side - width) / 2, (side - height) / 2
    new_x, new_y = matrix @ (*centre, 1.0)
    face = turned_face(found, degrees, *centre)
    shift = new_x - centre[0], new_y - centre[1]
    points = tuple((x + shift[0], y + shift[1]) for x, y in face.landmarks)
    face = replace(face, x=face.x + shift[0], y=face.y + shift[1], landmarks=points)
    crop = crop_face(turned(image, degrees), face, FER2013_GEOMETRY)
    assert crop.shape == (SIZE, SIZE)
    upright = crop_face(image, found, FER2013_GEOMETRY)
    sideways = crop_face(turned(image, degrees), replace(face, landmarks=()), FER2013_GEOMETRY)
    likeness = [np.corrcoef(one.ravel(), upright.ravel())[0, 1] for one in (crop, sideways)]
    assert likeness[0] > 0.75
    assert likeness[0] > likeness[1] + 0.1


def test_quality_falls_with_a_roll_that_cannot_be_undone() -> None:
    crop = np.random.default_rng(0).integers(0, 255, (SIZE, SIZE)).astype(np.uint8)
    shown = [face_quality(turned_face(UPRIGHT, degrees), crop, 480, 360) for degrees in (0, 60, 90, 180)]
    assert np.ptp(shown) < 0.01
    leaning = [
        replace(UPRIGHT, landmarks=(*UPRIGHT.landmarks[:3], *((x - side, y) for x, y in UPRIGHT.landmarks[3:])))
        for side in (10, 20, 30, 45, 70)
    ]
    falling = [face_quality(face, crop, 480, 360) for face in leaning]
    assert falling[0] == pytest.approx(shown[0], abs=0.01)
    assert falling[1] > falling[2] > falling[3]
    assert falling[3] < 0.45
    boxes = [replace(UPRIGHT, landmarks=(), width=width, height=70) for width in (50, 70, 80, 90, 105)]
    without = [face_quality(face, crop, 480, 360) for face in boxes]
    assert without[0] == without[1] > without[2] > without[3] > without[4]
    assert without[4] < 0.1


# finding turned faces


def finder(name: Any = "retinaface") -> Callable[[ByteArray], FoundFaces]:
    detector = load_detector(name)
    search = TurnedFaceDetector(detector, 0.65, 640)
    return lambda image: find_faces(
        image, lambda given: search.complete(given, detector.detect(given)), FER2013_GEOMETRY, 20
    )


@pytest.fixture(scope="module")
def classifier() -> Any:
    return fervid.load_classifier()


PEOPLE = [("cut", 0.0), ("cut", 4.0), ("leaving", 0.0), ("rotated", 1.0), ("variable_rate", 1.0), ("pan_zoom", 5.0)]


def assert_every_angle_gives_the_upright_faces(
    find: Callable[[ByteArray], FoundFaces], image: ByteArray, angles: range, classifier: Any
) -> None:
    """The same number of faces, their roll, and their emotions, or low quality."""
    expected = [classifier.probabilities(crop[None])[0] for crop in find(image).crops]
    for angle in angles:
        found = find(turned(image, angle))
        assert len(found.faces) == len(expected), angle
        for face, crop, quality in zip(found.faces, found.crops, found.qualities, strict=True):
            if quality >= 0.45:
                roll = roll_of(face)
                assert roll is not None, angle
                assert abs(turned_by(roll, -angle)) < 20, angle
                probabilities = classifier.probabilities(crop[None])[0]
                assert min(np.abs(probabilities - other).max() for other in expected) < 0.35, angle


@pytest.mark.parametrize(("name", "time"), PEOPLE[1:3])
def test_turned_faces_are_judged_like_upright_ones(name: str, time: float, classifier: Any) -> None:
    assert_every_angle_gives_the_upright_faces(finder(), still(name, time), range(0, 360, 45), classifier)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "time"), PEOPLE)
def test_faces_at_every_angle(name: str, time: float, classifier: Any) -> None:
    assert_every_angle_gives_the_upright_faces(finder(), still(name, time), range(0, 360, 10), classifier)


@pytest.mark.parametrize("name", ["retinaface", "centerface", "yunet"])
@pytest.mark.parametrize("turn", TURNS)
def test_quarter_turns_with_every_detector(name: str, turn: int, classifier: Any) -> None:
    require(name)
    find, image = finder(name), still("leaving")
    (expected,) = find(image).crops
    found = find(quarter(image, turn))
    (face,), (crop,) = found.faces, found.crops
    roll = roll_of(face)
    assert roll is not None
    assert abs(turned_by(roll, -turn)) < 15
    assert found.qualities[0] > 0.45
    assert np.abs(classifier.probabilities(crop[None]) - classifier.probabilities(expected[None])).max() < 0.2


@pytest.mark.parametrize("name", ["d19_hevc_aac.mp4", "wolfgang.mp4", "talking_d3.mp4"])
def test_large_faces_upside_down_do_not_count_as_upright(name: str, shared_media: Path) -> None:
    """RetinaFace finds them with upright landmarks and scores up to 0.998."""
    find = finder()
    with VideoReader(shared_media / name, fps=1) as reader:
        images = [frame.image for frame in reader.frames() if frame.sampled][:4]
    for image in images:
        (upright,) = find(image).faces
        assert abs(roll_of(upright) or 0.0) < 30
        (face,) = find(quarter(image, 180)).faces
        roll = roll_of(face)
        assert roll is not None
        assert abs(turned_by(roll, 180)) < 30


def test_boxes_and_landmarks_are_in_pixels_of_the_image_as_shown() -> None:
    image = still("leaving")
    height, width = image.shape[:2]
    (upright,) = finder()(image).faces
    for turn in TURNS:
        (face,) = finder()(quarter(image, turn)).faces
        x, y = face.x + face.width / 2, face.y + face.height / 2
        back = {90: (y, height - x), 180: (width - x, height - y), 270: (width - y, x)}[turn]
        assert back == pytest.approx((upright.x + upright.width / 2, upright.y + upright.height / 2), abs=10)
        sides = (face.height, face.width) if turn != 180 else (face.width, face.height)
        assert sides == pytest.approx((upright.width, upright.height), rel=0.2)


@pytest.mark.parametrize("degrees", [-42, -35, 35, 38])
@pytest.mark.parametrize(("name", "time"), [("leaving", 0.0), ("cut", 4.0)])
def test_a_leaning_face_keeps_its_box(name: str, time: float, degrees: int) -> None:
    """Its box does not jump where its roll passes MAX_ROLL."""
    detector, image = load_detector(), turned(still(name, time), degrees)
    (found,) = detector.detect(image)
    (refined,) = TurnedFaceDetector(detector, 0.65, 640).refine(image, [found])
    roll = roll_of(refined)
    assert roll is not None
    assert abs(turned_by(roll, -degrees)) < 15
    assert refined.box == found.box


@pytest.mark.parametrize("degrees", [-60, 60, 90])
def test_the_box_of_a_face_on_its_side_is_that_of_the_close_up(degrees: int) -> None:
    detector, image = load_detector(), turned(still("leaving"), degrees)
    (found,) = detector.detect(image)
    (refined,) = TurnedFaceDetector(detector, 0.65, 640).refine(image, [found])
    assert refined.box != found.box


def test_one_turned_and_one_upright_person(classifier: Any) -> None:
    image, other = still("leaving"), still("cut", 4.0)
    both = np.hstack([image, np.rot90(other, 2)])
    found = finder()(both)
    rolls = sorted(abs(roll) for face in found.faces if (roll := roll_of(face)) is not None)
    assert len(rolls) == 2
    assert rolls[0] < 10
    assert rolls[1] > 165


def test_a_turned_face_at_the_border_does_no_harm() -> None:
    image = quarter(still("leaving"), 90)
    (face,) = finder()(image).faces
    for cut in (0.3, 0.6):
        left, top = int(face.x + cut * face.width), int(face.y + cut * face.height)
        for part in (image[:, left:], image[top:]):
            found = finder()(np.ascontiguousarray(part))
            assert all(crop.shape == (SIZE, SIZE) for crop in found.crops)
            assert all(0 <= quality <= 1 for quality in found.qualities)


def test_profiles_and_frontal_faces_of_real_clips_stay_as_they_are(shared_media: Path) -> None:
    detector = load_detector()
    search = TurnedFaceDetector(detector, 0.65, 640)
    for name, time in (("hamilton_cuts.mp4", 1.5), ("hamilton_cuts.mp4", 9.0), ("crowd_1080p.mp4", 2.0)):
        with VideoReader(shared_media / name, fps=0, start=time) as reader:
            image = next(frame.image for frame in reader.frames() if frame.sampled)
        faces = detector.detect(image)
        assert len(faces) >= 2, name
        assert search.complete(image, faces) == faces


# scans


@pytest.fixture(scope="module")
def upside_down(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """10 s: no face, then one upside down, a cut to an upright one, no face, and one upside down again."""
    people = [quarter(np.asarray(cv2.resize(still("leaving", time), (240, 180))), 180) for time in (0.0, 0.4, 0.8)]
    upright = [np.asarray(cv2.resize(still("cut", 3.2), (240, 180)), np.uint8)]
    empty = [draw_number(0, 240, 180)]
    images = [*empty * 9, *(people * 7)[:20], *upright * 5, *empty * 6, *(people * 4)[:10]]
    path = tmp_path_factory.mktemp("turned") / "clip.mp4"
    return encode(path, [image for image in images for _ in range(5)], options={"g": "25", "preset": "ultrafast"})


@pytest.mark.slow
def test_a_scan_finds_faces_upside_down_and_segments_give_the_same(upside_down: Path, tmp_path: Path) -> None:
    settings = ScanSettings(fps=5)
    whole = scan_video(upside_down, "id", settings, FER2013_GEOMETRY, tmp_path / "whole")
    seen = np.unique(np.concatenate([track.times for track in whole.tracks]))
    assert set(np.round(np.arange(2.0, 6.8, 0.2), 1)) <= set(np.round(seen, 1))
    assert sum(track.rolls is not None and bool((np.abs(track.rolls) > 150).all()) for track in whole.tracks) >= 2
    segments = divide_video(upside_down, settings, SCHEDULE_PERIOD, SCHEDULE_PERIOD)
    assert len(segments) > 1
    scanned = [
        scan_segment(upside_down, segment, settings, FER2013_GEOMETRY, tmp_path / f"{segment.number}")
        for segment in segments
    ]
    assert sum(len(list(read_frame_results(one.records))) for one in scanned) == 250
    joined = join_segments(scanned, "id", settings, tmp_path / "joined")
    assert joined.notes == whole.notes
    for one, other in zip(joined.tracks, whole.tracks, strict=True):
        for name in ("frames", "times", "boxes", "scores", "qualities", "rolls"):
            assert np.array_equal(getattr(one, name), getattr(other, name)), name


def test_an_upright_face_that_comes_in_beside_a_turned_one_is_found_at_once() -> None:
    lying, upright = quarter(still("leaving"), 180), still("cut", 4.0)
    alone, both = np.hstack([lying, np.full_like(upright, 128)]), np.hstack([lying, upright])
    analyzer = FrameAnalyzer(ScanSettings(fps=5), FER2013_GEOMETRY, load_detector())
    height, width = both.shape[:2]
    shape, thumbnail = PictureShape((width, height), 0, 1.0), np.zeros((36, 64), np.uint8)  # no cut
    counts = []
    for index, image in enumerate([alone, alone, both, both, both]):
        result = analyzer.analyze_frame(Frame(index, index / 5, True, thumbnail, shape, partial(np.copy, image)))
        assert result.sample is not None
        counts.append(len(result.sample.faces))
    assert counts == [1, 1, 2, 2, 2]


class CountingDetector:
    """A detector that finds nothing, and counts the pixels that it is given."""

    name, sha256 = "none", ""

    def __init__(self) -> None:
        self.pixels = 0

    def detect(self, image: ByteArray, shrunk: Any = None) -> list[Face]:
        """See FaceDetector.detect."""
        self.pixels += (image if shrunk is None else shrunk[0]).size // 3
        return []


@pytest.mark.parametrize(("fps", "most"), [(25, 1.04), (5, 1.16), (1, 1.76), (0.25, 1.76)])
def test_what_the_looks_cost_without_any_face(fps: float, most: float) -> None:
    detector = CountingDetector()
    image, thumbnail = draw_number(5, 640, 360), np.zeros((36, 64), np.uint8)
    analyzer = FrameAnalyzer(ScanSettings(fps=fps), FER2013_GEOMETRY, detector)
    count = round(12 * fps)
    for index in range(count):
        analyzer.analyze_frame(
            Frame(index, index / fps, True, thumbnail, PictureShape((640, 360), 0, 1.0), lambda: image)
        )
    assert count * 640 * 360 < detector.pixels <= most * count * 640 * 360


class DoubtfulDetector(CountingDetector):
    """A detector that finds one upright face of a low score in each whole image, and nothing in parts of it."""

    name = "retinaface"

    def __init__(self) -> None:
        super().__init__()
        self.face = replace(UPRIGHT, score=0.7)
        self.close_ups = 0

    def detect(self, image: ByteArray, shrunk: Any = None) -> list[Face]:
        """See FaceDetector.detect."""
        if image.shape[1] == 640:
            return [self.face]
        self.close_ups += 1
        return []


def test_a_face_that_was_just_found_upright_is_not_looked_at_again() -> None:
    detector, thumbnail = DoubtfulDetector(), np.zeros((36, 64), np.uint8)
    analyzer = FrameAnalyzer(ScanSettings(fps=5), FER2013_GEOMETRY, detector)

    def looks(time: float, face: Face, thumbnail: ByteArray = thumbnail) -> int:
        before, detector.face = detector.close_ups, face
        image = partial(draw_number, 5, 640, 360)
        analyzer.analyze_frame(Frame(0, time, True, thumbnail, PictureShape((640, 360), 0, 1.0), image))
        return detector.close_ups - before

    face = detector.face
    beside, near = replace(face, x=300.0), replace(face, x=face.x + 20)
    sideways = replace(face, landmarks=tuple((130 - (y - 110), 110 + (x - 130)) for x, y in face.landmarks))
    searching = 3  # the whole frame is searched in all turns, once a second
    assert looks(0.0, face) > searching
    assert looks(0.2, face) == looks(0.4, near) == 0
    assert looks(0.6, beside) == 1  # another face, too narrow to lie on its side
    assert looks(0.8, near) == 0  # not seen for a moment
    assert looks(1.0, sideways) > searching  # its landmarks changed
    assert looks(2.4, near) == 1 + searching  # long ago
    assert looks(2.6, near) == 0
    assert looks(2.8, near, thumbnail + 100) == 1 + searching  # a new scene
    assert looks(3.0, near, thumbnail + 100) == 1 + searching  # a segment may begin here


@pytest.mark.parametrize(
    ("width", "degrees", "tries"),
    [(60.0, 0, 1), (60.0, 7, 1), (60.0, -7, 1), (60.0, 10, 3), (60.0, -10, 3), (66.0, 0, 3), (100.0, 5, 3)],
)
def test_a_narrow_face_without_roll_is_not_looked_at_on_its_side(width: float, degrees: float, tries: int) -> None:
    detector = DoubtfulDetector()
    face = replace(turned_face(detector.face, degrees), width=width)
    image = draw_number(5, 640, 360)
    assert TurnedFaceDetector(detector, 0.65, 640).refine(image, [face]) == [face]
    assert detector.close_ups == tries
    without = replace(face, landmarks=())  # nothing is known about its roll
    TurnedFaceDetector(detector, 0.65, 640).refine(image, [without])
    assert detector.close_ups == tries + 3


def test_the_schedules_of_looks_restart_where_segments_may_begin() -> None:
    assert SCHEDULE_PERIOD % MEMORY_PERIOD == 0
    assert MEMORY_PERIOD % LOOK_PERIOD == 0


# the hint


def track_of(rolls: list[float]) -> Track:
    count = len(rolls)
    numbers, zeros = np.arange(count), np.zeros(count, np.float32)
    crops = np.zeros((count, SIZE, SIZE), np.uint8)
    boxes = np.zeros((count, 4), np.float32)
    return Track(0, numbers, numbers / 5, boxes, zeros, zeros, crops, rolls=np.array(rolls, np.float32))


@pytest.mark.parametrize(
    ("rolls", "rotate", "said"),
    [
        ([90, 80, 100, 0], 0, "lie on their side; analyse again with --rotate 270"),
        ([-90, -80, -100, 0], 0, "lie on their side; analyse again with --rotate 90"),
        ([-90, -80, -100, 0], 180, "lie on their side; analyse again with --rotate 270"),
        ([180, -170, 165, 0], 0, "are upside down; analyse again with --rotate 180"),
        ([180, -170, 165, 0], 180, "are upside down; analyse again without --rotate"),
        ([90, -90, 0, 0], 0, None),
        ([40, -40, np.nan, 90], 0, None),
        ([], 0, None),
    ],
)
def test_the_hint_names_the_angle_that_helps(rolls: list[float], rotate: int, said: str | None) -> None:
    hint = rotation_hint([track_of(rolls)], rotate)
    assert hint == ([] if said is None else [f"most faces {said}"])
    assert rotation_hint([], rotate) == []


@pytest.mark.parametrize("turn", [90, 180])
def test_following_the_hint_gives_the_upright_result(turn: int, tmp_path: Path, classifier: Any) -> None:
    images = [quarter(still("leaving", time), turn) for time in np.arange(0, 1.2, 0.2)]
    path = encode(tmp_path / "clip.mkv", [image for image in images for _ in range(5)])
    plain = fervid.analyze_video(path, classifier=classifier)
    assert plain.summary["dominant"].tolist() == ["happy"]
    assert plain.message is not None
    assert f"--rotate {360 - turn}" in plain.message
    turned_back = fervid.analyze_video(path, rotate=360 - turn, classifier=classifier)
    assert turned_back.message is None
    assert abs(plain.timeline["happy"].mean() - turned_back.timeline["happy"].mean()) < 0.1


def test_a_case_of_a_sideways_recording(shared_media: Path, classifier: Any) -> None:
    path = shared_media.parent / "cases" / "sideways_unmarked.mp4"
    if not path.exists():
        pytest.skip("needs ../shared/cases")
    results = fervid.analyze_video(path, classifier=classifier)
    assert results.summary["dominant"].tolist() == ["happy"]
    assert results.message == "most faces lie on their side; analyse again with --rotate 90"


# still images


def test_classify_finds_turned_faces(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for turn in TURNS:
        cv2.imwrite(str(folder / f"{turn}.png"), quarter(still("leaving"), turn))
    classify_images([folder], tmp_path / "faces.csv")
    table = pd.read_csv(tmp_path / "faces.csv")
    assert table["emotion"].tolist() == ["happy"] * 3
