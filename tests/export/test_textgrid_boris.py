"""Exports for Praat and BORIS: read back, they are the episodes."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from pympi.Praat import TextGrid

from fervid.errors import UsageError
from fervid.export.export import export
from fervid.results.reader import read_results
from fervid.studies.read_events import read_events
from tests.support.command import command
from tests.support.synthetic_results import MadeFace, MadeVideo, leading_emotions, write_results

FACE = MadeFace(range(40), leading_emotions(("neutral", 12), ("happy", 9), ("sad", 19)))
LATER = MadeFace(range(25, 45), leading_emotions(("angry", 7), ("happy", 6), ("angry", 7)))


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """Results of a video with two faces, one without faces, and one that failed."""
    videos = [
        MadeVideo("talk/first.mp4", [FACE, LATER], step=1 / 3),
        MadeVideo("empty.mov", count=10),
        MadeVideo("broken.mp4", status="failed", error="UnreadableVideo", message="empty file"),
    ]
    return write_results(tmp_path / "two.parquet", videos)


def episodes(results: Path, digits: int) -> list[tuple[str, float, float, str]]:
    table = read_results(results).episodes
    return sorted(
        (f"face {row.face_id}", round(row.onset, digits), round(row.offset, digits), row.emotion)
        for row in table.itertuples()
    )


def test_textgrids_read_back_with_pympi_and_with_fervid(two: Path, tmp_path: Path) -> None:
    done = export(two, "textgrid", tmp_path / "out")
    assert done.files == (tmp_path / "out" / "talk" / "first.TextGrid", tmp_path / "out" / "empty.TextGrid")
    grid = TextGrid(str(done.files[0]))
    found = sorted(
        (tier.name, *interval) for tier in grid.get_tiers() for interval in tier.get_intervals() if interval[2]
    )
    assert found == episodes(two, 6)
    for tier in grid.get_tiers():
        intervals = list(tier.get_all_intervals())
        assert intervals[0][0] == grid.xmin
        assert intervals[-1][1] == grid.xmax
        assert all(first[1] == second[0] for first, second in pairwise(intervals))
    events = read_events(done.files[0])
    again = sorted((event.hint, round(event.onset, 6), round(event.end, 6), event.trial_type) for event in events)
    assert again == episodes(two, 6)


def test_a_project_of_boris_reads_back_to_the_millisecond(two: Path, tmp_path: Path) -> None:
    (path,) = export(two, "boris", tmp_path / "out.boris").files
    events = read_events(path)
    found = sorted((event.hint, round(event.onset, 3), round(event.end, 3), event.trial_type) for event in events)
    assert found == episodes(two, 3)
    assert {event.video for event in events} == {"first.mp4"}
    project = json.loads(path.read_text())
    assert list(project["observations"]) == ["talk/first.mp4", "empty.mov"]
    assert project["project_format_version"] == "7.0"
    assert [one["name"] for one in project["subjects_conf"].values()] == ["face 0", "face 1"]


def test_elan_documents_read_back_to_the_millisecond(two: Path, tmp_path: Path) -> None:
    events = read_events(export(two, "elan", tmp_path / "out").files[0])
    found = sorted((event.hint, round(event.onset, 3), round(event.end, 3), event.trial_type) for event in events)
    assert found == episodes(two, 3)
    assert {event.video for event in events} == {"first.mp4"}


@pytest.mark.parametrize(("to", "name"), [("textgrid", "first.TextGrid"), ("boris", "all.boris")])
def test_files_that_may_hold_manual_work_are_kept(tmp_path: Path, to: str, name: str) -> None:
    results = write_results(tmp_path / "r.parquet", [MadeVideo("first.mp4", [FACE])])
    (tmp_path / name).write_text("mine")
    with pytest.raises(UsageError, match="may hold manual work"):
        export(results, to, tmp_path / name)
    assert (tmp_path / name).read_text() == "mine"
    done = command("export", results, "--to", to, "--out", tmp_path / name, "--overwrite")
    assert done.returncode == 0, done.stderr
    assert "do not hold probabilities" in done.stderr or "does not hold probabilities" in done.stderr
    assert len(read_events(tmp_path / name)) == 3


@pytest.mark.parametrize(("to", "name"), [("textgrid", "out"), ("boris", "out.boris")])
def test_an_export_that_was_killed_goes_on(two: Path, tmp_path: Path, to: str, name: str) -> None:
    """What the same export wrote is kept; a file that was edited since is refused, and nothing is written."""
    out = tmp_path / name
    written = export(two, to, out).files
    content = {path: path.read_bytes() for path in written}
    written[0].unlink()
    kept = {path: path.stat().st_mtime_ns for path in written[1:]}
    for _ in range(2):
        assert export(two, to, out).files == written
        assert {path: path.read_bytes() for path in written} == content
        assert {path: path.stat().st_mtime_ns for path in written[1:]} == kept
    for edited in (content[written[-1]] + b" ", content[written[-1]][:-1]):
        written[-1].write_bytes(edited)
        for path in written[:-1]:
            path.unlink(missing_ok=True)
        with pytest.raises(UsageError, match="may hold manual work"):
            export(two, to, out)
        assert written[-1].read_bytes() == edited
        assert not any(path.exists() for path in written[:-1])


def test_values_do_not_apply_to_episodes(two: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not apply to boris"):
        export(two, "boris", tmp_path / "out.boris", "raw")
    with pytest.raises(UsageError, match=r"must name a \.boris file"):
        export(two, "boris", tmp_path / "out.csv")
