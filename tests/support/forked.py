"""Commands in forked children of one process that has imported everything, which saves the start of an interpreter.

The process itself must not decode, detect or classify, because a fork does not copy the threads that these start.
"""

from __future__ import annotations

import importlib
import os
import pickle
import select
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from tests.support import replay
from tests.support.imports import FILES, PACKAGE

LATER = ("fervid.training", "fervid.batch.engines.ray", "fervid.emotions.keras", "fervid.__main__")
"""Modules that start threads or need a library that may be missing; a child imports them if it needs them."""

LIMIT = 60.0
"""Seconds after which a child counts as endless."""


@dataclass(frozen=True)
class Ended:
    """How a child ended.

    Attributes:
        code: Its exit code; negative: the signal that ended it; None: it ran longer than its limit.
        output: What it wrote to stdout and stderr.
    """

    code: int | None
    output: str


def warm_up() -> None:
    """Import what the commands need."""
    for path in FILES:
        name = ".".join(["fervid", *path.relative_to(PACKAGE).with_suffix("").parts])
        if not name.startswith(LATER):
            importlib.import_module(name.removesuffix(".__init__"))
    for name in ("pandas", "pydantic.type_adapter"):
        importlib.import_module(name)


def forked(call: Callable[[], object], limit: float = LIMIT) -> Ended:
    """Call a function in a child, which ends with the function's SystemExit, or else with 0 (99 after an exception)."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    with tempfile.TemporaryFile() as said:
        child = os.fork()
        if child == 0:
            _call_and_end(call, said.fileno())
        waiting = os.pidfd_open(child)
        try:
            in_time = bool(select.select([waiting], [], [], limit)[0])
        finally:
            os.close(waiting)
        if not in_time:
            os.kill(child, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        said.seek(0)
        return Ended(status if in_time else None, said.read().decode("utf-8", "backslashreplace"))


def fervid_command(*arguments: str | Path) -> Callable[[], object]:
    """The command line with these arguments, to be called in a child."""

    def call() -> None:
        from fervid.cli.main import main

        sys.argv = ["fervid", *map(str, arguments)]
        main()

    return call


def record_scans(commands: Sequence[Callable[[], object]]) -> None:
    """Run commands in a child, and keep their scans, which all later children of this process reuse."""
    from fervid.batch.engines.local import LocalEngine

    setattr(LocalEngine, "run", lambda self, tasks, job: replay.replay(tasks, job))  # noqa: B010
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "scans"

        def call() -> None:
            for command in commands:
                try:
                    command()
                except SystemExit as stop:
                    if stop.code:
                        raise
            kept.write_bytes(pickle.dumps(replay.recorded))

        ended = forked(call)
        assert ended.code == 0, ended
        replay.recorded.update(pickle.loads(kept.read_bytes()))


def _call_and_end(call: Callable[[], object], output: int) -> NoReturn:
    """The life of a child."""
    code = 99
    try:
        nothing = os.open(os.devnull, os.O_RDONLY)
        for number, source in enumerate((nothing, output, output)):
            os.dup2(source, number)
        sys.stdout = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="surrogateescape")
        sys.stderr = os.fdopen(os.dup(2), "w", encoding="utf-8", errors="backslashreplace")
        call()
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)
