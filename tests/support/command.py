"""The command line, run in this process or in a new one."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from fervid.cli.main import main
from tests.support.paths import ROOT

Done = subprocess.CompletedProcess[str]


def command(*arguments: str | Path, folder: Path = ROOT) -> Done:
    """Run ``fervid`` with these arguments in this process, which saves the start of an interpreter.

    Everything else is as in a process of its own: the working folder, the exit code, and what is written to the
    file descriptors of stdout and stderr. Nothing can be read from stdin.
    """
    words = ["fervid", *map(str, arguments)]
    with tempfile.TemporaryFile("w+b") as printed, tempfile.TemporaryFile("w+b") as said:
        with _process_state(folder), _descriptors(printed.fileno(), said.fileno()):
            sys.argv = words
            try:
                main()
                code: Any = 0
            except SystemExit as stop:
                code = stop.code or 0
        texts = [_content(file) for file in (printed, said)]
    assert isinstance(code, int), code
    return Done(words, code, *texts)


def fresh_command(*arguments: str | Path, folder: Path = ROOT, **environment: str) -> Done:
    """Run ``python -m fervid`` with these arguments in a new process, with these variables of the environment."""
    line = [sys.executable, "-m", "fervid", *map(str, arguments)]
    return subprocess.run(
        line,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        cwd=folder,
        env={**os.environ, **environment},
    )


def _content(file: Any) -> str:
    file.seek(0)
    content: bytes = file.read()
    return content.decode("utf-8", "backslashreplace")


@contextlib.contextmanager
def _process_state(folder: Path) -> Iterator[None]:
    """Restore everything that the command line changes in its process."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)
    handlers = {number: signal.getsignal(number) for number in numbers}
    before = (sys.argv, sys.stdout, sys.stderr, sys.unraisablehook, os._exit, Path.cwd())
    os._exit = _exit
    os.chdir(folder)
    try:
        yield
    finally:
        sys.argv, sys.stdout, sys.stderr, sys.unraisablehook, os._exit, working_folder = before
        os.chdir(working_folder)
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _exit(status: int) -> NoReturn:
    """Replaces ``os._exit``, so that the test process continues."""
    raise SystemExit(status)


@contextlib.contextmanager
def _descriptors(printed: int, said: int) -> Iterator[None]:
    """Make stdin empty, and have stdout and stderr go to these descriptors."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    kept = [os.dup(number) for number in range(3)]
    nothing = os.open(os.devnull, os.O_RDONLY)
    try:
        for number, source in enumerate((nothing, printed, said)):
            os.dup2(source, number)
        sys.stdout = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="surrogateescape")
        sys.stderr = unused = os.fdopen(os.dup(2), "w", encoding="utf-8")
        yield
    finally:
        for stream in {sys.stdout, sys.stderr, unused}:
            stream.close()
        os.close(nothing)
        for number, descriptor in enumerate(kept):
            os.dup2(descriptor, number)
            os.close(descriptor)
