"""Locks that only one process holds.

Locks of the system (``flock``, and ``LockFileEx`` on Windows) end with the process, however it ends. Where a file
system has none, a soft lock is a file whose existence is the lock. It says which process of which machine holds it and
when that process started, so that the file of a killed process is recognised on the machine where it ran.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

from filelock import SoftFileLock, Timeout, lock_descriptor

from fervid.errors import ConfigError, OutputError, OutputLocked
from fervid.runtime.platform import CHANGES_OPEN_FILES, CLOSE_ON_EXEC, NO_FOLLOW, NO_WAIT

LOCK = "FERVID_LOCK"
"""Environment variable that chooses the locks of every command: ``system`` or ``soft``."""

KINDS = ("system", "soft")
"""The kinds of locks."""

SOFT = ".soft"
"""Ending of the file that is a soft lock, after the name of the lock file."""

TAKING_SECONDS = 0.3
"""How long a soft lock is tried. The file of a killed process is removed by the first attempt and taken by the next."""

_kind: ContextVar[str] = ContextVar("_kind", default=KINDS[0])

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def using_locks(kind: str) -> Iterator[None]:
    """Choose the locks that are taken in this block, unless FERVID_LOCK chooses soft ones.

    Args:
        kind: ``system`` or ``soft``.

    Yields:
        Nothing.
    """
    token = _kind.set(kind)
    try:
        yield
    finally:
        _kind.reset(token)


def _are_soft() -> bool:
    """Whether locks are soft; raises ConfigError."""
    everywhere = os.environ.get(LOCK) or KINDS[0]
    if everywhere not in KINDS:
        raise ConfigError(f"{LOCK} must be {' or '.join(KINDS)}, not {everywhere!r}")
    return "soft" in (everywhere, _kind.get())


class Lock:
    """A lock that this process holds.

    Args:
        path: The lock file.
        handle: The open lock file, which holds the lock of the system; None if the file system has none.
        soft: The soft lock; None if there is none.
    """

    def __init__(self, path: Path, handle: int | None, soft: SoftFileLock | None) -> None:
        self._path, self._handle, self._soft = path, handle, soft

    def release(self, remove: bool = False) -> None:
        """Release the lock.

        Args:
            remove: Whether to remove the lock file.
        """
        if remove:  # before the lock is released: afterwards the file may be another process's
            with contextlib.suppress(OSError):
                self._path.unlink()
        if self._handle is not None:
            os.close(self._handle)
        if remove and not CHANGES_OPEN_FILES:  # this fails while another process has the file open
            with contextlib.suppress(OSError):
                self._path.unlink()
        if self._soft is not None:
            self._soft.release()


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
    lock = take_lock(path)
    try:
        yield
    finally:
        lock.release()


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
    lock = take_lock(path)
    try:
        yield
    finally:
        lock.release(remove=True)


def take_lock(path: Path) -> Lock:
    """Take a lock without waiting; see ``locked``.

    A soft lock excludes locks of the system too, and the other way round, if the file system has both.

    Args:
        path: The lock file.

    Returns:
        The lock, which its ``release`` releases.

    Raises:
        OutputLocked: Another process holds the lock.
        OutputError: The file cannot be opened, or its file system has no locks.
        ConfigError: FERVID_LOCK is neither ``system`` nor ``soft``.
    """
    if _are_soft():
        soft = _take_soft(path)
        try:
            return Lock(path, _take_of_system(path, required=False), soft)
        except BaseException:
            soft.release()
            raise
    handle = _take_of_system(path, required=True)
    try:
        if os.path.lexists(_marker(path)):
            _take_soft(path).release()
    except BaseException:
        if handle is not None:
            os.close(handle)
        raise
    return Lock(path, handle, None)


def _take_of_system(path: Path, required: bool) -> int | None:
    """Take the lock of the system. Returns its descriptor; None if there is no such lock and it is not required."""
    while True:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | CLOSE_ON_EXEC | NO_FOLLOW, 0o600)
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
            if not required:
                return None
            advice = f"choose soft locks: `lock` soft for analyze, or {LOCK}=soft for every command"
            reason = f"{error.strerror or error}; if its file system has no locks, {advice}"
            raise OutputError(f"cannot lock {path}: {reason}") from error
        os.close(handle)  # its holder removed it between opening and locking: a lock on it excludes nobody


def _marker(path: Path) -> Path:
    """The file that is the soft lock of a lock file."""
    return path.with_name(path.name + SOFT)


def _take_soft(path: Path) -> SoftFileLock:
    """Take the soft lock. What a killed process of this machine left is taken over, with a message."""
    marker = _marker(path)
    left = _holder(marker)
    lock = SoftFileLock(marker, mode=0o600, thread_local=False)
    try:
        lock.acquire(timeout=TAKING_SECONDS)
    except Timeout:
        holder = _holder(marker) or "unknown"
        advice = f"if that process has ended, remove {marker}"
        raise OutputLocked(f"another run is writing this output (process {holder}); {advice}") from None
    except OSError as error:
        raise OutputError(f"cannot lock {path}: {error.strerror or error}") from error
    if left:
        _log.warning("took over the lock %s of process %s, which no longer holds it", marker, left)
    return lock


def _holder(marker: Path) -> str | None:
    """The process that a soft lock names, its machine, and since when; None if there is no soft lock that says so."""
    try:
        with marker.open(encoding="utf-8", errors="replace") as file:
            number, host = file.readline(20).strip(), file.readline(300).strip()
            since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(os.fstat(file.fileno()).st_mtime))
    except OSError:
        return None
    return f"{number} on {host.partition('?pidns')[0]} since {since}" if number and host else None


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
        locks, or none that can be relied on.
    """
    if not CHANGES_OPEN_FILES or _are_soft():
        return False
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDWR | CLOSE_ON_EXEC | NO_WAIT | NO_FOLLOW)
        try:
            return lock_descriptor(handle, blocking=False)
        finally:
            os.close(handle)
    return False
