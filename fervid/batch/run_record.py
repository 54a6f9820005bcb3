"""The record of a run in a JSON file beside its results: what it did, how it ended, and which inputs failed.

The schema is described in docs/unattended.md. Programs that watch the runs read it.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fervid.batch.report import BatchReport, VideoReport
from fervid.errors import FervidError, MissingLibrary, OutputError, OutputLocked, UsageError, exit_code_of
from fervid.files.atomic import write_text_atomically
from fervid.results.schema import is_folder, run_path
from fervid.results.store_files import read_text, store_folder
from fervid.runtime.platform import is_lack_of_memory
from fervid.types import Progress, ProgressCallback, ignore_progress
from fervid.version import __version__

SCHEMA = 1
"""Version of the record."""

MOST_FAILED = 1000
"""How many failed inputs a record lists. The tables list all."""

LARGEST = 1 << 24
"""Bytes of a record that are read."""

_PASSWORD = re.compile(r"(?<=//)[^/@\s]+@")
"""The user and the password in an address."""


@dataclass(frozen=True)
class RunRecord:
    """What one run did. The attributes are the keys of the file, in this order.

    Attributes:
        fervid: Version of fervid.
        schema: Version of the record.
        out: Name of the results.
        started: When the run began, ISO 8601 with the offset from UTC.
        finished: When it ended.
        seconds: How long it took.
        exit_code: How it ended; see the table of exit codes.
        message: Why it ended early; None if it did not.
        command: The command line, without passwords; None if a program called ``fervid.analyze``.
        videos: Number of inputs by status (``ok``, ``no_face``, ``failed``, ``skipped``), of all (``total``), of
            those that this run analysed (``new``), and of those that failed in it (``new_failed``).
        video_seconds: Length of the videos that this run analysed.
        failed: The inputs that failed, each with ``video``, ``error`` and ``message``; at most MOST_FAILED.
        python: Version of Python.
        platform: The operating system.
    """

    fervid: str
    schema: int
    out: str
    started: str
    finished: str
    seconds: float
    exit_code: int
    message: str | None
    command: list[str] | None
    videos: dict[str, int]
    video_seconds: float
    failed: list[dict[str, str | None]]
    python: str
    platform: str


class RunRecorder:
    """Observes a run and writes its record at the end, however it ends. An instance is an ``on_progress``.

    If a run finds the output locked, or there is no output of fervid yet, nothing is written.

    Args:
        out: The results.
        on_progress: What every event is passed on to.
        command: The command line; None: there is none.
    """

    def __init__(
        self,
        out: str | os.PathLike[str],
        on_progress: ProgressCallback = ignore_progress,
        command: Sequence[str] | None = None,
    ) -> None:
        self.out, self.on_progress = Path(out), on_progress
        self._command = None if command is None else [_PASSWORD.sub("***@", word) for word in command]
        self._began, self._started = time.monotonic(), _now()
        self._total = 0
        self._outcomes: dict[str, VideoReport] = {}
        self._report: BatchReport | None = None
        self.record: RunRecord | None = None
        """The record, once the run has ended."""
        self.path: Path | None = None
        """The file of the record, once it is written."""

    @classmethod
    def of(cls, out: str | os.PathLike[str], on_progress: ProgressCallback) -> RunRecorder:
        """Get the recorder of a run.

        Args:
            out: The results.
            on_progress: What the caller of the run gave.

        Returns:
            ``on_progress`` itself if it is a recorder.
        """
        return on_progress if isinstance(on_progress, cls) else cls(out, on_progress)

    def __call__(self, progress: Progress) -> None:
        """Note an event and pass it on.

        Args:
            progress: The event.
        """
        if progress.step == "analyze":
            self._total = int(progress.total or 0)
            if isinstance(progress.outcome, VideoReport):
                self._outcomes[progress.outcome.video] = progress.outcome
        self.on_progress(progress)

    def complete(self, report: BatchReport) -> None:
        """Note that the run has come to its end.

        Args:
            report: The outcome of every input.
        """
        self._report = report

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end(error)
        if self.record is not None and not isinstance(error, OutputLocked):
            try:
                self._write(self.record)
            except OutputError as failure:  # the tables are complete, or another error says more
                self.on_progress(Progress("analyze", self._total, self._total, "videos", str(failure)))

    def end(self, error: BaseException | None) -> RunRecord:
        """Make the record, if it was not made before.

        Args:
            error: What ended the run early; None: nothing did.

        Returns:
            The record.
        """
        if self.record is None:
            code = self._report.exit_code if error is None and self._report else exit_code_of(error or OutputError())
            if isinstance(error, MissingLibrary) and is_lack_of_memory(error):
                code = OutputError.exit_code  # as the command line ends
            self.record = self._made(code, None if error is None else _message(error))
        return self.record

    def _made(self, exit_code: int, message: str | None) -> RunRecord:
        reports = list(self._outcomes.values()) if self._report is None else list(self._report.videos)
        total = self._total if self._report is None else len(reports)
        counts = Counter(report.status for report in reports)
        analysed = [report for report in reports if report.fresh and report.status in ("ok", "no_face")]
        failed = [report for report in reports if report.status == "failed"]
        videos = {"total": total} | {status: counts[status] for status in ("ok", "no_face", "failed", "skipped")}
        videos |= {"new": len(analysed), "new_failed": sum(report.fresh for report in failed)}
        return RunRecord(
            __version__,
            SCHEMA,
            self.out.name,
            self._started,
            _now(),
            round(time.monotonic() - self._began, 3),
            exit_code,
            message,
            self._command,
            videos,
            round(sum(report.duration for report in analysed), 3),
            [{"video": one.video, "error": one.error, "message": one.message} for one in failed[:MOST_FAILED]],
            platform.python_version(),
            platform.system(),
        )

    def _write(self, record: RunRecord) -> None:
        """Write the record, unless there is no output beside which it could lie."""
        try:
            path, store = run_path(self.out), store_folder(self.out, is_folder(self.out))
        except UsageError:  # `out` cannot be results
            return
        if not store.is_dir():
            return
        if os.path.lexists(path) and read_run(self.out) is None:
            raise OutputError(f"cannot write {path}: fervid did not write what is there; move it away")
        write_text_atomically(path, json.dumps(asdict(record), indent=2) + "\n")
        self.path = path


def read_run(out: Path) -> RunRecord | None:
    """Read what the last run did.

    Args:
        out: The results.

    Returns:
        The record; None if there is none, or fervid did not write what is there.
    """
    path = run_path(out)
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        if path.stat().st_size <= LARGEST:
            return _checked(json.loads(read_text(path)))
    return None


def _checked(values: dict[str, Any]) -> RunRecord:
    """The record, if its values have the types that a reader expects. Raises ValueError and others."""
    record = RunRecord(**{name: values[name] for name in RunRecord.__dataclass_fields__})
    texts = [record.fervid, record.out, record.started, record.finished, record.message or "", *(record.command or [])]
    numbers = (record.seconds, record.video_seconds, record.exit_code, record.schema, *record.videos.values())
    if not all(isinstance(text, str) for text in texts) or not all(isinstance(one, int | float) for one in numbers):
        raise ValueError("not a record")
    if not all(isinstance(one, dict) and isinstance(one.get("video"), str) for one in record.failed):
        raise ValueError("not a record")
    return record


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")


def _message(error: BaseException) -> str:
    """Why a run ended, on one line."""
    if isinstance(error, FervidError):
        return str(error)
    return f"{type(error).__name__}: {error}" if isinstance(error, Exception) else "interrupted"
