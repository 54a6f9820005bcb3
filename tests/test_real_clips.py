"""The analysis of real clips, compared with their known content."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from fervid.results.correct import correct
from fervid.results.reader import Results, read_results
from fervid.results.schema import SMALL, TIMELINE
from fervid.types import EMOTIONS, MEASURES
from tests.support.command import fresh_command
from tests.support.comparison import assert_identical
from tests.support.corrected import without_record, write_corrections
from tests.support.report_page import open_all, opened

SMOOTH = [f"{name}_smooth" for name in EMOTIONS]
D19 = ["d19_av1_opus.mkv", "d19_h264_longgop.mkv", "d19_hevc_aac.mp4", "d19_vp9_opus.webm"]


@pytest.fixture(
    scope="module",
    params=["1", *(pytest.param(fps, marks=pytest.mark.slow) for fps in ("2", "5"))],
    ids="{} fps".format,
)
def run(request: pytest.FixtureRequest, shared_media: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of all clips, with a report. The night samples them at 5 fps, as users do."""
    out = tmp_path_factory.mktemp("media") / "r.parquet"
    done = fresh_command("analyze", shared_media, "--out", out, "--fps", request.param)
    assert done.returncode == 0, done.stderr
    assert "oneDNN" not in done.stderr
    assert "failed  0" in done.stderr
    return out


@pytest.fixture(scope="module")
def results(run: Path) -> Results:
    return read_results(run)


@pytest.fixture(scope="module")
def truth(shared_media: Path) -> dict[str, dict[str, object]]:
    clips: dict[str, dict[str, object]] = json.loads((shared_media / "ground_truth.json").read_text())["clips"]
    return clips


def of(results: Results, video: str) -> pd.DataFrame:
    rows = results.timeline[results.timeline["video"] == video]
    assert len(rows), f"no rows for {video}"
    return rows


def test_four_tables_with_the_contracted_columns_and_types(run: Path) -> None:
    schema = pq.read_schema(run)
    assert schema.remove_metadata().equals(TIMELINE)
    for name in SMALL:
        assert run.with_suffix(f".{name}.csv").exists()
    metadata = {key.decode() for key in schema.metadata}
    assert metadata >= {
        f"fervid.{key}" for key in ("schema_version", "version", "settings", "weights_sha256", "detector")
    }


def test_every_clip_has_a_manifest_row_that_is_no_failure(
    results: Results, truth: dict[str, dict[str, object]]
) -> None:
    assert sorted(results.videos["video"]) == sorted(truth)
    empty = set(results.videos.loc[results.videos["status"] == "no_face", "video"])
    assert empty == {"no_face.mp4"}
    assert (results.videos.loc[~results.videos["video"].isin(empty), "status"] == "ok").all()


def test_every_sampled_frame_has_a_row(results: Results) -> None:
    frames = results.timeline.groupby("video")["frame"].nunique()
    sampled = results.videos.set_index("video")["frames_sampled"]
    assert frames.sort_index().tolist() == sampled.sort_index().tolist()


def test_rows_without_a_face_are_null_and_rows_with_one_are_complete(results: Results) -> None:
    table = results.timeline
    of_frame = ("video", "video_id", "frame", "time", "frame_width", "frame_height")
    face = [name for name in TIMELINE.names if name not in (*of_frame, "person", "participant", *MEASURES)]
    seen = table["face_id"].notna()
    assert table.loc[~seen, face].isna().all().all()
    assert table.loc[seen, face].notna().all().all()
    assert table[[*of_frame]].notna().all().all()
    assert of(results, "no_face.mp4")["face_id"].isna().all()


def test_probabilities_are_distributions(results: Results) -> None:
    seen = results.timeline[results.timeline["face_id"].notna()]
    for columns in (list(EMOTIONS), SMOOTH):
        values = seen[columns].to_numpy()
        assert ((values >= 0) & (values <= 1)).all()
        np.testing.assert_allclose(values.sum(axis=1), 1, atol=1e-5)
    assert (seen["emotion"] == np.asarray(EMOTIONS)[seen[SMOOTH].to_numpy().argmax(axis=1)]).all()
    np.testing.assert_allclose(seen["confidence"], seen[SMOOTH].max(axis=1), atol=1e-6)


def test_a_face_has_one_row_a_frame_and_times_increase(results: Results) -> None:
    seen = results.timeline[results.timeline["face_id"].notna()]
    assert not seen.duplicated(["video", "face_id", "frame"]).any()
    for _, rows in results.timeline.groupby("video"):
        times = rows.drop_duplicates("frame")["time"]
        assert times.is_monotonic_increasing
        assert times.is_unique


def test_episodes_are_ordered_and_never_overlap(results: Results) -> None:
    episodes = results.episodes
    assert len(episodes)
    assert (episodes["onset"] <= episodes["apex"]).all()
    assert (episodes["apex"] <= episodes["offset"]).all()
    for _, rows in episodes.groupby(["video", "face_id", "kind"], observed=True):
        assert (rows["onset"].to_numpy()[1:] >= rows["offset"].to_numpy()[:-1] - 1e-9).all()


def test_variable_rate_keeps_the_containers_times_and_its_gap(results: Results, shared_media: Path) -> None:
    rows = of(results, "d9_vfr.mp4").drop_duplicates("frame")
    with av.open(str(shared_media / "d9_vfr.mp4")) as container:
        stream = container.streams.video[0]
        times = [frame.time for frame in container.decode(stream)]
    np.testing.assert_allclose(rows["time"], np.asarray(times)[rows["frame"]], atol=1e-3)
    assert np.diff(times).max() == pytest.approx(0.73, abs=0.01)
    assert rows["time"].diff().max() >= 0.73
    before, after = times[int(np.diff(times).argmax())], times[int(np.diff(times).argmax()) + 1]
    assert not rows["time"].between(before, after, inclusive="neither").any()


def test_the_same_frames_in_four_containers_agree(results: Results) -> None:
    first = of(results, D19[0])
    for name in D19[1:]:
        other = of(results, name)
        np.testing.assert_allclose(other["time"].drop_duplicates(), first["time"].drop_duplicates(), atol=1e-3)
        assert other["face_id"].nunique() == first["face_id"].nunique() == 1
        assert (other[SMOOTH].mean() - first[SMOOTH].mean()).abs().max() < 0.05


def test_rotated_clip_is_analysed_upright(results: Results) -> None:
    video = results.videos.set_index("video").loc["d13_rot90.mov"]
    assert (video["width"], video["height"], video["rotation"]) == (720, 1280, 90)
    rows = of(results, "d13_rot90.mov")
    assert rows["face_id"].notna().all()
    assert (rows[["face_x", "face_y"]] >= 0).all().all()
    assert ((rows["face_x"] + rows["face_width"]) <= 720).all()
    assert ((rows["face_y"] + rows["face_height"]) <= 1280).all()
    assert (rows["face_height"] > rows["face_width"]).mean() > 0.9


def test_named_emotions_dominate(results: Results, truth: dict[str, dict[str, object]]) -> None:
    dominant = results.summary.set_index("video")["dominant"]
    clips = [name for name in truth if name.startswith("emo7_")]
    right = {truth[name]["dominant"] for name in clips if dominant[name] == truth[name]["dominant"]}
    assert right >= set(EMOTIONS) - {"disgust"}


def test_wolfgang_turns_happy(results: Results) -> None:
    rows = of(results, "wolfgang.mp4")
    late = rows[rows["time"].between(11, 19)]
    assert (late["emotion"] == "happy").mean() > 0.9
    early = rows[rows["time"] < 9.5]
    assert (early["emotion"] == "happy").mean() < 0.1


def test_no_identity_bridges_a_cut(results: Results, truth: dict[str, dict[str, object]]) -> None:
    rows = of(results, "hamilton_cuts.mp4").dropna(subset=["face_id"])
    cuts = truth["hamilton_cuts.mp4"]["cuts"]
    assert isinstance(cuts, list)
    shot = np.searchsorted(np.asarray(cuts) - 0.02, rows["time"])
    assert rows.assign(shot=shot).groupby("face_id")["shot"].nunique().max() == 1
    assert rows.groupby(shot)["face_id"].nunique().size == 4


def test_two_people_who_cross_keep_two_tracks(results: Results, shared_media: Path) -> None:
    rows = of(results, "composite_cross.mp4").dropna(subset=["face_id"])
    tiles = pd.read_csv(shared_media / "composite_cross_gt.csv")
    spans = rows.groupby("face_id")["time"].agg(lambda times: times.max() - times.min())
    assert (spans > 6).sum() == 2
    people = {}
    for face_id in spans.index[spans > 6]:
        joined = rows[rows["face_id"] == face_id].merge(tiles, on="frame")
        x, y = joined["face_x"] + joined["face_width"] / 2, joined["face_y"] + joined["face_height"] / 2
        inside = x.between(joined["x"], joined["x"] + joined["w"]) & y.between(joined["y"], joined["y"] + joined["h"])
        alone = joined[inside].drop_duplicates("frame", keep=False)
        people[face_id] = set(alone["id"])
    assert sorted(map(sorted, people.values())) == [["A"], ["B"]], "an identity swapped when they crossed"


def test_a_made_swap_is_repaired(run: Path, results: Results, tmp_path: Path) -> None:
    """Two tracks that exchanged people are split, and the parts put crosswise: the tables of the true identities."""

    def corrected(source: Path, name: Path, *lines: str) -> Path:
        correct(source, write_corrections(tmp_path / "c.csv", *(f"composite_cross.mp4,{line}" for line in lines)), name)
        return name

    faces = results.summary[results.summary["video"] == "composite_cross.mp4"]
    long = faces[faces["last_seen"] - faces["first_seen"] > 6].sort_values("face_id")
    (one, two), largest = long["face_id"].tolist(), int(faces["face_id"].max())
    people = dict(zip(long["face_id"], long["person"], strict=True))
    when = (long["first_seen"].max() + long["last_seen"].min()) / 2
    apart = [f"{one},split,{when},,", f"{two},split,{when},,"]
    names = [f"{one},name,,,Ann", f"{two},name,,,Ben"]
    right = corrected(run, tmp_path / "right.parquet", *reversed(apart), *names)
    swap = [f"{one},join,,,{largest + 2}", f"{two},join,,,{largest + 1}"]
    wrong = without_record(corrected(run, tmp_path / "wrong.parquet", *apart, *swap))
    assert not read_results(wrong).summary.equals(results.summary)
    crosswise = [f"{largest + 1},person,,,{people[two]}", f"{largest + 2},person,,,{people[one]}"]
    repaired = corrected(wrong, tmp_path / "repaired.parquet", *apart, *crosswise, *names)
    assert_identical(read_results(repaired), read_results(right))
    named = read_results(repaired).persons.query("video == 'composite_cross.mp4'").set_index("participant")
    assert (named.loc[["Ann", "Ben"], "faces"] >= 2).all()
    whole = corrected(wrong, tmp_path / "whole.parquet", *apart, *swap)
    assert_identical(read_results(whole), results)


@pytest.mark.slow
def test_the_report_opens_clean(run: Path, shared_media: Path, tmp_path: Path) -> None:
    page_path = tmp_path / "r.html"
    done = fresh_command("report", run, "--videos", shared_media, "--no-frames", "--out", page_path)
    assert done.returncode == 0, done.stderr
    assert page_path.stat().st_size < 6_000_000
    for size in ((1280, 900), (390, 844)):
        with opened(page_path, size=size, mobile=size[0] < 600) as page:
            open_all(page)
            assert page.evaluate("document.querySelectorAll('.lane-canvas').length") > 20
            assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
            assert page.evaluate(
                "[...document.images].every(image => image.naturalWidth > 0 || !image.getAttribute('src'))"
            )
