"""What a first analysis prints at its end."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from fervid.cli.first_run import FirstRun
from tests.support.clips import beginning
from tests.support.command import command
from tests.support.paths import SAMPLES

pytestmark = pytest.mark.usefixtures("replayed_scans")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder with one video in ``my videos``."""
    (tmp_path / "my videos").mkdir()
    beginning(SAMPLES / "cut.mp4", tmp_path / "my videos" / "cut.mp4", 1.0)
    return tmp_path


def suggested(said: str) -> list[list[str]]:
    return [shlex.split(line) for line in said.splitlines() if line.startswith("  fervid ")]


def test_it_names_its_files_and_two_commands_that_run(folder: Path) -> None:
    done = command("analyze", "my videos", "--out", "r.parquet", "--fps", "2", folder=folder)
    assert (done.returncode, done.stdout) == (0, "")
    for name in ("r.parquet", "r.episodes.csv", "r.summary.csv", "r.videos.csv"):
        assert f"\n  {name} " in done.stderr
        assert (folder / name).exists()
    lines = suggested(done.stderr)
    assert [line[1] for line in lines] == ["report", "annotate"]
    for line in lines:
        assert line[-2:] == ["--videos", "my videos"]
        again = command(*line[1:], folder=folder)
        assert again.returncode == 0, again.stderr
    assert (folder / "r.html").stat().st_size > 10_000
    assert (folder / "r-annotated" / "cut.annotated.mp4").exists()
    assert max(map(len, done.stderr.splitlines())) <= 80
    later = command("analyze", "my videos", "--out", "r.parquet", "--fps", "2", folder=folder)
    assert later.returncode == 0
    assert "files written" not in later.stderr


@pytest.mark.parametrize("option", ["--quiet", "--log-json"])
def test_it_is_silent_when_asked(folder: Path, option: str) -> None:
    done = command("analyze", "my videos", "--out", "r.parquet", "--fps", "1", option, folder=folder)
    assert done.returncode == 0
    assert "files written" not in done.stderr
    assert "fervid report" not in done.stderr


def test_it_names_the_report_and_suggests_what_is_missing(folder: Path) -> None:
    line = ["analyze", "my videos/cut.mp4", "--out", "tables", "--fps", "1", "--report", "page.html"]
    done = command(*line, folder=folder)
    assert "\n  page.html " in done.stderr
    assert "\n  tables/timeline " in done.stderr
    (again,) = suggested(done.stderr)
    assert again == ["fervid", "annotate", "tables", "--out", "tables-annotated", "--videos", "my videos"]


def test_no_commands_are_suggested_if_nothing_was_analysed(tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").touch()
    done = command("analyze", "bad.mp4", "--out", "r.parquet", folder=tmp_path)
    assert done.returncode == 4
    assert suggested(done.stderr) == []


def test_inputs_in_several_folders_have_no_common_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    first = FirstRun.of([str(tmp_path / "a"), str(tmp_path / "b")], tmp_path / "r.parquet")
    assert first is not None
    first.show(None, None)
    assert "--videos" not in capsys.readouterr().err
