"""Correcting results: every table equals the one that the right tracks would have given."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from fervid.errors import BadCorrections, BadResults, UsageError
from fervid.results.correct import correct
from fervid.results.reader import Results, read_results
from fervid.types import TWO_PEOPLE, Doubt
from tests.support.command import command
from tests.support.comparison import assert_identical
from tests.support.corrected import without_record, write_corrections
from tests.support.made_tracks import MadeClip, MadePerson, write_tracks

ANN, BEN = 1, 2
"""Seeds of two people."""

EARLY, LATE = range(50), range(50, 100)
"""Samples before and from 10 s on."""

RIGHT = MadeClip([MadePerson(ANN, [EARLY, LATE], 0, 0), MadePerson(BEN, [EARLY, LATE], 1, 1)])
OTHER = MadeClip([MadePerson(3, [range(10, 90)], 0, 0), MadePerson(4, [range(20, 30)], 1, None)], cuts=[12.0])


@pytest.fixture
def right(tmp_path: Path) -> Path:
    return write_tracks(tmp_path / "right.parquet", {"a.mp4": RIGHT, "b.mp4": OTHER})


def corrected(results: Path, *lines: str, out: str = "out.parquet") -> Results:
    file = write_corrections(results.parent / "c.csv", *lines)
    correct(results, file, results.parent / out)
    return read_results(results.parent / out)


@pytest.mark.parametrize("out", ["out.parquet", "out.csv", "out"])
def test_no_correction_changes_nothing(right: Path, out: str) -> None:
    assert_identical(corrected(right, out=out), read_results(right))


def test_a_correction_that_changes_nothing_computes_the_same_tables(right: Path) -> None:
    after = corrected(right, "a.mp4,0,person,,,0", "b.mp4,0,person,,,0")
    assert_identical(after, read_results(right))


def test_a_swap_is_repaired(tmp_path: Path, right: Path) -> None:
    """Two faces that exchanged people are split, and the right parts joined."""
    names = ["a.mp4,0,name,,,Ann", "a.mp4,1,name,,,Ben"]
    expected = corrected(right, *names, out="expected.parquet")
    wrong = corrected(right, "a.mp4,0,split,10,,", "a.mp4,1,split,10,,", "a.mp4,0,join,,,3", "a.mp4,1,join,,,2")
    assert not wrong.timeline.equals(read_results(right).timeline)
    source = without_record(tmp_path / "out.parquet")
    repairs = ["a.mp4,0,split,10,,", "a.mp4,1,split,10,,", "a.mp4,0,join,,,3", "a.mp4,1,join,,,2", *names]
    assert_identical(corrected(source, *repairs, out="repaired.parquet"), expected)
    crosswise = ["a.mp4,0,split,10,,", "a.mp4,1,split,10,,", "a.mp4,2,person,,,1", "a.mp4,3,person,,,0", *names]
    persons = corrected(source, *crosswise, out="crosswise.parquet")
    assert persons.persons["participant"].head(2).tolist() == ["Ann", "Ben"]
    assert persons.persons["faces"].head(2).tolist() == [2, 2]
    columns = ["video", "person", "participant", "first_seen", "last_seen", "samples", "coverage", "longest_gap"]
    pd.testing.assert_frame_equal(persons.persons[columns], expected.persons[columns])
    named = persons.timeline.dropna(subset="participant").sort_values(["participant", "time"])
    true = expected.timeline.dropna(subset="participant").sort_values(["participant", "time"])
    raw = ["participant", "time", "face_x", "face_quality", "happy", "neutral"]
    pd.testing.assert_frame_equal(named[raw].reset_index(drop=True), true[raw].reset_index(drop=True))


def test_a_split_gives_what_two_tracks_would_have_given(tmp_path: Path) -> None:
    whole = write_tracks(tmp_path / "whole.parquet", {"a.mp4": MadeClip([MadePerson(ANN, [EARLY, LATE], 0, 0)])})
    parts = [MadePerson(ANN, [EARLY], 0, 0), MadePerson(ANN, [LATE], 1, 0)]
    apart = write_tracks(tmp_path / "apart.parquet", {"a.mp4": MadeClip(parts)})
    assert_identical(corrected(whole, "a.mp4,0,split,9.9,,"), read_results(apart))
    assert_identical(corrected(apart, "a.mp4,0,join,,,1", out="joined.parquet"), read_results(whole))


def test_an_exclusion_gives_what_the_rest_of_the_track_would_have_given(tmp_path: Path) -> None:
    whole = write_tracks(tmp_path / "whole.parquet", {"a.mp4": MadeClip([MadePerson(ANN, [EARLY, LATE], 0, 0)])})
    rest = MadeClip([MadePerson(ANN, [range(20), range(60, 100)], 0, 0)])
    expected = read_results(write_tracks(tmp_path / "rest.parquet", {"a.mp4": rest}))
    found = corrected(whole, "a.mp4,0,exclude,4,11.9,a hand")
    assert found.videos["message"].item() == "face 0 excluded from 4.000 to 11.800 s: a hand"
    found.videos["message"] = None
    expected.videos["message"] = None
    assert_identical(found, expected)


POSTER = "does not move: a picture?"


@pytest.fixture
def doubted(tmp_path: Path) -> Path:
    doubts = [Doubt(0, 10.0, 19.8, TWO_PEOPLE), Doubt(1, 0.0, 19.8, POSTER)]
    return write_tracks(tmp_path / "doubted.parquet", {"a.mp4": replace(RIGHT, doubts=doubts), "b.mp4": OTHER})


@pytest.mark.parametrize("out", ["out.parquet", "out.csv", "out"])
def test_doubts_are_read_as_written_and_make_trust(doubted: Path, out: str) -> None:
    found = corrected(doubted, "b.mp4,0,name,,,Eve", out=out)
    assert doubts_of(found) == [(0, 10.0, 19.8, TWO_PEOPLE), (1, 0.0, 19.8, POSTER)]
    assert trust_of(found)[:2] == [f"{TWO_PEOPLE} from 10.0 s", POSTER]


def doubts_of(found: Results) -> list[tuple[object, ...]]:
    rows = found.doubts[["face_id", "start", "end", "reason"]].round(3)
    return list(rows.itertuples(index=False, name=None))


def trust_of(found: Results) -> list[str]:
    summary: list[str] = found.summary.query("video == 'a.mp4'")["trust"].tolist()
    return summary


TWO = (0, 10.0, 19.8, TWO_PEOPLE)
PICTURE = (1, 0.0, 19.8, POSTER)


@pytest.mark.parametrize(
    ("lines", "left"),
    [
        (["a.mp4,0,split,10,,"], [PICTURE]),
        (["a.mp4,0,split,10.9,,"], [PICTURE]),
        (["a.mp4,0,split,5,,"], [PICTURE, (2, 10.0, 19.8, TWO_PEOPLE)]),
        (["a.mp4,0,split,15,,"], [(0, 10.0, 14.8, TWO_PEOPLE), PICTURE]),
        (["a.mp4,0,exclude,,9.9,"], [PICTURE]),
        (["a.mp4,0,exclude,10,,"], [PICTURE]),
        (["a.mp4,0,exclude,12,,"], [(0, 10.0, 11.8, TWO_PEOPLE), PICTURE]),
        (["a.mp4,0,exclude,,,"], [PICTURE]),
        (["a.mp4,0,name,,,Ann"], [TWO, PICTURE]),
        (["a.mp4,1,name,,,Ben"], [TWO]),
        (["a.mp4,1,role,,,host"], [TWO]),
        (["a.mp4,1,person,,,new"], [TWO]),
        (["a.mp4,1,exclude,,3.9,"], [TWO, (1, 4.0, 19.8, POSTER)]),
        (["a.mp4,1,split,4,,"], [TWO, (1, 0.0, 3.8, POSTER), (2, 4.0, 19.8, POSTER)]),
        (["a.mp4,1,split,4,,", "a.mp4,2,join,,,1"], [TWO, (2, 0.0, 3.8, POSTER), (2, 4.0, 19.8, POSTER)]),
    ],
)
def test_a_correction_drops_the_doubts_that_it_settles(
    doubted: Path, lines: list[str], left: list[tuple[object, ...]]
) -> None:
    """The doubts that it leaves go with the parts of the face, and trust says the same."""
    found = corrected(doubted, *lines)
    assert sorted(doubts_of(found)) == sorted(left)
    ids = found.summary.query("video == 'a.mp4'")["face_id"].tolist()
    assert {face for face, trust in zip(ids, trust_of(found), strict=True) if trust != "ok"} == {row[0] for row in left}


def test_a_doubt_must_name_its_face(doubted: Path) -> None:
    path = doubted.with_suffix(".doubts.csv")
    path.write_text(path.read_text().replace(",1,", ",,"))
    assert any("row 2 of the doubts table: face_id is missing" in note for note in read_results(doubted).notes)


def test_a_video_without_faces_is_left(right: Path) -> None:
    found = corrected(right, "b.mp4,0,exclude,,,a poster", "b.mp4,1,exclude,,,")
    row = found.videos.set_index("video").loc["b.mp4"]
    assert (row["status"], row["faces"], row["trust"]) == ("no_face", 0, "no face")
    assert found.timeline.query("video == 'b.mp4'")["face_id"].isna().all()
    assert len(found.timeline.query("video == 'b.mp4'")) == 100
    assert set(found.summary["video"]) == {"a.mp4"}


def test_the_result_says_which_corrections_made_it(right: Path) -> None:
    found = corrected(right, "a.mp4,0,name,,,Ann")
    digest = hashlib.sha256((right.parent / "c.csv").read_bytes()).hexdigest()
    assert found.metadata["corrections_sha256"] == digest
    with pytest.raises(BadResults, match="is corrected already"):
        correct(right.parent / "out.parquet", right.parent / "c.csv", right.parent / "twice.parquet")


def test_several_files_apply_in_their_order(right: Path) -> None:
    first = write_corrections(right.parent / "1.csv", "a.mp4,0,split,10,,")
    second = write_corrections(right.parent / "2.csv", "a.mp4,2,name,,,Ann")
    done = correct(right, [first, second], right.parent / "out.parquet")
    assert (done.corrections, done.videos) == (2, 1)
    with pytest.raises(BadCorrections, match=r"2\.csv, line 2, column face_id: the video has no face 2"):
        correct(right, [second, first], right.parent / "other.parquet")
    assert not (right.parent / "other.parquet").exists()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("c.mp4,0,name,,,Ann", "line 2, column video: c.mp4: no such video"),
        ("a.mp4,7,name,,,Ann", "line 2, column face_id: the video has no face 7"),
    ],
)
def test_what_does_not_fit_writes_nothing(right: Path, line: str, reason: str) -> None:
    before = sorted(path.name for path in right.parent.iterdir())
    with pytest.raises(BadCorrections, match=reason):
        corrected(right, line)
    assert sorted(path.name for path in right.parent.iterdir()) == sorted([*before, "c.csv"])


def test_the_source_is_never_overwritten(right: Path) -> None:
    with pytest.raises(UsageError, match="would overwrite"):
        corrected(right, out="right.parquet")


@pytest.mark.parametrize("name", ["names.csv", "out.summary.csv", "out.csv"])
def test_a_corrections_file_is_never_overwritten(right: Path, name: str) -> None:
    file = write_corrections(right.parent / name, "a.mp4,0,name,,,Ann")
    before = file.read_bytes()
    out = file if name == "names.csv" else right.parent / "out.csv"
    with pytest.raises(UsageError, match="would overwrite the input"):
        correct(right, [file, file], out)
    assert file.read_bytes() == before


def test_the_command(right: Path) -> None:
    file = write_corrections(right.parent / "c.csv", "a.mp4,0,name,,,Ann", "a.mp4,0,role,,,interviewer")
    done = command("correct", right, "--corrections", file, "--out", right.parent / "out.csv")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("2 corrections in 1 video: ")
    persons = pd.read_csv(right.parent / "out.persons.csv")
    assert persons[["participant", "role"]].values.tolist()[0] == ["Ann", "interviewer"]
    wrong = write_corrections(right.parent / "w.csv", "a.mp4,0,nam,,,Ann")
    refused = command("correct", right, "--corrections", wrong, "--out", right.parent / "new.csv")
    assert refused.returncode == 2
    assert "line 2, column action: 'nam' is none of" in refused.stderr


def test_the_command_says_what_was_edited(right: Path) -> None:
    table = right.with_name("right.shots.csv")
    table.write_bytes(table.read_bytes().rstrip() + b"\n\n")
    file = write_corrections(right.parent / "c.csv")
    assert correct(right, file, right.parent / "o.parquet").notes
    done = command("correct", right, "--corrections", file, "--out", right.parent / "p.parquet")
    assert done.returncode == 0
    assert "right.shots.csv was changed after fervid wrote it" in done.stderr
