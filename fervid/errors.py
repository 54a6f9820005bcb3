"""Everything fervid raises on purpose.

::

    FervidError
    ├── UsageError (ValueError)                 exit 2
    │   ├── ConfigError                         an unknown or ill-typed setting
    │   ├── InputNotFound (FileNotFoundError)   a path that is not there
    │   ├── BadDataset                          a training table or folder that cannot be used
    │   └── BadWeights                          weights, sidecar or detector file refused
    ├── MissingLibrary (ImportError)            exit 2, says what to install
    ├── UnreadableVideo (ValueError)            one file; the batch goes on
    ├── WorkerFailed (RuntimeError)             one file; a scan process crashed or ran out of time
    │   └── InternalError                       one file; a defect, tried again by the next run
    ├── DeviceMemoryError (MemoryError)         the batch is halved; exit 1 where one face is too much
    ├── BadResults (ValueError)                 exit 2, a table that fervid did not write
    ├── OutputError (OSError)                   exit 5
    │   └── EncodingFailed                      one annotated video; the others go on
    └── OutputLocked (BlockingIOError)          exit 75

Each is also the builtin that a caller would catch anyway. The message of each is one line that a
person can act on; the command line prints it and ends with ``exit_code``. A message names a setting or
a parameter in backticks (`overwrite`, `worker_memory`), never as an option of the command line, which
prints it as one (``--overwrite``, ``--worker-memory``) by itself.
"""

from __future__ import annotations


class FervidError(Exception):
    """Root of fervid's own exceptions. ``video_id``: the video that it is about, where that is known."""

    exit_code = 1
    video_id: str | None = None


class UsageError(FervidError, ValueError):
    """The call cannot be carried out as it was made."""

    exit_code = 2


class ConfigError(UsageError):
    """A setting is unknown or has a value of the wrong kind."""


class InputNotFound(UsageError, FileNotFoundError):
    """An input path does not exist."""


class BadDataset(UsageError):
    """Training or evaluation data cannot be used; the message names the file and the row."""


class BadWeights(UsageError):
    """Weights are damaged, foreign, or do not fit their sidecar."""


class MissingLibrary(FervidError, ImportError):
    """A library or a system file that an installed package needs is not there."""

    exit_code = 2


class UnreadableVideo(FervidError, ValueError):
    """A file is no video that can be decoded; the message says why."""


class WorkerFailed(FervidError, RuntimeError):
    """The process that scanned a video died or was stopped; or no such process can be kept alive."""

    exit_code = 4


class InternalError(WorkerFailed):
    """A defect of fervid or of a library, met in one video; not remembered, so that the next run tries again."""


class DeviceMemoryError(FervidError, MemoryError):
    """The memory of the computing device does not hold a batch."""


class BadResults(FervidError, ValueError):
    """A results table was not written by fervid, or by an unknown schema version."""

    exit_code = 2


class OutputError(FervidError, OSError):
    """An output cannot be written."""

    exit_code = 5


class EncodingFailed(OutputError):
    """The encoder refuses a video's pictures, such as those of two pixels; the disk has nothing to do with it."""


class OutputLocked(FervidError, BlockingIOError):
    """Another run holds the same output."""

    exit_code = 75


def printable(text: str) -> str:
    """The text on one line, without what a terminal would obey or cannot show."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def batch_exit_code(failed: int, total: int) -> int:
    """0 when nothing failed, 3 when some inputs failed, 4 when all did."""
    return 0 if not failed else 4 if failed == total else 3
