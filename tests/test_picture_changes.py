"""A video whose picture changes size and is turned, through the whole pipeline: tables, annotated and blurred
copies, thumbnails and older results. The files that can do this are in ``tests/video/test_picture_changes.py``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import fervid
from fervid.annotate.annotate import annotate
from fervid.errors import BadResults
from fervid.faces.detectors import create_detector
from fervid.faces.thumbnail import WantedFace
from fervid.results.face_timelines import SampledSizes
from fervid.results.reader import read_results
from fervid.results.schema import FRAME_SIZE
from fervid.runtime.opencv import cv2
from fervid.scan.picture_changes import PictureRuns, picture_notes, with_usual_picture
from fervid.settings import ScanSettings
from fervid.types import ByteArray, PictureShape, VideoInfo
from fervid.video.reader import VideoReader
from tests.support.clips import Part, encode_parts
from tests.support.paths import SAMPLES
from tests.support.report_page import make_thumbnails

pytestmark = pytest.mark.usefixtures("replayed_module")

COUNTS = (20, 30, 25)
"""Frames of each part, 25 a second."""
SIZES = ((320, 180), (180, 320), (640, 360))


@pytest.fixture(scope="module")
def images() -> list[ByteArray]:
    """One face in three frames: wide, high, and wide with twice the pixels."""
    with VideoReader(SAMPLES / "cut.mp4") as reader:
        frame = next(reader.frames()).image
    (face, *_) = create_detector(ScanSettings()).detect(frame)
    found = []
    for width, height in SIZES:
        scale = 0.4 * min(width, height) / face.height
        x, y = scale * (face.x + face.width / 2), scale * (face.y + face.height / 2)
        matrix = np.array([[scale, 0, width / 2 - x], [0, scale, height / 2 - y]])
        found.append(np.asarray(cv2.warpAffine(frame, matrix, (width, height), flags=cv2.INTER_AREA), np.uint8))
    return found


@pytest.fixture(scope="module")
def video(images: list[ByteArray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = [Part([image] * count) for image, count in zip(images, COUNTS, strict=True)]
    return encode_parts(tmp_path_factory.mktemp("turned") / "a.mp4", made, "libx264", {"g": "10", "crf": "12"})


@pytest.fixture(scope="module")
def results(video: Path) -> Path:
    out = video.parent / "r.parquet"
    assert fervid.analyze(video, out).exit_code == 0
    return out


def test_each_sample_is_in_pixels_of_its_own_frame(results: Path, images: list[ByteArray]) -> None:
    tables = read_results(results)
    (row,) = tables.videos.to_dict("records")
    assert (row["width"], row["height"], row["rotation"]) == (180, 320, 0)
    assert row["message"] == "the picture changes size: 320x180 until 0.8 s, then 180x320 until 2 s, then 640x360"
    timeline = tables.timeline
    assert timeline["face_id"].tolist() == [0] * 4 + [1] * 6 + [2] * 5
    assert list(zip(timeline["frame_width"], timeline["frame_height"], strict=True)) == (
        [SIZES[0]] * 4 + [SIZES[1]] * 6 + [SIZES[2]] * 5
    )
    assert timeline["frame_width"].dtype == np.int32
    for face_id, image in enumerate(images):
        (face, *_) = create_detector(ScanSettings()).detect(image)
        boxes = timeline[timeline["face_id"] == face_id][["face_x", "face_y", "face_width", "face_height"]]
        assert np.abs(boxes.to_numpy() - face.box).max() < 0.03 * max(face.width, face.height) + 1
    emotions = timeline.groupby("face_id")["happy"].mean()
    assert emotions.max() - emotions.min() < 0.15


@pytest.mark.parametrize("changes", [{"fps": 0, "start": 0.5, "end": 1.5}, {"adaptive": True}])
def test_other_settings_give_each_frame_its_size_too(video: Path, changes: dict[str, Any]) -> None:
    timeline = fervid.analyze_video(video, **changes).timeline
    for time, width in zip(timeline["time"], timeline["frame_width"], strict=True):
        assert width == SIZES[0 if time < 0.799 else 1 if time < 1.999 else 2][0]
    assert timeline["face_id"].notna().all()
    assert timeline["face_id"].nunique() == (2 if "end" in changes else 3)


def test_an_annotated_copy_has_one_canvas_with_bars(video: Path, results: Path, tmp_path: Path) -> None:
    (outcome,) = annotate(results, video.parent, tmp_path, style="minimal").videos
    assert (outcome.status, outcome.message) == ("written", None)
    assert outcome.path is not None
    with VideoReader(outcome.path, fps=0) as reader:
        frames = [frame.image for frame in reader.frames()]
    assert len(frames) == sum(COUNTS)
    assert {frame.shape for frame in frames} == {(360, 640, 3)}
    turned = frames[35]  # 180x320 becomes 202x360 in the middle
    assert turned[20:200, 20:200].max() < 40
    assert turned[20:200, -200:-20].max() < 40
    assert turned[100:260, 240:400].max() > 100
    again = annotate(results, video.parent, tmp_path, style="minimal")
    assert [one.status for one in again.videos] == ["unchanged"]


def test_blur_covers_the_face_in_every_size(video: Path, results: Path, tmp_path: Path) -> None:
    (outcome,) = annotate(results, video.parent, tmp_path, style="minimal", blur=True).videos
    assert outcome.path is not None
    detector = create_detector(ScanSettings())
    with VideoReader(outcome.path, fps=0) as reader:
        for frame in reader.frames():
            if frame.index % 3 == 0 or frame.index in (19, 20, 21, 49, 50, 51):
                assert not detector.detect(frame.image), frame.time


def test_blur_hides_frames_whose_size_no_sample_has(images: list[ByteArray], tmp_path: Path) -> None:
    made = [Part([images[0]] * 11), Part([images[1]] * 3), Part([images[0]] * 11)]
    path = encode_parts(tmp_path / "a.mp4", made)
    results = tmp_path / "r.parquet"
    fervid.analyze(path, results)
    (outcome,) = annotate(results, path.parent, tmp_path / "out", style="minimal", blur=True).videos
    assert outcome.message == "3 frames between samples have another size or orientation and are blurred whole"
    assert outcome.path is not None
    with VideoReader(outcome.path, fps=0) as reader:
        detector = create_detector(ScanSettings())
        assert not any(detector.detect(frame.image) for frame in reader.frames())


def shifted(image: ByteArray, share: float) -> ByteArray:
    """The image moved to the right by a share of its width."""
    matrix = np.array([[1, 0, share * image.shape[1]], [0, 1, 0]])
    return np.asarray(cv2.warpAffine(image, matrix, image.shape[1::-1]), np.uint8)


@pytest.mark.parametrize(
    ("name", "flip"),
    [
        ("a.mp4", ""),
        pytest.param("a.ts", ":flip=horizontal", marks=pytest.mark.slow),
        pytest.param("a.mkv", ":flip=horizontal", marks=pytest.mark.slow),
    ],
)
def test_blur_hides_frames_whose_orientation_no_sample_has(
    images: list[ByteArray], tmp_path: Path, name: str, flip: str
) -> None:
    usual = [shifted(images[0], -0.25)] * 11
    turned = Part(
        [np.ascontiguousarray(shifted(images[0], 0.25)[::-1, :: 1 if flip else -1])] * 3,
        None,
        f"h264_metadata=display_orientation=insert:rotate=180{flip}",
    )
    path = encode_parts(tmp_path / name, [Part(usual), turned, Part(usual)], options={"bf": "0"})
    results = tmp_path / "r.parquet"
    fervid.analyze(path, results)
    (outcome,) = annotate(results, path.parent, tmp_path / "out", style="minimal", blur=True).videos
    assert outcome.message == "3 frames between samples have another size or orientation and are blurred whole"
    assert outcome.path is not None
    with VideoReader(outcome.path, fps=0) as reader:
        detector = create_detector(ScanSettings())
        assert not any(detector.detect(frame.image) for frame in reader.frames())


def test_blur_hides_frames_of_a_new_size_that_are_far_from_its_first_sample() -> None:
    sizes = SampledSizes(np.array([0.0, 0.2, 3.0]), np.array([[320, 180], [320, 180], [180, 320]], np.int32))
    assert sizes.include(0.24, (320, 180), 0.3)
    assert not sizes.include(0.24, (180, 320), 0.3)
    assert sizes.include(2.8, (180, 320), 0.3)
    assert sizes.include(3.0, (180, 320), 0.3)
    assert not sizes.include(3.0, (320, 180), 0.3)
    assert [sizes.samples(time) for time in (0.0, 0.1, 0.2, 3.0, 3.1)] == [True, False, True, True, False]


def test_thumbnails_are_cut_out_of_their_own_frame(video: Path, results: Path) -> None:
    timeline = read_results(results).timeline.drop_duplicates("face_id", keep="last")
    wanted = [
        WantedFace(
            int(row.face_id), int(row.frame), row.time, (row.face_x, row.face_y, row.face_width, row.face_height)
        )
        for row in timeline.itertuples()
    ]
    made = make_thumbnails(video, wanted)
    assert sorted(made) == [0, 1, 2]


def test_results_without_the_sizes_of_frames_are_refused(results: Path, tmp_path: Path) -> None:
    """Earlier versions scaled all frames to the size of the first."""
    table = pq.read_table(results).drop_columns(list(FRAME_SIZE))
    pq.write_table(table, tmp_path / "r.parquet")
    with pytest.raises(BadResults, match=r"r\.parquet was written by an earlier version of fervid; analyse again"):
        read_results(tmp_path / "r.parquet")


def test_many_changes_are_counted_and_equal_sizes_named_by_their_orientation() -> None:
    info, runs = VideoInfo(1, 1, 0, "h264", 9.0), PictureRuns()
    assert picture_notes(runs.runs) == []
    assert with_usual_picture(info, runs.runs) == info
    shapes = [PictureShape((320, 180)), PictureShape((320, 180), 180), PictureShape((640, 360), 90, 2.0, True)]
    for number in range(40):
        runs.add(number / 10, shapes[number // 5 % 2 + (number >= 35)], number % 3 == 0)
    assert picture_notes(runs.runs) == [
        "the picture changes size 7 times: 320x180 turned by 0 degrees in 50 % of the frames, "
        "320x180 turned by 180 degrees in 38 % of the frames, "
        "360x640 turned by 90 degrees and mirrored in 12 % of the frames"
    ]
    usual = with_usual_picture(info, runs.runs[-1:])
    assert (usual.width, usual.height, usual.rotation, usual.sample_aspect_ratio, usual.mirrored) == (
        360, 640, 90, 2.0, True,
    )  # fmt: skip
