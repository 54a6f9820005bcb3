"""The commands that write annotated videos: what they say, their exit codes, and the files they leave alone."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import fervid
from tests.support.clips import ClipFactory, at_rate, beginning, read_times, write_clip
from tests.support.command import command
from tests.support.paths import ROOT, SAMPLES
from tests.support.replay import replaying

pytestmark = pytest.mark.usefixtures("replayed_scans")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the first second of two sample videos."""
    folder = tmp_path_factory.mktemp("videos")
    for name in ("cut.mp4", "rotated.mp4"):
        beginning(SAMPLES / name, folder / name, 1.0)
    return folder


@pytest.fixture(scope="module")
def analysed(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("analysed") / "r.parquet"
    with replaying():
        fervid.analyze(videos, out, fps=2)
    return out


def test_the_command_writes_every_video_and_reports_each(videos: Path, analysed: Path, tmp_path: Path) -> None:
    done = command("annotate", analysed, "--videos", videos, "--out", tmp_path / "out", "--style", "minimal")
    assert done.returncode == 0, done.stderr
    assert sorted(os.listdir(tmp_path / "out")) == ["cut.annotated.mp4", "rotated.annotated.mp4"]
    lines = done.stderr.strip().splitlines()
    assert lines[0] == f"written: {tmp_path / 'out' / 'cut.annotated.mp4'}"
    assert lines[-1] == f"annotated videos: 2 written, 0 skipped, 0 failed: {tmp_path / 'out'}"
    assert "\r" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["{tmp}/none.parquet", "--out", "{tmp}/out"], 2, "no such results"),
        (["{results}", "--out", "{tmp}/out", "--videos", "{tmp}/none"], 2, "no such"),
        (["{results}", "--out", "{tmp}/out", "--videos", "{videos}", "--style", "loud"], 2, "minimal or full or head"),
        (["{results}", "--out", "{tmp}/out", "--videos", "{tmp}"], 4, "failed: cut.mp4: not found in"),
        (["{results}", "--out", "{tmp}/out", "--videos", "{tmp}/some", "--quiet"], 3, "failed: rotated.mp4"),
        (["{results}", "--out", "/proc/fervid", "--videos", "{videos}"], 5, "cannot write"),
    ],
)
def test_exit_codes(videos: Path, analysed: Path, tmp_path: Path, arguments: list[str], code: int, said: str) -> None:
    (tmp_path / "some").mkdir()
    shutil.copy(videos / "cut.mp4", tmp_path / "some")
    done = command("annotate", *(word.format(results=analysed, videos=videos, tmp=tmp_path) for word in arguments))
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    if "--quiet" in arguments:
        assert len(done.stderr.strip().splitlines()) == 1


def test_without_a_videos_folder_the_working_directory_is_searched(
    videos: Path, analysed: Path, tmp_path: Path
) -> None:
    done = command("annotate", analysed, "--out", tmp_path / "out", "--quiet", folder=videos)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(os.listdir(tmp_path / "out")) == 2


def test_analyze_can_annotate_in_the_same_run(videos: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").touch()
    shutil.copy(videos / "cut.mp4", tmp_path)
    paths = [tmp_path / "bad.mp4", tmp_path / "cut.mp4"]
    done = command("analyze", *paths, "--out", tmp_path / "r.parquet", "--fps", "1", "--annotate", tmp_path / "out")
    assert done.returncode == 3, done.stderr
    assert "skipped: bad.mp4: it could not be analysed: empty file" in done.stderr
    assert os.listdir(tmp_path / "out") == ["cut.annotated.mp4"]
    assert read_times(tmp_path / "out" / "cut.annotated.mp4") == pytest.approx(read_times(videos / "cut.mp4"), abs=1e-3)


def test_an_unusable_folder_is_reported_before_the_analysis(videos: Path, tmp_path: Path) -> None:
    done = command("analyze", videos, "--out", tmp_path / "r.parquet", "--annotate", "/proc/fervid")
    assert done.returncode == 5
    assert "cannot write" in done.stderr
    assert not (tmp_path / "r.parquet").exists()


def test_a_signal_leaves_no_partial_file(tmp_path: Path) -> None:
    """The video is that of a second, joined with itself many times."""
    part = write_clip(tmp_path / "part.ts", at_rate(25, 25), 640, 480)
    source, out = tmp_path / "long.ts", tmp_path / "out"
    source.write_bytes(part.read_bytes() * 60)
    results = tmp_path / "r.parquet"
    fervid.analyze(source, results, fps=1, end=1)
    line = [sys.executable, "-m", "fervid", "annotate", str(results), "--videos", str(tmp_path), "--out", str(out)]
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        while not list(out.glob(".*partial*")) and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[1]
    assert process.returncode == 130, said
    assert said.strip().startswith("fervid: interrupted; run the same command again")
    assert len(said.strip().splitlines()) == 1
    assert os.listdir(out) == []


def test_a_second_run_into_the_same_folder_is_refused(tmp_path: Path) -> None:
    """The first one is stopped while it writes, so that the second one meets it."""
    part = write_clip(tmp_path / "part.ts", at_rate(25, 25), 640, 480)
    source, out, results = tmp_path / "long.ts", tmp_path / "out", tmp_path / "r.parquet"
    source.write_bytes(part.read_bytes() * 10)
    fervid.analyze(source, results, fps=1, end=1)
    line = ["annotate", str(results), "--videos", str(tmp_path), "--out", str(out), "--quiet"]
    with subprocess.Popen([sys.executable, "-m", "fervid", *line], stderr=subprocess.PIPE, cwd=ROOT) as process:
        while not list(out.glob(".*partial*")) and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGSTOP)
        second = command(*line)
        process.send_signal(signal.SIGCONT)
        said = process.communicate(timeout=60)[1]
    assert (process.returncode, said) == (0, b"")
    assert (second.returncode, len(second.stderr.splitlines())) == (75, 1), second.stderr
    assert f"another run is writing this output (it holds {out / '.fervid-annotate.lock'})" in second.stderr
    assert os.listdir(out) == ["long.annotated.mp4"]
    assert len(read_times(out / "long.annotated.mp4")) == len(read_times(source))


def test_csv_has_sampling_metadata_only_in_its_original_folder(clip: ClipFactory, tmp_path: Path) -> None:
    source, out = clip(at_rate(25, 50)), tmp_path / "results.csv"
    arguments = ("--videos", source.parent, "--out", tmp_path / "out", "--blur")
    assert command("analyze", source, "--out", out, "--end", "1").returncode == 0
    done = command("annotate", out, *arguments)
    assert (done.returncode, "--end" in done.stderr) == (2, True)
    assert command("analyze", source, "--out", out, "--overwrite").returncode == 0
    assert command("annotate", out, *arguments).returncode == 0
    away = tmp_path / "away"
    away.mkdir()
    for path in tmp_path.glob("results.*"):
        path.rename(away / path.name)
    assert command("annotate", away / "results.csv", *arguments).returncode == 2


def test_a_folder_of_annotated_videos_may_lie_among_the_inputs(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write_clip(tmp_path / "in" / "a.mp4", at_rate(25, 20))
    line = ("analyze", "in", "--out", "in/r.parquet", "--annotate", "in/annotated")
    for _ in range(2):
        done = command(*line, folder=tmp_path)
        assert done.returncode == 0, done.stderr
    assert os.listdir(tmp_path / "in" / "annotated") == ["a.annotated.mp4"]
    done = command("annotate", "in/r.parquet", "--videos", "in", "--out", "in/annotated", folder=tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_foreign_file_named_annotated_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write_clip(tmp_path / "in" / "a.mp4", at_rate(25, 20))
    own = write_clip(tmp_path / "in" / "a.annotated.mp4", at_rate(25, 10)).read_bytes()
    done = command("analyze", "in", "--out", "r.parquet", "--annotate", "in", folder=tmp_path)
    assert (done.returncode, "overwrite" in done.stderr, (tmp_path / "r.parquet").exists()) == (2, True, False)
    assert command("analyze", "in", "--out", "r.parquet", folder=tmp_path).returncode == 0
    done = command("annotate", "r.parquet", "--videos", "in", "--out", "in", folder=tmp_path)
    assert (done.returncode, "overwrite" in done.stderr) == (2, True)
    assert (tmp_path / "in" / "a.annotated.mp4").read_bytes() == own
