"""Who holds the lock of a folder, for people who ask. Only the lock itself excludes other processes."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from fervid.files.locks import is_abandoned
from fervid.files.private_folder import remove_damaged
from fervid.runtime.platform import may_be_alive

HOLDER_FILE, LOCK_FILE = "holder.json", "lock"
"""Names of the files in a locked folder: who holds the lock, and the lock."""

_LARGEST = 1 << 12
"""Bytes of the file of a holder that are read."""


@dataclass(frozen=True)
class Holder:
    """The process that holds a lock.

    Attributes:
        pid: Its number; None if it is not known.
        host: The name of its machine; None if it is not known.
        since: When it took the lock, ISO 8601; None if it is not known.
    """

    pid: int | None = None
    host: str | None = None
    since: str | None = None


def write_holder(folder: Path) -> None:
    """Note that this process holds the lock of a folder. What cannot be written is left out: it is only for people.

    Args:
        folder: The locked folder.
    """
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    place = folder / HOLDER_FILE
    remove_damaged(place)  # a killed process left it, or it is a link
    with contextlib.suppress(OSError):
        place.write_text(json.dumps(asdict(Holder(os.getpid(), socket.gethostname(), now))), encoding="utf-8")


def remove_holder(folder: Path) -> None:
    """Remove what ``write_holder`` wrote, before the lock is released.

    Args:
        folder: The locked folder. If it was removed and another process has made it again, its note stays.
    """
    if _read(folder / HOLDER_FILE).pid == os.getpid():
        remove_damaged(folder / HOLDER_FILE)


def find_holder(folder: Path) -> Holder | None:
    """Find out which process holds the lock of a folder.

    The lock is tried only if there is a note of a process that may be alive, because trying takes it for a moment, in
    which a run that starts would find it taken.

    Args:
        folder: The folder; it need not exist.

    Returns:
        The process; its attributes are None if its note is damaged. None if no process holds the lock.
    """
    place = folder / HOLDER_FILE
    if not os.path.lexists(place):
        return None
    found = _read(place)
    has_ended = found.pid is not None and found.host == socket.gethostname() and not may_be_alive(found.pid)
    return None if has_ended or _is_free(folder / LOCK_FILE) else found


def _read(place: Path) -> Holder:
    """The process in a note; its attributes are None if the note is absent or damaged."""
    with contextlib.suppress(OSError, ValueError, TypeError, RecursionError):
        if place.is_file() and not place.is_symlink() and place.stat().st_size <= _LARGEST:
            found = json.loads(place.read_text(encoding="utf-8"))
            pid, host, since = found["pid"], found["host"], found["since"]
            if isinstance(pid, int) and isinstance(host, str) and isinstance(since, str):
                return Holder(pid, host, since)
    return Holder()


def _is_free(lock: Path) -> bool:
    """Whether it is certain that nobody holds a lock."""
    return not lock.is_file() or is_abandoned(lock)
