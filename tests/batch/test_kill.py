"""SIGKILL at random moments, to the batch or to a worker, each followed by a rerun. Its tables must equal those of an
undisturbed run. All kills: ``pytest -m slow tests/batch/test_kill.py``."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fervid.results.reader import read_results
from tests.support.clips import at_rate, face_clip
from tests.support.command import command
from tests.support.comparison import assert_identical
from tests.support.paths import ROOT, SAMPLES
from tests.support.processes import members


def start(videos: list[Path], out: Path) -> subprocess.Popen[bytes]:
    line = [sys.executable, "-m", "fervid", *arguments(videos, out)]
    return subprocess.Popen(line, start_new_session=True, cwd=ROOT)


def arguments(videos: list[Path], out: Path) -> list[str]:
    return ["analyze", *map(str, videos), "--out", str(out), "--fps", "2", "--quiet"]


def kill_and_rerun(videos: list[Path], folder: Path, times: int, seed: int) -> None:
    """Kill ``times`` runs, each with a new output, and check the tables of the rerun after each."""
    chance = random.Random(seed)
    folder.mkdir(exist_ok=True)
    begun = time.monotonic()
    process = start(videos, folder / "whole.parquet")
    assert process.wait() in (0, 3)
    length = time.monotonic() - begun
    whole = read_results(folder / "whole.parquet")
    for number in range(times):
        out = folder / "killed" / "r.parquet"
        shutil.rmtree(out.parent, ignore_errors=True)
        process = start(videos, out)
        time.sleep(chance.uniform(0.2, length * 1.05))
        workers = [member for member in members(process.pid) if member != process.pid]
        victim = chance.choice(workers) if workers and number % 3 == 2 else process.pid
        with contextlib.suppress(ProcessLookupError):  # it may have ended in the meantime
            os.kill(victim, signal.SIGKILL)
        process.wait()
        assert command(*arguments(videos, out)).returncode in (0, 3), f"kill {number}"
        assert_identical(whole, read_results(out))
        left = [path for path in out.parent.rglob("*") if "tmp" in path.name or "scratch" in path.parts]
        assert not left, f"kill {number}: {left}"
        while members(process.pid):
            time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.usefixtures("replayed_scans")  # only the reruns are in this process
def test_a_few_kills_change_nothing(tmp_path: Path) -> None:
    clips = [face_clip(tmp_path / f"{count}.mp4", at_rate(4, count)) for count in (8, 9, 10)]
    kill_and_rerun(clips, tmp_path, times=3, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(14400)
def test_a_hundred_kills_change_nothing(tmp_path: Path, shared_media: Path) -> None:
    videos = [shared_media, SAMPLES]
    kill_and_rerun(videos, tmp_path, times=100, seed=2)
