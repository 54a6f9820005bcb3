"""Small inputs of ../shared/cases, each a kind of file that players show rightly, with the right value of each."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import fervid
from fervid.annotate.annotate import annotate
from fervid.results.reader import Results, read_results
from fervid.settings import AnalyzeSettings, ScanSettings
from fervid.video.reader import VideoReader
from tests.support.clips import read_times
from tests.support.paths import ROOT
from tests.support.replay import replaying

CASES = ROOT.parent / "shared" / "cases"
LEFT_OUT = {"real_crossing.mp4"}  # it is about persons
GROWS = "webrtc_ramp_up.webm"
"""Of its 25 faces a second is enough."""

pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="needs the folder ../shared/cases beside the repository")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of all cases but one, and a copy of them."""
    folder = tmp_path_factory.mktemp("cases")
    (folder / "videos").mkdir()
    for path in CASES.iterdir():
        if path.suffix not in (".md", ".csv") and path.name not in {*LEFT_OUT, GROWS}:
            shutil.copy(path, folder / "videos")
    with replaying():
        fervid.analyze(folder / "videos", folder / "r.parquet")
    return folder


@pytest.fixture(scope="module")
def results(folder: Path) -> Results:
    return read_results(folder / "r.parquet")


def manifest(results: Results, name: str) -> pd.Series:
    return results.videos.set_index("video").loc[name]


def face(results: Results, name: str, number: int = 0) -> pd.DataFrame:
    """The rows of one face."""
    table = results.timeline
    return table[(table["video"] == name) & (table["face_id"] == number)]


@pytest.mark.parametrize("name", ["one_far_time.mp4", "segments_one_double.ts"])
def test_only_the_offending_frame_is_repaired(results: Results, name: str) -> None:
    times = read_times(CASES / name)
    right = [0.04 * number for number in range(100)]
    if name == "segments_one_double.ts":
        right.insert(50, 1.98)
    assert times == pytest.approx(right, abs=1e-4)
    row = manifest(results, name)
    assert (row["faces"], row["duration"], row["status"]) == (1, pytest.approx(4.0), "ok")
    assert row["message"] == "1 missing, doubled, far-off or backward frame times repaired"


@pytest.mark.parametrize("name", ["numbered_h264.avi", "numbered_h264.asf"])
def test_decoding_times_start_at_zero(results: Results, name: str) -> None:
    assert read_times(CASES / name) == pytest.approx([0.04 * number for number in range(100)], abs=1e-6)
    assert pd.isna(manifest(results, name)["message"])


def test_skipped_frames_keep_their_place() -> None:
    """The drawn number is the frame's place at 25 frames a second: eight stripes, the lowest bit on the left."""
    with VideoReader(CASES / "numbered_h264_b_hole.avi", fps=0) as reader:
        for frame in reader.frames():
            stripes = frame.image[:, np.arange(8) * frame.width // 8 + frame.width // 16].mean(axis=(0, 2)) > 128
            number = int((stripes << np.arange(8)).sum())
            assert frame.time == pytest.approx(0.04 * number, abs=1e-6)
            if number == 41:
                assert frame.time == pytest.approx(1.64, abs=1e-6)


def test_a_picture_that_turns_is_judged_as_the_upright_one(results: Results) -> None:
    first, second = face(results, "turned_midstream.ts"), face(results, "turned_midstream.ts", 1)
    assert set(zip(first["frame_width"], first["frame_height"], strict=True)) == {(320, 180)}
    assert set(zip(second["frame_width"], second["frame_height"], strict=True)) == {(180, 320)}
    reference = face(results, "turned_reference_portrait.mp4")
    assert second["emotion"].mode()[0] == "angry"
    assert second["angry_smooth"].mean() == pytest.approx(reference["angry_smooth"].mean(), abs=0.02)


@pytest.mark.usefixtures("replayed_scans")
def test_a_picture_that_grows_is_analysed_at_its_own_size(tmp_path: Path) -> None:
    fervid.analyze(CASES / GROWS, tmp_path / "r.parquet", AnalyzeSettings(scan=ScanSettings(end=1.0)))
    results = read_results(tmp_path / "r.parquet")
    table = results.timeline
    large = table[table["frame_width"] == 1280]
    assert large["time"].min() == pytest.approx(0.4, abs=0.01)
    assert large["face_id"].nunique() == 25
    assert (large.groupby("time")["face_id"].count() == 25).all()
    assert "320x180 until 0.4 s, then 1280x720" in manifest(results, GROWS)["message"]


def test_mirrored_and_turned_files_are_shown_as_players_show_them(results: Results) -> None:
    flipped = face(results, "matrix_hflip.mp4")
    assert flipped["emotion"].mode()[0] == "happy"
    assert flipped["happy_smooth"].mean() > 0.95
    assert face(results, "matrix_transpose.mp4")["face_x"].mean() == pytest.approx(57, abs=4)


def test_a_face_on_its_side_is_judged_upright(results: Results) -> None:
    rows = face(results, "sideways_unmarked.mp4")
    assert len(rows) == 15
    assert rows["emotion"].mode()[0] == "happy"
    assert "--rotate 90" in manifest(results, "sideways_unmarked.mp4")["message"]


def test_the_right_stream_is_analysed(results: Results) -> None:
    for name in ("second_stream_default.mp4", "cover_as_first_track.mkv"):
        row = manifest(results, name)
        assert (row["faces"], row["frames_sampled"]) == (1, 20)
    row = manifest(results, "sound_with_cover.mp4")
    assert row["status"] == "failed"
    assert row["message"].startswith("no video stream")


@pytest.mark.parametrize("name", ["sound_longer.mkv", "empty_edit_first.mp4"])
def test_a_complete_file_is_not_called_truncated(results: Results, name: str) -> None:
    assert pd.isna(manifest(results, name)["message"])


def test_a_clock_that_jumps_is_noted_and_the_video_can_be_annotated(
    folder: Path, results: Results, tmp_path: Path
) -> None:
    assert "the clock jumps by" in manifest(results, "jump10h.ts")["message"]
    times = read_times(CASES / "jump10h.ts")
    assert times[99] == pytest.approx(3.98, abs=0.03)
    assert times[100] == pytest.approx(36000, abs=0.1)
    only = replace(results, videos=results.videos[results.videos["video"] == "jump10h.ts"])
    (written,) = annotate(only, folder / "videos", tmp_path).videos
    assert written.status == "written", written.message
    assert len(read_times(written.path or Path())) == 200


@pytest.mark.slow
@pytest.mark.parametrize("blur", [False, True])
def test_every_case_can_be_annotated(folder: Path, results: Results, tmp_path: Path, blur: bool) -> None:
    with replaying():
        fervid.analyze(CASES / GROWS, tmp_path / "grown.parquet")
    videos = [
        *annotate(results, folder / "videos", tmp_path / "out", blur=blur).videos,
        *annotate(read_results(tmp_path / "grown.parquet"), CASES, tmp_path / "out", blur=blur).videos,
    ]
    assert {video.status for video in videos} == {"written", "skipped"}
    assert sum(video.path is not None for video in videos) > 10
    for video in videos:
        if video.path is not None:
            assert len(read_times(video.path)) == len(read_times(CASES / video.video))
