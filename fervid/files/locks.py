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
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | NO_FOLLOW, 0o600)
    except OSError as error:
        raise OutputError(f"cannot lock {path}: {error.strerror or error}") from error
    try:
        taken = lock_descriptor(handle, blocking=False)
    except BaseException as error:
        os.close(handle)
        if not isinstance(error, OSError):
            raise
        raise OutputError(f"cannot lock {path}: {error.strerror or error}") from error
    if not taken:
        os.close(handle)
        raise OutputLocked(f"another run is writing this output (it holds {path})")
    return handle


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
