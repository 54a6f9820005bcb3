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
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, TimeoutError, wait
from dataclasses import replace
from multiprocessing import forkserver, resource_tracker
from pathlib import Path
from typing import Any, Protocol

from pebble import ProcessExpired, ProcessPool

from fervid.errors import FervidError, InternalError, WorkerFailed
from fervid.pieces import Pieces
from fervid.tasks import SPAN, Known, Scan, ScanJob, ScanTask
from fervid.work import work_in_pieces

ATTEMPTS = 2
"""So often may a video kill its worker before it is given up."""

MAX_RESTARTS = 3
"""So often in a row may the whole crew break without one task done."""

LEAST_RATE = 20_000
"""Bytes that a second of video takes at least: a smaller file holds none that is long enough to be divided."""

MIN_MEMORY = 2 << 30
"""Bytes that every scan process may use, however small its share of the machine's memory."""

_PR_SET_PDEATHSIG = 1


Work = Callable[[ScanTask, ScanJob], Any]
"""What workers do with a task: ``work_in_pieces`` or its like."""

Outcome = tuple[ScanTask, Scan | Known | FervidError]


class Engine(Protocol):
    """Scans videos, several at a time."""

    def run(self, tasks: Iterable[ScanTask], job: ScanJob) -> Generator[Outcome, None, None]:
        """Yield each task with its scan or with what went wrong, in order of completion."""
        ...


def usable_cores() -> int:
    """The cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
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
    context.set_forkserver_preload(["fervid.work", "scipy.optimize", "scipy.sparse.csgraph"])
    if threading.current_thread() is not threading.main_thread():
        return context
    with signals_held():
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


def total_memory() -> int:
    """Bytes of memory in this machine, or in the part of it that a container or a job has."""
    return min([os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *_cgroup_limits()])


def _cgroup_limits() -> Iterator[int]:
    """Limits of the control groups (Linux, both versions) that this process is in."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "memory" not in controllers.split(","):
                continue
            base = Path("/sys/fs/cgroup/memory" if controllers else "/sys/fs/cgroup")
            name = "memory.limit_in_bytes" if controllers else "memory.max"
            group = base / path.lstrip("/")
            for place in (group, *group.parents):
                with contextlib.suppress(OSError, ValueError):  # ValueError: "max", which is none
                    yield int((place / name).read_text())


def _prepare_worker(memory: int) -> None:
    """Run in each worker at its start: it dies with its parent, is the first that the system ends where memory
    runs out, and may use ``memory`` bytes itself."""
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


class _Crew:
    """A pool of ``count`` workers that can be begun anew where it breaks."""

    def __init__(self, count: int, memory: int) -> None:
        self.count, self._memory = count, memory
        self._started = False

    def start(self) -> None:
        """Begin; raises WorkerFailed. Whatever it raises, ``stop`` is to be called."""
        self._pool: Any = ProcessPool(
            max_workers=self.count, context=_context(), initializer=_prepare_worker, initargs=(self._memory,)
        )
        with signals_held():
            self._started = _start(self._pool)
        if not self._started:
            raise WorkerFailed("the worker processes cannot be started")

    def schedule(self, work: Work, task: ScanTask, job: ScanJob, timeout: float) -> Future[Any]:
        """Give a task to the next free worker; raises BrokenExecutor or RuntimeError where the pool is broken."""
        future: Future[Any] = self._pool.schedule(work, args=(task, job), timeout=timeout or None)
        return future

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
                for future in wait(running, return_when=FIRST_COMPLETED).done if whole else ():
                    if isinstance(future.exception(), BrokenExecutor):
                        whole = False
                        break
                    task = running.pop(future)
                    if self._deserves_another(future, task):
                        due.append(task)
                        continue
                    restarts = 0
                    if end := pieces.take(task, self._outcome(future)):
                        yield end
                if not whole:  # a worker died between two tasks, and the pool with it: nobody's fault
                    restarts += 1
                    if restarts > MAX_RESTARTS:
                        raise WorkerFailed("the worker processes die as soon as they start; is there memory enough?")
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
        """Hand out a few more tasks than there are workers: none idles, and results do not pile up here.

        Returns whether the crew still takes tasks.
        """
        while len(running) < crew.count + 2:
            task = due.popleft() if due else next(waiting, None)
            if task is None:
                break
            try:
                running[crew.schedule(self._work, task, job, pieces.rest(task, self._timeout))] = task
            except (BrokenExecutor, RuntimeError):
                due.appendleft(task)
                return False
        return True

    def _deserves_another(self, future: Future[Any], task: ScanTask) -> bool:
        """Whether the worker died under the task for the first time: it may have been killed by chance."""
        if not isinstance(future.exception(), ProcessExpired):
            return False
        self._deaths[task] += 1
        return self._deaths[task] < ATTEMPTS

    def _outcome(self, future: Future[Any]) -> Any:
        try:
            return future.result()
        except FervidError as error:
            return error
        except TimeoutError:
            return WorkerFailed(f"not scanned within {self._timeout:g} s; --timeout sets the limit")
        except ProcessExpired as error:
            died = f"the worker process died {ATTEMPTS} times (exit code {error.exitcode})"
            return WorkerFailed(f"{died}; the file may crash its codec, or memory ran out")
        except MemoryError:
            return WorkerFailed(f"needs more than the {self._memory / 2**30:.1f} GB that a scan process may use")
        except Exception as error:  # a worker's bug must not end the batch
            return InternalError(f"internal error: {type(error).__name__}: {error}")
