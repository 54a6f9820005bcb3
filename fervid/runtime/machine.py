"""Cores and memory of this machine, or of the container or job in which this process runs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


def usable_cores() -> int:
    """Count the cores that this process may use.

    Returns:
        The number of cores, at least 1.
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def total_memory() -> int:
    """Find out how much memory this machine has, or the container or job in which this process runs.

    Returns:
        Bytes.
    """
    return min([os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *_cgroup_limits()])


def _cgroup_limits() -> Iterator[int]:
    """Memory limits of the Linux control groups (versions 1 and 2) of this process, in bytes."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "memory" not in controllers.split(","):
                continue
            base = Path("/sys/fs/cgroup/memory" if controllers else "/sys/fs/cgroup")
            name = "memory.limit_in_bytes" if controllers else "memory.max"
            group = base / path.lstrip("/")
            for place in (group, *group.parents):
                with contextlib.suppress(OSError, ValueError):  # ValueError: the limit is "max", which means none
                    yield int((place / name).read_text())
