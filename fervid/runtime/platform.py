"""Calls of the operating system that not every system has. Where one is missing, nothing happens."""

from __future__ import annotations

import contextlib
import signal
import weakref
from typing import Any

MIN_LIMITS = (
    ("STACK", "the stack", "s", 512 << 10, "kB", 10),
    ("NOFILE", "the number of open files", "n", 64, "", 0),
    ("AS", "the address space", "v", 2 << 30, "MB", 20),
    ("DATA", "the memory of a process", "d", 512 << 20, "MB", 20),
)
"""Limits below which fervid or a library that it loads fails or crashes: the name in ``resource``, what is limited, the
option of ``ulimit``, the least value, and the unit in which to name it, as a power of two."""

LOST_MEMORY = ("failed to map segment", "cannot allocate memory", "can't start new thread")
"""Parts of the messages of errors that a lack of memory or processes causes, in small letters."""


def low_limit() -> str | None:
    """Find a limit of this process that is too low for fervid.

    Returns:
        What to tell the user, as one line; None if all limits are high enough, or the system has none.
    """
    try:
        import resource
    except ImportError:
        return None
    for name, limited, option, least, unit, power in MIN_LIMITS:
        limit = getattr(resource, f"RLIMIT_{name}", None)
        value = resource.RLIM_INFINITY if limit is None else resource.getrlimit(limit)[0]
        if value != resource.RLIM_INFINITY and value < least:
            needed, given = (f"{one >> power} {unit}".rstrip() for one in (least, value))
            raised = least if name == "NOFILE" else least >> 10
            return (
                f"{limited} is limited to {given}, and fervid needs {needed}; raise the limit: "
                f"ulimit -{option} {raised} (or more, or unlimited)"
            )
    return None


def is_lack_of_memory(error: BaseException) -> bool:
    """Whether an error of a library means that the limits or the memory of the machine are too low.

    Args:
        error: The error, such as an ImportError of a library that could not be mapped into memory.

    Returns:
        True if its message, or that of a cause, says so.
    """
    seen: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in seen:
        if isinstance(link, MemoryError) or any(text in str(link).lower() for text in LOST_MEMORY):
            return True
        seen.append(link)
        link = link.__cause__ or link.__context__
    return False


_ONCE: weakref.WeakSet[Any] = weakref.WeakSet()
"""Handlers after whose first signal a second one ends the process."""


def ends_at_second(handler: object) -> bool:
    """Whether a second signal ends the process, as ``reset_after_first`` arranged.

    Args:
        handler: A handler, as ``signal.getsignal`` returns it.

    Returns:
        True if it was the handler of a signal for which ``reset_after_first`` was called.
    """
    return any(handler is one for one in _ONCE)


def reset_after_first(number: signal.Signals) -> None:
    """Let the second signal of a kind end the process at once, even if the first has not been handled yet.

    Python calls a handler only between two of its own instructions. While a library works, a second signal would wait
    as the first one does. ``signal.signal`` must have set the handler before; it undoes this when it is called again.

    Args:
        number: The signal.
    """
    if not ends_at_second(signal.getsignal(number)):
        _ONCE.add(signal.getsignal(number))
    with contextlib.suppress(ImportError, AttributeError, OSError, TypeError):
        import ctypes

        libc = ctypes.CDLL(None)
        install, install_once = libc.signal, libc.sysv_signal
        for function in (install, install_once):
            function.argtypes, function.restype = (ctypes.c_int, ctypes.c_void_p), ctypes.c_void_p
        handler = install(number, None)  # None: the default action; the answer is the handler that Python installed
        install_once(number, handler)
