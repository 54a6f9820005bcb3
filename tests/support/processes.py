"""Other processes: which are alive, and waiting for conditions."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

PATIENCE = 120.0
"""Seconds after which something that should happen counts as not happening."""


def wait_for(condition: Callable[[], bool], complaint: str) -> None:
    """Return as soon as ``condition`` holds; AssertionError with the complaint if it never does."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, complaint
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Whether a process runs."""
    return any(found == pid and state != "Z" for found, (state, _, _) in _processes())


def members(session: int) -> list[int]:
    """The living processes of a session."""
    return [pid for pid, (state, _, found) in _processes() if found == session and state != "Z"]


def children(parent: int) -> list[int]:
    """The processes with this parent."""
    return [pid for pid, (_, found, _) in _processes() if found == parent]


def _processes() -> list[tuple[int, tuple[str, int, int]]]:
    """Process id → state, parent and session."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                found.append((int(entry.name), (fields[0], int(fields[1]), int(fields[3]))))
    return found
