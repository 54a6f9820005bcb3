"""Runs a Python program whose file systems have no locks: the system call ``flock`` fails.

    python -m tests.support.no_flock -m fervid analyze videos --out results.parquet

A filter of the kernel (seccomp) refuses the call, in the program and in all processes that it starts.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import sys

FLOCK = {"x86_64": 73, "aarch64": 32}
"""Number of the system call on each machine."""

IS_POSSIBLE = sys.platform == "linux" and platform.machine() in FLOCK
"""Whether this system can do so."""

_NO_NEW_PRIVILEGES, _SET_SECCOMP, _FILTER = 38, 22, 2


class _Instruction(ctypes.Structure):
    _fields_ = [
        ("code", ctypes.c_ushort),
        ("if_true", ctypes.c_ubyte),
        ("if_false", ctypes.c_ubyte),
        ("value", ctypes.c_uint),
    ]


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.POINTER(_Instruction))]


def refuse_flock() -> None:
    """Let ``flock`` fail with ENOLCK from now on, in this process and its children."""
    instructions = (_Instruction * 4)(
        _Instruction(0x20, 0, 0, 0),  # load the number of the system call
        _Instruction(0x15, 0, 1, FLOCK[platform.machine()]),  # is it flock?
        _Instruction(0x06, 0, 0, 0x00050000 | errno.ENOLCK),  # then fail with this number
        _Instruction(0x06, 0, 0, 0x7FFF0000),  # otherwise allow it
    )
    libc = ctypes.CDLL(None, use_errno=True)
    program = _Program(4, instructions)
    if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) or libc.prctl(_SET_SECCOMP, _FILTER, ctypes.byref(program)):
        raise OSError(ctypes.get_errno(), "the kernel refuses the filter")


if __name__ == "__main__":
    refuse_flock()
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
