"""The command line: its commands, signals, and the one place where errors become messages and exit codes."""

from __future__ import annotations

import multiprocessing.util
import os
import signal
import sys
import threading
import time
from json import dumps
from typing import Annotated, NoReturn

import typer

from fervid.cli import analyze, info, network_commands, results_commands, study_commands
from fervid.cli.option_names import as_options, register_options
from fervid.cli.options import Group
from fervid.emotions.background_loader import LOADER
from fervid.errors import FervidError, OutputError, printable
from fervid.version import __version__

REPEAT = 0.05
"""Seconds after which a signal that the interpreter ignored is sent again."""

TRACEBACK = "FERVID_TRACEBACK"
"""Environment variable that makes a defect print where it happened."""

app = typer.Typer(
    name="fervid",
    cls=Group,
    help="Turn folders of video into emotion timelines.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (analyze, results_commands, study_commands, network_commands, info):
    app.add_typer(module.commands)
register_options(app)


class _Interrupted(BaseException):
    """SIGINT or SIGTERM. It is not KeyboardInterrupt, which Typer would handle itself."""


def main() -> None:
    """Run the command line.

    Raises:
        SystemExit: Always, with the exit code.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, _interrupt)
    sys.unraisablehook = _unraisable
    while (unused := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass  # a daemon may have closed these, and the next file opened would receive what is printed
    os.close(unused)
    # a separate descriptor, because the usual one is silenced while TensorFlow is loaded for a GPU in a thread
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace")
    try:
        app()
    except FervidError as error:
        _end(str(error), error.exit_code)
    except OSError as error:  # not turned into an OutputError, such as a full disk or a removed file
        _end(str(error), OutputError.exit_code)
    except MemoryError:
        _end("not enough memory; analyse fewer videos at once, or raise the limit", OutputError.exit_code)
    except Exception as error:  # a defect, which must not look like any other outcome
        if os.environ.get(TRACEBACK):
            raise
        defect = f"internal error: {type(error).__name__}: {error}; please report it with the output of {TRACEBACK}=1"
        _end(defect, OutputError.exit_code)
    except _Interrupted:
        again = ", without --overwrite," if "--overwrite" in sys.argv else ""
        _end(f"interrupted; run the same command again{again} to continue", 130)


def _end(message: str, exit_code: int) -> NoReturn:
    """Print why a command failed, and end the process."""
    message = as_options(message)
    if "--log-json" in sys.argv:
        event = {"time": round(time.time(), 3), "event": "error", "message": message, "exit_code": exit_code}
        print(dumps(event), file=sys.stderr)
    else:
        print(f"fervid: {printable(message)}", file=sys.stderr)
    children = multiprocessing.active_children()
    if children or any(thread.name == LOADER for thread in threading.enumerate()):
        # Python would wait forever: for workers of a pool that was interrupted while it started, or for a lock held by
        # the abandoned thread that loads the model
        for child in children:
            child.kill()
        multiprocessing.util._run_finalizers()  # type: ignore[attr-defined]  # releases semaphores
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
        os._exit(exit_code)
    sys.exit(exit_code)


def _interrupt(number: int, _: object) -> None:
    """Raise an exception, so that the process cleans up and ends. A second signal ends it immediately."""
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, signal.SIG_DFL)
    raise _Interrupted


def _unraisable(ignored: sys.UnraisableHookArgs) -> None:
    """Send a signal again that arrived in a callback, where the interpreter ignores exceptions."""
    if issubclass(ignored.exc_type, _Interrupted):
        signal.setitimer(signal.ITIMER_REAL, REPEAT)
    else:
        sys.__unraisablehook__(ignored)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"fervid {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Turn folders of video into emotion timelines.

    First steps: fervid analyze videos --out results.parquet
    """
