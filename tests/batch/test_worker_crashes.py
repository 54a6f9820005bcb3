"""Workers that crash, hang or use too much memory affect only their own file; a full disk affects no complete file."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import Any

import pytest
from pebble.pool.process import TaskManager

import fervid
from fervid.batch.engines import local, worker_pool
from fervid.batch.engines.base import clear_frames
from fervid.batch.engines.local import LocalEngine
from fervid.batch.tasks import ScanJob, ScanTask
from fervid.faces.crop import FER2013_GEOMETRY
from fervid.runtime.platform import start_method
from fervid.settings import AnalyzeSettings, ScanSettings
from tests.support import hostile_workers
from tests.support.clips import at_rate, face_clip
from tests.support.command import command
from tests.support.paths import ROOT, SAMPLES
from tests.support.processes import members, wait_for

FAST = AnalyzeSettings(scan=ScanSettings(fps=2))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return hostile_workers.write_clips(tmp_path / "videos")


def test_each_costs_exactly_its_own_file(root: Path, tmp_path: Path) -> None:
    timeout = 10 if start_method() == "forkserver" else 30  # a worker that starts by spawn imports everything first
    engine = LocalEngine(workers=2, timeout=timeout, memory=2 << 30, work=hostile_workers.scan)
    hostile_workers.assert_each_costs_its_own_file(engine, root, tmp_path / "r.parquet", timeout=timeout)
    again = fervid.analyze(root, tmp_path / "r.parquet", FAST)
    # failures are tried again only with `retry_failed`, but internal errors always
    assert [video.video for video in again.videos if video.fresh] == ["raises.mp4"]


def test_memory_of_a_failed_scan_is_free_for_the_next_one(root: Path, tmp_path: Path) -> None:
    engine = LocalEngine(workers=1, memory=2 << 30, work=hostile_workers.scan)
    report = fervid.analyze([root / "greedy.mp4", root / "z good one.mp4"], tmp_path / "r.parquet", FAST, engine=engine)
    assert [(video.status, video.error) for video in report.videos] == [("failed", "WorkerFailed"), ("ok", None)]


class Ballast:
    """An object that only a local variable refers to."""


def test_a_stored_error_keeps_no_local_variables_alive() -> None:
    alive: list[weakref.ref[Ballast]] = []

    def inner() -> None:
        ballast = Ballast()
        alive.append(weakref.ref(ballast))
        raise MemoryError

    def outer() -> None:
        ballast = Ballast()
        alive.append(weakref.ref(ballast))
        try:
            with contextlib.ExitStack() as stack:
                stack.enter_context(contextlib.nullcontext())
                inner()
        except MemoryError as error:
            raise ValueError("no success") from error

    with pytest.raises(ValueError, match="no success") as kept:
        outer()
    assert all(one() is not None for one in alive)
    clear_frames(kept.value)
    assert [one() for one in alive] == [None, None]


SLEEPING = """
import sys
import fervid
from fervid.batch.engines.local import LocalEngine
from tests.support import hostile_workers
fervid.analyze(sys.argv[1], sys.argv[2], engine=LocalEngine(workers=1, work=hostile_workers.scan))
"""


def test_workers_die_with_a_killed_batch(root: Path, tmp_path: Path) -> None:
    line = [sys.executable, "-c", SLEEPING, str(root / "sleeps.mp4"), str(tmp_path / "r.parquet")]
    process = subprocess.Popen(line, stderr=subprocess.DEVNULL, start_new_session=True, cwd=ROOT)
    wait_for((root / "sleeps.attempts").exists, "the scan does not begin")
    process.kill()
    process.wait()
    wait_for(lambda: not members(process.pid), "workers outlive their batch")  # the scan itself would take an hour


@pytest.mark.parametrize("victims", [1, 2])
def test_workers_killed_between_two_tasks_affect_no_video(
    tmp_path: Path, victims: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_pool, "_prepare_worker", hostile_workers.prepare_worker_that_waits_briefly)
    for module in (local, worker_pool):
        monkeypatch.setattr(module, "WORKER_LOST_SECONDS", 3.0)

    class Unlucky(LocalEngine):
        """An engine whose workers are killed after the first result."""

        def run(self, tasks: Any, job: Any) -> Any:
            for number, outcome in enumerate(super().run(tasks, job)):
                if number == 0:
                    for child in _workers()[:victims]:
                        os.kill(child, signal.SIGKILL)
                yield outcome

    engine = Unlucky(workers=2, work=hostile_workers.find_done)
    names = [f"{number}" for number in range(6)]  # more than are handed out before the first result
    assert hostile_workers.done_in(engine, [tmp_path / f"{name}.mp4" for name in names], tmp_path) == names


def _workers() -> list[int]:
    """The scan processes of this process."""
    return [child.pid for child in multiprocessing.active_children() if child.pid]


@pytest.mark.slow
def test_a_death_that_the_pool_misses_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pool learns which worker has a task only after that worker has died."""
    begin = TaskManager.task_start

    def notice_late(tasks: TaskManager, task_id: int, worker_id: int | None) -> None:
        def wait() -> None:
            while worker_pool._is_alive(worker_id or 0):
                time.sleep(0.05)
            time.sleep(1)
            begin(tasks, task_id, worker_id)

        threading.Thread(target=wait).start() if task_id == 1 else begin(tasks, task_id, worker_id)

    monkeypatch.setattr(TaskManager, "task_start", notice_late)
    for module in (local, worker_pool):
        monkeypatch.setattr(module, "WORKER_LOST_SECONDS", 1.0)
    engine, names = LocalEngine(2, work=hostile_workers.find_done), ["a waits", "b dies"]
    assert hostile_workers.done_in(engine, [tmp_path / f"{name}.mp4" for name in names], tmp_path) == names
    assert hostile_workers.attempts_in(tmp_path)["b dies"] == 2


def test_a_signal_while_workers_start_leaves_none_running(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Stop(BaseException):
        pass

    def stop(number: int, _: object) -> None:
        raise Stop

    job = ScanJob(FAST.scan, FER2013_GEOMETRY, lambda digest: False, tmp_path)
    begin = worker_pool._start_pool

    def begin_and_signal(pool: Any) -> bool:
        begun = begin(pool)
        signal.raise_signal(signal.SIGTERM)
        return begun

    monkeypatch.setattr(worker_pool, "_start_pool", begin_and_signal)
    before = signal.signal(signal.SIGTERM, stop)
    try:
        with pytest.raises(Stop):
            list(LocalEngine(2).run([ScanTask(0, tmp_path / "x.mp4")], job))
        assert multiprocessing.active_children() == []
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("replayed_scans")  # in this process; the run on the full disk is in another one
def test_a_full_disk_ends_with_5_and_keeps_what_is_complete(tmp_path: Path) -> None:
    """A limit on file size simulates a full disk: small videos fit, the crops of a long one do not."""
    out = tmp_path / "r.parquet"

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))

    videos = [face_clip(tmp_path / f"{count}.mp4", at_rate(4, count)) for count in (8, 9)]
    done = command("analyze", *videos, "--out", out, "--fps", "2")
    assert done.returncode == 0, done.stderr
    kept = out.read_bytes()
    videos.append(face_clip(tmp_path / "long.mp4", at_rate(4, 20)))
    line = [sys.executable, "-m", "fervid", "analyze", *map(str, videos), "--out", str(out), "--workers", "1"]
    done = subprocess.run(
        [*line, "--fps", "4", "--overwrite"], capture_output=True, text=True, check=False, preexec_fn=limit
    )
    assert done.returncode == 5, done.stderr
    assert "cannot write" in done.stderr
    assert "Traceback" not in done.stderr
    assert out.read_bytes() == kept  # the old tables stay until new ones replace them
    done = command("analyze", *videos, "--out", out, "--fps", "4", "--overwrite")
    assert done.returncode == 0, done.stderr


STDIN = """
import fervid
import fervid.batch.engines.local
import fervid.batch.engines.worker_pool
for module in (fervid.batch.engines.local, fervid.batch.engines.worker_pool):
    module.WORKER_LOST_SECONDS = 0.5
fervid.analyze({sample!r}, {out!r})
"""


@pytest.mark.parametrize("attempt", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_script_whose_workers_cannot_start_ends_with_the_reason(tmp_path: Path, attempt: int) -> None:
    """Workers cannot import a script that was read from a pipe. They die while the pool is starting."""
    script = STDIN.format(sample=str(SAMPLES / "cut.mp4"), out=str(tmp_path / "r.parquet"))
    done = subprocess.run([sys.executable], input=script, capture_output=True, text=True, cwd=ROOT, timeout=300)
    assert done.returncode == 1
    assert '`if __name__ == "__main__":`' in done.stderr.splitlines()[-1]


def test_files_in_the_working_folder_are_never_imported(tmp_path: Path) -> None:
    """A folder of downloads may hold a file with a library's name."""
    for name in ("av", "numpy", "fervid"):
        (tmp_path / f"{name}.py").write_text(
            f"open({str(tmp_path / 'ran')!r}, 'a').write({name!r})\nraise ImportError\n"
        )
    line = "import sys; sys.path.remove(''); from fervid.cli.main import main; main()"  # as the installed command does
    face_clip(tmp_path / "face.mp4", at_rate(4, 8))
    arguments = ["analyze", "face.mp4", "--out", "r.parquet", "--fps", "2", "--quiet"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", line, *arguments], cwd=tmp_path, env=environment, check=True)
    assert not (tmp_path / "ran").exists()
