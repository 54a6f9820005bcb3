"""A Parquet timeline that was copied without its small tables: readable with a note, but not for `blur`.

Members: real results with faces, persons and several shots; corrected results with names; a video without a face; rows
that cannot be right; no rows; a file without metadata; only some small tables missing; a CSV file and a folder.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fervid
from fervid.annotate.annotate import annotate
from fervid.errors import BadResults, UsageError
from fervid.results.correct import correct
from fervid.results.merge import merge
from fervid.results.reader import Results, read_results
from fervid.results.rebuild import UNKNOWN
from fervid.results.schema import SMALL, small_path
from tests.support.paths import SAMPLES
from tests.support.replay import replaying
from tests.support.synthetic_results import MadeFace, MadeVideo, leading_emotions, write_results

NOTE = (
    "{} lies without its small tables; they were computed from its rows, and lengths, cuts, notes of the scan, and "
    "failed inputs are unknown"
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of real clips: one with cuts, one with two faces, one broken."""
    root = tmp_path_factory.mktemp("whole")
    (root / "broken.mp4").write_text("this is no video")
    with replaying():
        fervid.analyze([SAMPLES / "cut.mp4", SAMPLES / "crossing.mp4", root / "broken.mp4"], root / "r.parquet")
    return root / "r.parquet"


def alone(results: Path, folder: Path) -> Path:
    """A copy of the Parquet file only."""
    return Path(shutil.copy(results, folder / "alone.parquet"))


def without_doubt(trust: pd.Series) -> list[str]:
    return ["ok" if text == UNKNOWN else text.removesuffix(f"; {UNKNOWN}") for text in trust]


def assert_computed(found: Results, expected: Results) -> None:
    """All that the timeline says is as in the complete results."""
    pd.testing.assert_frame_equal(found.timeline, expected.timeline)
    for name in ("summary", "persons"):
        one, other = getattr(found, name), getattr(expected, name)
        unknown = ["trust", *({"role"} & set(one))]
        pd.testing.assert_frame_equal(one.drop(columns=unknown), other.drop(columns=unknown))
        assert without_doubt(one["trust"]) == list(other["trust"])
        assert UNKNOWN in "".join(one["trust"])
    ending = ["offset", "duration"]  # an episode at the end of a video ends with the video, whose length is unknown
    pd.testing.assert_frame_equal(found.episodes.drop(columns=ending), expected.episodes.drop(columns=ending))
    later = found.episodes["offset"] - expected.episodes["offset"]
    last = expected.timeline.groupby("video")["time"].max()[expected.episodes["video"]].to_numpy()
    assert (later[expected.episodes["offset"] < last] == 0).all()
    assert later.between(0, 0.2).all()


def test_the_tables_are_those_of_the_analysis(whole: Path, tmp_path: Path) -> None:
    path = alone(whole, tmp_path)
    found, expected = read_results(path), read_results(whole)
    assert_computed(found, expected)
    assert (found.notes, found.is_intact) == ((NOTE.format(path),), False)
    known = ["video", "video_id", "status", "frames_sampled", "faces", "coverage", "low_quality_share"]
    analysed = expected.videos[expected.videos["status"] != "failed"]
    pd.testing.assert_frame_equal(found.videos[known], analysed[known])
    assert found.videos["duration"].isna().all()
    assert len(found.shots) == 0


def test_corrected_results_keep_their_names(whole: Path, tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("video,face_id,action,start,end,value\ncrossing.mp4,0,name,,,Anna\n")
    corrected = tmp_path / "c.parquet"
    correct(whole, tmp_path / "c.csv", corrected)
    found = read_results(alone(corrected, tmp_path))
    assert_computed(found, read_results(corrected))
    assert "Anna" in set(found.persons["participant"])


def test_what_needs_the_lost_tables_is_refused(whole: Path, tmp_path: Path) -> None:
    path = alone(whole, tmp_path)
    with pytest.raises(
        UsageError, match=r"`blur` needs results as fervid wrote them: .* lies without its small tables"
    ):
        annotate(path, SAMPLES, tmp_path / "out", blur=True)
    (tmp_path / "c.csv").write_text("video,face_id,action,start,end,value\ncrossing.mp4,0,name,,,Anna\n")
    with pytest.raises(BadResults, match="without its table of shots, which correcting needs"):
        correct(path, tmp_path / "c.csv", tmp_path / "c.parquet")
    merge([path], tmp_path / "m.parquet")
    assert read_results(tmp_path / "m.parquet").notes == (NOTE.format(path),)
    with pytest.raises(UsageError, match="`blur` needs results as fervid wrote them"):
        annotate(tmp_path / "m.parquet", SAMPLES, tmp_path / "out", blur=True)


def test_a_video_without_a_face_and_no_video_at_all(tmp_path: Path) -> None:
    made = write_results(tmp_path / "r.parquet", [MadeVideo("nobody.mp4")])
    found = read_results(alone(made, tmp_path))
    assert list(found.videos["status"]) == ["no_face"]
    assert len(found.summary) == 0
    empty = write_results(tmp_path / "e.parquet", [])
    assert len(read_results(alone(empty, tmp_path)).videos) == 0


def test_rows_that_cannot_be_right_cost_their_video(tmp_path: Path) -> None:
    faces = [MadeFace(range(50), leading_emotions(("happy", 50)))]
    path = alone(
        write_results(tmp_path / "r.parquet", [MadeVideo("a.mp4", faces), MadeVideo("b.mp4", faces)]), tmp_path
    )
    table, footer = pq.read_table(path), pq.read_schema(path).metadata
    x = table["face_x"].to_pylist()
    x[3] = float("nan")
    wrong = table.set_column(table.column_names.index("face_x"), "face_x", pa.array(x, pa.float32()))
    pq.write_table(wrong.replace_schema_metadata(footer), path)
    found = read_results(path)
    assert list(found.summary["video"]) == ["b.mp4"]
    assert dict(zip(found.videos["video"], found.videos["status"], strict=True)) == {"a.mp4": "failed", "b.mp4": "ok"}
    assert "a.mp4: its rows cannot be right" in found.notes[0]


def test_a_file_that_does_not_say_how_it_was_made_is_refused(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "again.parquet"
    pq.write_table(pq.read_table(whole).replace_schema_metadata(None), path)
    with pytest.raises(BadResults, match="does not record the settings to compute them"):
        read_results(path)


@pytest.mark.parametrize("kept", SMALL)
def test_if_only_some_small_tables_are_missing_it_is_refused(whole: Path, tmp_path: Path, kept: str) -> None:
    path = alone(whole, tmp_path)
    shutil.copy(small_path(whole, kept), small_path(path, kept))
    with pytest.raises(BadResults, match=r"is incomplete: .*alone\.\w+\.csv is missing"):
        read_results(path)


@pytest.mark.parametrize("form", ["r.csv", "r"])
def test_other_forms_need_their_small_tables(tmp_path: Path, form: str) -> None:
    out = write_results(tmp_path / form, [MadeVideo("nobody.mp4")])
    for name in SMALL:
        small_path(out, name).unlink()
    with pytest.raises(BadResults, match="is missing"):
        read_results(out)
