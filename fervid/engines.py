"""Where scans run. An engine takes scan tasks and gives back their outcomes as they complete."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import multiprocessing
import os
import resource
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, TimeoutError, wait
from dataclasses import replace
from multiprocessing import forkserver, resource_tracker
from pathlib import Path
from typing import Any, Protocol

from pebble import ProcessExpired, ProcessPool
from pebble.common.types import CONSTS

from fervid.errors import FervidError, InternalError, WorkerFailed, let_go
from fervid.machine import total_memory, usable_cores
from fervid.pieces import Pieces
from fervid.tasks import SPAN, Known, Scan, ScanJob, ScanTask
from fervid.work import work_in_pieces

ATTEMPTS = 2
"""So often may a video kill its worker before it is given up."""

AHEAD = 2
"""So many more tasks than workers are handed out: none idles, and results do not pile up here."""

MAX_RESTARTS = 3
"""So often in a row may the whole crew break without one task done."""

LEAST_RATE = 20_000
"""Bytes that a second of video takes at least: a smaller file holds none that is long enough to be divided."""

NO_WORKERS = (
    "the worker processes die as soon as they start: memory is short, or the script that calls fervid is no file, "
    'or does so without `if __name__ == "__main__":`'
)

LOST = 10.0
"""Seconds after which a task counts as failed whose worker is no more, though the pool has not noticed."""

LOCKED = 12.0
"""Seconds for which a worker waits, twice, for its turn at the pipe that all share, which takes milliseconds. It ends
then, and the pool with it: another was killed while it was its turn."""

MIN_MEMORY = 2 << 30
"""Bytes that every scan process may use, however small its share of the machine's memory."""

INTERRUPTING = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)
"""Signals whose handlers may raise."""

_PR_SET_PDEATHSIG = 1


Work = Callable[[ScanTask, ScanJob], Any]
"""What workers do with a task: ``work_in_pieces`` or its like."""

Outcome = tuple[ScanTask, Scan | Known | FervidError]


class Engine(Protocol):
    """Scans videos, several at a time."""

    def run(self, tasks: Iterable[ScanTask], job: ScanJob) -> Generator[Outcome, None, None]:
        """Yield each task with its scan or with what went wrong, in order of completion."""
        ...


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """Hold SIGINT, SIGTERM and SIGALRM back until the end of the block, where their handlers are Python's.

    A handler that raises in the middle of the pool's start or end would leave threads that wait for ever.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[signal.Signals] = []
    handlers = {number: signal.getsignal(number) for number in INTERRUPTING}
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


@contextlib.contextmanager
def environment_kept(*names: str) -> Iterator[None]:
    """At the end of the block these environment variables are as they were before it."""
    before = {name: os.environ.get(name) for name in names}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _context() -> Any:
    """The multiprocessing context of the workers: forked from a server that has the scan's libraries loaded.

    The key that interrupts a batch reaches its whole process group; the workers leave it to this process.
    They inherit that from the server, which is started with SIGINT blocked.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["fervid.work", "scipy.optimize", "scipy.sparse.csgraph"])
    if threading.current_thread() is not threading.main_thread():
        return context
    with signals_held():
        resource_tracker.ensure_running()  # first, because its start unblocks SIGINT
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            with environment_kept("PYTHONSAFEPATH"):
                os.environ["PYTHONSAFEPATH"] = "1"  # or it would import what has a library's name in the working folder
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


_seats: Any = None
"""In a worker: shared memory in which it leaves its process id at the seat of its task."""


def _prepare_worker(memory: int, seats: Any) -> None:
    """Run in each worker at its start: it dies with its parent, is the first that the system ends where memory
    runs out, and may use ``memory`` bytes itself."""
    global _seats
    _seats = seats
    CONSTS.channel_lock_timeout = LOCKED
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


def _seated(work: Work, seat: int, task: ScanTask, job: ScanJob) -> Any:
    """What a worker does with a task that has this seat."""
    _seats[seat] = os.getpid()
    try:
        return work(task, job)
    except BaseException as error:
        let_go(error)  # the pool keeps the error until this worker's next task has ended
        raise


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


class _Crew:
    """A pool of ``count`` workers that can be begun anew where it breaks."""

    def __init__(self, count: int, memory: int) -> None:
        self.count, self._memory = count, memory
        self._started = False

    def start(self) -> None:
        """Begin; raises WorkerFailed. Whatever it raises, ``stop`` is to be called."""
        context = _context()
        self._pids = context.RawArray("q", self.count + AHEAD)
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
        with signals_held():
            self._started = _start(self._pool)
        if not self._started:
            raise WorkerFailed("the worker processes cannot be started")

    def schedule(self, work: Work, task: ScanTask, job: ScanJob, timeout: float) -> Future[Any]:
        """Give a task to the next free worker; raises BrokenExecutor or RuntimeError where the pool is broken."""
        self._seats = {future: seat for future, seat in self._seats.items() if not future.done()}
        seat = min(set(range(len(self._pids))) - set(self._seats.values()))
        self._pids[seat] = 0
        future: Future[Any] = self._pool.schedule(_seated, args=(work, seat, task, job), timeout=timeout or None)
        self._seats[future] = seat
        return future

    def lost(self, running: Iterable[Future[Any]]) -> list[Future[Any]]:
        """Cancel and return those whose worker is no more for ``LOST`` seconds.

        The pool forgets a worker that dies before it is told which task that one has.
        """
        now, before = time.monotonic(), self._gone
        gone = [one for one in running if one.running() and not self._is_at_work(one)]
        self._gone = {one: before.get(one, now) for one in gone}
        lost = [one for one in gone if now - self._gone[one] >= LOST]
        for one in lost:
            one.cancel()
        return lost

    def is_deserted(self) -> bool:
        """Whether no worker has lived for ``LOST`` seconds: the pool may not notice that they die as they start."""
        now = time.monotonic()
        self._empty = None if multiprocessing.active_children() else self._empty or now
        return self._empty is not None and now - self._empty >= LOST

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
            with signals_held():
                if self._pool.active:
                    self._pool.stop()
                self._pool.join()
                self._started = False


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
        work: Work = work_in_pieces,
        span: float = SPAN,
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
        pieces = Pieces(job, due)
        crew = _Crew(self._workers if any(map(self._may_be_long, due)) else len(due), self._memory)
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
                        raise WorkerFailed(NO_WORKERS)
                    due.extend(running.values())
                    running.clear()
                    crew.restart()
        finally:
            crew.stop()

    def _may_be_long(self, task: ScanTask) -> bool:
        """Whether the file is large enough for a video that is divided."""
        with contextlib.suppress(OSError):
            return 0 < 2 * self._span * LEAST_RATE <= task.path.stat().st_size
        return False

    def _feed(
        self,
        crew: _Crew,
        running: dict[Future[Any], ScanTask],
        due: deque[ScanTask],
        waiting: Iterator[ScanTask],
        pieces: Pieces,
        job: ScanJob,
    ) -> bool:
        """Hand out tasks. Returns whether the crew still takes tasks."""
        while len(running) < crew.count + AHEAD:
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
        self, crew: _Crew, running: Collection[Future[Any]]
    ) -> Iterator[tuple[Future[Any], BaseException | None]]:
        """Wait until some tasks have ended; each of them with what went wrong."""
        for future in wait(running, LOST, FIRST_COMPLETED).done:
            yield future, future.exception()
        for future in crew.lost([future for future in running if not future.done()]):
            yield future, ProcessExpired("the worker is no more")  # type: ignore[no-untyped-call]
        for future in itertools.islice(running, 1 if crew.is_deserted() else 0):
            yield future, BrokenExecutor("no worker is alive")

    def _deserves_another(self, task: ScanTask) -> bool:
        """Whether the worker died under the task for the first time: it may have been killed by chance."""
        self._deaths[task] += 1
        return self._deaths[task] < ATTEMPTS

    def _failure(self, error: BaseException) -> FervidError:
        if isinstance(error, FervidError):
            return error
        if isinstance(error, TimeoutError):
            return WorkerFailed(f"not scanned within {self._timeout:g} s; --timeout sets the limit")
        if isinstance(error, ProcessExpired):
            code = f" (exit code {error.exitcode})" if error.exitcode else ""
            died = f"the worker process died {ATTEMPTS} times{code}"
            return WorkerFailed(f"{died}; the file may crash its codec, or memory ran out")
        if isinstance(error, MemoryError):
            return WorkerFailed(f"needs more than the {self._memory / 2**30:.1f} GB that a scan process may use")
        # a worker's bug must not end the batch
        return InternalError(f"internal error: {type(error).__name__}: {error}")
