"""The BIDS dataset: read back, it is the tables, and the official validators accept it."""

from __future__ import annotations

import gzip
import io
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fervid.errors import UsageError
from fervid.export.bids_subjects import unique_labels
from fervid.export.export import export
from fervid.results.lanes import lanes
from fervid.results.reader import Results, read_results
from fervid.studies.read_events import read_events
from tests.support.command import command
from tests.support.corrected import NAME, ROLE, write_people
from tests.support.synthetic_results import MadeFace, MadeVideo, leading_emotions, write_results

FACE = MadeFace(range(40), leading_emotions(("neutral", 12), ("happy", 9), ("sad", 19)))
GAPPY = MadeFace([*range(5), *range(25, 45)], leading_emotions(("angry", 12), ("surprise", 13)), trust="only 1 pixel")
VIDEOS = [
    MadeVideo("talk/first.mp4", [FACE, GAPPY], step=1 / 3),
    MadeVideo("talk_first.mp4", [FACE], step=1001 / 30000),
    MadeVideo("empty.mov", count=10),
    MadeVideo("broken.mp4", status="failed", error="UnreadableVideo", message="empty file"),
]
LAYOUT = re.compile(r"sub-[0-9A-Za-z]+/(sub-[0-9A-Za-z]+_scans\.tsv|beh/sub-[0-9A-Za-z]+_task-[0-9A-Za-z]+"
                    r"(_acq-[0-9A-Za-z]+)?_(events\.(tsv|json)|physio\.(tsv\.gz|json)))")  # fmt: skip
TOP = {"README", "dataset_description.json", "participants.json", "participants.tsv", "scans.json"}


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """A participant of two faces, a person and a face without a name, and a person who is two faces at once."""
    return write_people(tmp_path)


@pytest.fixture
def several(tmp_path: Path) -> Path:
    return write_results(tmp_path / "several.parquet", VIDEOS)


def table(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, sep="\t", na_values=["n/a"], keep_default_na=False, quoting=3)


def sidecar(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def physio(path: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The table under the names of its sidecar."""
    about = sidecar(path.with_name(path.name.removesuffix(".tsv.gz") + ".json"))
    text = gzip.decompress(path.read_bytes()).decode()
    return pd.read_csv(io.StringIO(text), sep="\t", names=about["Columns"], na_values=["n/a"]), about


def scans(out: Path) -> pd.DataFrame:
    """All files with data, their faces and paths."""
    tables = [table(path).assign(path=[path.parent / name for name in table(path)["filename"]])
              for path in sorted(out.glob("sub-*/*_scans.tsv"))]  # fmt: skip
    return pd.concat(tables, ignore_index=True)


def numbers(text: object) -> list[int]:
    return [int(one) for one in str(text).split(",")]


def assert_same(results: Results, out: Path) -> None:
    """All episodes and all rows with a face are in the dataset once, digit for digit."""
    episodes = rows = 0
    for one in scans(out).itertuples():
        faces = numbers(one.faces)
        if one.path.name.endswith("_events.tsv"):
            wanted = results.episodes[
                (results.episodes["video"] == one.video) & results.episodes["face_id"].isin(faces)
            ]
            wanted, found = wanted.sort_values("onset").reset_index(drop=True), table(one.path)
            for name in ("onset", "duration", "apex", "peak", "mean", "face_id"):
                assert found[name].tolist() == wanted[name].tolist(), name
            assert found["trial_type"].tolist() == wanted["emotion"].tolist()
            assert (found["onset"] + found["duration"]).tolist() == pytest.approx(wanted["offset"].tolist(), abs=1e-9)
            episodes += len(found)
            continue
        timeline = results.timeline[results.timeline["video"] == one.video]
        wanted = timeline[timeline["face_id"].isin(faces)]
        everything, about = physio(one.path)
        found = everything.dropna(subset="face_id")
        for name in everything.columns.difference(["video_time"]):
            kind = wanted[name].to_numpy().dtype if name != "face_id" else "int64"
            pd.testing.assert_series_equal(
                found[name].astype(kind), wanted[name].astype(kind), check_index=False, check_exact=True, obj=name
            )
        assert found["video_time"].tolist() == wanted["time"].tolist()
        held = everything.dropna(subset="video_time")
        assert held["frame"].tolist() == timeline["frame"].drop_duplicates().tolist()
        grid = about["StartTime"] + held.index / about["SamplingFrequency"]
        assert abs(grid - held["video_time"]).max() <= about["LargestTimeShift"]["Value"] + 1e-6
        rows += len(found)
    assert episodes == len(results.episodes) > 0
    assert rows == results.timeline["face_id"].notna().sum() > 0


def test_the_layout_is_that_of_bids_and_every_column_is_described(several: Path, tmp_path: Path) -> None:
    done = export(several, "bids", tmp_path / "ds")
    assert set(done.files) == {path for path in (tmp_path / "ds").rglob("*") if path.is_file()}
    names = [path.relative_to(tmp_path / "ds").as_posix() for path in done.files]
    assert {name for name in names if not LAYOUT.fullmatch(name)} == TOP
    description = sidecar(tmp_path / "ds" / "dataset_description.json")
    assert (description["DatasetType"], description["BIDSVersion"]) == ("derivative", "1.9.0")
    assert description["GeneratedBy"][0]["Name"] == "fervid"
    for path in done.files:
        if path.suffix == ".tsv":
            scan = path.name.endswith("_scans.tsv")
            about = sidecar(tmp_path / "ds" / "scans.json" if scan else path.with_suffix(".json"))
            assert list(table(path).columns) == list(about)
        elif path.suffix == ".gz":
            found, about = physio(path)
            assert all("Description" in about[name] for name in found.columns)
            assert "the measure" not in json.dumps(about).lower(), "a column without a description of its own"
            assert about["OriginalSampling"] == "regular"


def test_it_reads_back_digit_for_digit(several: Path, people: Path, tmp_path: Path) -> None:
    for number, results in enumerate((several, people)):
        export(results, "bids", tmp_path / str(number))
        assert_same(read_results(results), tmp_path / str(number))


def test_events_read_back_with_fervid_to_the_millisecond(several: Path, tmp_path: Path) -> None:
    export(several, "bids", tmp_path / "ds")
    read = [event for path in (tmp_path / "ds").rglob("*_events.tsv") for event in read_events(path)]
    found = sorted((round(event.onset, 3), round(event.end, 3), event.trial_type) for event in read)
    episodes = read_results(several).episodes
    wanted = zip(episodes["onset"].round(3), episodes["offset"].round(3), episodes["emotion"], strict=True)
    assert found == sorted(wanted)


def test_a_participant_is_a_subject_and_the_names_are_kept(people: Path, tmp_path: Path) -> None:
    export(people, "bids", tmp_path / "ds")
    subjects = table(tmp_path / "ds" / "participants.tsv")
    assert subjects["participant_id"].tolist() == ["sub-AnnbampbOHara", *(f"sub-unknown{n}" for n in range(1, 5))]
    assert subjects["name"].tolist()[0] == NAME
    assert subjects["name"].isna().tolist() == [False, True, True, True, True]
    unknown = subjects.iloc[1:]
    assert list(zip(unknown["video"], unknown["face"], strict=True)) == [
        ("a.mp4", 1), ("a.mp4", 3), ("b.mp4", 0), ("b.mp4", 1)]  # fmt: skip
    listed = scans(tmp_path / "ds")
    named = listed[listed["path"].map(lambda path: "Annbamp" in path.name)]
    assert set(named["role"]) == {ROLE}
    assert set(named["faces"]) == {"0,2"}


def test_trust_is_kept(several: Path, tmp_path: Path) -> None:
    export(several, "bids", tmp_path / "ds")
    found = scans(tmp_path / "ds")
    assert set(found.loc[(found["video"] == "talk/first.mp4") & (found["faces"].map(str) == "1"), "trust"]) == {
        "only 1 pixel"
    }
    assert set(found.loc[found["faces"].map(str) == "0", "trust"]) == {"ok"}


def test_one_participant_twice_in_a_video_has_two_sets_of_files(people: Path, tmp_path: Path) -> None:
    results = read_results(people)
    for frame in (results.timeline, results.summary, results.persons):
        frame.loc[(frame["video"] == "b.mp4") & frame["person"].notna(), "participant"] = "sub-Bob"
    export(results, "bids", tmp_path / "ds")
    stems = sorted(path.name for path in (tmp_path / "ds" / "sub-Bob" / "beh").glob("*_events.tsv"))
    assert stems == ["sub-Bob_task-b_acq-face1_events.tsv", "sub-Bob_task-b_events.tsv"]
    assert len(lanes(results.summary[results.summary["video"] == "b.mp4"])) == 2
    assert_same(results, tmp_path / "ds")


def test_labels() -> None:
    names = ["a b", "ab", "AB", "sub-07", "07", "Zoë B.", "李", "", "x" * 99, "ab2", "unknown1"]
    labels = unique_labels(names, "participant")
    assert labels == {"a b": "ab3", "ab": "ab", "AB": "AB2", "sub-07": "07", "07": "072", "Zoë B.": "ZoeB",
                      "李": "participant", "": "participant2", "x" * 99: "x" * 40, "ab2": "ab22",
                      "unknown1": "unknown1"}  # fmt: skip
    assert len({label.casefold() for label in labels.values()}) == len(names)
    videos = unique_labels(["a/x.mp4", "ax.mov", "..", ".mp4", "b."], "video")
    assert videos == {"a/x.mp4": "ax", "ax.mov": "ax2", "..": "video", ".mp4": "mp4", "b.": "b"}


def with_times(path: Path, times: list[float]) -> Results:
    """Results of one video of one face with these times."""
    face = MadeFace(range(len(times)), leading_emotions(("happy", len(times))))
    results = read_results(write_results(path, [MadeVideo("v.mp4", [face], count=len(times))]))
    results.timeline["time"] = times
    return results


def test_irregular_sampling_is_said_and_no_sample_is_lost(tmp_path: Path) -> None:
    times = [0.0, 0.2, 0.4, 0.44, 0.48, 0.55, 0.8, 1.0, 1.23]
    results = with_times(tmp_path / "r.parquet", times)
    done = export(results, "bids", tmp_path / "ds")
    assert "1 video not sampled at a constant rate" in done.notes[-1]
    found, about = physio(next((tmp_path / "ds").rglob("*_physio.tsv.gz")))
    assert about["OriginalSampling"].startswith("irregular")
    assert 0.001 < about["LargestTimeShift"]["Value"] <= 0.5 / about["SamplingFrequency"] + 1e-6
    assert found["video_time"].dropna().tolist() == times
    assert_same(results, tmp_path / "ds")


@pytest.mark.parametrize("gap", [0.0, 7.0])
def test_times_in_whole_milliseconds_and_gaps_are_regular(tmp_path: Path, gap: float) -> None:
    times = [round(10 + n / 30 + gap * (n >= 400), 3) for n in range(900)]
    results = with_times(tmp_path / "r.parquet", times)
    export(results, "bids", tmp_path / "ds")
    found, about = physio(next((tmp_path / "ds").rglob("*_physio.tsv.gz")))
    assert about["SamplingFrequency"] == pytest.approx(30, abs=1e-4)
    assert about["StartTime"] == pytest.approx(10, abs=1e-3)
    assert about["OriginalSampling"] == "regular"
    assert len(found) == 900 + 30 * gap
    assert_same(results, tmp_path / "ds")


@pytest.mark.parametrize("times", [[0.5], [0.0, 0.001, 90.0, 90.2, 500.0], [0.0, 0.2, 0.4, 9e8]])
def test_without_a_possible_rate_there_is_no_physio_but_a_note(tmp_path: Path, times: list[float]) -> None:
    results = with_times(tmp_path / "r.parquet", times)
    done = export(results, "bids", tmp_path / "ds")
    assert "without _physio.tsv.gz: v.mp4" in done.notes[-1]
    assert not list((tmp_path / "ds").rglob("*physio*"))
    assert len(list((tmp_path / "ds").rglob("*_events.tsv"))) == 1


def test_values_choose_the_probabilities(several: Path, tmp_path: Path) -> None:
    for values, has, lacks in (("raw", "happy", "happy_smooth"), ("smooth", "happy_smooth", "happy")):
        export(several, "bids", tmp_path / values, values)
        found, _ = physio(next((tmp_path / values).rglob("*_physio.tsv.gz")))
        assert has in found.columns
        assert lacks not in found.columns


def test_the_command_says_what_the_dataset_cannot_hold(several: Path, tmp_path: Path) -> None:
    done = command("export", several, "--to", "bids", "--out", tmp_path / "ds")
    assert done.returncode == 0, done.stderr
    assert "does not hold shots" in done.stderr
    assert "1 video without a face, so without a subject in the dataset: empty.mov" in done.stderr


def test_a_second_export_changes_nothing_and_edited_files_are_kept(several: Path, tmp_path: Path) -> None:
    first = export(several, "bids", tmp_path / "ds")
    (tmp_path / "ds" / "CHANGES").write_text("mine")
    before = {path: path.stat().st_mtime_ns for path in first.files}
    first.files[-1].unlink()
    assert export(several, "bids", tmp_path / "ds").files == first.files
    assert all(path.stat().st_mtime_ns == before[path] for path in first.files[:-1])
    (tmp_path / "ds" / "README").write_text("mine")
    with pytest.raises(UsageError, match="README exists and may hold manual work"):
        export(several, "bids", tmp_path / "ds")
    assert (tmp_path / "ds" / "README").read_text() == "mine"
    export(several, "bids", tmp_path / "ds", overwrite=True)
    assert (tmp_path / "ds" / "README").read_text() != "mine"
    assert (tmp_path / "ds" / "CHANGES").read_text() == "mine"


def test_what_cannot_be_a_dataset_is_refused(several: Path, tmp_path: Path) -> None:
    (tmp_path / "other" / "sub-07").mkdir(parents=True)
    with pytest.raises(UsageError, match="holds sub-07, which these results do not have"):
        export(several, "bids", tmp_path / "other")
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="must name a folder"):
        export(several, "bids", tmp_path / "file")
    empty = write_results(tmp_path / "empty.parquet", [MadeVideo("empty.mov", count=10)])
    with pytest.raises(UsageError, match="no face"):
        export(empty, "bids", tmp_path / "ds")
    folder = write_results(tmp_path / "folder", VIDEOS)
    with pytest.raises(UsageError, match="would overwrite the results"):
        export(folder, "bids", folder)
    assert not (tmp_path / "ds").exists()


def validator(name: str) -> list[str]:
    """The command of a validator; the test is skipped where there is none."""
    words = [name] if shutil.which(name) else ["npx", "--yes", f"{name}@1.15.0"]
    if not shutil.which(words[0]) or (len(words) > 1 and name != "bids-validator"):
        pytest.skip(f"{name} is not installed")
    tried = subprocess.run([*words, "--version"], capture_output=True, text=True, timeout=300, check=False)
    if tried.returncode:
        pytest.skip(f"{name} does not run here: {tried.stderr[-200:]}")
    return words


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bids-validator", "bids-validator-deno"])
def test_the_official_validators_find_no_error(several: Path, people: Path, tmp_path: Path, name: str) -> None:
    words = validator(name)
    irregular = with_times(tmp_path / "r.parquet", [0.0, 0.2, 0.4, 0.44, 0.48, 0.55, 0.8, 1.0, 1.23])
    sources: tuple[Path | Results, ...] = (several, people, irregular)
    for number, results in enumerate(sources):
        out = tmp_path / str(number)
        export(results, "bids", out)
        done = subprocess.run([*words, str(out), "--json"], capture_output=True, text=True, timeout=300, check=False)
        found = json.loads(done.stdout)["issues"]
        listed = found["errors"] if "errors" in found else found["issues"]
        assert [one for one in listed if one["severity"] == "error"] == []
        assert done.returncode == 0, done.stdout
    broken = tmp_path / "0" / "participants.tsv"
    broken.write_text("name\nx\n")
    done = subprocess.run([*words, str(tmp_path / "0")], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode != 0, "the validator accepts anything"
