"""Calls of the operating system that not every system has. Where one is missing, nothing happens."""

from __future__ import annotations

import contextlib
import signal


def reset_after_first(number: signal.Signals) -> None:
    """Let the second signal of a kind end the process at once, even if the first has not been handled yet.

    Python calls a handler only between two of its own instructions. While a library works, a second signal would wait
    as the first one does. ``signal.signal`` must have set the handler before; it undoes this when it is called again.

    Args:
        number: The signal.
    """
    with contextlib.suppress(ImportError, AttributeError, OSError, TypeError):
        import ctypes

        libc = ctypes.CDLL(None)
        install, install_once = libc.signal, libc.sysv_signal
        for function in (install, install_once):
            function.argtypes, function.restype = (ctypes.c_int, ctypes.c_void_p), ctypes.c_void_p
        handler = install(number, None)  # None: the default action; the answer is the handler that Python installed
        install_once(number, handler)
