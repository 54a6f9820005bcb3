"""The index of a store: what is known of input files that have not changed, without reading them."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from fervid.files.atomic import write_text_atomically, writing
from fervid.files.sequences import images_of, is_sequence
from fervid.results.store_files import read_text, sealed, unsealed

Known = TypeVar("Known")

_LINE = "index"
"""What seals the lines. A line that was changed, such as one with the fingerprint of another file, is ignored."""

STAMP_SETTLE_SECONDS = 2.0
"""A stamp is trusted if the file was unchanged for this many seconds. Before that, the next change might leave the same
time stamp, because file systems round times."""


@dataclass(frozen=True)
class Failure:
    """Why a video could not be analysed.

    Attributes:
        error: Name of the exception.
        message: Its message.
        finished_at: When it happened, ISO 8601.
    """

    error: str
    message: str
    finished_at: str = ""


@dataclass(frozen=True)
class Stamp:
    """Size and times of a file, which show a change without reading it. Times are in nanoseconds."""

    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, path: Path) -> Stamp:
        """Read the stamp of a file.

        Args:
            path: The file, or the pattern of an image sequence; links are followed.

        Returns:
            Its stamp.

        Raises:
            OSError: The file cannot be examined.
        """
        files = [file for _, file in images_of(path)] if is_sequence(path) else [path]
        stats = [file.stat() for file in files]
        if not stats:
            raise FileNotFoundError(path)
        modified, changed = max(one.st_mtime_ns for one in stats), max(one.st_ctime_ns for one in stats)
        return cls(sum(one.st_size for one in stats), modified, changed)


class FileIndex:
    """Fingerprints of files, and failures of files whose fingerprint is not known.

    Args:
        path: The file of the index; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fingerprints: dict[str, tuple[Stamp, str]] = {}
        self._failures: dict[str, tuple[Stamp, Failure]] = {}
        self._lines = 0
        with contextlib.suppress(OSError):
            for line in read_text(path).splitlines():
                self._lines += 1
                # a killed run's last line, or damage
                with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError):
                    self._read(unsealed(_LINE, line))

    def _read(self, entry: Mapping[str, Any]) -> None:
        stamp = Stamp(**entry["stamp"])
        if "failure" in entry:
            self._failures[entry["path"]] = stamp, Failure(**entry["failure"])
        elif entry["video_id"].isalnum():  # it becomes a part of paths
            self._fingerprints[entry["path"]] = stamp, entry["video_id"]

    def fingerprint(self, path: Path) -> str | None:
        """Look up the fingerprint of a file.

        Args:
            path: The file.

        Returns:
            The fingerprint, or None if the file is not in the index or has changed.
        """
        return _if_unchanged(self._fingerprints, path)

    def failure(self, path: Path) -> Failure | None:
        """Look up why a file failed whose fingerprint is not known.

        Args:
            path: The file.

        Returns:
            The failure; None if there is none, its fingerprint is known, or the file has changed since.
        """
        failure = _if_unchanged(self._failures, path)
        return None if failure is None or self.fingerprint(path) is not None else failure

    def add_fingerprint(self, path: Path, stamp: Stamp, video_id: str) -> None:
        """Add a file, unless its stamp is too new to be trusted.

        Args:
            path: The file.
            stamp: Its stamp before it was read.
            video_id: Its fingerprint.

        Raises:
            OutputError: The index cannot be written.
        """
        if time.time() - stamp.mtime_ns / 1e9 < STAMP_SETTLE_SECONDS or self.fingerprint(path) == video_id:
            return
        name = os.path.abspath(path)
        self._fingerprints[name] = (stamp, video_id)
        self._append(_line(name, stamp, video_id=video_id))

    def add_failure(self, path: Path, stamp: Stamp, failure: Failure) -> None:
        """Add a file that failed before its fingerprint was known.

        Args:
            path: The file.
            stamp: Its stamp before it was read.
            failure: The reason.

        Raises:
            OutputError: The index cannot be written.
        """
        name = os.path.abspath(path)
        self._failures[name] = (stamp, failure)
        self._append(_line(name, stamp, failure=asdict(failure)))

    def known_files(self) -> dict[str, str]:
        """List the files whose fingerprints are known, as they were when these were taken.

        Returns:
            Absolute path → fingerprint.
        """
        return {path: video_id for path, (_, video_id) in self._fingerprints.items()}

    def failed_files(self) -> list[str]:
        """List the files that failed before their fingerprints were known.

        Returns:
            Absolute paths.
        """
        return list(self._failures)

    def drop(self, paths: Iterable[str], scratch: Path) -> None:
        """Remove files from the index.

        Args:
            paths: Absolute paths.
            scratch: Folder for the unfinished file.

        Raises:
            OutputError: The index cannot be written.
        """
        found = [path for path in paths if path in self._fingerprints or path in self._failures]
        for path in found:
            self._fingerprints.pop(path, None)
            self._failures.pop(path, None)
        if found:
            self._rewrite(scratch)

    def _append(self, line: str) -> None:
        self._lines += 1
        with writing(self._path.parent), self._path.open("a", encoding="utf-8") as file:
            file.write(line)

    def compact(self, scratch: Path) -> None:
        """Rewrite the index if most of its lines are out of date.

        Args:
            scratch: Folder for the unfinished file.

        Raises:
            OutputError: The index cannot be written.
        """
        if self._lines > 4 * (len(self._fingerprints) + len(self._failures)) + 100:
            self._rewrite(scratch)

    def _rewrite(self, scratch: Path) -> None:
        """Write all lines anew."""
        lines = [_line(name, stamp, video_id=one) for name, (stamp, one) in self._fingerprints.items()]
        lines += [_line(name, stamp, failure=asdict(one)) for name, (stamp, one) in self._failures.items()]
        write_text_atomically(self._path, "".join(lines), scratch)
        self._lines = len(lines)


def _line(name: str, stamp: Stamp, **known: Any) -> str:
    """A line of the index. It starts with a line break, because a killed run may have left half a line."""
    return "\n" + sealed(_LINE, {"path": name, "stamp": asdict(stamp), **known}) + "\n"


def _if_unchanged(entries: Mapping[str, tuple[Stamp, Known]], path: Path) -> Known | None:
    """What is stored of a file; None if nothing is, or the file has changed since."""
    entry = entries.get(os.path.abspath(path))
    with contextlib.suppress(OSError):
        return entry[1] if entry and entry[0] == Stamp.of(path) else None
    return None
