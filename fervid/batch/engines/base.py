"""What every engine shares: its interface, signals, the environment."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, Protocol

from fervid.batch.tasks import Known, ScanJob, ScanTask
from fervid.errors import FervidError
from fervid.scan.types import Scan

MAX_ATTEMPTS = 2
"""So often may a video kill its worker before it is given up."""

MIN_MEMORY = 2 << 30
"""Bytes that every scan process may use, however small its share of the machine's memory."""

INTERRUPTING = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)
"""Signals whose handlers may raise."""


Work = Callable[[ScanTask, ScanJob], Any]
"""What workers do with a task: ``scan_or_divide`` or its like."""

Outcome = tuple[ScanTask, Scan | Known | FervidError]


class Engine(Protocol):
    """Scans videos, several at a time."""

    def run(self, tasks: Iterable[ScanTask], job: ScanJob) -> Generator[Outcome, None, None]:
        """Yield each task with its scan or with what went wrong, in order of completion."""
        ...


@contextlib.contextmanager
def hold_signals() -> Iterator[None]:
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
def restore_environment(*names: str) -> Iterator[None]:
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


def clear_frames(error: BaseException) -> None:
    """Give back what the functions held in which ``error`` arose: as long as it is kept somewhere, so is that."""
    links: list[BaseException | None] = [error]
    seen: set[int] = set()
    while links:
        one = links.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            traceback.clear_frames(one.__traceback__)
            links += [one.__cause__, one.__context__]
