"""SIGINT, SIGTERM and, on Windows, Ctrl-Break.

This module imports nothing heavy, because it is loaded before everything else.
"""

from __future__ import annotations

import signal
import sys

from fervid.runtime.platform import ENDING, INTERRUPTING, interrupt_later, reset_after_first

REPEAT = 0.05
"""Seconds after which a signal that the interpreter ignored is sent again."""


class Interrupted(BaseException):
    """A signal that asks the process to end. It is not KeyboardInterrupt, which Typer would handle itself."""


def handle_signals() -> None:
    """Let signals that ask the process to end raise Interrupted, and a second signal end the process by that signal."""
    for number in INTERRUPTING:
        signal.signal(number, _interrupt)
    for number in ENDING:
        reset_after_first(number)
    sys.unraisablehook = _unraisable


def _interrupt(number: int, _: object) -> None:
    """Raise an exception, so that the process cleans up and ends. A second signal ends it immediately."""
    for one in ENDING:
        signal.signal(one, signal.SIG_DFL)
    raise Interrupted


def _unraisable(ignored: sys.UnraisableHookArgs) -> None:
    """Send a signal again that arrived in a callback, where the interpreter ignores exceptions."""
    if issubclass(ignored.exc_type, Interrupted):
        interrupt_later(_interrupt, REPEAT)
    else:
        sys.__unraisablehook__(ignored)
