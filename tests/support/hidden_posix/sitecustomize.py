"""Hides what only POSIX systems have from every interpreter whose PYTHONPATH holds this folder: a stand-in for Windows.

Hidden are modules, /proc, /sys and /dev, ``prctl``, and names of ``os`` and ``signal``. Libraries written in C still
have all of it, and paths and files still behave as on this system.
"""

from __future__ import annotations

import builtins
import ctypes
import importlib.abc
import io
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn

MODULES = ("fcntl", "grp", "pwd", "resource")

FOLDERS = ("/proc", "/sys", "/dev/nvidia", "/dev/dxg", "/dev/kfd")

NAMES = {
    os: ("O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK", "geteuid", "getuid", "sched_getaffinity"),
    signal: ("SIGALRM", "setitimer", "pthread_sigmask"),
}


class Hidden(importlib.abc.MetaPathFinder):
    """Finds no module of MODULES."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> None:
        """See MetaPathFinder."""
        if name in MODULES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def _guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any, **options: Any) -> Any:
        path = arguments[0] if arguments else None
        if isinstance(path, (str, os.PathLike)) and str(path).startswith(FOLDERS):
            raise FileNotFoundError(2, "No such file or directory", str(path))
        return function(*arguments, **options)

    return call


def _no_prctl(_: ctypes.CDLL, name: str) -> Any:
    if name == "prctl":
        raise AttributeError(name)
    return _function(_, name)


def fork() -> NoReturn:
    """Replaces ``os.fork``."""
    raise AssertionError("fork was called")


_function = ctypes.CDLL.__getattr__
ctypes.CDLL.__getattr__ = _no_prctl  # type: ignore[method-assign]
sys.meta_path.insert(0, Hidden())
for module in MODULES:
    sys.modules.pop(module, None)
for owner, names in NAMES.items():
    for name in names:
        if hasattr(owner, name):
            delattr(owner, name)
for name in ("open", "stat", "lstat", "listdir", "scandir", "readlink"):
    setattr(os, name, _guarded(getattr(os, name)))
io.open = builtins.open = _guarded(io.open)
os.fork = fork
