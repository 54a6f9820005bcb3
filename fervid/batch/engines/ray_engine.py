"""The engine that scans videos on the nodes of a Ray cluster. Imported only if the settings choose Ray.

Ray's own retries are turned off, so that failures are handled as by the local engine. Files are not sent to the nodes:
inputs and output must be on a path that all nodes share.
"""

from __future__ import annotations

import contextlib
import faulthandler
import itertools
import os
import pickle
import socket
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import ray
from ray import exceptions as failures

from fervid.batch.engines.base import (
    MAX_ATTEMPTS,
    Outcome,
    Work,
    clear_frames,
    crash_error,
    hold_signals,
    memory_limit,
    timeout_error,
    worker_error,
)
from fervid.batch.engines.ray_connection import (
    SHARED,
    WAIT_SECONDS,
    Connection,
    check_nodes,
    cluster_resource,
    living_nodes,
    wait_for_result,
)
from fervid.batch.segmented import SegmentedScans
from fervid.batch.tasks import ScanJob, ScanTask
from fervid.batch.worker import scan_or_divide
from fervid.errors import FervidError, InternalError, UnreadableVideo, UsageError, WorkerFailed
from fervid.files.atomic import writing
from fervid.runtime.platform import limited_memory
from fervid.scan.types import SEGMENT_SECONDS, segment_length
from fervid.settings import ScanSettings
from fervid.version import __version__

MAX_LOSSES = 5
"""How many times a video may lose its node before it is reported as failed. The video may be what kills the nodes."""

CPU_TIMEOUT = 600.0
"""Longest time in seconds without a CPU in the cluster. Starting or replacing nodes can take that long."""

CPU_COUNT_SECONDS = 5.0
"""Seconds after which the CPUs of the cluster are counted again."""

QUEUED_SHARE = 0.25
"""Tasks queued beyond the number of CPUs, as a share of it; keeps CPUs busy and makes an autoscaler add nodes."""


@dataclass(frozen=True)
class _UnfitNode:
    """A node cannot do any task; ``reason`` is a sentence."""

    reason: str


@dataclass(frozen=True)
class _InputNotSeen:
    """A node does not see the input; ``node`` is its host name."""

    node: str


@dataclass
class _History:
    """Failed attempts of a task: the nodes on which its worker died, and the number of attempts lost otherwise."""

    deaths: list[str] = field(default_factory=list)
    losses: int = 0

    @property
    def attempts(self) -> int:
        """Number of failed attempts."""
        return len(self.deaths) + self.losses


@dataclass(frozen=True)
class _Attempt:
    """A task that is being done.

    Attributes:
        task: The task.
        folder: Where it writes. A new folder after a failed attempt, which may still be writing.
        note: File for the id of the node that does the task. If the time runs out, a stack trace follows it.
        timeout: Seconds the task may take; 0: no limit.
        memory: Bytes its process may use; 0: an equal share of the node's memory.
    """

    task: ScanTask
    folder: Path
    note: Path
    timeout: float
    memory: int


class RayEngine:
    """Scans videos as tasks on a Ray cluster.

    A video whose process dies twice fails. The tasks of a node that dies are done again by other nodes.

    Args:
        address: See Connection.
        workers: Largest number of tasks at once; 0: the number of CPUs of the cluster.
        timeout: See LocalEngine.
        memory: Bytes one process may use; 0: an equal share of its node's memory.
        work: What a node does with a task.
        segment_seconds: See LocalEngine.
        cpu_timeout: Seconds that the cluster may be without a CPU before the batch ends.
    """

    def __init__(
        self,
        address: str = "auto",
        workers: int = 0,
        timeout: float = 0.0,
        memory: int = 0,
        work: Work = scan_or_divide,
        segment_seconds: float = SEGMENT_SECONDS,
        cpu_timeout: float = CPU_TIMEOUT,
    ) -> None:
        self.address, self.workers, self.timeout, self.memory = address, workers, timeout, memory
        self.work, self.segment_seconds, self.cpu_timeout = work, segment_seconds, cpu_timeout

    def run(self, tasks: Iterable[ScanTask], job: ScanJob) -> Generator[Outcome, None, None]:
        """See Engine.run.

        The cluster is joined for the first task. It is left when the generator is closed, not when it is exhausted,
        because crops may still have to be classified there after the last scan.

        Raises:
            UsageError: A node fails the check.
            WorkerFailed: The cluster cannot be reached or is lost.
        """
        batch = _RayBatch(self, job)
        return _ClosingGenerator(batch.outcomes(iter(tasks)), batch.close)


class _ClosingGenerator(Generator[Outcome, None, None]):
    """A generator that calls a function when it is closed, even if it is exhausted by then."""

    def __init__(self, outcomes: Generator[Outcome, None, None], close: Callable[[], None]) -> None:
        self._outcomes, self._close = outcomes, close

    def send(self, value: None) -> Outcome:
        return self._outcomes.send(value)

    def throw(self, kind: Any, value: Any = None, trace: TracebackType | None = None) -> Outcome:
        return self._outcomes.throw(kind if value is None else value)

    def close(self) -> None:
        try:
            self._outcomes.close()
        finally:
            self._close()


class _RayBatch:
    """The tasks of one batch, on the cluster and waiting."""

    def __init__(self, engine: RayEngine, job: ScanJob) -> None:
        self._engine = engine
        self._job = replace(
            job,
            scratch=job.scratch.absolute(),
            segment_seconds=segment_length(job.settings, engine.segment_seconds),
            settings=_with_absolute_paths(job.settings),
        )
        self._queue: deque[ScanTask] = deque()
        self._segments = SegmentedScans(self._job, self._queue)
        self._running: dict[Any, _Attempt] = {}
        self._histories: dict[ScanTask, _History] = {}
        """The tasks with failed attempts."""
        self._numbers = itertools.count()
        self._connection: Connection | None = None
        self._remote: Any = None
        self._cpus, self._counted_at, self._no_cpu_since = 0.0, 0.0, 0.0

    def outcomes(self, tasks: Iterator[ScanTask]) -> Generator[Outcome, None, None]:
        """Yield each video with its outcome, in order of completion."""
        self._queue.extend(itertools.islice(tasks, 1))
        if not self._queue:
            return
        self._connection = Connection(self._engine.address)
        check_nodes(self._job.scratch)
        self._remote = ray.remote(num_cpus=1, max_retries=0)(_do_task)
        while True:
            with hold_signals():
                self._feed(tasks)
            if not self._running:
                return
            for ref in wait_for_result(list(self._running), WAIT_SECONDS):
                attempt = self._running.pop(ref)
                with hold_signals():
                    outcome = self._outcome(ref, attempt)
                if outcome is None:
                    self._queue.append(attempt.task)
                    continue
                self._histories.pop(attempt.task, None)
                if end := self._segments.finish_task(attempt.task, outcome):
                    yield end

    def close(self) -> None:
        """Cancel what still runs, and leave the cluster."""
        if self._connection is None:
            return
        with hold_signals(), contextlib.suppress(failures.RayError):
            for ref in self._running:
                ray.cancel(ref, force=True)
        self._running.clear()
        self._connection.close()

    def _feed(self, tasks: Iterator[ScanTask]) -> None:
        """Hand out tasks until enough are running."""
        cluster_capacity = self._capacity()  # called even if `workers` is set: it raises if there is no CPU
        capacity = self._engine.workers or cluster_capacity
        while len(self._running) < capacity:
            task = self._queue.popleft() if self._queue else next(tasks, None)
            if task is None:
                return
            number, scratch = next(self._numbers), self._job.scratch
            folder = scratch / f"again-{number}" if task in self._histories else scratch
            timeout = self._segments.time_left(task, self._engine.timeout)
            attempt = _Attempt(task, folder, scratch / f"{number}.task", timeout, self._engine.memory)
            on_node = replace(attempt, task=replace(task, path=task.path.absolute()))
            payload = pickle.dumps((on_node, self._job, self._engine.work))
            self._running[self._remote.remote(__version__, payload)] = attempt

    def _capacity(self) -> int:
        """How many tasks the cluster gets at once. Raises WorkerFailed if it has had no CPU for too long."""
        now = time.monotonic()
        if not self._counted_at or now - self._counted_at > CPU_COUNT_SECONDS:
            self._cpus, self._counted_at = cluster_resource("CPU"), now
            self._no_cpu_since = 0.0 if self._cpus else self._no_cpu_since or now
            if self._no_cpu_since and now - self._no_cpu_since > self._engine.cpu_timeout:
                raise WorkerFailed(f"no node of the cluster has offered a CPU for {self._engine.cpu_timeout:g} s")
        return int(self._cpus) + max(2, int(self._cpus * QUEUED_SHARE))

    def _outcome(self, ref: Any, attempt: _Attempt) -> Any:
        """The outcome of an attempt; None if the task must be done again."""
        try:
            outcome = pickle.loads(ray.get(ref))
        except (failures.WorkerCrashedError, failures.OutOfMemoryError) as error:
            return self._died(attempt, error)
        except (failures.NodeDiedError, failures.ObjectLostError):
            return self._lost(attempt)
        except failures.RayTaskError as error:  # _do_task raises nothing itself, so loading it failed
            reason = str(error).strip().splitlines()[-1]
            raise UsageError(f"a node cannot load fervid ({reason}); install fervid {__version__} there") from error
        except failures.RayError as error:
            raise WorkerFailed(f"the Ray cluster failed: {str(error).strip().splitlines()[0]}") from error
        if isinstance(outcome, _UnfitNode):
            raise UsageError(outcome.reason)
        if isinstance(outcome, _InputNotSeen):
            if os.path.exists(attempt.task.path):
                raise UsageError(f"node {outcome.node} cannot see {str(attempt.task.path.absolute())!r}; {SHARED}")
            return UnreadableVideo("No such file or directory")
        return outcome

    def _died(self, attempt: _Attempt, error: Exception) -> FervidError | None:
        """The outcome after a worker died; None: try again. A death counts only if its node is still alive."""
        lines: list[str] = []
        with contextlib.suppress(OSError):
            lines = attempt.note.read_text(encoding="utf-8", errors="replace").splitlines()
        if len(lines) > 1:
            return timeout_error(self._engine.timeout)
        if not lines:  # the task had not started
            return self._lost(attempt)
        history = self._histories.setdefault(attempt.task, _History())
        history.deaths.append(lines[0])
        living = living_nodes()
        if sum(node in living for node in history.deaths) < MAX_ATTEMPTS:
            return None if history.attempts < MAX_LOSSES else _lost_too_often()
        out_of_memory = isinstance(error, failures.OutOfMemoryError)
        return crash_error("its node's memory ran out") if out_of_memory else crash_error()

    def _lost(self, attempt: _Attempt) -> FervidError | None:
        """The outcome after a task was lost with its node; None: try again."""
        history = self._histories.setdefault(attempt.task, _History())
        history.losses += 1
        return None if history.attempts < MAX_LOSSES else _lost_too_often()


def _with_absolute_paths(settings: ScanSettings) -> ScanSettings:
    """The settings for a process with another working directory."""
    weights = settings.detector_weights
    return settings if weights is None else replace(settings, detector_weights=os.path.abspath(weights))


def _lost_too_often() -> FervidError:
    return InternalError(f"its node was lost {MAX_LOSSES} times; run again to try once more")


# The functions below run on the nodes.


def _do_task(version: str, payload: bytes) -> bytes:
    """Do one task. ``payload`` and the outcome are pickled."""
    node = socket.gethostname()
    if version != __version__:  # the node joined after the check
        return pickle.dumps(_UnfitNode(f"node {node} has fervid {__version__}; install fervid {version} there"))
    attempt, job, work = pickle.loads(payload)
    if not _is_visible(job.scratch):
        return pickle.dumps(_UnfitNode(f"node {node} cannot see this machine's {str(job.scratch)!r}; {SHARED}"))
    if not _is_visible(attempt.task.path):
        return pickle.dumps(_InputNotSeen(node))
    memory = memory_limit(attempt.memory)
    try:
        with writing(attempt.note):
            attempt.folder.mkdir(exist_ok=True)
            opened = attempt.note.open("w", encoding="utf-8")
        with opened as note, _time_limit(note, attempt.timeout), limited_memory(memory):
            outcome = work(attempt.task, replace(job, scratch=attempt.folder))
        attempt.note.unlink(missing_ok=True)
        return pickle.dumps(outcome)
    except Exception as error:
        clear_frames(error)  # its arrays would stay in memory during this process's next task
        return pickle.dumps(worker_error(error, memory))


def _is_visible(path: Path) -> bool:
    """Whether the path exists. Waits up to two seconds, because a network file system may show new files late."""
    for _ in range(20):
        if os.path.lexists(path):
            return True
        time.sleep(0.1)
    return False


@contextlib.contextmanager
def _time_limit(note: TextIO, timeout: float) -> Iterator[None]:
    """Write the node's id to ``note``, and limit the time of the block. After ``timeout`` seconds a watchdog, which
    needs no cooperation from Python code, writes a stack trace there and ends the process."""
    note.write(ray.get_runtime_context().get_node_id() + "\n")
    note.flush()
    if timeout:
        faulthandler.dump_traceback_later(timeout, exit=True, file=note)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
