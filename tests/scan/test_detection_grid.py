"""Following faces between detections gives nearly what detection in every frame gives, and says where it did."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import fervid
from fervid.export.pyfeat_openface import openface_frame
from fervid.faces.boxes import iou
from fervid.faces.crop import FER2013_GEOMETRY
from fervid.scan.detection_grid import GRID_PERIOD, DetectionGrid, Look
from fervid.scan.frame_analysis import FaceDetections, FrameAnalyzer
from fervid.scan.scan import cached_detector
from fervid.settings import ScanSettings
from fervid.types import Face, Frame, PictureShape
from fervid.video.reader import VideoReader
from fervid.video.sampling import period_index
from tests.support.paths import SAMPLES


def samples(path: Path, settings: ScanSettings, count: int = 10**6) -> list[tuple[float, FaceDetections]]:
    """The samples of a clip as a scan finds them, without measures."""
    analyzer = FrameAnalyzer(settings, FER2013_GEOMETRY, cached_detector(settings))
    found = []
    with VideoReader(path, fps=settings.fps, start=settings.start, end=settings.end, threads=1) as reader:
        for frame in analyzer.look_ahead(reader.frames()):
            result = analyzer.analyze_frame(frame)
            if result.sample is not None:
                found.append((result.time, result.sample))
            if len(found) == count:
                break
    return found


def exact_and_followed(path: Path, count: int = 10**6) -> list[tuple[float, FaceDetections, FaceDetections]]:
    exact = samples(path, ScanSettings(fps=0), count)
    followed = samples(path, ScanSettings(fps=0, follow_faces=True), count)
    assert [time for time, _ in exact] == [time for time, _ in followed]
    return [(time, one, other) for (time, one), (_, other) in zip(exact, followed, strict=True)]


def assert_nearly_alike(rows: list[tuple[float, FaceDetections, FaceDetections]], least_followed: float) -> None:
    """Check boxes in followed frames, and that detected ones are equal to the bit."""
    good = followed = 0
    period: int | None = None
    for time, exact, other in rows:
        marked = [face.followed for face in other.faces]
        if period_index(time, GRID_PERIOD) != period:
            assert not any(marked)  # at least ten detections a second
        period = period_index(time, GRID_PERIOD)
        if not any(marked):
            assert other.faces == exact.faces
            assert all(np.array_equal(*pair) for pair in zip(other.crops, exact.crops, strict=True))
            continue
        followed += 1
        overlaps = iou([face.box for face in other.faces], [face.box for face in exact.faces])
        good += len(exact.faces) == len(other.faces) and overlaps.max(axis=1).min() >= 0.9
    assert followed >= least_followed * len(rows)
    assert good >= 0.95 * followed


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("leaving.mp4", 0.2),
        ("variable_rate.mp4", 0.0),
        pytest.param("pan_zoom.mp4", 0.1, marks=pytest.mark.slow),
        pytest.param("rotated.mp4", 0.1, marks=pytest.mark.slow),
    ],
)
def test_samples(name: str, least: float) -> None:
    assert_nearly_alike(exact_and_followed(SAMPLES / name, 60), least)


@pytest.mark.parametrize("name", ["emo7_happy.mp4", pytest.param("talking_d3.mp4", marks=pytest.mark.slow)])
def test_real_clips(shared_media: Path, name: str) -> None:
    assert_nearly_alike(exact_and_followed(shared_media / name, 100), 0.5)


def test_ten_samples_a_second_are_all_detected() -> None:
    path = SAMPLES / "leaving.mp4"
    exact = samples(path, ScanSettings(fps=10), 12)
    followed = samples(path, ScanSettings(fps=10, follow_faces=True), 12)
    assert [one.faces for _, one in exact] == [one.faces for _, one in followed]


@pytest.mark.usefixtures("replayed_scans")
def test_the_tables_say_which_boxes_were_followed(tmp_path: Path) -> None:
    done = fervid.analyze(
        SAMPLES / "leaving.mp4", tmp_path / "r.parquet", fps=0, end=2.0, follow_faces=True, measures=False
    )
    assert done.exit_code == 0
    results = fervid.read_results(tmp_path / "r.parquet")
    assert results.metadata["settings"]["scan"]["follow_faces"] is True
    rows = results.timeline[results.timeline["face_id"].notna()]
    unscored = rows["face_score"].isna()
    assert 0.1 < unscored.mean() < 0.9
    first = rows.groupby(np.floor((rows["time"] + 0.0006) * 10))["time"].transform("min") == rows["time"]
    assert not unscored[first].any()
    assert rows[["face_x", "face_quality", "happy"]].notna().all(axis=None)
    exported = openface_frame(results.timeline)
    assert (exported["success"] == results.timeline["face_id"].notna()).all()
    assert exported["confidence"].isna().sum() == unscored.sum()  # and not 0, which says that there is no face


# the grid by itself


def still(time: float, level: int = 100, sampled: bool = True, width: int = 64) -> Frame:
    image = np.full((64, width, 3), level, np.uint8)
    return Frame(0, time, sampled, image[::4, ::4, 0], PictureShape((width, 64)), partial(np.copy, image))


def grid_of(detected: list[float]) -> DetectionGrid:
    """A grid whose detector finds no face and notes the times at which it is asked."""

    def detect(look: Look) -> list[Face]:
        detected.append(look.frame.time)
        return []

    return DetectionGrid(detect, 640, 0.65)


def test_frames_come_in_order_and_are_detected_in_time() -> None:
    detected: list[float] = []
    times = [round(number / 30, 4) for number in range(30)]
    looks = list(grid_of(detected).looks(still(time) for time in times))
    assert [look.frame.time for look in looks] == times
    assert detected == [*times[::3], times[-1]]
    assert [look.followed for look in looks] == [time not in detected for time in times]
    assert all(look.faces == [] for look in looks)


def test_nothing_is_followed_over_a_gap_an_insert_or_another_shape() -> None:
    gap = [still(0.0), still(0.03), still(0.5)]
    insert = [still(0.0), still(0.03, level=200), still(0.1)]
    shape = [still(0.0), still(0.03, width=80), still(0.06, width=80), still(0.1, width=80)]
    for frames, unknown, followed in ((gap, [1], []), (insert, [1], []), (shape, [], [2])):
        looks = list(grid_of([]).looks(frames))
        assert [number for number, look in enumerate(looks) if look.faces is None] == unknown
        assert [number for number, look in enumerate(looks) if look.followed] == followed


def test_frames_that_are_not_sampled_keep_their_place_and_hold_nothing_up() -> None:
    frames = [still(number / 50, sampled=number % 2 == 1) for number in range(20)]
    looks = list(grid_of([]).looks(frames))
    assert [look.frame for look in looks] == frames
    assert [look.faces is not None for look in looks] == [one.sampled for one in frames]


def test_few_frames_wait_in_memory() -> None:
    waiting = 0

    def counted() -> Iterator[Frame]:
        nonlocal waiting
        for number in range(400):
            waiting += 1
            yield still(number / 1000)

    most = 0
    for _ in grid_of([]).looks(counted()):
        waiting -= 1
        most = max(most, waiting)
    assert most <= 26
