"""Where scans run. An engine takes scan tasks and gives back their outcomes as they complete."""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter, deque
from collections.abc import Collection, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, TimeoutError, wait
from dataclasses import replace
from typing import Any

from pebble import ProcessExpired

from fervid.batch.engines.base import MAX_ATTEMPTS, MIN_MEMORY, Outcome, Work
from fervid.batch.engines.pool import QUEUED_AHEAD, WORKER_LOST_SECONDS, WorkerPool
from fervid.batch.segmented import SegmentedScans
from fervid.batch.tasks import ScanJob, ScanTask
from fervid.batch.worker import scan_or_divide
from fervid.errors import FervidError, InternalError, WorkerFailed
from fervid.runtime.machine import total_memory, usable_cores
from fervid.scan.types import SEGMENT_SECONDS

MAX_RESTARTS = 3
"""So often in a row may the whole crew break without one task done."""

MIN_BYTES_PER_SECOND = 20_000
"""Bytes that a second of video takes at least: a smaller file holds none that is long enough to be divided."""

WORKERS_DIE_AT_START = (
    "the worker processes die as soon as they start: memory is short, or the script that calls fervid is no file, "
    'or does so without `if __name__ == "__main__":`'
)


class LocalEngine:
    """Worker processes on this machine; one that dies, takes longer than ``timeout`` seconds (0: no limit) or
    more than ``memory`` bytes (0: an equal share) costs one video and is replaced.

    Where there is more than one worker, a long video is scanned in pieces of about ``span`` seconds (0: never),
    which share its time: what counts is what they take together.
    """

    def __init__(
        self,
        workers: int = 0,
        timeout: float = 0.0,
        memory: int = 0,
        work: Work = scan_or_divide,
        span: float = SEGMENT_SECONDS,
    ) -> None:
        self._workers, self._timeout, self._work = workers or usable_cores(), timeout, work
        self._memory = memory or max(MIN_MEMORY, total_memory() // self._workers)
        self._span = span if self._workers > 1 else 0.0
        self._deaths: Counter[ScanTask] = Counter()

    def run(self, tasks: Iterable[ScanTask], job: ScanJob) -> Generator[Outcome, None, None]:
        """See Engine. Raises WorkerFailed where workers cannot be kept alive at all."""
        waiting = iter(tasks)
        due = deque(itertools.islice(waiting, self._workers))
        if not due:
            return
        running: dict[Future[Any], ScanTask] = {}
        job = replace(job, span=self._span, threads=self._workers)
        pieces = SegmentedScans(job, due)
        crew = WorkerPool(self._workers if any(map(self._may_be_long, due)) else len(due), self._memory)
        restarts = 0
        try:
            crew.start()
            while True:
                whole = self._feed(crew, running, due, waiting, pieces, job)
                if whole and not running:
                    return
                for future, error in self._ended(crew, running) if whole else ():
                    if isinstance(error, BrokenExecutor):
                        whole = False
                        break
                    task = running.pop(future)
                    if isinstance(error, ProcessExpired) and self._deserves_another(task):
                        due.append(task)
                        continue
                    restarts = 0
                    if end := pieces.take(task, self._failure(error) if error else future.result()):
                        yield end
                if not whole:  # a worker died between two tasks, and the pool with it: nobody's fault
                    restarts += 1
                    if restarts > MAX_RESTARTS:
                        raise WorkerFailed(WORKERS_DIE_AT_START)
                    due.extend(running.values())
                    running.clear()
                    crew.restart()
        finally:
            crew.stop()

    def _may_be_long(self, task: ScanTask) -> bool:
        """Whether the file is large enough for a video that is divided."""
        with contextlib.suppress(OSError):
            return 0 < 2 * self._span * MIN_BYTES_PER_SECOND <= task.path.stat().st_size
        return False

    def _feed(
        self,
        crew: WorkerPool,
        running: dict[Future[Any], ScanTask],
        due: deque[ScanTask],
        waiting: Iterator[ScanTask],
        pieces: SegmentedScans,
        job: ScanJob,
    ) -> bool:
        """Hand out tasks. Returns whether the crew still takes tasks."""
        while len(running) < crew.count + QUEUED_AHEAD:
            task = due.popleft() if due else next(waiting, None)
            if task is None:
                break
            try:
                running[crew.schedule(self._work, task, job, pieces.rest(task, self._timeout))] = task
            except (BrokenExecutor, RuntimeError):
                due.appendleft(task)
                return False
        return True

    def _ended(
        self, crew: WorkerPool, running: Collection[Future[Any]]
    ) -> Iterator[tuple[Future[Any], BaseException | None]]:
        """Wait until some tasks have ended; each of them with what went wrong."""
        for future in wait(running, WORKER_LOST_SECONDS, FIRST_COMPLETED).done:
            yield future, future.exception()
        for future in crew.lost([future for future in running if not future.done()]):
            yield future, ProcessExpired("the worker is no more")  # type: ignore[no-untyped-call]
        for future in itertools.islice(running, 1 if crew.is_deserted() else 0):
            yield future, BrokenExecutor("no worker is alive")

    def _deserves_another(self, task: ScanTask) -> bool:
        """Whether the worker died under the task for the first time: it may have been killed by chance."""
        self._deaths[task] += 1
        return self._deaths[task] < MAX_ATTEMPTS

    def _failure(self, error: BaseException) -> FervidError:
        if isinstance(error, FervidError):
            return error
        if isinstance(error, TimeoutError):
            return WorkerFailed(f"not scanned within {self._timeout:g} s; --timeout sets the limit")
        if isinstance(error, ProcessExpired):
            code = f" (exit code {error.exitcode})" if error.exitcode else ""
            died = f"the worker process died {MAX_ATTEMPTS} times{code}"
            return WorkerFailed(f"{died}; the file may crash its codec, or memory ran out")
        if isinstance(error, MemoryError):
            return WorkerFailed(f"needs more than the {self._memory / 2**30:.1f} GB that a scan process may use")
        # a worker's bug must not end the batch
        return InternalError(f"internal error: {type(error).__name__}: {error}")
