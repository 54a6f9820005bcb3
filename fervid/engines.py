"""Where scans run. An engine takes scan tasks and gives back their outcomes as they complete."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, TimeoutError, wait
from dataclasses import dataclass
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

    def run(self, tasks: Iterable[ScanTask], settings: ScanSettings, geometry: CropGeometry) -> Iterator[Outcome]:
        """Yield each task with its scan or with what went wrong, in order of completion."""
        ...


def usable_cores() -> int:
    """The cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class LocalEngine:
    """Worker processes on this machine; one that dies or takes longer than ``timeout`` seconds (0: no limit)
    costs one video and is replaced."""

    def __init__(self, workers: int = 0, timeout: float = 0.0) -> None:
        self._workers, self._timeout = workers or usable_cores(), timeout

    def run(self, tasks: Iterable[ScanTask], settings: ScanSettings, geometry: CropGeometry) -> Iterator[Outcome]:
        """See Engine."""
        remaining = iter(tasks)
        running: dict[Future[Scan], ScanTask] = {}
        context = multiprocessing.get_context("spawn")
        pool: Any = ProcessPool(max_workers=self._workers, context=context)
        try:
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
