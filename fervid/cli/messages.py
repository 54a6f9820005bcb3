"""What the command line prints: messages on stderr and answers on stdout. Nothing else in the package prints.

File names and other texts may hold escape codes, which a terminal would obey. Every line is escaped here, in one place.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Literal

from fervid.errors import INTERRUPTED, OutputError, printable
from fervid.runtime.platform import UTF8_STREAMS


class _Messages(io.TextIOWrapper):
    """stderr. What nobody can receive any more is dropped, because a lost message must not end the work."""

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            return super().write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            super().flush()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            super().close()


def open_streams() -> None:
    """Make stdout and stderr able to write any text, and keep the descriptors 0 to 2 from other files."""
    while (unused := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass  # a daemon may have closed these, and the next file opened would receive what is printed
    os.close(unused)
    if UTF8_STREAMS:
        _replace_stderr()
    elif isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(errors="backslashreplace", line_buffering=True)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _replace_stderr() -> None:
    # a separate descriptor, because the usual one is silenced while TensorFlow is loaded for a GPU in a thread
    raw = os.fdopen(os.dup(2), "wb")
    sys.stderr = _Messages(raw, encoding="utf-8", errors="backslashreplace", line_buffering=True)


class _Warnings(logging.Handler):
    """Prints what the library warns of, such as a lock that it took over."""

    def emit(self, record: logging.LogRecord) -> None:
        if is_json():
            log("warning", event="message", message=record.getMessage())
        else:
            say(f"fervid: {record.getMessage()}")


def show_warnings() -> None:
    """Print what the library logs as a warning."""
    logger = logging.getLogger("fervid")
    if not any(isinstance(handler, _Warnings) for handler in logger.handlers):
        logger.addHandler(_Warnings(logging.WARNING))


def say(*lines: str, level: Literal["info", "warning"] = "info") -> None:
    """Print a message on stderr, above the progress bar if there is one.

    Args:
        lines: Its lines.
        level: How important it is. Only JSON shows it.
    """
    if is_json():
        for line in filter(None, lines):
            log(level, event="message", message=line)
    else:
        _print("\n".join(map(printable, lines)))


def warn(message: str) -> None:
    """Print a warning on stderr: something beside the work itself went wrong.

    Args:
        message: What.
    """
    if is_json():
        log("warning", event="message", message=message)
    else:
        say(f"warning: {message}")


def _print(text: str) -> None:
    """Print a text that is escaped already on stderr, above the progress bar if there is one."""
    bars: Any = sys.modules.get("tqdm")
    if bars is None:
        print(text, file=sys.stderr)
    else:
        bars.tqdm.write(text, file=sys.stderr)


def is_json() -> bool:
    """Whether messages are JSON.

    Returns:
        True if the command line has ``--log-json``. It is looked for here, because the parser of options says something
        too if it cannot understand them.
    """
    return "--log-json" in sys.argv


def log(level: Literal["info", "warning", "error"] = "info", **values: Any) -> None:
    """Print a message as a JSON object on one line of stderr.

    Args:
        level: How important it is.
        values: What it says, in addition to the time (ISO 8601 with milliseconds and the offset from UTC).
    """
    now = datetime.now().astimezone().isoformat(timespec="milliseconds")
    _print(_as_json({"time": now, "level": level, **values}))


def answer(*lines: str) -> None:
    """Print the answer of a command on stdout.

    Args:
        lines: Its lines.

    Raises:
        OutputError: Nobody can receive it.
    """
    with _to_stdout():
        print("\n".join(map(printable, lines)))


def answer_json(values: Any) -> None:
    """Print the answer of a command on stdout as JSON.

    Args:
        values: The answer.

    Raises:
        OutputError: Nobody can receive it.
    """
    answer(*_as_json(values, indent=2).split("\n"))


def flush_answers() -> None:
    """Write what was printed on stdout.

    Raises:
        OutputError: Nobody can receive it.
    """
    with _to_stdout():
        if sys.stdout is not None:
            sys.stdout.flush()


@contextlib.contextmanager
def _to_stdout() -> Iterator[None]:
    """Turn any OSError into an OutputError, and let the rest of the output go nowhere."""
    try:
        yield
    except OSError as error:
        with contextlib.suppress(OSError, ValueError):  # the interpreter writes the rest when it ends
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)
        raise OutputError(f"cannot write the answer to stdout: {error.strerror or error}") from error


def _as_json(values: Any, indent: int | None = None) -> str:
    """JSON in ASCII without control characters."""
    return json.dumps(values, indent=indent).replace("\x7f", "\\u007f")


def say_end(message: str, exit_code: int) -> None:
    """Print why a command ends.

    Args:
        message: The reason.
        exit_code: The exit code.
    """
    if is_json():
        log("error", event="error", message=message, exit_code=exit_code)
    else:
        say(f"fervid: {message}")


def interrupted() -> tuple[str, int]:
    """Choose what to say if the command was interrupted.

    Returns:
        The message and the exit code.
    """
    again = ", without --overwrite," if "--overwrite" in sys.argv else ""
    return f"interrupted; run the same command again{again} to continue", INTERRUPTED
