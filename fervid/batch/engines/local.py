"""The engine that scans videos in worker processes on this machine."""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter, deque
from collections.abc import Collection, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, TimeoutError, wait
from dataclasses import replace
from typing import Any

from pebble import ProcessExpired

from fervid.batch.engines.base import (
    MAX_ATTEMPTS,
    Outcome,
    Work,
    crash_error,
    memory_limit,
    timeout_error,
    worker_error,
)
from fervid.batch.engines.worker_pool import QUEUED_AHEAD, WORKER_LOST_SECONDS, WorkerPool
from fervid.batch.segmented import SegmentedScans
from fervid.batch.tasks import ScanJob, ScanTask
from fervid.batch.worker import scan_or_divide
from fervid.errors import FervidError, WorkerFailed
from fervid.runtime.machine import usable_cores
from fervid.scan.types import SEGMENT_SECONDS, segment_length

MAX_RESTARTS = 3
"""How many times in a row the whole pool may break without completing a task."""

MIN_BYTES_PER_SECOND = 20_000
"""Lower bound for the size of a second of video. Files that are smaller than this implies are not long enough to be
divided."""

WORKERS_DIE_AT_START = (
    "worker processes die at start: out of memory, or the calling script is not a file (stdin/REPL), or lacks an "
    '`if __name__ == "__main__":` guard'
)


class LocalEngine:
    """Scans videos in worker processes on this machine.

    A worker that crashes, takes too long or uses too much memory costs one video, and is replaced. With more than one
    worker, long videos are scanned in segments.

    Args:
        workers: Number of processes; 0: one per core.
        timeout: Seconds one video may take, the sum over its segments; 0: no limit.
        memory: Bytes one process may use; 0: an equal share of the machine's memory.
        work: What a worker does with a task.
        segment_seconds: Length of a segment in seconds; 0: videos are not divided.
    """

    def __init__(
        self,
        workers: int = 0,
        timeout: float = 0.0,
        memory: int = 0,
        work: Work = scan_or_divide,
        segment_seconds: float = SEGMENT_SECONDS,
    ) -> None:
        self._workers, self._timeout, self._work = workers or usable_cores(), timeout, work
        self._memory = memory_limit(memory, self._workers)
        self._segment_seconds = segment_seconds if self._workers > 1 else 0.0
        self._crashes: Counter[ScanTask] = Counter()

    def run(self, tasks: Iterable[ScanTask], job: ScanJob) -> Generator[Outcome, None, None]:
        """See Engine.run."""
        tasks = iter(tasks)
        queue = deque(itertools.islice(tasks, self._workers))
        if not queue:
            return
        job = replace(job, segment_seconds=segment_length(job.settings, self._segment_seconds), threads=self._workers)
        count = self._workers if any(_may_be_long(task, job) for task in queue) else len(queue)
        segments = SegmentedScans(job, queue)
        pool = WorkerPool(count, self._memory)
        running: dict[Future[Any], ScanTask] = {}
        restarts = 0
        try:
            pool.start()
            while True:
                pool_ok = self._feed(pool, running, queue, tasks, segments, job)
                if pool_ok and not running:
                    return
                for future, error in self._ended(pool, running) if pool_ok else ():
                    if isinstance(error, BrokenExecutor):
                        pool_ok = False
                        break
                    task = running.pop(future)
                    if isinstance(error, ProcessExpired) and self._may_retry(task):
                        queue.append(task)
                        continue
                    restarts = 0
                    if end := segments.finish_task(task, self._failure(error) if error else future.result()):
                        yield end
                if not pool_ok:
                    restarts += 1
                    if restarts > MAX_RESTARTS:
                        raise WorkerFailed(WORKERS_DIE_AT_START)
                    queue.extend(running.values())  # not a retry: no task is to blame when the pool itself breaks
                    running.clear()
                    pool.restart()
        finally:
            pool.stop()

    def _feed(
        self,
        pool: WorkerPool,
        running: dict[Future[Any], ScanTask],
        queue: deque[ScanTask],
        tasks: Iterator[ScanTask],
        segments: SegmentedScans,
        job: ScanJob,
    ) -> bool:
        """Hand out tasks until enough are running. Returns False if the pool is broken."""
        while len(running) < pool.count + QUEUED_AHEAD:
            task = queue.popleft() if queue else next(tasks, None)
            if task is None:
                break
            try:
                running[pool.schedule(self._work, task, job, segments.time_left(task, self._timeout))] = task
            except (BrokenExecutor, RuntimeError):
                queue.appendleft(task)
                return False
        return True

    def _ended(
        self, pool: WorkerPool, running: Collection[Future[Any]]
    ) -> Iterator[tuple[Future[Any], BaseException | None]]:
        """Wait until some tasks have ended. Yields each of them with its error."""
        for future in wait(running, WORKER_LOST_SECONDS, FIRST_COMPLETED).done:
            yield future, future.exception()
        for future in pool.lost([future for future in running if not future.done()]):
            yield future, ProcessExpired("the worker process is gone")  # type: ignore[no-untyped-call]
        for future in itertools.islice(running, 1 if pool.has_no_worker() else 0):
            yield future, BrokenExecutor("no worker process is alive")

    def _may_retry(self, task: ScanTask) -> bool:
        """Whether a task whose worker died is tried again. The worker may have been killed for another reason."""
        self._crashes[task] += 1
        return self._crashes[task] < MAX_ATTEMPTS

    def _failure(self, error: BaseException) -> FervidError:
        """The outcome of a video whose task ended with an error."""
        if isinstance(error, TimeoutError):
            return timeout_error(self._timeout)
        if isinstance(error, ProcessExpired):
            return crash_error(detail=f" (exit code {error.exitcode})" if error.exitcode else "")
        return worker_error(error, self._memory)


def _may_be_long(task: ScanTask, job: ScanJob) -> bool:
    """Whether the file is large enough to hold a video that is divided."""
    with contextlib.suppress(OSError):
        return 0 < 2 * job.segment_seconds * MIN_BYTES_PER_SECOND <= task.path.stat().st_size
    return False
