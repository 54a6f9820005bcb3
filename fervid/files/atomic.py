"""Writing files so that each is complete or absent."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from filelock import lock_descriptor

from fervid.errors import OutputError
from fervid.files.locks import is_abandoned
from fervid.runtime.platform import CHANGES_OPEN_FILES, CLOSE_ON_EXEC

_MARK = ".partial"
"""Part of the name of an unfinished file."""

_FILES = ".files"
"""End of the name of a folder of temporary files, after the name of the unfinished file that they belong to."""

_LONGEST_STEM = 100
"""Characters of a file's stem that its unfinished file keeps in its name, so that the name does not get too long."""


@contextlib.contextmanager
def atomic_path(path: Path, folder: Path | None = None) -> Iterator[Path]:
    """Yield a temporary path, and rename it to ``path`` when the block ends without an error.

    The temporary file exists, is empty, and has a name of its own, so that two processes never write to one file. It
    is flushed to the disk before it is renamed. After an error it is removed, and ``path`` stays as it was. What
    a killed process left of the same ``path`` is removed first, unless ``folder`` is given.

    Args:
        path: The file to write. Its folder must exist.
        folder: Where the temporary file is written, on the same disk as ``path``; whoever owns this folder cleans it.
            None: beside ``path``.

    Yields:
        The temporary path. It has the suffix of ``path``, because some libraries choose the format by it.

    Raises:
        OutputError: The system refuses to write or to rename the file.
    """
    with writing(path):
        if folder is None:
            remove_abandoned(path)
        before = _stamp(path.parent)
        partial, handle = _new_partial(path, folder or path.parent)
        _keep_listing(path.parent, before)
    try:
        with writing(path):
            yield partial
            sync_file(partial)
            before = _stamp(path.parent)
            partial.replace(path)
            _keep_listing(path.parent, before)
            sync_folder(path.parent)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        if handle is not None:
            os.close(handle)


@contextlib.contextmanager
def temporary_files_beside(partial: Path) -> Iterator[None]:
    """Have libraries make their temporary files in a folder beside an unfinished file. It is removed at the end.

    In the system's folder for temporary files they would stay after a kill. Here the next process that writes the same
    file removes them.

    Args:
        partial: What ``atomic_path`` yielded.

    Yields:
        Nothing.

    Raises:
        OutputError: The folder cannot be made.
    """
    _remove_orphans(partial)
    folder = partial.with_name(f"{partial.name}{_FILES}")
    with writing(folder):
        folder.mkdir(mode=0o700)
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before
        shutil.rmtree(folder, ignore_errors=True)


def _remove_orphans(partial: Path) -> None:
    """Remove the folders of temporary files whose unfinished file is gone; ``remove_abandoned`` removed it."""
    end = f"{_MARK}{partial.suffix}"
    start = partial.name[: -len(end) - 8]
    with contextlib.suppress(OSError):
        for name in os.listdir(partial.parent):
            token = _token(name, start, f"{partial.suffix}{_FILES}")
            if name.startswith(start) and re.fullmatch(r"[0-9a-f]{8}", token):
                folder = partial.with_name(name)
                if not os.path.lexists(folder.with_name(name.removesuffix(_FILES))) and not folder.is_symlink():
                    shutil.rmtree(folder, ignore_errors=True)


def remove_abandoned(path: Path) -> None:
    """Remove the unfinished files of ``path`` that killed processes left. Those of living processes stay.

    Args:
        path: A file as it is given to ``atomic_path``.
    """
    with contextlib.suppress(OSError):
        start = f".{path.stem[:_LONGEST_STEM]}."
        for name in _partials_in(path.parent):
            # the folder may be anyone's: only a name that can be one of these is opened
            if name.startswith(start) and re.fullmatch(r"[0-9a-f]{8}", _token(name, start, path.suffix)):
                partial = path.with_name(name)
                if partial.is_file() and not partial.is_symlink() and is_abandoned(partial):
                    partial.unlink()


_listings: dict[Path, tuple[int, list[str]]] = {}
"""Folder → its time stamp, and the unfinished files in it. The list holds as long as nobody else changes the folder, so
that writing n files does not list n files n times."""


def _partials_in(folder: Path) -> list[str]:
    """Names of the unfinished files in a folder."""
    stamp = _stamp(folder)
    if folder not in _listings or _listings[folder][0] != stamp:
        _listings[folder] = stamp, [name for name in os.listdir(folder) if _MARK in name]
    return _listings[folder][1]


def _keep_listing(folder: Path, before: int) -> None:
    """Keep the list of a folder that this process has just changed, if nobody else had: its stamp was ``before``."""
    if folder in _listings and _listings[folder][0] == before:
        _listings[folder] = _stamp(folder), _listings[folder][1]


def _stamp(folder: Path) -> int:
    """What changes when a file appears in a folder or leaves it; 0 if the folder cannot be examined."""
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0


def _token(name: str, start: str, suffix: str) -> str:
    """The random part of an unfinished file's name; empty if the name is another file's."""
    end = f"{_MARK}{suffix}"
    return name[len(start) : len(name) - len(end)] if name.endswith(end) else ""


def _new_partial(path: Path, folder: Path) -> tuple[Path, int | None]:
    """Make an unfinished file and lock it. Returns its path and the descriptor that holds the lock.

    There is no lock where others could not write to a locked file or rename it: then nothing is taken for abandoned.
    """
    while True:
        partial = folder / f".{path.stem[:_LONGEST_STEM]}.{secrets.token_hex(4)}{_MARK}{path.suffix}"
        try:
            handle = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | CLOSE_ON_EXEC, 0o666)
        except FileExistsError:
            continue
        if not CHANGES_OPEN_FILES:
            os.close(handle)
            return partial, None
        if _lock(handle) and os.path.lexists(partial):  # no other process took it for abandoned before it was locked
            return partial, handle
        os.close(handle)


def _lock(handle: int) -> bool:
    """Lock a file. True if that worked, or if the file system has no locks: then nothing is taken for abandoned."""
    try:
        return lock_descriptor(handle, blocking=False)
    except OSError:
        return True


def write_text_atomically(path: Path, text: str, folder: Path | None = None) -> None:
    """Write a small text file in UTF-8; see atomic_path.

    Args:
        path: The file to write.
        text: Its content.
        folder: Where the temporary file is written; None: beside ``path``.

    Raises:
        OutputError: The system refuses to write the file.
    """
    with atomic_path(path, folder) as partial:
        partial.write_text(text, encoding="utf-8")


def sync_folder(folder: Path) -> None:
    """Make renames inside a folder survive a power failure, if the system supports it.

    Args:
        folder: The folder that holds the renamed files.
    """
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sync_file(path: Path) -> None:
    """Flush a file's content to the disk.

    Args:
        path: An existing file.
    """
    with path.open("rb+") as file:
        os.fsync(file.fileno())


@contextlib.contextmanager
def writing(path: object) -> Iterator[None]:
    """Turn any OSError of the block into an OutputError that names ``path``.

    Args:
        path: What the message names as the file that cannot be written.

    Yields:
        Nothing.

    Raises:
        OutputError: The block raised an OSError.
    """
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
