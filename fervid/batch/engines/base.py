"""What the engines share: their interface, errors of workers, signals and environment variables."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator
from types import FrameType
from typing import Any, Protocol

from fervid.batch.tasks import AlreadyDone, ScanJob, ScanTask
from fervid.errors import FervidError, InternalError, WorkerFailed
from fervid.runtime.machine import total_memory, usable_cores
from fervid.runtime.platform import ENDING, INTERRUPTING, ends_at_second, reset_after_first
from fervid.scan.types import Scan

MAX_ATTEMPTS = 2
"""How many times a video may crash its worker before it is reported as failed."""

MIN_MEMORY = 2 << 30
"""Bytes that a scan process may use, even if its share of the machine's memory is smaller."""

Work = Callable[[ScanTask, ScanJob], Any]
"""The function that a worker calls with a task and the job, such as ``scan_or_divide``."""

Outcome = tuple[ScanTask, Scan | AlreadyDone | FervidError]
"""A task and its result: a scan, or the reason why there is none."""


class Engine(Protocol):
    """Scans videos, several at a time."""

    def run(self, tasks: Iterable[ScanTask], job: ScanJob) -> Generator[Outcome, None, None]:
        """Do tasks. All workers end when the generator is closed.

        Args:
            tasks: The videos to scan; read only as fast as they are scanned.
            job: What all tasks share.

        Yields:
            Each task with its outcome, in order of completion.

        Raises:
            WorkerFailed: No worker can be kept alive.
        """
        ...


def memory_limit(memory: int, workers: int = 0) -> int:
    """Work out how much memory a scan process may use.

    Args:
        memory: Bytes as set by the user; 0: an equal share of this machine's memory, but at least MIN_MEMORY.
        workers: Number of processes that share the memory; 0: one per core.

    Returns:
        Bytes.
    """
    return memory or max(MIN_MEMORY, total_memory() // (workers or usable_cores()))


def worker_error(error: BaseException, memory: int) -> FervidError:
    """Turn an exception of a worker into an outcome of its video.

    Args:
        error: What the worker raised.
        memory: Bytes that it was allowed to use.

    Returns:
        The exception itself if fervid raised it on purpose, otherwise a WorkerFailed or InternalError.
    """
    if isinstance(error, FervidError):
        return error
    if isinstance(error, MemoryError):
        return WorkerFailed(
            f"needs more than the {memory / 2**30:.1f} GB that a scan process may use (`worker_memory`)"
        )
    return InternalError(f"internal error: {type(error).__name__}: {error}")


def timeout_error(timeout: float) -> WorkerFailed:
    """Create the outcome of a video that took too long.

    Args:
        timeout: The limit in seconds.

    Returns:
        The error.
    """
    return WorkerFailed(f"not scanned within {timeout:g} s; `timeout` sets the limit")


def crash_error(cause: str = "the file may crash its codec, or memory ran out", detail: str = "") -> WorkerFailed:
    """Create the outcome of a video whose worker died MAX_ATTEMPTS times.

    Args:
        cause: The probable cause.
        detail: Added after the number of deaths, such as an exit code.

    Returns:
        The error.
    """
    return WorkerFailed(f"the worker process died {MAX_ATTEMPTS} times{detail}; {cause}")


@contextlib.contextmanager
def hold_signals() -> Iterator[None]:
    """Delay the signals in INTERRUPTING until the end of the block, if their handlers are Python functions.

    A handler that raises while a pool starts or ends would leave threads that wait forever. Only the first signal is
    delayed, because the block may wait for something that never ends. A second signal in ENDING ends the process if it
    would do so outside of the block too; otherwise its handler is called at once.

    Yields:
        Nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[signal.Signals] = []
    handlers = {number: signal.getsignal(number) for number in INTERRUPTING}
    held = {number: handler for number, handler in handlers.items() if callable(handler)}

    def hold(number: int, frame: FrameType | None) -> None:
        """Note a signal, and let the next ones through."""
        arrived.append(signal.Signals(number))
        for one in held.keys() & set(ENDING):
            signal.signal(one, signal.SIG_DFL if ends_at_second(held[one]) else held[one])

    for number, handler in held.items():
        signal.signal(number, hold)
        if ends_at_second(handler):
            reset_after_first(number)
    try:
        yield
    finally:
        for number, handler in held.items():
            signal.signal(number, handler)
            if ends_at_second(handler):
                reset_after_first(number)
        for number in arrived[:1]:
            signal.raise_signal(number)


@contextlib.contextmanager
def restore_environment(*names: str) -> Iterator[None]:
    """Restore environment variables at the end of the block.

    Args:
        *names: The variables.

    Yields:
        Nothing.
    """
    before = {name: os.environ.get(name) for name in names}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def clear_frames(error: BaseException) -> None:
    """Clear the frames of an exception and its causes, so that storing it does not keep their locals (arrays) alive.

    Args:
        error: The exception.
    """
    links: list[BaseException | None] = [error]
    seen: set[int] = set()
    while links:
        link = links.pop()
        if link is not None and id(link) not in seen:
            seen.add(id(link))
            traceback.clear_frames(link.__traceback__)
            links += [link.__cause__, link.__context__]
