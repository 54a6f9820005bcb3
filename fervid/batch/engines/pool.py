"""A pool of worker processes that survives their deaths."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import resource
import signal
import threading
import time
from collections.abc import Iterable
from concurrent.futures import BrokenExecutor, Future
from multiprocessing import forkserver, resource_tracker
from pathlib import Path
from typing import Any

from pebble import ProcessPool
from pebble.common.types import CONSTS

from fervid.batch.engines.base import Work, clear_frames, hold_signals, restore_environment
from fervid.batch.tasks import ScanJob, ScanTask
from fervid.errors import WorkerFailed

QUEUED_AHEAD = 2
"""So many more tasks than workers are handed out: none idles, and results do not pile up here."""

WORKER_LOST_SECONDS = 10.0
"""Seconds after which a task counts as failed whose worker is no more, though the pool has not noticed."""

PIPE_LOCK_TIMEOUT = 12.0
"""Seconds for which a worker waits, twice, for its turn at the pipe that all share, which takes milliseconds. It ends
then, and the pool with it: another was killed while it was its turn."""

_PR_SET_PDEATHSIG = 1


def _worker_context() -> Any:
    """The multiprocessing context of the workers: forked from a server that has the scan's libraries loaded.

    The key that interrupts a batch reaches its whole process group; the workers leave it to this process.
    They inherit that from the server, which is started with SIGINT blocked.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["fervid.batch.worker", "scipy.optimize", "scipy.sparse.csgraph"])
    if threading.current_thread() is not threading.main_thread():
        return context
    with hold_signals():
        resource_tracker.ensure_running()  # first, because its start unblocks SIGINT
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            with restore_environment("PYTHONSAFEPATH"):
                os.environ["PYTHONSAFEPATH"] = "1"  # or it would import what has a library's name in the working folder
                forkserver.ensure_running()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return context


def _start_pool(pool: Any) -> bool:
    """Start the pool's processes and threads; whether that worked."""
    try:
        return bool(pool.active)
    except BrokenExecutor:
        return False


_slots: Any = None
"""In a worker: shared memory in which it leaves its process id at the seat of its task."""


def _prepare_worker(memory: int, seats: Any) -> None:
    """Run in each worker at its start: it dies with its parent, is the first that the system ends where memory
    runs out, and may use ``memory`` bytes itself."""
    global _slots
    _slots = seats
    CONSTS.channel_lock_timeout = PIPE_LOCK_TIMEOUT
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # end at once, not when a codec returns to Python
    with contextlib.suppress(OSError, AttributeError, TypeError):
        # the fork server ends when nobody holds this pipe; a worker would, and the server is its parent
        server: Any = forkserver._forkserver
        os.close(server._forkserver_alive_fd)
        server._forkserver_alive_fd = None
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (memory, resource.getrlimit(resource.RLIMIT_DATA)[1]))


def _run_in_slot(work: Work, seat: int, task: ScanTask, job: ScanJob) -> Any:
    """What a worker does with a task that has this seat."""
    _slots[seat] = os.getpid()
    try:
        return work(task, job)
    except BaseException as error:
        clear_frames(error)  # the pool keeps the error until this worker's next task has ended
        raise


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


class WorkerPool:
    """A pool of ``count`` workers that can be begun anew where it breaks."""

    def __init__(self, count: int, memory: int) -> None:
        self.count, self._memory = count, memory
        self._started = False

    def start(self) -> None:
        """Begin; raises WorkerFailed. Whatever it raises, ``stop`` is to be called."""
        context = _worker_context()
        self._pids = context.RawArray("q", self.count + QUEUED_AHEAD)
        self._seats: dict[Future[Any], int] = {}
        self._gone: dict[Future[Any], float] = {}
        """Since when the worker of a task is no more."""
        self._empty: float | None = None
        """Since when no worker lives at all."""
        self._pool: Any = ProcessPool(
            max_workers=self.count,
            context=context,
            initializer=_prepare_worker,
            initargs=(self._memory, self._pids),
        )
        with hold_signals():
            self._started = _start_pool(self._pool)
        if not self._started:
            raise WorkerFailed("the worker processes cannot be started")

    def schedule(self, work: Work, task: ScanTask, job: ScanJob, timeout: float) -> Future[Any]:
        """Give a task to the next free worker; raises BrokenExecutor or RuntimeError where the pool is broken."""
        self._seats = {future: seat for future, seat in self._seats.items() if not future.done()}
        seat = min(set(range(len(self._pids))) - set(self._seats.values()))
        self._pids[seat] = 0
        future: Future[Any] = self._pool.schedule(_run_in_slot, args=(work, seat, task, job), timeout=timeout or None)
        self._seats[future] = seat
        return future

    def lost(self, running: Iterable[Future[Any]]) -> list[Future[Any]]:
        """Cancel and return those whose worker is no more for ``LOST`` seconds.

        The pool forgets a worker that dies before it is told which task that one has.
        """
        now, before = time.monotonic(), self._gone
        gone = [one for one in running if one.running() and not self._is_at_work(one)]
        self._gone = {one: before.get(one, now) for one in gone}
        lost = [one for one in gone if now - self._gone[one] >= WORKER_LOST_SECONDS]
        for one in lost:
            one.cancel()
        return lost

    def is_deserted(self) -> bool:
        """Whether no worker has lived for ``LOST`` seconds: the pool may not notice that they die as they start."""
        now = time.monotonic()
        self._empty = None if multiprocessing.active_children() else self._empty or now
        return self._empty is not None and now - self._empty >= WORKER_LOST_SECONDS

    def _is_at_work(self, future: Future[Any]) -> bool:
        pid = int(self._pids[self._seats[future]])
        return pid != 0 and _is_alive(pid)

    def restart(self) -> None:
        """Replace all workers."""
        self.stop()
        self.start()

    def stop(self) -> None:
        """End all workers, whatever they do."""
        if self._started:
            with hold_signals():
                if self._pool.active:
                    self._pool.stop()
                self._pool.join()
                self._started = False
