"""Times and durations as text."""

from __future__ import annotations

import math


def clock(seconds: float) -> str:
    """Write a time as video players do.

    Args:
        seconds: Time in seconds; negative times count as 0.

    Returns:
        Minutes and whole seconds, such as ``1:15``, or hours as well, such as ``1:02:05``.
    """
    whole = max(0, math.floor(seconds))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def duration_text(seconds: float) -> str:
    """Write a duration with units.

    Args:
        seconds: Duration in seconds.

    Returns:
        Text such as ``4.2 s``, ``2 min 47 s`` or ``3 h 5 min``.
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
