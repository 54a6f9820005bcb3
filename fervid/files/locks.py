"""Locks that only one process holds. The system releases them when the process ends, however it ends."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import lock_descriptor

from fervid.errors import OutputError, OutputLocked

NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
"""Flag of ``os.open`` that refuses symbolic links; 0 where the system has no such flag."""


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file during the block. The file stays afterwards.

    Args:
        path: The lock file, in a folder that exists. It is made if necessary. A symbolic link is refused.

    Yields:
        Nothing.

    Raises:
        OutputLocked: Another process holds the lock.
        OutputError: The file cannot be opened, or its file system has no locks.
    """
    handle = take_lock(path)
    try:
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def locked_temporarily(path: Path) -> Iterator[None]:
    """Hold a lock file during the block, and remove the file at the end. What a killed process left is taken over.

    Args:
        path: The lock file. Its folder is made if necessary.

    Yields:
        Nothing.

    Raises:
        OutputLocked: Another process holds the lock.
        OutputError: The folder or the file cannot be made, or its file system has no locks.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write {path.parent}: {error.strerror or error}") from error
    handle = take_lock(path)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # before the lock is released: afterwards it may be another process's
            path.unlink()
        os.close(handle)


def take_lock(path: Path) -> int:
    """Take a lock without waiting; see ``locked``.

    Args:
        path: The lock file.

    Returns:
        A file descriptor. Closing it releases the lock.

    Raises:
        OutputLocked: Another process holds the lock.
        OutputError: The file cannot be opened, or its file system has no locks.
    """
    while True:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | NO_FOLLOW, 0o600)
        except OSError as error:
            raise OutputError(f"cannot lock {path}: {error.strerror or error}") from error
        try:
            if not lock_descriptor(handle, blocking=False):
                raise OutputLocked(f"another run is writing this output (it holds {path})")
            if _is_at(handle, path):
                return handle
        except BaseException as error:
            os.close(handle)
            if not isinstance(error, OSError) or isinstance(error, OutputLocked):
                raise
            raise OutputError(f"cannot lock {path}: {error.strerror or error}") from error
        os.close(handle)  # its holder removed it between opening and locking: a lock on it excludes nobody


def _is_at(handle: int, path: Path) -> bool:
    """Whether an open file is the one that lies at a path."""
    try:
        return os.path.samestat(os.fstat(handle), os.lstat(path))
    except FileNotFoundError:
        return False


def is_abandoned(path: Path) -> bool:
    """Whether no process holds a lock on a file, this process included.

    Args:
        path: The file.

    Returns:
        True if it is certain that nobody does; False if it is locked, cannot be opened, or its file system has no
        locks.
    """
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK | NO_FOLLOW)
        try:
            return lock_descriptor(handle, blocking=False)
        finally:
            os.close(handle)
    return False
