"""The state of an output, which lets a later run continue: a hidden folder, locked by one run at a time.

The folder of ``results.parquet`` is ``.results.parquet.fervid``, that of a folder ``results`` is ``results/.fervid``.
It holds the lock, the identity (settings, weights, versions) of its parts, one part per video, named by the video's
fingerprint, the failures, and an index of fingerprints that saves reading unchanged files again. Each file is written
under another name and renamed when complete. A killed run leaves unfinished files in ``scratch``, which the next run
removes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from fervid.batch.composition import Compositions
from fervid.batch.file_index import Failure, FileIndex, Stamp
from fervid.batch.request import REQUEST_FILE, Request
from fervid.errors import OutputError, UsageError
from fervid.files.atomic import write_text_atomically, writing
from fervid.files.holder import LOCK_FILE, remove_holder, write_holder
from fervid.files.locks import take_lock
from fervid.files.private_folder import make_private, remove_damaged
from fervid.results.publish import finish_interrupted, remove
from fervid.results.schema import stamped_paths
from fervid.results.store_files import (
    COMPOSED_FILE,
    IDENTITY_FILE,
    PENDING_FILE,
    output_of,
    read_identity,
    seal_name,
    sealed,
    unsealed,
)

INDEX_FILE = "index.jsonl"
"""Name of the file of the index."""

PARTS = "parts-"
"""Start of the name of a folder of parts."""


@dataclass(frozen=True)
class Parts:
    """The folder of the parts and failures of one identity. It can be sent to other processes."""

    folder: Path

    @property
    def key(self) -> str:
        """Hash of the identity, which is a part of the folder's name."""
        return self.folder.name.removeprefix(PARTS)

    def part(self, video_id: str) -> Path:
        """Name the file for the results of a video.

        Args:
            video_id: The video's fingerprint.

        Returns:
            The path, whether or not it exists.
        """
        return self.folder / f"{video_id}.parquet"

    def failure(self, video_id: str) -> Path:
        """Name the file that says why a video failed.

        Args:
            video_id: The video's fingerprint.

        Returns:
            The path, whether or not it exists.
        """
        return self.folder / f"{video_id}.failed.json"


@dataclass(frozen=True)
class IsDone:
    """Whether the outcome of a video is stored already. A stored failure counts unless ``retry_failed`` is set."""

    parts: Parts
    retry_failed: bool

    def __call__(self, video_id: str) -> bool:
        """Look up a fingerprint.

        Args:
            video_id: The video's fingerprint.

        Returns:
            Whether there is nothing left to do.
        """
        return self.parts.part(video_id).exists() or (not self.retry_failed and self.parts.failure(video_id).exists())


def settings_key(identity: Mapping[str, Any]) -> str:
    """Hash a mapping of plain values. Equal numbers give equal keys: 2 and 2.0 are the same setting.

    Args:
        identity: Everything that can change a result.

    Returns:
        16 hex digits.
    """
    return key_of([identity])


def key_of(values: Iterable[Any]) -> str:
    """Hash values one after another, so that they need not be in memory together; see ``settings_key``.

    Args:
        values: Plain values.

    Returns:
        16 hex digits.
    """
    digest = hashlib.sha256()
    for value in values:
        digest.update(json.dumps(_plain(value), sort_keys=True).encode())
    return digest.hexdigest()[:16]


def _plain(value: Any) -> Any:
    """The value with whole floats as integers."""
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


class StoreView:
    """The state of an output, read without locking it.

    Args:
        folder: The hidden folder beside or in the output.
        identity: Everything that can change a result: settings, weights, versions.
        tables_exist: Whether any table of the output exists.
        overwrite: Ignore everything stored.

    Attributes:
        parts: The parts of this identity.
        compositions: How the tables were composed.
        index: What is known of input files that have not changed.

    Raises:
        UsageError: The folder was made with another identity, or tables exist without the folder. Not raised with
            ``overwrite``.
    """

    _removes_damage = False

    def __init__(self, folder: Path, identity: Mapping[str, Any], tables_exist: bool, overwrite: bool = False) -> None:
        self._folder = folder
        self._identity = dict(identity)
        self._overwrite = overwrite
        self.parts = Parts(folder / f"{PARTS}{settings_key(identity)}")
        self._check_identity(tables_exist)
        self.index = FileIndex(folder / INDEX_FILE)
        self.compositions = Compositions(folder)

    def _check_identity(self, tables_exist: bool) -> None:
        before = read_identity(self._folder)
        self._is_recorded = before == self._identity
        if self._overwrite or self._is_recorded:
            return
        if before is not None:
            changed = "; ".join(_differences(before, self._identity))
            raise UsageError(
                f"the output was made with different settings ({changed}); use `overwrite` to recompute it"
            )
        if tables_exist:
            missing = f"the output exists, but the folder that says how it was made does not ({self._folder})"
            raise UsageError(f"{missing}; use `overwrite` to replace the output")

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that can change a result, as given."""
        return self._identity

    def fingerprint(self, path: Path) -> str | None:
        """Look up the fingerprint of a file without reading the file.

        Args:
            path: The file.

        Returns:
            The fingerprint, or None if the file is not in the index or has changed.
        """
        return self.index.fingerprint(path)

    def failure_of(self, path: Path) -> Failure | None:
        """Why a file failed whose fingerprint is not known.

        Args:
            path: The file.

        Returns:
            The failure; None if there is none, its fingerprint is known, or the file has changed since.
        """
        return None if self._overwrite else self.index.failure(path)

    def done(self, video_id: str) -> bool:
        """Check whether a video was analysed.

        Args:
            video_id: The video's fingerprint.

        Returns:
            Whether its part exists.
        """
        return not self._overwrite and self.parts.part(video_id).exists()

    def failure(self, video_id: str) -> Failure | None:
        """Look up why a video failed.

        Args:
            video_id: The video's fingerprint.

        Returns:
            The failure; None if there is none, or if a file with the same content was analysed.
        """
        if not self._overwrite and not self.parts.part(video_id).exists():
            return _read_failure(self.parts.failure(video_id), self._removes_damage)
        return None


class ResumeStore(StoreView):
    """The state of an output, locked until the context ends; see StoreView.

    With ``overwrite`` the parts of earlier runs are removed. The tables stay until new ones replace them.

    Args:
        folder: See StoreView.
        identity: See StoreView.
        tables_exist: See StoreView.
        overwrite: See StoreView.

    Raises:
        UsageError: See StoreView.
        OutputLocked: Another run holds the output.
        OutputError: The folder cannot be written.
    """

    _removes_damage = True

    def __init__(self, folder: Path, identity: Mapping[str, Any], tables_exist: bool, overwrite: bool = False) -> None:
        self._run = uuid.uuid4().hex
        make_private(folder)
        if not _is_file_or_absent(lock := folder / LOCK_FILE):  # not removed here: another run may be doing the same
            raise OutputError(f"cannot lock {lock}: it is not a file; remove it")
        self._lock = take_lock(lock)
        try:
            super().__init__(folder, identity, tables_exist, overwrite)
            with writing(folder):
                self._open()
        except BaseException:
            remove_holder(folder)
            self._lock.release()
            raise

    def _open(self) -> None:
        write_holder(self._folder)
        for name in (INDEX_FILE, COMPOSED_FILE, PENDING_FILE, IDENTITY_FILE, REQUEST_FILE):
            if not _is_file_or_absent(place := self._folder / name):
                remove_damaged(place)
        for workspace in () if (self._folder / "scratch").is_symlink() else self._folder.glob("scratch/*"):
            finish_interrupted(output_of(self._folder), workspace)
        self.settle_composition()
        shutil.rmtree(self._folder / "scratch", ignore_errors=True)
        for leftover in self._folder.glob(f"{PARTS}*/.*.partial*"):
            remove_damaged(leftover)
        if self._overwrite:
            shutil.rmtree(self.parts.folder, ignore_errors=True)
            self._overwrite = False
        for folder in (self._folder / "scratch", self.scratch, self.parts.folder):
            make_private(folder)

    def write_request(self, request: Request) -> None:
        """Keep what this run was asked to do.

        Args:
            request: The inputs and settings.

        Raises:
            OutputError: It cannot be written.
        """
        request.write(self._folder, self.scratch)

    def write_identity(self) -> None:
        """Record what this run's results are made with, once there are any.

        Until then the record of an earlier run stays, so that a run that fails at its start changes nothing.

        Raises:
            OutputError: The record cannot be written.
        """
        if not self._is_recorded:
            self._write(self._folder / IDENTITY_FILE, json.dumps(self._identity, indent=2, sort_keys=True) + "\n")
            self._is_recorded = True

    def __enter__(self) -> ResumeStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with contextlib.suppress(OSError):  # a longer index costs only time
                self.index.compact(self.scratch)
            remove(output_of(self._folder), self.scratch)
            with contextlib.suppress(OSError):
                (self._folder / "scratch").rmdir()
        finally:
            remove_holder(self._folder)
            self._lock.release()

    @property
    def scratch(self) -> Path:
        """Folder for temporary files of this run. It is removed when the store is closed, or by the next run."""
        return self._folder / "scratch" / self._run

    def add_failure(self, video_id: str, failure: Failure) -> None:
        """Store why a video could not be analysed, unless its part exists.

        Args:
            video_id: The video's fingerprint.
            failure: The reason.

        Raises:
            OutputError: The failure cannot be written.
        """
        if not self.parts.part(video_id).exists():
            place = self.parts.failure(video_id)
            self._write(place, sealed(seal_name(place), asdict(failure)))
            self.write_identity()

    def forget_failure(self, video_id: str) -> None:
        """Remove the stored failure of a video.

        Args:
            video_id: The video's fingerprint.
        """
        remove_damaged(self.parts.failure(video_id))

    def drop_others(self) -> None:
        """Remove the parts that were made with other settings, which no table needs any more."""
        for folder in self._folder.glob(f"{PARTS}*"):
            if folder != self.parts.folder:
                remove_damaged(folder)

    def settle_composition(self) -> None:
        """Let the record count that a run prepared, if the tables are those that it describes.

        Raises:
            OutputError: The state cannot be written.
        """
        with writing(self._folder):
            self.compositions.settle(stamped_paths(output_of(self._folder)))

    def remember(self, path: Path, stamp: Stamp, video_id: str) -> None:
        """Add a file to the index, so that it is not read again while it is unchanged.

        Args:
            path: The file.
            stamp: Its stamp before it was read.
            video_id: Its fingerprint.

        Raises:
            OutputError: The index cannot be written.
        """
        self.index.add_fingerprint(path, stamp, video_id)

    def remember_failure(self, path: Path, stamp: Stamp, failure: Failure) -> None:
        """Remember that a file failed before its fingerprint was known.

        Args:
            path: The file.
            stamp: Its stamp before it was read.
            failure: The reason.

        Raises:
            OutputError: The index cannot be written.
        """
        self.write_identity()
        self.index.add_failure(path, stamp, failure)

    def _write(self, path: Path, text: str) -> None:
        """Write a small file atomically; the next run removes what a killed one leaves in ``scratch``."""
        write_text_atomically(path, text, self.scratch)


def _is_file_or_absent(path: Path) -> bool:
    """Whether a path may be opened: a pipe would hold up whoever opens it, and a link may lead anywhere."""
    return not os.path.lexists(path) or (path.is_file() and not path.is_symlink())


def _read_failure(path: Path, removes_damage: bool) -> Failure | None:
    """The failure in a file. A damaged file may be removed, so that its video counts as new."""
    try:
        if path.is_symlink() or not path.is_file():
            raise ValueError("not a file")
        values = unsealed(seal_name(path), path.read_text(encoding="utf-8"))
        if not all(isinstance(value, str) for value in values.values()):
            raise ValueError("not texts")
        return Failure(**values)
    except (ValueError, TypeError):
        if removes_damage:
            remove_damaged(path)
        return None


def _differences(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Each value that changed, as ``scan.fps 5.0 → 10.0``."""
    for name in dict.fromkeys([*before, *now]):
        old, new = before.get(name), now.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _differences(old, new, f"{prefix}{name}.")
        elif old != new:
            yield f"{prefix}{name} {_short(old)} → {_short(new)}"


def _short(value: Any) -> str:
    """The value as text, cut if it is long, such as a hash."""
    text = str(value)
    return text if len(text) <= 20 else f"{text[:12]}…"
