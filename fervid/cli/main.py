"""The command line: its commands, and the one place where errors become messages and exit codes."""

from __future__ import annotations

import contextlib
import multiprocessing.util
import os
import sys
import threading
import traceback
from typing import Annotated, Any, NoReturn

import typer

from fervid.cli import (
    analyze,
    info,
    network_commands,
    output_commands,
    participants_command,
    results_commands,
    review_command,
    study_commands,
)
from fervid.cli.messages import answer, flush_answers, interrupted, open_streams, say, say_end, show_warnings
from fervid.cli.option_names import as_options, register_options
from fervid.cli.options import Group
from fervid.cli.signals import Interrupted, handle_signals
from fervid.emotions.background_loader import LOADER
from fervid.errors import FervidError, MissingLibrary, OutputError, UsageError
from fervid.runtime.platform import is_lack_of_memory
from fervid.version import __version__

TRACEBACK = "FERVID_TRACEBACK"
"""Environment variable that makes a defect print where it happened."""

ARROW_POOL = "ARROW_DEFAULT_MEMORY_POOL"
"""Environment variable that says how Arrow allocates memory. Its own allocators keep what was freed; with that of the
system the largest memory of commands is up to 60 MB smaller."""

NO_MEMORY = "not enough memory; analyse fewer videos at once, or raise the limits of this process (ulimit -v, -d, -u)"
"""What to say if a library cannot be loaded, or a command cannot go on, for lack of memory."""

app = typer.Typer(
    name="fervid",
    cls=Group,
    help="Turn folders of video into emotion timelines.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        answer(f"fervid {__version__}")
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


for module in (
    analyze,
    output_commands,
    results_commands,
    participants_command,
    review_command,
    study_commands,
    network_commands,
    info,
):
    app.add_typer(module.commands)
parser: Any = typer.main.get_command(app)
"""The parser of all commands. ``app`` itself would make another one for each command line."""

register_options(parser)


_UsageError: type[Exception] = next(one for one in typer.BadParameter.__mro__ if one.__name__ == "ClickException")
"""Base class of what the parser of the command line raises. Typer does not export it."""


def main() -> None:
    """Run the command line.

    Raises:
        SystemExit: Always, with the exit code.
    """
    os.environ.setdefault(ARROW_POOL, "system")
    handle_signals()
    open_streams()
    show_warnings()
    try:
        code = parser(standalone_mode=False)
        flush_answers()
    except FervidError as error:
        if isinstance(error, MissingLibrary) and is_lack_of_memory(error):
            _end(NO_MEMORY, OutputError.exit_code)
        _end(str(error), error.exit_code)
    except OSError as error:  # not turned into an OutputError, such as a full disk or a removed file
        where = f"{error.filename}: " if error.filename else "the system refused to go on: "
        _end(f"{where}{error.strerror or error}", OutputError.exit_code)
    except MemoryError:
        _end(NO_MEMORY, OutputError.exit_code)
    except _UsageError as error:
        _refuse(error)
    except Exception as error:  # a defect, which must not look like any other outcome
        if is_lack_of_memory(error):
            _end(NO_MEMORY, OutputError.exit_code)
        if os.environ.get(TRACEBACK):
            say(*traceback.format_exc().splitlines())
        defect = f"internal error: {type(error).__name__}: {error}; please report it with the output of {TRACEBACK}=1"
        _end(defect, OutputError.exit_code)
    except SystemExit as stop:
        code = stop.code
        if code not in (None, 0, UsageError.exit_code):  # rich and Typer end the process if nobody reads their help
            with contextlib.suppress(FervidError):
                flush_answers()
            _end("cannot write the answer to stdout", OutputError.exit_code)
    except Interrupted:
        _end(*interrupted())
    sys.exit(code)


def _refuse(error: Any) -> NoReturn:
    """End the process because the command line cannot be understood."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        sys.exit(UsageError.exit_code)
    message, help_of = error.format_message().rstrip("."), error.ctx.command_path if error.ctx else "fervid"
    _end(f"{message}; {help_of} --help lists the options", UsageError.exit_code)


def _end(message: str, exit_code: int) -> NoReturn:
    """Print why a command failed, and end the process."""
    say_end(as_options(message), exit_code)
    children = multiprocessing.active_children()
    if children or any(thread.name == LOADER for thread in threading.enumerate()):
        # Python would wait forever: for workers of a pool that was interrupted while it started, or for a lock held by
        # the abandoned thread that loads the model
        for child in children:
            child.kill()
        multiprocessing.util._run_finalizers()  # type: ignore[attr-defined]  # releases semaphores
        for stream in filter(None, (sys.stdout, sys.stderr)):
            with contextlib.suppress(OSError):
                stream.flush()
        os._exit(exit_code)
    sys.exit(exit_code)
