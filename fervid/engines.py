"""Where scans run. An engine takes scan tasks and gives back their outcomes as they complete."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, TimeoutError, wait
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from pathlib import Path
from typing import Any, Protocol

from pebble import ProcessExpired, ProcessPool

from fervid.config import ScanSettings
from fervid.crop import CropGeometry
from fervid.errors import FervidError, WorkerFailed
from fervid.scan import Scan, scan


@dataclass(frozen=True)
class ScanTask:
    """One video to scan; ``position`` is its place in the batch."""

    position: int
    path: Path


Outcome = tuple[ScanTask, Scan | FervidError]


class Engine(Protocol):
    """Scans videos, several at a time."""

    def run(
        self, tasks: Iterable[ScanTask], settings: ScanSettings, geometry: CropGeometry
    ) -> Generator[Outcome, None, None]:
        """Yield each task with its scan or with what went wrong, in order of completion."""
        ...


def usable_cores() -> int:
    """The cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    """Hold SIGINT and SIGTERM back until the end of the block, where their handlers are Python's.

    A handler that raises in the middle of the pool's start or end would leave threads that wait for ever.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[signal.Signals] = []
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    held = {number: handler for number, handler in handlers.items() if callable(handler)}
    for number in held:
        signal.signal(number, lambda number, frame: arrived.append(signal.Signals(number)))
    try:
        yield
    finally:
        for number, handler in held.items():
            signal.signal(number, handler)
        for number in arrived[:1]:
            signal.raise_signal(number)


def _context() -> Any:
    """The multiprocessing context of the workers: forked from a server that has the scan's libraries loaded.

    The key that interrupts a batch reaches its whole process group; the workers leave it to this process.
    They inherit that from the server, which is started with SIGINT blocked.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["fervid.scan"])
    if threading.current_thread() is not threading.main_thread():
        return context
    with _signals_held():
        resource_tracker.ensure_running()  # first, because its start unblocks SIGINT
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            forkserver.ensure_running()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return context


def _start(pool: Any) -> bool:
    """Start the pool's processes and threads; whether that worked."""
    try:
        return bool(pool.active)
    except BrokenExecutor:
        return False


class LocalEngine:
    """Worker processes on this machine; one that dies or takes longer than ``timeout`` seconds (0: no limit)
    costs one video and is replaced."""

    def __init__(self, workers: int = 0, timeout: float = 0.0) -> None:
        self._workers, self._timeout = workers or usable_cores(), timeout

    def run(
        self, tasks: Iterable[ScanTask], settings: ScanSettings, geometry: CropGeometry
    ) -> Generator[Outcome, None, None]:
        """See Engine."""
        remaining = iter(tasks)
        running: dict[Future[Scan], ScanTask] = {}
        pool: Any = ProcessPool(max_workers=self._workers, context=_context())
        started = False
        try:
            with _signals_held():
                started = _start(pool)
            if not started:
                raise WorkerFailed("the worker processes cannot be started")
            while True:
                # a few more than there are workers: none idles, and results do not pile up here
                while len(running) < self._workers + 2 and (task := next(remaining, None)) is not None:
                    arguments = (task.path, settings, geometry)
                    future = pool.schedule(scan, args=arguments, timeout=self._timeout or None)
                    running[future] = task
                if not running:
                    pool.close()
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    yield running.pop(future), self._outcome(future)
        finally:
            if started:
                with _signals_held():
                    if pool.active:
                        pool.stop()
                    pool.join()

    def _outcome(self, future: Future[Scan]) -> Scan | FervidError:
        try:
            return future.result()
        except FervidError as error:
            return error
        except TimeoutError:
            return WorkerFailed(f"not scanned within {self._timeout:g} s")
        except ProcessExpired as error:
            return WorkerFailed(f"the worker process died (exit code {error.exitcode}); the file may crash its codec")
        except Exception as error:  # a worker's bug must not end the batch
            return WorkerFailed(f"internal error: {type(error).__name__}: {error}")
