"""Workers that crash, hang or use too much memory, for tests of engines."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import fervid
from fervid.batch.engines import worker_pool
from fervid.batch.engines.base import Engine
from fervid.batch.report import BatchReport
from fervid.batch.tasks import AlreadyDone, ScanJob, ScanTask
from fervid.batch.worker import scan_or_divide
from fervid.faces.crop import FER2013_GEOMETRY
from fervid.results.reader import read_results
from fervid.settings import AnalyzeSettings, ScanSettings
from tests.support.clips import at_rate, face_clip

FATES = ("a good one", "greedy", "killed", "once", "raises", "segfault", "sleeps", "stuck", "z good one")
"""Stems of file names; ``scan`` does what the name says."""


def scan(task: ScanTask, job: ScanJob) -> Any:
    """Scan a video, or crash, hang or fail as its name says."""
    _meet_fate(task)
    return scan_or_divide(task, job)


def find_done(task: ScanTask, job: ScanJob) -> AlreadyDone:
    """Like ``scan``, but the video counts as scanned before, and need not exist."""
    _meet_fate(task)
    return AlreadyDone(task.path.stem)


def _meet_fate(task: ScanTask) -> None:
    """Crash, hang or fail as the video's name says.

    Each attempt adds a line with the worker's process id to a file beside the video.
    """
    name, attempts = task.path.stem, task.path.with_suffix(".attempts")
    with attempts.open("a") as file:
        file.write(f"{os.getpid()}\n")
    first = len(attempts.read_text().split()) == 1
    if name == "segfault" or (name == "once" and first):
        ctypes.string_at(0)
    if name == "b dies" and first:
        time.sleep(0.5)
        ctypes.string_at(0)
    if name == "a waits":
        time.sleep(4)
    if name == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if name == "raises":
        raise ZeroDivisionError("a defect")
    if name == "sleeps":
        time.sleep(3600)
    if name == "stuck":
        ctypes.PyDLL(None).sleep(3600)  # no other thread of Python runs meanwhile
    ballast = []
    while name == "greedy":
        ballast.append(np.empty(64 << 20, np.uint8))  # the limit also counts memory that nobody writes to


def prepare_worker_that_waits_briefly(memory: int, seats: Any) -> None:
    """What a pool may run in each worker at its start, so that one waits 3 seconds for the pipe that all share."""
    worker_pool.PIPE_LOCK_TIMEOUT = 3.0
    worker_pool._prepare_worker(memory, seats)


def done_in(engine: Engine, videos: Sequence[Path], scratch: Path) -> list[str]:
    """The sorted stems of the videos that an engine, whose work is ``find_done``, finds done."""
    job = ScanJob(ScanSettings(), FER2013_GEOMETRY, _never_done, scratch)
    outcomes = [outcome for _, outcome in engine.run([ScanTask(*numbered) for numbered in enumerate(videos)], job)]
    return sorted(outcome.video_id for outcome in outcomes if isinstance(outcome, AlreadyDone))


def _never_done(video_id: str) -> bool:
    return False


def attempts_in(folder: Path) -> dict[str, int]:
    """File name without its ending → how many workers began to scan it."""
    return {path.stem: len(path.read_text().split()) for path in folder.glob("*.attempts")}


def write_clips(folder: Path) -> Path:
    """A clip for each of ``FATES``, no two with the same content."""
    folder.mkdir()
    for index, name in enumerate(FATES):
        face_clip(folder / f"{name}.mp4", at_rate(4, 8 + index))
    return folder


def assert_each_costs_its_own_file(engine: Engine, folder: Path, out: Path, timeout: float) -> BatchReport:
    """Analyse the clips of ``write_clips`` with an engine that gives its workers ``timeout`` seconds and 2 GB."""
    report = fervid.analyze(folder, out, AnalyzeSettings(scan=ScanSettings(fps=2)), engine=engine)
    found = {video.video.removesuffix(".mp4"): video for video in report.videos}
    good = {name for name, video in found.items() if video.status == "ok"}
    assert good == {"a good one", "once", "z good one"}, [(video.video, video.message) for video in report.videos]
    said = {name: str(video.message) for name, video in found.items() if video.status == "failed"}
    for name in ("segfault", "killed"):
        assert "died 2 times" in said[name]
    for name in ("sleeps", "stuck"):
        assert f"not scanned within {timeout:g} s" in said[name]
    assert "needs more than the 2.0 GB" in said["greedy"]
    assert "ZeroDivisionError: a defect" in said["raises"]
    assert attempts_in(folder) == {name: 2 if name in ("segfault", "killed", "once") else 1 for name in FATES}
    assert report.exit_code == 3
    assert set(read_results(out).timeline["video"]) == {f"{name}.mp4" for name in good}
    return report
