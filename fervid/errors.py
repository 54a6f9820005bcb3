"""All exceptions that fervid raises on purpose.

::

    FervidError
    ├── UsageError (ValueError)                 exit 2: arguments that are wrong or conflict
    │   ├── ConfigError                         an unknown setting, or an invalid value
    │   ├── InputNotFound (FileNotFoundError)   a path that does not exist
    │   ├── BadDataset                          a training table or folder that cannot be used
    │   ├── BadCorrections                      a corrections file that is wrong or does not fit the results
    │   ├── BadStudy                            a study, participants, events or coding file that cannot be used
    │   └── BadWeights                          weights, a sidecar or a detector file that cannot be used
    ├── MissingLibrary (ImportError)            exit 2: a library is missing; the message says what to install
    ├── UnreadableVideo (ValueError)            one file; the batch continues
    ├── WorkerFailed (RuntimeError)             one file; a scan process crashed or exceeded its limit
    │   └── InternalError                       one file; a defect, so the next run tries the file again
    ├── DeviceMemoryError (MemoryError)         exit 5: not even one face fits the memory of the device
    ├── BadResults (ValueError)                 exit 2: a table that this version of fervid cannot read
    ├── OutputError (OSError)                   exit 5: an output cannot be written
    │   └── EncodingFailed                      one annotated video; the others continue
    └── OutputLocked (BlockingIOError)          exit 75: another run uses the same output

Each class is also the builtin exception that a caller would catch. Each message is one line that says what
is wrong and what to do. The command line prints it and ends with ``exit_code``. Messages name settings and
parameters in backticks (`overwrite`, `worker_memory`); the command line prints them as its options
(``--overwrite``, ``--worker-memory``).
"""

from __future__ import annotations

INTERRUPTED = 130
"""Exit code of a command that SIGINT or SIGTERM ended."""


class FervidError(Exception):
    """Base class of all exceptions of fervid.

    Attributes:
        exit_code: Exit code of the command line.
        video_id: Fingerprint of the video that caused the error; None if it is unknown.
    """

    exit_code = 5
    video_id: str | None = None


class UsageError(FervidError, ValueError):
    """The arguments of a call are wrong or conflict with each other."""

    exit_code = 2


class ConfigError(UsageError):
    """A setting is unknown or has an invalid value."""


class InputNotFound(UsageError, FileNotFoundError):
    """An input path does not exist."""


class BadDataset(UsageError):
    """Training or evaluation data cannot be used; the message names the file and the row."""


class BadCorrections(UsageError):
    """A corrections file is wrong or does not fit the results; the message names the line and the column."""


class BadStudy(UsageError):
    """A file of a study is wrong or does not fit the results; the message names the file, line and column."""


class BadWeights(UsageError):
    """Weights are damaged, were not made by fervid, or do not match their sidecar."""


class MissingLibrary(FervidError, ImportError):
    """A library, or a system file that a library needs, is not installed."""

    exit_code = 2


class UnreadableVideo(FervidError, ValueError):
    """A file cannot be decoded as video; the message says why."""


class WorkerFailed(FervidError, RuntimeError):
    """The process that scanned a video crashed or was stopped, or worker processes cannot be started."""

    exit_code = 4


class InternalError(WorkerFailed):
    """One video revealed a defect of fervid or of a library. It is not recorded, so the next run tries again."""


class DeviceMemoryError(FervidError, MemoryError):
    """A batch does not fit into the memory of the computing device."""


class BadResults(FervidError, ValueError):
    """A results table was not written by fervid, or has an unknown schema version."""

    exit_code = 2


class OutputError(FervidError, OSError):
    """An output cannot be written."""

    exit_code = 5


class EncodingFailed(OutputError):
    """The encoder cannot encode a video, for example because its frames are too small."""


class OutputLocked(FervidError, BlockingIOError):
    """Another run uses the same output."""

    exit_code = 75


def printable(text: str) -> str:
    """Make text safe to print on one line of a terminal.

    Args:
        text: Any text, such as a file name.

    Returns:
        The text with control characters and unprintable characters as backslash escapes.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def batch_exit_code(failed: int, total: int) -> int:
    """Choose the exit code of a command that works on many inputs.

    Args:
        failed: Number of inputs that failed.
        total: Number of inputs.

    Returns:
        0 if nothing failed, 3 if some inputs failed, 4 if all did.
    """
    return 0 if not failed else 4 if failed == total else 3


def exit_code_of(error: BaseException) -> int:
    """Choose the exit code of a command that an exception ends.

    Args:
        error: The exception.

    Returns:
        The code of the class for an exception of fervid; 130 for an interrupt; 5 for anything else, such as an error of
        the system or a defect.
    """
    if isinstance(error, FervidError):
        return error.exit_code
    return OutputError.exit_code if isinstance(error, Exception) else INTERRUPTED
