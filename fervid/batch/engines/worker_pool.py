"""A pool of worker processes that keeps working when workers die."""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import BrokenExecutor, Future
from typing import Any

from pebble import ProcessPool
from pebble.common.types import CONSTS

from fervid.batch.engines.base import Work, clear_frames, hold_signals, restore_environment
from fervid.batch.tasks import ScanJob, ScanTask
from fervid.errors import WorkerFailed
from fervid.runtime.platform import blocked_interrupt, die_with_parent, limit_memory, prefer_as_victim, start_method

QUEUED_AHEAD = 2
"""Tasks queued beyond the number of workers; keeps workers busy without piling up results."""

WORKER_LOST_SECONDS = 10.0
"""Seconds after a worker's death before its task counts as failed, if the pool missed it."""

PIPE_LOCK_TIMEOUT = 12.0
"""Timeout in seconds for the lock of the pipe that all workers share. A worker killed while holding the lock leaves it
locked. A worker that waits for it this long, twice, exits, and the pool restarts."""

PRELOADED = ("fervid.batch.worker", "scipy.optimize", "scipy.sparse.csgraph")
"""The libraries of a scan, which a worker has loaded before its first task."""


def _worker_context() -> Any:
    """The multiprocessing context of the workers.

    They are new processes, or forked from a server that has loaded the libraries of a scan.

    Ctrl-C is delivered to the whole process group. Workers ignore it and let this process shut them down: they inherit
    a blocked SIGINT from the server, or from the thread that starts them.
    """
    context: Any = multiprocessing.get_context(start_method())
    if context.get_start_method() == "spawn":
        return context
    context.set_forkserver_preload(list(PRELOADED))
    if threading.current_thread() is not threading.main_thread():
        return context
    from multiprocessing import forkserver

    with hold_signals(), blocked_interrupt(), _safe_path():
        forkserver.ensure_running()
    return context


@contextlib.contextmanager
def _safe_path() -> Iterator[None]:
    """Keep interpreters that start in this block from importing what lies in the working directory."""
    with restore_environment("PYTHONSAFEPATH"):
        os.environ["PYTHONSAFEPATH"] = "1"
        yield


def _start_pool(pool: Any) -> bool:
    """Start the pool's processes and threads. Returns whether that worked."""
    try:
        with blocked_interrupt():
            return bool(pool.active)
    except BrokenExecutor:
        return False


_slots: Any = None
"""In a worker: shared memory with one number per slot, the process id of the worker that does the slot's task."""


def _prepare_worker(memory: int, slots: Any) -> None:
    """Set up a worker: it dies with its parent, may use ``memory`` bytes, and is the first to be killed if the machine
    runs out of memory."""
    global _slots
    _slots = slots
    CONSTS.channel_lock_timeout = PIPE_LOCK_TIMEOUT
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # end at once instead of when a codec returns to Python
    with contextlib.suppress(KeyError, OSError, AttributeError, TypeError):
        # the fork server, parent of the workers, ends when no process holds this pipe; a worker must not hold it
        server: Any = sys.modules["multiprocessing.forkserver"]._forkserver
        os.close(server._forkserver_alive_fd)
        server._forkserver_alive_fd = None
    die_with_parent()
    prefer_as_victim()
    for module in PRELOADED:  # the fork server has done so
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    limit_memory(memory)


def _run_in_slot(work: Work, slot: int, task: ScanTask, job: ScanJob) -> Any:
    """In a worker: note its process id in the task's slot, and do the task."""
    _slots[slot] = os.getpid()
    try:
        return work(task, job)
    except BaseException as error:
        clear_frames(error)  # the pool keeps the error until this worker's next task has ended
        raise


def _is_alive(pid: int) -> bool:
    """Whether a worker of this process has not ended."""
    return any(child.pid == pid for child in multiprocessing.active_children())


class WorkerPool:
    """A pool of worker processes that can be restarted when it breaks.

    Args:
        count: Number of workers.
        memory: Bytes that one worker may use.
    """

    def __init__(self, count: int, memory: int) -> None:
        self.count, self._memory = count, memory
        self._started = False
        self._environment = contextlib.ExitStack()

    def start(self) -> None:
        """Start the workers. ``stop`` must be called afterwards, even if this raises.

        Raises:
            WorkerFailed: The processes cannot be started.
        """
        context = _worker_context()
        if context.get_start_method() == "spawn":  # the pool may start further workers until it is stopped
            self._environment.enter_context(_safe_path())
        self._pids = context.RawArray("q", self.count + QUEUED_AHEAD)
        self._slots: dict[Future[Any], int] = {}
        """Task → the slot in ``_pids`` for its worker's process id."""
        self._gone_since: dict[Future[Any], float] = {}
        """Task → when its worker was first found to be gone."""
        self._empty_since: float | None = None
        """When the pool was first found without any worker; None if it has some."""
        self._pool: Any = ProcessPool(
            max_workers=self.count,
            context=context,
            initializer=_prepare_worker,
            initargs=(self._memory, self._pids),
        )
        with hold_signals():
            self._started = _start_pool(self._pool)
        if not self._started:
            advice = "use fewer `workers`, or raise the limits of processes and open files (ulimit -u, -n)"
            raise WorkerFailed(f"the worker processes cannot be started; {advice}")

    def schedule(self, work: Work, task: ScanTask, job: ScanJob, timeout: float) -> Future[Any]:
        """Queue a task for the next free worker.

        Args:
            work: What the worker does with the task.
            task: The task.
            job: What all tasks share.
            timeout: Seconds the task may take; 0: no limit.

        Returns:
            The future of the work's result.

        Raises:
            BrokenExecutor: The pool is broken.
            RuntimeError: The pool was stopped.
        """
        self._slots = {future: slot for future, slot in self._slots.items() if not future.done()}
        slot = min(set(range(len(self._pids))) - set(self._slots.values()))
        self._pids[slot] = 0
        future: Future[Any] = self._pool.schedule(_run_in_slot, args=(work, slot, task, job), timeout=timeout or None)
        self._slots[future] = slot
        return future

    def lost(self, running: Iterable[Future[Any]]) -> list[Future[Any]]:
        """Find and cancel tasks whose worker died without the pool noticing.

        That happens if a worker dies before it has reported to the pool which task it took.

        Args:
            running: Tasks that have not ended.

        Returns:
            Those whose worker has been gone for WORKER_LOST_SECONDS.
        """
        now, before = time.monotonic(), self._gone_since
        gone = [future for future in running if future.running() and not self._has_worker(future)]
        self._gone_since = {future: before.get(future, now) for future in gone}
        lost = [future for future in gone if now - self._gone_since[future] >= WORKER_LOST_SECONDS]
        for future in lost:
            future.cancel()
        return lost

    def has_no_worker(self) -> bool:
        """Check for workers that die at start, which the pool may not notice.

        Returns:
            Whether no worker has been alive for WORKER_LOST_SECONDS.
        """
        now = time.monotonic()
        self._empty_since = None if multiprocessing.active_children() else self._empty_since or now
        return self._empty_since is not None and now - self._empty_since >= WORKER_LOST_SECONDS

    def _has_worker(self, future: Future[Any]) -> bool:
        pid = int(self._pids[self._slots[future]])
        return pid != 0 and _is_alive(pid)

    def restart(self) -> None:
        """Stop all workers and start new ones."""
        self.stop()
        self.start()

    def stop(self) -> None:
        """Stop all workers at once. Does nothing if they were not started."""
        if self._started:
            with hold_signals():
                if self._pool.active:
                    self._pool.stop()
                self._pool.join()
                self._started = False
        self._environment.close()
