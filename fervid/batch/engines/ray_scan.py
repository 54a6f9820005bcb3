"""Scans on the nodes of a Ray cluster. Only loaded where Ray is asked for.

What Ray would do by itself about tasks that fail is turned off, so that a video is treated here as by the
local engine. Files do not travel: all nodes share the paths of inputs and output.
"""

from __future__ import annotations

import contextlib
import faulthandler
import itertools
import os
import pickle
import resource as system
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import ray
from ray import exceptions as failures

from fervid.batch.engines.base import MAX_ATTEMPTS, MIN_MEMORY, Outcome, Work, clear_frames
from fervid.batch.engines.base import hold_signals as signals_held
from fervid.batch.engines.ray_cluster import (
    SHARED,
    TICK,
    Connection,
    check_nodes,
    living_nodes,
    resource,
    wait_for_result,
)
from fervid.batch.segmented import SegmentedScans
from fervid.batch.tasks import ScanJob, ScanTask
from fervid.batch.worker import scan_or_divide
from fervid.errors import FervidError, InternalError, UnreadableVideo, UsageError, WorkerFailed
from fervid.files.atomic import writing
from fervid.runtime.machine import total_memory, usable_cores
from fervid.scan.types import SEGMENT_SECONDS
from fervid.settings import ScanSettings
from fervid.version import __version__

LOSSES = 5
"""So often may a video lose its node before it is given up: it may be what ends them."""

PATIENCE = 600.0
"""Seconds that a cluster may be without a CPU, as one that is just being started or replaced is."""

COUNTED = 5.0
"""Seconds after which the cluster's CPUs are counted again."""

SLACK = 0.25
"""Tasks that wait in the cluster, as a share of its CPUs: none idles, and an autoscaler sees the use of more."""


@dataclass(frozen=True)
class _Unfit:
    """What a node lacks to do the work, in words."""

    reason: str


@dataclass(frozen=True)
class _Unseen:
    """An input that is not there on the node of this name."""

    node: str


@dataclass
class _History:
    """What befell a task so far: the nodes on which its worker died, and how often it was lost otherwise."""

    deaths: list[str] = field(default_factory=list)
    losses: int = 0

    @property
    def attempts(self) -> int:
        """Those that came to nothing."""
        return len(self.deaths) + self.losses


@dataclass(frozen=True)
class _Attempt:
    """A task that is being done. ``folder``: where it writes, never where one may still be writing that was given
    up for lost. ``note``: a file for the id of the node that does it, and for more where its time runs out.
    ``timeout``: seconds (0: none); ``memory``: bytes (0: an equal share of the node's)."""

    task: ScanTask
    folder: Path
    note: Path
    timeout: float
    memory: int


class RayEngine:
    """Scans as tasks on a Ray cluster (see ``fervid.cluster.Connection`` for ``address``), at most ``workers`` at
    once (0: as many as there are CPUs). ``timeout``, ``memory`` and ``span`` as in LocalEngine.

    A scan process that dies costs one video, after a second chance; a node that dies costs nothing.
    """

    def __init__(
        self,
        address: str = "auto",
        workers: int = 0,
        timeout: float = 0.0,
        memory: int = 0,
        work: Work = scan_or_divide,
        span: float = SEGMENT_SECONDS,
        patience: float = PATIENCE,
    ) -> None:
        self.address, self.workers, self.timeout, self.memory = address, workers, timeout, memory
        self.work, self.span, self.patience = work, span, patience

    def run(self, tasks: Iterable[ScanTask], job: ScanJob) -> Generator[Outcome, None, None]:
        """See Engine. The cluster is joined for the first task, and left when the generator is closed: what is
        found may still have to be scored there after the last scan.

        Raises UsageError where the nodes do not fit, WorkerFailed where the cluster cannot be reached or is lost.
        """
        batch = _Batch(self, job)
        return _Scanning(batch.outcomes(iter(tasks)), batch.close)


class _Scanning(Generator[Outcome, None, None]):
    """A generator that has something to do when it is closed, exhausted or not."""

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


class _Batch:
    """The tasks of one batch and what has become of them."""

    def __init__(self, engine: RayEngine, job: ScanJob) -> None:
        self._engine = engine
        self._job = replace(job, scratch=job.scratch.absolute(), span=engine.span, settings=_anywhere(job.settings))
        self._due: deque[ScanTask] = deque()
        self._pieces = SegmentedScans(self._job, self._due)
        self._running: dict[Any, _Attempt] = {}
        self._histories: dict[ScanTask, _History] = {}
        """Of tasks that did not go well at once."""
        self._count = itertools.count()
        self._connection: Connection | None = None
        self._remote: Any = None
        self._cpus, self._counted, self._lacking = 0.0, 0.0, 0.0

    def outcomes(self, waiting: Iterator[ScanTask]) -> Generator[Outcome, None, None]:
        """Each video with its outcome, in order of completion."""
        self._due.extend(itertools.islice(waiting, 1))
        if not self._due:
            return
        self._connection = Connection(self._engine.address)
        check_nodes(self._job.scratch)
        self._remote = ray.remote(num_cpus=1, max_retries=0)(_do)
        while True:
            with signals_held():
                self._feed(waiting)
            if not self._running:
                return
            for ref in wait_for_result(list(self._running), TICK):
                attempt = self._running.pop(ref)
                with signals_held():
                    outcome = self._outcome(ref, attempt)
                if outcome is None:
                    self._due.append(attempt.task)
                    continue
                self._histories.pop(attempt.task, None)
                if end := self._pieces.take(attempt.task, outcome):
                    yield end

    def close(self) -> None:
        """End what still runs, and leave the cluster."""
        if self._connection is None:
            return
        with signals_held(), contextlib.suppress(failures.RayError):
            for ref in self._running:
                ray.cancel(ref, force=True)
        self._running.clear()
        self._connection.close()

    def _feed(self, waiting: Iterator[ScanTask]) -> None:
        """Hand out tasks while there is room."""
        offered = self._room()  # asked in any case: it raises where there is none for long
        room = self._engine.workers or offered
        while len(self._running) < room:
            task = self._due.popleft() if self._due else next(waiting, None)
            if task is None:
                return
            number, scratch = next(self._count), self._job.scratch
            folder = scratch / f"again-{number}" if task in self._histories else scratch
            timeout = self._pieces.rest(task, self._engine.timeout)
            attempt = _Attempt(task, folder, scratch / f"{number}.task", timeout, self._engine.memory)
            there = replace(attempt, task=replace(task, path=task.path.absolute()))
            payload = pickle.dumps((there, self._job, self._engine.work))
            self._running[self._remote.remote(__version__, payload)] = attempt

    def _room(self) -> int:
        """How many tasks the cluster is given at once; raises WorkerFailed where it has long had no CPU."""
        now = time.monotonic()
        if not self._counted or now - self._counted > COUNTED:
            self._cpus, self._counted = resource("CPU"), now
            self._lacking = 0.0 if self._cpus else self._lacking or now
            if self._lacking and now - self._lacking > self._engine.patience:
                raise WorkerFailed(f"no node of the cluster has offered a CPU for {self._engine.patience:g} s")
        return int(self._cpus) + max(2, int(self._cpus * SLACK))

    def _outcome(self, ref: Any, attempt: _Attempt) -> Any:
        """What a task came to; None where it is to be done again."""
        try:
            found = pickle.loads(ray.get(ref))
        except (failures.WorkerCrashedError, failures.OutOfMemoryError) as error:
            return self._died(attempt, error)
        except (failures.NodeDiedError, failures.ObjectLostError):
            return self._lost(attempt)
        except failures.RayTaskError as error:  # what can go wrong in fervid's own part, it gives back
            reason = str(error).strip().splitlines()[-1]
            raise UsageError(f"a node cannot load fervid ({reason}); install fervid {__version__} there") from error
        except failures.RayError as error:
            raise WorkerFailed(f"the Ray cluster failed: {str(error).strip().splitlines()[0]}") from error
        if isinstance(found, _Unfit):
            raise UsageError(found.reason)
        if isinstance(found, _Unseen):
            if os.path.exists(attempt.task.path):
                raise UsageError(f"node {found.node} does not see {str(attempt.task.path.absolute())!r}; {SHARED}")
            return UnreadableVideo("No such file or directory")
        return found

    def _died(self, attempt: _Attempt, error: Exception) -> FervidError | None:
        """A worker died under a task. It is not the video's doing where its node has died since."""
        lines: list[str] = []
        with contextlib.suppress(OSError):
            lines = attempt.note.read_text(errors="replace").splitlines()
        if len(lines) > 1:
            return WorkerFailed(f"not scanned within {self._engine.timeout:g} s; --timeout sets the limit")
        if not lines:  # it had not begun
            return self._lost(attempt)
        history = self._histories.setdefault(attempt.task, _History())
        history.deaths.append(lines[0])
        living = living_nodes()
        if sum(node in living for node in history.deaths) < MAX_ATTEMPTS:
            return None if history.attempts < LOSSES else _given_up()
        memory = isinstance(error, failures.OutOfMemoryError)
        why = "its node's memory ran out" if memory else "the file may crash its codec, or memory ran out"
        return WorkerFailed(f"the worker process died {MAX_ATTEMPTS} times; {why}")

    def _lost(self, attempt: _Attempt) -> FervidError | None:
        """A task's node died, or its result with it."""
        history = self._histories.setdefault(attempt.task, _History())
        history.losses += 1
        return None if history.attempts < LOSSES else _given_up()


def _anywhere(settings: ScanSettings) -> ScanSettings:
    """The settings where the working folder is another."""
    given = settings.detector_weights
    return settings if given is None else replace(settings, detector_weights=os.path.abspath(given))


def _given_up() -> FervidError:
    return InternalError(f"its node was lost {LOSSES} times; the next run tries again")


# what runs on the nodes


def _do(version: str, payload: bytes) -> bytes:
    """Do one task; what it came to, pickled."""
    node = os.uname().nodename
    if version != __version__:  # a node that came late, or it would have been seen at the start
        return pickle.dumps(_Unfit(f"node {node} has fervid {__version__}; install fervid {version} there"))
    attempt, job, work = pickle.loads(payload)
    if not _appears(job.scratch):
        return pickle.dumps(_Unfit(f"node {node} does not see this machine's {str(job.scratch)!r}; {SHARED}"))
    if not _appears(attempt.task.path):
        return pickle.dumps(_Unseen(node))
    try:
        with writing(attempt.note):
            attempt.folder.mkdir(exist_ok=True)
            opened = attempt.note.open("w")
        with opened as note, _watched(note, attempt.timeout), _bounded(attempt.memory):
            outcome = work(attempt.task, replace(job, scratch=attempt.folder))
        attempt.note.unlink(missing_ok=True)
        return pickle.dumps(outcome)
    except Exception as error:
        clear_frames(error)  # or what it holds is still there in this process's next task
        return pickle.dumps(_failure(error, attempt.memory))


def _failure(error: Exception, memory: int) -> FervidError:
    if isinstance(error, FervidError):
        return error
    if isinstance(error, MemoryError):
        said = f"needs more than the {_share(memory) / 2**30:.1f} GB that a scan process may use"
        return WorkerFailed(said)
    return InternalError(f"internal error: {type(error).__name__}: {error}")  # a worker's bug must not end the batch


def _appears(path: Path) -> bool:
    """Whether the path is there, now or in a moment: a network file system may be slow to show what is new."""
    for _ in range(20):
        if os.path.lexists(path):
            return True
        time.sleep(0.1)
    return False


@contextlib.contextmanager
def _watched(note: TextIO, timeout: float) -> Iterator[None]:
    """Write the node's id into ``note``. After ``timeout`` seconds a stack trace follows and the process ends,
    whatever holds it, since the watch is kept outside of Python."""
    note.write(ray.get_runtime_context().get_node_id() + "\n")
    note.flush()
    if timeout:
        faulthandler.dump_traceback_later(timeout, exit=True, file=note)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def _share(memory: int) -> int:
    return memory or max(MIN_MEMORY, total_memory() // usable_cores())


@contextlib.contextmanager
def _bounded(memory: int) -> Iterator[None]:
    """The process may use so many bytes (0: an equal share of the node's) until the end of the block."""
    before = system.getrlimit(system.RLIMIT_DATA)
    with contextlib.suppress(OSError, ValueError):
        system.setrlimit(system.RLIMIT_DATA, (_share(memory), before[1]))
    try:
        yield
    finally:
        with contextlib.suppress(OSError, ValueError):
            system.setrlimit(system.RLIMIT_DATA, before)
