"""What the measures say about people whose expression or pose is known, and about faces that something covers."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import fervid
from fervid.faces.covered import LIKELY, MARGIN, CoverDetector, cover_doubts, lower_beside_covers
from fervid.faces.crop import FER2013_GEOMETRY, crop_face
from fervid.faces.detect_and_crop import FaceNetworks, find_faces
from fervid.faces.detectors import create_detector
from fervid.faces.measures import FaceMeasures, measure
from fervid.faces.mesh import FaceMesher
from fervid.faces.quality import COVERED as LOW
from fervid.faces.quality import uncovered_term
from fervid.runtime.opencv import cv2
from fervid.settings import ScanSettings
from fervid.timeline.summary import MIN_QUALITY
from fervid.types import COVERED, Track
from fervid.video.reader import VideoReader
from tests.support.paths import ROOT, SAMPLES

ORDERS = {"eye_open": "eyes_open", "mouth_open": "mouth_open", "smile_width": "smile"}


@pytest.fixture(scope="module")
def known() -> Path:
    folder = ROOT.parent / "shared" / "measures"
    if not folder.is_dir():
        pytest.skip("needs the folder ../shared/measures beside the repository")
    return folder


def measures_of(path: Path, mesher: FaceMesher) -> FaceMeasures:
    image = cv2.imread(str(path))
    assert image is not None
    faces = create_detector(ScanSettings()).detect(np.asarray(image, np.uint8))
    return measure(mesher.find(np.asarray(image, np.uint8), faces[:1])[0])


def test_eyes_mouths_and_smiles_are_ordered_as_people_posed_them(known: Path) -> None:
    mesher = FaceMesher()
    with (known / "orders.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["measure"] in ORDERS]
    names = sorted({row[side] for row in rows for side in ("greater", "less")})
    found = {name: measures_of(known / "stills" / name, mesher) for name in names}
    wrong = [
        row
        for row in rows
        if not getattr(found[row["greater"]], ORDERS[row["measure"]])
        > getattr(found[row["less"]], ORDERS[row["measure"]])
    ]
    assert len(rows) == 30
    assert len(wrong) <= 2, wrong


def test_poses_are_near_those_of_a_fitted_model(known: Path) -> None:
    """The truth has other signs, and is a few degrees sure. Beyond 45 degrees of yaw its angles are ambiguous."""
    mesher, errors = FaceMesher(), []
    with (known / "pose.csv").open() as file:
        for row in csv.DictReader(file):
            if abs(float(row["yaw"])) < 45:
                found = measures_of(known / "stills" / row["still"], mesher)
                truth = -float(row["yaw"]), float(row["pitch"]), -float(row["roll"])
                errors.append(np.subtract((found.head_yaw, found.head_pitch, found.head_roll), truth))
    assert len(errors) == 5
    assert np.abs(errors).mean(axis=0).max() < 6


def sample_frame() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    with VideoReader(SAMPLES / "cut.mp4", fps=5, start=0.4) as reader:
        return next(frame.image for frame in reader.frames() if frame.sampled)


@pytest.mark.parametrize("part", ["mouth", "eye"])
def test_a_covered_face_has_a_low_quality(part: str) -> None:
    image = sample_frame()
    detect = create_detector(ScanSettings()).detect
    faces = detect(image)[:1]
    networks = FaceNetworks()
    free = find_faces(image, lambda _: faces, FER2013_GEOMETRY, 20, networks)
    assert free.qualities[0] > 0.6
    (face,) = faces
    x, y = face.landmarks[3] if part == "mouth" else face.landmarks[0]
    if part == "mouth":
        x = (x + face.landmarks[4][0]) / 2
    covered = image.copy()
    size = round(0.28 * face.width)
    cv2.rectangle(covered, (round(x) - size, round(y) - size), (round(x) + size, round(y) + size), (150, 165, 200), -1)
    hidden = find_faces(covered, lambda _: faces, FER2013_GEOMETRY, 20, networks)
    assert hidden.covered[0] > max(LIKELY, free.covered[0])
    assert hidden.qualities[0] < MIN_QUALITY


def test_the_network_gives_a_share_for_any_crop() -> None:
    detector = CoverDetector()
    for crop in (np.zeros((48, 48), np.uint8), np.random.default_rng(0).integers(0, 256, (48, 48)).astype(np.uint8)):
        assert 0 <= detector.covered(crop) <= 1


def rated_track(times: Sequence[float], covered: Sequence[float] | None = None) -> Track:
    count, none = len(times), np.zeros((0, 1, 1), np.uint8)
    ones = np.ones(count, np.float32)
    track = Track(3, np.arange(count), np.array(times), np.ones((count, 4), np.float32), ones, ones.copy(), none)
    track.covered = None if covered is None else np.array(covered, np.float32)
    return track


def test_a_face_that_is_often_covered_is_doubtful() -> None:
    times = np.arange(8) / 5
    track = rated_track(times.tolist())
    assert cover_doubts(track) == []
    track.covered = np.array([0, 0, 0.9, 0.9, 0, 0, 0, 0], np.float32)
    assert cover_doubts(track) == []
    track.covered[5] = 0.9
    (doubt,) = cover_doubts(track)
    assert (doubt.face_id, doubt.start, doubt.end, doubt.reason) == (3, times[2], times[5], COVERED)


def test_samples_close_to_a_covered_stretch_count_as_covered() -> None:
    times = np.arange(30) / 5
    covered = np.zeros(30)
    covered[[14, 15, 16, 17]] = 0.8, 0.87, 0.9, 0.95
    track = rated_track(times.tolist(), covered.tolist())
    track.qualities[:] = [uncovered_term(one) for one in covered]
    lower_beside_covers(track)
    near = (times >= times[15] - MARGIN) & (times <= times[17] + MARGIN)
    assert track.qualities[near] == pytest.approx(LOW)
    assert (track.qualities[~near] == 1).all()
    assert near.sum() == 5 + 3 + 5


@pytest.mark.parametrize(
    ("times", "covered"),
    [
        ([0, 0.2, 0.4], [0, 0.95, 0]),
        ([0, 0.04, 0.08, 0.12], [0, 0.95, 0.95, 0]),
        ([0, 0.2, 0.4], [0.8, 0.84, 0.8]),
        ([0, 0.2, 3.0, 3.2], [0, 0.95, 0.95, 0]),
        ([0, 0.2, 0.4, 0.6], [0.95, 0, 0.95, 0]),
        ([0, 0.2, 0.4, 0.6], [0.95, 0.8, 0.95, 0]),
        ([], []),
    ],
)
def test_single_samples_and_unsure_ones_lower_nothing_beside_them(times: list[float], covered: list[float]) -> None:
    track = rated_track(times, covered)
    lower_beside_covers(track)
    assert (track.qualities == 1).all()


def test_a_track_without_covers_keeps_its_quality() -> None:
    track = rated_track([0, 0.2])
    lower_beside_covers(track)
    assert (track.qualities == 1).all()


@pytest.mark.slow
@pytest.mark.parametrize("fps", [1.0, 5.0])
def test_a_hand_before_a_real_face_is_seen(shared_media: Path, fps: float) -> None:
    """She holds a hand before her face from 3 to 9.5 s. The network is sure of it from 4 s."""
    results = fervid.analyze_video(shared_media / "wolfgang.mp4", fps=fps)
    rows = results.timeline.dropna(subset="face_id")
    covered = rows[(rows["time"] >= 3.0) & (rows["time"] < 9.5)]
    assert (covered["face_quality"] < MIN_QUALITY).all()
    free = rows[(rows["time"] < 2.7) | (rows["time"] > 10.7)]
    assert (free["face_quality"] > 0.6).mean() > 0.9
    assert COVERED in results.summary["trust"].iloc[0]


def test_crops_are_those_of_the_emotion_network() -> None:
    image = sample_frame()
    gray = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)
    face = create_detector(ScanSettings()).detect(image)[0]
    assert CoverDetector().covered(crop_face(gray, face, FER2013_GEOMETRY)) < LIKELY
