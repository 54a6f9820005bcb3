"""A study with known truth, and studies with faults."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

import fervid
from fervid.errors import BadStudy, ConfigError, InputNotFound, OutputError, UsageError
from fervid.results.schema import SUMMARY
from fervid.studies.dictionary import COLUMNS
from fervid.studies.study import Study, check_study, compute_study
from fervid.studies.study import study as run_study
from tests.support.command import command
from tests.support.made_study import BASE, CONDITIONS, MadeParticipant, forty, write_study, written_quickly

SETTINGS = '[baseline]\nevent = "rest"\n[statistics]\ngroup = "group"\n'
ANN, BEN = MadeParticipant("Ann", "a", 1.0, 0.0), MadeParticipant("Ben", "b", 1.5, 0.1)


@pytest.fixture(scope="module")
def truth() -> list[MadeParticipant]:
    return forty()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, truth: list[MadeParticipant]) -> Path:
    home = tmp_path_factory.mktemp("study")
    write_study(home, truth, SETTINGS)
    return home


@pytest.fixture(scope="module")
def made(folder: Path) -> Study:
    with written_quickly():
        return run_study(folder / "study.toml", folder / "out")


def happy(frame: pd.DataFrame, **values: Any) -> pd.DataFrame:
    frame = frame[frame["measure"] == "happy"]
    for name, value in values.items():
        frame = frame[frame[name] == value]
    return frame


pytestmark = pytest.mark.xdist_group("study")


def test_means_of_participants_are_those_that_were_put_in(made: Study, truth: list[MadeParticipant]) -> None:
    rows = happy(made.tables.conditions, window="event").set_index(["participant", "trial_type"])
    assert len(rows) == 80
    for one in truth:
        for condition, mean in one.means.items():
            assert rows.loc[(one.name, condition), "mean"] == pytest.approx(mean, abs=0.01), one


def test_changes_are_from_the_baseline(made: Study, truth: list[MadeParticipant]) -> None:
    rows = happy(made.tables.conditions, window="event").set_index(["participant", "trial_type"])
    for one in truth[:-1]:
        for condition, mean in one.means.items():
            row = rows.loc[(one.name, condition)]
            assert row["change"] == pytest.approx(mean - BASE, abs=0.01)
            odds = np.log(mean / (1 - mean)) - np.log(BASE / (1 - BASE))
            assert row["change_log_odds"] == pytest.approx(odds, abs=0.06)


def test_latencies_are_right_within_one_sample(made: Study, truth: list[MadeParticipant]) -> None:
    rows = happy(made.tables.windows, window="event", trial_type="joke")
    for one in truth:
        latencies = rows.loc[rows["participant"] == one.name, "latency"].dropna()
        assert len(latencies) >= 2
        assert ((latencies - one.delay).abs() <= 1 / one.fps + 1e-6).all(), one


def test_the_groups_have_the_true_means_and_effects(made: Study, truth: list[MadeParticipant]) -> None:
    rows = happy(made.tables.groups, window="event", statistic="mean").set_index(["group", "trial_type"])
    kept = truth[:-1]
    for group in ("all", "a", "b"):
        inside = [one for one in kept if group in ("all", one.group)]
        for condition in CONDITIONS:
            row = rows.loc[(group, condition)]
            assert row["participants"] == len(inside)
            assert row["mean"] == pytest.approx(np.mean([one.means[condition] for one in inside]), abs=0.01)
            assert row["low"] < row["mean"] < row["high"]
    differences = happy(made.tables.differences, window="event", statistic="mean")
    within = differences[(differences["comparison"] == "within") & (differences["group"] == "all")].iloc[0]
    true = [one.means["joke"] - one.means["story"] for one in kept]
    assert within["difference"] == pytest.approx(np.mean(true), abs=0.01)
    between = differences[(differences["comparison"] == "between") & (differences["trial_type"] == "joke")].iloc[0]
    assert (between["group"], between["versus"]) == ("a", "b")
    groups = [np.mean([one.means["joke"] for one in kept if one.group == name]) for name in "ab"]
    assert between["difference"] == pytest.approx(groups[0] - groups[1], abs=0.01)


def test_windows_with_little_coverage_are_set_aside_in_brackets(made: Study) -> None:
    rows = happy(made.tables.windows)
    aside = rows[~rows["usable"]]
    assert len(aside) == 20
    assert (aside["coverage"] < 0.5).all()
    assert aside[["mean", "maximum", "area", "change", "latency"]].isna().all(axis=None)
    assert aside["set_aside"].str.match(r"\[mean=0\.\d+ .*\]").all()
    assert (rows.loc[rows["usable"], "set_aside"] == "").all()
    counts = happy(made.tables.conditions, window="event", trial_type="story").set_index("participant")
    assert counts.loc["p00", ["events", "events_used"]].tolist() == [3, 2]


def test_a_participant_without_a_baseline_is_named_and_kept_apart(made: Study) -> None:
    assert made.tables.apart.values.tolist() == [["p39", "", "there is no baseline: no event 'rest'"]]
    rows = happy(made.tables.conditions).set_index("participant")
    assert rows.loc["p39", "kept_apart"].all()
    assert not rows.drop("p39")["kept_apart"].any()
    assert rows.loc["p39", "change"].isna().all()
    assert rows.loc["p39", "mean"].notna().all()
    assert "p39" not in set(made.tables.course["participant"])
    assert any("p39" in note for note in made.notes)


def test_both_sampling_rates_give_the_same_results(made: Study, tmp_path: Path) -> None:
    found = {}
    for fps in (5.0, 25.0):
        people = forty(fps)[:6]
        study = compute_study(write_study(tmp_path / str(fps), people, SETTINGS))
        found[fps] = study.tables.conditions.set_index(["participant", "trial_type", "window", "measure"])
    for name in ("mean", "share_leading", "change"):
        difference = (found[5.0][name] - found[25.0][name]).abs()
        assert difference.notna().any()
        limit = 0.01 if name != "share_leading" else 0.02
        assert difference.max() <= limit, name
    assert (found[5.0]["episodes"].dropna() == found[25.0]["episodes"].dropna()).all()


def test_the_wide_table_has_a_row_for_each_participant(made: Study) -> None:
    wide = made.tables.wide.set_index("participant")
    assert len(wide) == 40
    assert wide["kept_apart"].sum() == 1
    long = happy(made.tables.conditions, window="event", trial_type="story").set_index("participant")
    assert wide["happy_story_event_mean"].to_dict() == long["mean"].to_dict()
    assert np.isnan(wide.loc["p39", "happy_story_event_change"])
    assert list(wide.columns[:2]) == ["group", "kept_apart"]


def test_the_course_rises_after_the_delay(made: Study, truth: list[MadeParticipant]) -> None:
    rows = happy(made.tables.course, participant="p01", trial_type="joke").set_index("time")["mean"]
    smiling = truth[1].delay
    assert rows[rows.index < smiling - 0.3].to_numpy() == pytest.approx(BASE, abs=1e-6)
    late = rows[(rows.index > smiling + 0.3) & (rows.index < 7.8)]
    assert late.to_numpy() == pytest.approx(CONDITIONS["joke"] + truth[1].extra, abs=1e-5)
    group = happy(made.tables.course, group="all", trial_type="joke")
    assert (group["participants"] == 39).all()


def test_every_column_is_defined_and_the_files_hold_the_tables(made: Study, folder: Path) -> None:
    record = json.loads((folder / "out" / "study.json").read_text())
    own = {"group", "event_rating"}
    for name, columns in record["tables"].items():
        frame = pd.read_csv(folder / "out" / f"{name}.csv")
        assert list(frame.columns) == list(columns) == list(getattr(made.tables, name).columns)
        assert name == "wide" or set(columns) <= set(COLUMNS[name]) | own
        assert len(frame) == len(getattr(made.tables, name))
        assert all(columns.values())
    assert "bootstrap-t" in record["methods"]
    assert record["settings"]["baseline"]["event"] == "rest"


def test_a_check_prints_counts_and_gaps_and_writes_nothing(folder: Path, tmp_path: Path) -> None:
    before = sorted(folder.iterdir())
    done = command("study", folder / "study.toml", "--check", folder=tmp_path)
    assert done.returncode == 0
    assert "40 participants, 40 recordings, 279 events" in done.stdout
    assert "p39: there is no baseline: no event 'rest'" in done.stdout
    assert sorted(folder.iterdir()) == before
    assert list(tmp_path.iterdir()) == []


def test_the_figures_and_the_page_are_complete(made: Study, folder: Path) -> None:
    names = {path.name for path in made.files}
    assert {"course.png", "course.svg", "coverage.png", "coverage.svg", "study.html"} <= names
    for name in ("course.svg", "coverage.svg"):
        texts = "".join(ElementTree.parse(folder / "out" / name).getroot().itertext())
        assert ("story" in texts) == (name == "course.svg")
        assert ("p39" in texts) == (name == "coverage.svg")
    page = (folder / "out" / "study.html").read_text()
    assert '<script type="application/json" id="data">{"conditions": [{"color": "#0072b2", "name": "joke"}' in page
    assert "p39: there is no baseline" in page
    assert "d_z" in page
    assert not re.search(r'(src|href)="(?!data:)', page)


def test_names_that_would_do_harm_are_shown_as_text(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script> $x$"
    people = [MadeParticipant("Ann", evil, 1.0, 0.0), MadeParticipant("Ben", "=b", 1.0, 0.0)]
    with written_quickly():
        study = run_study(write_study(tmp_path, people, '[statistics]\ngroup = "group"\n'), tmp_path / "out")
    page = (tmp_path / "out" / "study.html").read_text()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "\\u003cscript\\u003e" in page
    assert "=b" in set(study.tables.groups["group"])
    assert ",'=b," in (tmp_path / "out" / "windows.csv").read_text().replace('"', "")


# two participants are enough for the rest


def small(folder: Path, more: str = "", **files: str) -> Path:
    path = write_study(folder, [ANN, BEN], more)
    for name, content in files.items():
        (folder / {"events": "events.csv", "participants": "participants.tsv"}[name]).write_text(content)
    return path


def test_bins_divide_a_recording_with_a_shorter_last_one(tmp_path: Path) -> None:
    study = compute_study(small(tmp_path, "[windows]\nbins = 60\naround = []\nwhole = false\n"))
    rows = happy(study.tables.windows, participant="Ann")
    assert rows[["start", "end"]].values.tolist() == [[0, 60], [60, 92]]
    assert rows["coverage"].to_numpy() == pytest.approx(1, abs=0.01)
    assert set(study.tables.groups["trial_type"]) == {""}


def test_the_lowest_part_as_a_baseline(tmp_path: Path) -> None:
    study = compute_study(small(tmp_path, "[baseline]\nlowest = 0.2\n"))
    rows = happy(study.tables.baselines).set_index("participant")
    assert rows["mean"].to_numpy() == pytest.approx(BASE, abs=1e-6)
    assert rows["seconds"].to_numpy() == pytest.approx(0.2 * 92, abs=0.1)


def test_too_short_a_baseline_keeps_a_participant_apart(tmp_path: Path) -> None:
    write_study(tmp_path, [replace(ANN, hidden=((0.0, 9.0),)), BEN], '[baseline]\nevent = "rest"\n')
    study = compute_study(tmp_path / "study.toml")
    (row,) = study.tables.apart.values.tolist()
    assert row[:2] == ["Ann", ""]
    assert "observed for 3.1 s, less than 5 s" in row[2]


def test_only_trusted_faces_count_unless_the_study_says_otherwise(tmp_path: Path) -> None:
    path = small(tmp_path, 'trust = "ok"\n')
    summary = pd.read_csv(tmp_path / "results.summary.csv")
    summary.loc[summary["video"] == "Ann.mp4", "trust"] = "only 20 pixels wide"
    summary[SUMMARY.names].to_csv(tmp_path / "results.summary.csv", index=False)
    study = compute_study(path)
    rows = happy(study.tables.windows, participant="Ann")
    assert (rows["seconds"] == 0).all()
    assert any("because their trust is not ok: 1, of Ann" in note for note in study.notes)
    path.write_text(path.read_text().replace('"ok"', '"any"'))
    rows = happy(compute_study(path).tables.windows, participant="Ann")
    assert (rows["seconds"] > 5).all()


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ("Zoe.mp4,1,2,x", "1 event matches no video of the results: 'Zoe.mp4' ("),
        ("Ann.mp4,93,2,x", "line 2, column onset: at 93 s, but Ann.mp4 ends at 92 s"),
        ("Ann.mp4,90,5,x", "line 2, column onset: ends at 95 s, but Ann.mp4 ends at 92 s"),
        ("Ann.mp4,20000,2000,x\nBen.mp4,30000,2000,x", "2 events lie after the end of their video; the first is at "
         "20000 s, but Ann.mp4 ends at 92 s; are the times in milliseconds?"),
        ("Ann.mp4,-9,2,x", "line 2, column onset: the event ends before Ann.mp4 begins"),
    ],
)  # fmt: skip
def test_events_that_do_not_fit_are_refused_with_their_place(tmp_path: Path, events: str, message: str) -> None:
    path = small(tmp_path, events=f"video,onset,duration,trial_type\n{events}\n")
    with pytest.raises(BadStudy) as caught:
        compute_study(path)
    assert message in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_an_unknown_participant_of_an_event_is_refused_with_its_place(tmp_path: Path) -> None:
    path = small(tmp_path, events="participant_id,onset,duration,trial_type\nAnn,1,2,x\nZoe,1,2,x\n")
    with pytest.raises(BadStudy, match=r"events.csv, line 3, column participant_id: 'Zoe' is not in the participants"):
        compute_study(path)


@pytest.mark.parametrize("video", ["Ann.mp4", "Ann", "A*.mp4", "[A]nn.mp4"])
def test_events_find_their_video_by_name_stem_and_pattern(tmp_path: Path, video: str) -> None:
    path = small(tmp_path, events=f"video,onset,duration,trial_type\n{video},20,8,x\n")
    rows = happy(compute_study(path).tables.windows, window="event")
    assert rows[["participant", "video"]].values.tolist() == [["Ann", "Ann.mp4"]]
    assert rows["mean"].iloc[0] == pytest.approx(ANN.means["joke"], abs=0.01)


def test_a_pattern_may_mean_several_videos_but_a_name_may_not(tmp_path: Path) -> None:
    path = small(tmp_path, events="video,onset,duration,trial_type\n*.mp4,20,8,x\n")
    assert len(happy(compute_study(path).tables.windows, window="event")) == 2
    path = small(tmp_path, participants="participant_id,video\nAnn,Ann.mp4\nAnn,Ben.mp4\n",
                 events="participant_id,onset,duration,trial_type\nAnn,20,8,x\n")  # fmt: skip
    with pytest.raises(BadStudy, match=r"column participant_id: 'Ann' fits 2 videos: Ann.mp4 in .*; name the video"):
        compute_study(path)


def test_a_participant_in_two_videos_has_windows_in_both(tmp_path: Path) -> None:
    path = small(tmp_path, participants="participant_id,video\nAnn,Ann.mp4\nAnn,Ben.mp4\nZoe,\n")
    study = compute_study(path)
    rows = happy(study.tables.conditions, window="event", trial_type="joke")
    assert rows["events"].tolist() == [6]
    assert rows["mean"].iloc[0] == pytest.approx((ANN.means["joke"] + BEN.means["joke"]) / 2, abs=0.01)
    assert study.tables.apart.values.tolist() == [["Zoe", "", "no recording shows this participant"]]


def test_a_video_without_a_participant_is_said(tmp_path: Path) -> None:
    study = compute_study(small(tmp_path, participants="participant_id,video\nAnn,Ann.mp4\n"))
    assert ["", "Ben.mp4", "it shows no participant, but has events"] in study.tables.apart.values.tolist()


@pytest.mark.parametrize(
    ("more", "error", "message"),
    [
        ('measures = ["joy"]\n', ConfigError, "the results have no 'joy'; they have angry"),
        ('[statistics]\ngroup = "team"\n', ConfigError, "`group` is 'team', but the columns of"),
        ('[statistics]\nconditions = ["jokes"]\n', ConfigError, "no event has the trial type 'jokes'; there are joke"),
        ('[baseline]\nevent = "rests"\n', ConfigError, "no event has the trial type 'rests'"),
        ('[baseline]\nevent = "rest"\nlowest = 0.2\n', ConfigError, "must have only one of"),
        ("[windows]\naround = [3, 1]\n", ConfigError, "`around` must begin before it ends"),
        ("[windows]\nbin = 3\n", ConfigError, "did you mean 'bins'?"),
        ("coverage = 2\n", ConfigError, "`coverage` must be between 0 and 1"),
    ],
)
def test_a_wrong_study_file_is_refused(tmp_path: Path, more: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        check_study(small(tmp_path, more))
    assert message in str(caught.value)


def test_a_folder_with_other_files_is_not_touched(tmp_path: Path) -> None:
    path = small(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.docx").touch()
    with pytest.raises(OutputError, match=r"such as thesis\.docx"):
        run_study(path, tmp_path / "mine")
    with pytest.raises(InputNotFound):
        run_study(tmp_path / "none.toml", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert command("study", path).returncode == 2


def test_the_function_of_the_package_takes_a_mapping_and_stays_a_function(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small(tmp_path)
    monkeypatch.chdir(tmp_path)
    inputs = {"results": ["results.parquet"], "participants": "participants.tsv", "events": ["events.csv"]}
    first = fervid.study(inputs | {"windows": {"around": [], "bins": 30}}, "out")
    assert len(first.tables.groups)
    assert not any(path.name == "course.png" for path in first.files)
    again = fervid.study(inputs, "out")
    assert {path.name for path in again.files} == {path.name for path in (tmp_path / "out").iterdir()}
    with pytest.raises(UsageError, match="study: unknown key 'result'"):
        fervid.study({"result": []}, "out")


def test_the_workbook_holds_the_tables_and_defines_their_columns(tmp_path: Path) -> None:
    pytest.importorskip("openpyxl", reason="openpyxl is not installed")
    made = run_study(small(tmp_path, SETTINGS + "[windows]\naround = []\n"), tmp_path / "out")
    sheets = pd.read_excel(tmp_path / "out" / "study.xlsx", sheet_name=None, keep_default_na=False, na_values=[""])
    record = json.loads((tmp_path / "out" / "study.json").read_text())
    assert list(sheets) == ["about", "columns", *record["tables"]]
    meanings = {(row.table, row.column): row.meaning for row in sheets["columns"].itertuples()}
    for name, columns in record["tables"].items():
        assert list(sheets[name].columns) == list(columns)
        assert all(meanings[(name, column)] == text for column, text in columns.items())
        assert len(sheets[name]) == len(getattr(made.tables, name))
    means = sheets["groups"]["mean"].to_numpy()
    assert means == pytest.approx(made.tables.groups["mean"].to_numpy(np.float64), nan_ok=True)
    assert record["methods"] in set(sheets["about"]["text"])


@pytest.mark.slow
def test_the_workbook_leaves_out_what_is_too_large_and_is_not_written_without_openpyxl(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openpyxl", reason="openpyxl is not installed")
    path = small(tmp_path)
    monkeypatch.setattr("fervid.studies.workbook.MAX_CELLS", 1000)
    done = run_study(path, tmp_path / "out")
    sheets = pd.read_excel(tmp_path / "out" / "study.xlsx", sheet_name=None)
    assert {"windows", "course"}.isdisjoint(sheets)
    assert "baselines" in sheets
    assert "windows.csv" in set(sheets["about"]["what"])
    assert any("study.xlsx leaves out windows" in note for note in done.notes)
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    done = run_study(path, tmp_path / "out")
    assert not (tmp_path / "out" / "study.xlsx").exists()  # that of the earlier study would mislead
    assert any(r"pip install 'fervid[excel]'" in note for note in done.notes)
