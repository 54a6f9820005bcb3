"""Cores and memory of this machine, or of the container or job in which this process runs."""

from __future__ import annotations

import math

from fervid.runtime.platform import core_quotas, granted_cores, memory_limits, physical_memory


def usable_cores() -> int:
    """Count the cores that this process may use.

    Returns:
        The number of cores, at least 1. A part of a core, which a control group may allow, counts as one.
    """
    return max(1, min([granted_cores(), *map(math.ceil, core_quotas())]))


def total_memory() -> int:
    """Find out how much memory this machine has, or the container or job in which this process runs.

    Returns:
        Bytes.
    """
    return min([physical_memory(), *memory_limits()])
