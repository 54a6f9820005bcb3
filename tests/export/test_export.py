"""Exports: read back with the libraries of each tool, they equal the tables."""

from __future__ import annotations

import csv
import os
import re
import shutil
import tempfile
import xml.etree.ElementTree as ElementTree
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlparse

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pympi.Elan import Eaf

from fervid.errors import BadResults, InputNotFound, OutputError, UsageError
from fervid.export.elan import elan_document
from fervid.export.export import export
from fervid.export.output_files import Values
from fervid.export.pyfeat_openface import EMOTION_ALIASES, openface_frame, pyfeat_frame, timeline_frame
from fervid.files.locks import locked
from fervid.results.lanes import Lane
from fervid.results.reader import read_results
from fervid.studies.read_events import read_events
from fervid.types import EMOTIONS
from tests.support.command import command
from tests.support.corrected import NAME, write_people
from tests.support.synthetic_results import MadeFace, MadeVideo, leading_emotions, write_results

PYFEAT = [
    *("FaceRectX", "FaceRectY", "FaceRectWidth", "FaceRectHeight", "FaceScore"),
    *("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral"),
    *("frame", "input", "approx_time"),
]

FACE = MadeFace(range(40), leading_emotions(("neutral", 12), ("happy", 9), ("sad", 19)))
LATER = MadeFace(range(25, 45), leading_emotions(("angry", 7), ("surprise", 13)))


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """Results of two videos: one with two faces and some frames without a face, one without faces."""
    return write_results(
        tmp_path / "two.parquet",
        [
            MadeVideo("talk/first.mp4", [FACE, LATER], step=1 / 3),
            MadeVideo("empty.mov", count=10),
            MadeVideo("broken.mp4", status="failed", error="UnreadableVideo", message="empty file"),
        ],
    )


@pytest.fixture
def one(tmp_path: Path) -> Path:
    return write_results(tmp_path / "one.parquet", [MadeVideo("one.mp4", [FACE])])


# ELAN


def test_elan_reads_back_the_same_tiers_times_and_labels(two: Path, tmp_path: Path) -> None:
    done = export(two, "elan", tmp_path / "out")
    assert done.files == (tmp_path / "out" / "talk" / "first.eaf", tmp_path / "out" / "empty.eaf")
    tables, read = read_results(two), Eaf(str(done.files[0]))
    assert set(read.get_tier_names()) == {"face 0", "face 1"}
    for face in (0, 1):
        expected = tables.episodes[tables.episodes["face_id"] == face]
        found = sorted(read.get_annotation_data_for_tier(f"face {face}"))
        assert [label for *_, label in found] == expected["emotion"].tolist()
        assert [start for start, *_ in found] == pytest.approx(1000 * expected["onset"].to_numpy(), abs=1)
        assert [end for _, end, _ in found] == pytest.approx(1000 * expected["offset"].to_numpy(), abs=1)
    assert not Eaf(str(done.files[1])).get_tier_names()
    entries = read.get_cv_entries("emotions")
    assert [values[0][0] for values, _ in entries.values()] == list(EMOTIONS)


def assert_well_formed(path: Path) -> None:
    """Check the rules of the EAF 3.0 schema that apply to these documents."""
    root = ElementTree.parse(path).getroot()
    assert root.tag == "ANNOTATION_DOCUMENT"
    assert {"DATE", "AUTHOR", "VERSION"} <= set(root.keys())
    assert root.get("FORMAT") == "3.0"
    order = ["HEADER", "TIME_ORDER", "TIER", "LINGUISTIC_TYPE", "LOCALE", "LANGUAGE", "CONSTRAINT"]
    order.append("CONTROLLED_VOCABULARY")
    places = [order.index(child.tag) for child in root]
    assert places == sorted(places)
    assert places.count(0) == places.count(1) == 1
    header = root.find("HEADER")
    assert header is not None
    kinds = [child.tag for child in header]
    assert kinds == sorted(kinds, key=["MEDIA_DESCRIPTOR", "PROPERTY"].index)
    slots = {slot.attrib["TIME_SLOT_ID"]: int(slot.attrib["TIME_VALUE"]) for slot in root.iter("TIME_SLOT")}
    assert list(slots.values()) == sorted(slots.values())
    types = {kind.attrib["LINGUISTIC_TYPE_ID"]: kind for kind in root.iter("LINGUISTIC_TYPE")}
    (vocabulary,) = root.iter("CONTROLLED_VOCABULARY")
    assert all(kind.get("CONTROLLED_VOCABULARY_REF") == vocabulary.get("CV_ID") for kind in types.values())
    languages = {language.get("LANG_ID") for language in root.iter("LANGUAGE")}
    assert {value.get("LANG_REF") for value in vocabulary.iter("CVE_VALUE")} <= languages
    allowed = {value.text for value in vocabulary.iter("CVE_VALUE")}
    ids, used = [], []
    for tier in root.iter("TIER"):
        assert tier.get("LINGUISTIC_TYPE_REF") in types
        spans = []
        for annotation in tier.iter("ALIGNABLE_ANNOTATION"):
            ids.append(annotation.attrib["ANNOTATION_ID"])
            ends = [annotation.attrib["TIME_SLOT_REF1"], annotation.attrib["TIME_SLOT_REF2"]]
            used += ends
            spans.append([slots[end] for end in ends])
            assert annotation.findtext("ANNOTATION_VALUE") in allowed
        assert all(start < end for start, end in spans)
        assert all(before[1] <= after[0] for before, after in pairwise(sorted(spans)))
    assert len(set(ids)) == len(ids)
    assert sorted(used) == sorted(slots)
    (last,) = (int(p.text or 0) for p in header.iter("PROPERTY") if p.get("NAME") == "lastUsedAnnotationId")
    assert last >= max([0, *(int(name.removeprefix("a")) for name in ids)])


def test_elan_is_well_formed(two: Path, tmp_path: Path) -> None:
    for path in export(two, "elan", tmp_path / "out").files:
        assert_well_formed(path)


def test_elan_has_a_tier_for_each_person_and_loses_no_episode(tmp_path: Path) -> None:
    """The faces of a person follow one another in one tier; those that are seen at once have tiers of their own."""
    people = write_people(tmp_path)
    files = export(people, "elan", tmp_path / "out").files
    tiers = {
        "a.mp4": {NAME: [0, 2], "person 1": [1], "face 3": [3]},
        "b.mp4": {"person 0": [0], "person 0, face 1": [1]},
    }
    episodes = read_results(people).episodes
    for path, (video, expected) in zip(files, tiers.items(), strict=True):
        assert_well_formed(path)
        read = Eaf(str(path))
        assert set(read.get_tier_names()) == set(expected)
        for tier, faces in expected.items():
            rows = episodes[(episodes["video"] == video) & episodes["face_id"].isin(faces)].sort_values("onset")
            found = sorted(read.get_annotation_data_for_tier(tier))
            assert len(rows) > 0
            assert [label for *_, label in found] == rows["emotion"].tolist()
            assert [start for start, *_ in found] == pytest.approx(1000 * rows["onset"].to_numpy(), abs=1)
            assert read.get_parameters_for_tier(tier)["PARTICIPANT"] == tier


def test_csv_names_participants(tmp_path: Path) -> None:
    (written,) = export(write_people(tmp_path), "csv", tmp_path / "out.csv").files
    rows = pd.read_csv(written)
    assert (rows["participant"] == NAME).sum() == 100


def test_all_tiers_of_a_participant_carry_the_name(tmp_path: Path) -> None:
    """Also that of a face which is seen together with another of the person, so that a study finds whose it is."""
    results = read_results(write_people(tmp_path))
    for frame in (results.timeline, results.summary, results.persons):
        frame.loc[(frame["video"] == "b.mp4") & frame["person"].notna(), "participant"] = "Bob"
    first, second = export(results, "elan", tmp_path / "out").files
    found: dict[str, str] = {}
    for path in (first, second):
        read = Eaf(str(path))
        found |= {tier: read.get_parameters_for_tier(tier)["PARTICIPANT"] for tier in read.get_tier_names()}
        assert {event.hint for event in read_events(path)} <= set(found.values())
    assert found == {NAME: NAME, "person 1": "person 1", "face 3": "face 3", "Bob": "Bob", "Bob, person 0": "Bob"}
    assert {event.hint for event in read_events(second)} == {"Bob"}


def test_elan_points_to_the_video(two: Path, tmp_path: Path) -> None:
    video = tmp_path / "videos" / "talk" / "first.mp4"
    video.parent.mkdir(parents=True)
    video.touch()
    exported = export(two, "elan", tmp_path / "out", videos=tmp_path / "videos")
    path, other = exported.files
    assert exported.notes[-1].startswith(f"no full link to empty.mov: not found in {tmp_path / 'videos'}.")
    (media,) = Eaf(str(path)).get_linked_files()
    assert (path.parent / unquote(media["RELATIVE_MEDIA_URL"])).resolve() == video
    assert Path(unquote(urlparse(media["MEDIA_URL"]).path)) == video
    assert media["MIME_TYPE"] == "video/mp4"
    (missing,) = Eaf(str(other)).get_linked_files()
    assert missing["MEDIA_URL"] == missing["RELATIVE_MEDIA_URL"] == "./empty.mov"


def test_an_odd_name_is_quoted_in_the_media_descriptor(tmp_path: Path) -> None:
    name = 'a "b" & <c> 50%\n.mp4'
    path = write_results(tmp_path / "odd.parquet", [MadeVideo(name, [FACE])])
    (written,) = export(path, "elan", tmp_path / "odd.eaf").files
    assert_well_formed(written)
    (media,) = Eaf(str(written)).get_linked_files()
    assert unquote(media["RELATIVE_MEDIA_URL"]) == f"./{name}"


def test_manual_work_is_not_overwritten(one: Path, tmp_path: Path) -> None:
    target = tmp_path / "one.eaf"
    target.write_text("mine")
    with pytest.raises(UsageError, match="may hold manual work"):
        export(one, "elan", target)
    assert target.read_text() == "mine"
    export(one, "elan", target, overwrite=True)
    assert_well_formed(target)
    assert sorted(path.name for path in tmp_path.glob("*.eaf*")) == ["one.eaf"]
    assert not list(tmp_path.glob("*.bak"))


def test_each_video_gets_its_own_file_inside_the_folder(tmp_path: Path) -> None:
    long = "x" * 251
    names = ["a.mp4", "a.mov", "b/a.mp4", "../../up.mp4", "/abs/olute.mp4", f"{long}.mp4"]
    path = write_results(tmp_path / "r.parquet", [MadeVideo(name, [FACE]) for name in names])
    out = tmp_path / "out"
    files = export(path, "elan", out).files
    inside = ["a.mp4.eaf", "a.mov.eaf", "b/a.eaf", "up.eaf", "abs/olute.eaf"]
    assert [file.relative_to(out).as_posix() for file in files[:-1]] == inside
    assert all(file.is_file() for file in files)


EPISODE = st.tuples(st.floats(0, 5), st.floats(0, 5), st.sampled_from(EMOTIONS))


@given(st.lists(EPISODE, max_size=12))
def test_tiers_never_overlap(lengths: list[tuple[float, float, str]]) -> None:
    rows: list[dict[str, Any]] = []
    now = 0.0
    for pause, length, emotion in lengths:
        rows.append({"face_id": 0, "emotion": emotion, "onset": now + pause, "offset": now + pause + length})
        now += pause + length
    table = pd.DataFrame(rows, columns=["face_id", "emotion", "onset", "offset"])
    found = sorted(elan_document([Lane("face 0", None, (0,))], table).get_annotation_data_for_tier("face 0"))
    assert [label for *_, label in found] == [row["emotion"] for row in rows]
    assert all(start < end for start, end, _ in found)
    assert all(before[1] <= after[0] for before, after in pairwise(found))
    # each episode too short for a millisecond pushes those after it by one at most
    assert all(abs(span[0] - 1000 * row["onset"]) <= 1 + len(rows) for span, row in zip(found, rows, strict=True))


# CSV


def test_pyfeat_has_its_columns_and_the_same_numbers(two: Path, tmp_path: Path) -> None:
    export(two, "pyfeat", tmp_path / "feat.csv")
    read, timeline = pd.read_csv(tmp_path / "feat.csv"), read_results(two).timeline
    assert list(read.columns) == PYFEAT
    assert len(read) == len(timeline)
    for emotion, column in EMOTION_ALIASES.items():
        np.testing.assert_allclose(read[column], timeline[emotion], rtol=1e-6)
    np.testing.assert_allclose(read["FaceRectX"], timeline["face_x"], rtol=1e-6)
    assert read["FaceScore"].isna().tolist() == timeline["face_id"].isna().tolist()
    assert read["frame"].tolist() == timeline["frame"].tolist()
    assert set(read["input"]) == {"talk/first.mp4", "empty.mov"}
    seconds = [60 * int(clock[:-3]) + int(clock[-2:]) for clock in read["approx_time"]]
    assert seconds == np.floor(timeline["time"] + 1e-9).astype(int).tolist()


def test_pyfeat_times_continue_after_an_hour(tmp_path: Path) -> None:
    path = write_results(tmp_path / "long.parquet", [MadeVideo("long.mp4", [FACE], count=40, step=100.0)])
    export(path, "pyfeat", tmp_path / "long.csv")
    clocks = pd.read_csv(tmp_path / "long.csv")["approx_time"]
    assert clocks.tolist()[::13] == ["00:00", "21:40", "43:20", "65:00"]


def test_openface_has_one_file_per_video_and_a_row_with_success_0_without_a_face(two: Path, tmp_path: Path) -> None:
    first, empty = export(two, "openface", tmp_path / "out").files
    text = first.read_text()
    assert text.startswith("frame,face_id,timestamp,confidence,success,")
    read, timeline = pd.read_csv(first), read_results(two).timeline
    timeline = timeline[timeline["video"] == "talk/first.mp4"].reset_index(drop=True)
    assert (read["frame"] - 1).tolist() == timeline["frame"].tolist()
    assert (read["success"] == 1).tolist() == timeline["face_id"].notna().tolist()
    assert (read["confidence"] > 0).tolist() == timeline["face_id"].notna().tolist()
    np.testing.assert_allclose(read["timestamp"], timeline["time"], atol=1e-9)
    np.testing.assert_allclose(read["happiness"], timeline["happy"], rtol=1e-6)
    assert pd.read_csv(empty)["success"].tolist() == [0] * 10


@pytest.mark.parametrize("form", ["csv", "pyfeat"])
def test_every_name_is_one_cell(form: Literal["csv", "pyfeat"], tmp_path: Path) -> None:
    names = ["carriage\rreturn.mp4", "line\nbreak.mp4", 'quote".mp4', "com,ma.mp4"]
    path = write_results(tmp_path / "r.parquet", [MadeVideo(name, [FACE]) for name in names])
    export(path, form, tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
        head, *rows = csv.reader(file)
    column = head.index("video" if form == "csv" else "input")
    assert {len(row) for row in rows} == {len(head)}
    assert list(dict.fromkeys(row[column] for row in rows)) == names


def test_csv_is_the_timeline(two: Path, tmp_path: Path) -> None:
    export(two, "csv", tmp_path / "tidy.csv")
    read, timeline = pd.read_csv(tmp_path / "tidy.csv"), read_results(two).timeline
    assert list(read.columns) == list(timeline.columns)
    for name in ("time", "face_width", "sad", "sad_smooth", "confidence"):
        np.testing.assert_allclose(read[name], timeline[name], rtol=1e-6)
    assert read["emotion"].dropna().tolist() == timeline["emotion"].dropna().tolist()


@pytest.mark.parametrize(("values", "suffix"), [("raw", ""), ("smooth", "_smooth")])
def test_values_choose_the_probabilities(values: Values, suffix: str, tmp_path: Path) -> None:
    path = write_results(tmp_path / "r.parquet", [MadeVideo("a.mp4", [FACE])])
    tables = read_results(path)
    tables.timeline[[f"{name}_smooth" for name in EMOTIONS]] = 1 / 7  # apart from the raw ones
    expected = tables.timeline[f"happy{suffix}"]
    tidy = timeline_frame(tables.timeline, values)
    for found in (pyfeat_frame(tables.timeline, values)["happiness"], tidy["happy"]):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(openface_frame(tables.timeline, values)["happiness"], expected)
    assert list(tidy.columns[-9:]) == [*EMOTIONS, "emotion", "confidence"]


@pytest.mark.parametrize("to", ["pyfeat", "csv"])
def test_no_cell_begins_as_a_formula(to: str, tmp_path: Path) -> None:
    path = write_results(tmp_path / "r.parquet", [MadeVideo('=HYPERLINK("x")\n.mp4', [FACE])])
    export(path, to, tmp_path / "out.csv")
    column = pd.read_csv(tmp_path / "out.csv")["input" if to == "pyfeat" else "video"]
    assert set(column) == {'\'=HYPERLINK("x")\n.mp4'}


def test_one_video_goes_to_a_file(one: Path, tmp_path: Path) -> None:
    assert export(one, "openface", tmp_path / "x" / "of.csv").files == (tmp_path / "x" / "of.csv",)
    assert (tmp_path / "x" / "of.csv").is_file()


# refusals


def test_refusals(two: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="`to` must be one of"):
        export(two, "xls", tmp_path / "x")
    with pytest.raises(UsageError, match="`values` must be"):
        export(two, "csv", tmp_path / "x.csv", values="both")
    with pytest.raises(UsageError, match="does not apply to elan"):
        export(two, "elan", tmp_path / "x", values="raw")
    with pytest.raises(UsageError, match="2 videos; `out` must name a folder"):
        export(two, "elan", tmp_path / "x.eaf")
    with pytest.raises(UsageError, match=r"`out` must name a folder, or a \.eaf file"):
        export(two, "elan", tmp_path / "e.csv")
    with pytest.raises(UsageError, match=r"must name a \.csv file"):
        export(two, "pyfeat", tmp_path / "x.txt")
    with pytest.raises(UsageError, match="overwrite the results"):
        export(two, "csv", tmp_path / "two.videos.csv")
    with pytest.raises(InputNotFound):
        export(tmp_path / "none.parquet", "csv", tmp_path / "x.csv")
    with pytest.raises(InputNotFound, match="no such folder"):
        export(two, "elan", tmp_path / "x", videos=tmp_path / "none")
    shutil.copy(__file__, tmp_path / "foreign.parquet")
    with pytest.raises(BadResults):
        export(tmp_path / "foreign.parquet", "csv", tmp_path / "x.csv")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        export(two, "openface", tmp_path / "file" / "below")
    assert {path.name for path in tmp_path.iterdir() if not path.name.startswith("two")} == {"foreign.parquet", "file"}


def test_results_with_only_failures_cannot_be_exported(tmp_path: Path) -> None:
    path = write_results(tmp_path / "r.parquet", [MadeVideo("x.mp4", status="failed", error="E", message="m")])
    with pytest.raises(UsageError, match="no video that was analysed"):
        export(path, "elan", tmp_path / "out")


def test_the_command_reports_what_the_format_cannot_hold(two: Path, tmp_path: Path) -> None:
    done = command("export", two, "--to", "pyfeat", "--out", tmp_path / "feat.csv")
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "no columns for face_id" in done.stderr
    assert "action units" in done.stderr
    refused = command("export", two, "--to", "pyfeat", "--out", tmp_path / "two.summary.csv")
    assert refused.returncode == 2
    assert refused.stderr.startswith("fervid: the output would overwrite the results")
    assert len(refused.stderr.splitlines()) == 1


@pytest.mark.parametrize("to", ["elan", "openface"])
def test_a_folder_takes_one_export_at_a_time(to: str, two: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with locked(out / ".fervid-export.lock"):
        done = command("export", two, "--to", to, "--out", out)
    assert (done.returncode, "another run" in done.stderr, len(done.stderr.splitlines())) == (75, True, 1)
    assert os.listdir(out) == [".fervid-export.lock"]
    assert command("export", two, "--to", to, "--out", out).returncode == 0
    assert ".fervid-export.lock" not in os.listdir(out)
    assert len(os.listdir(out)) == 2


def test_an_interrupted_export_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Documents that this export wrote are kept; one that was edited since is refused, and nothing is written."""
    face = MadeFace(range(50), leading_emotions(("happy", 50)))
    results = write_results(tmp_path / "r.parquet", [MadeVideo(f"{name}.mp4", [face]) for name in "abc"])
    out = tmp_path / "out"
    written = export(results, "elan", out).files
    untouched = {path: path.stat().st_mtime_ns for path in written[1:]}
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))  # a killed process would leave files there
    complete = written[0].read_bytes()
    written[0].unlink()
    assert export(results, "elan", out).files == written
    assert re.sub(rb'DATE="[^"]*"', b"", written[0].read_bytes()) == re.sub(rb'DATE="[^"]*"', b"", complete)
    assert {path: path.stat().st_mtime_ns for path in written[1:]} == untouched
    edited = written[-1].read_bytes().replace(b"fervid", b"Ann", 1)
    written[-1].write_bytes(edited)
    written[0].unlink()
    with pytest.raises(UsageError, match="may hold manual work"):
        export(results, "elan", out)
    assert written[-1].read_bytes() == edited
    assert not written[0].exists()
