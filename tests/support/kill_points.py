"""A process that ends itself by SIGKILL at its Nth change of the file system, before or after it.

    python -m tests.support.kill_points 0 -- fervid analyze videos --out results.parquet     # lists the changes
    python -m tests.support.kill_points 12 -- fervid analyze videos --out results.parquet    # kills before the 12th
    python -m tests.support.kill_points 12+ -- fervid analyze videos --out results.parquet   # kills after the 12th

What libraries written in C do by themselves, such as writing a Parquet file, is not counted; a kill before the next
change leaves it done.
"""

from __future__ import annotations

import builtins
import functools
import io
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHANGES = ("rename", "replace", "link", "symlink", "unlink", "remove", "rmdir", "mkdir", "fsync", "chmod", "truncate")
"""Functions of the module ``os`` that count; opening a file for writing counts too."""

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
"""Flags of ``os.open`` that make it count."""

NEW = "new "
"""Start of a line of the log; see ``KillPoints.compare``."""


@dataclass
class KillPoints:
    """Counts the changes below some folders, and kills this process at one of them.

    Attributes:
        roots: Only changes below these folders count.
        number: The change to end at, counted from 1; 0: none.
        after: Whether to end after this change rather than before it.
        log: File descriptor to which a line is written for each change; None: none.
        compare: Whether a further line names each kill that would leave other files than the kill before it: ``NEW``,
            the change, and ``+`` if it is the kill after the change.
    """

    roots: tuple[str, ...]
    number: int = 0
    after: bool = False
    log: int | None = None
    compare: bool = False
    count: int = 0
    _known: object = None

    def install(self) -> None:
        """Count from now on, in this process."""
        for name in CHANGES:
            setattr(os, name, self._counting(getattr(os, name), name, _any))
        os.open = self._counting(os.open, "open", _opens_for_writing)
        io.open = builtins.open = self._counting(io.open, "open", _writes)

    def _counting(self, original: Callable[..., Any], name: str, counts: Callable[..., bool]) -> Any:
        @functools.wraps(original)
        def call(*arguments: Any, **options: Any) -> Any:
            if not (counts(*arguments, **options) and self._is_below(where := _place(arguments, options))):
                return original(*arguments, **options)
            self.count += 1
            mine = self.count
            self._say(f"{mine} {name} {where}")
            self._say_if_new(f"{NEW}{mine}")
            if mine == self.number and not self.after:
                os.kill(os.getpid(), signal.SIGKILL)
            try:
                return original(*arguments, **options)
            finally:
                if mine == self.number:
                    os.kill(os.getpid(), signal.SIGKILL)
                self._say_if_new(f"{NEW}{mine}+")

        return call

    def _say(self, line: str) -> None:
        if self.log is not None:
            os.write(self.log, f"{line}\n".encode(errors="replace"))

    def _say_if_new(self, line: str) -> None:
        if self.compare and (state := self._state()) != self._known:
            self._known = state
            self._say(line)

    def _state(self) -> object:
        """What is known of the files without reading them."""
        return [
            (entry, found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns)
            for root in self.roots
            for folder, folders, files in os.walk(root)
            for entry in sorted(os.path.join(folder, name) for name in (*folders, *files))
            for found in (os.lstat(entry),)
        ]

    def _is_below(self, place: str) -> bool:
        return any(place == root or place.startswith(root.rstrip("/") + "/") for root in self.roots)


def _any(*_: Any, **__: Any) -> bool:
    return True


def _opens_for_writing(path: Any, flags: int, *_: Any, **__: Any) -> bool:
    return bool(flags & WRITES)


def _writes(file: Any, mode: str = "r", *_: Any, **__: Any) -> bool:
    return not isinstance(file, int) and any(sign in mode for sign in "wax+")


def _place(arguments: tuple[Any, ...], options: dict[str, Any]) -> str:
    """The absolute path that a call changes, of a rename the old one."""
    path, folder = arguments[0] if arguments else options.get("path", ""), options.get("dir_fd")
    try:
        if isinstance(path, int):
            return os.readlink(f"/proc/self/fd/{path}")
        start = os.getcwd() if folder is None else os.readlink(f"/proc/self/fd/{folder}")
        return os.path.normpath(os.path.join(start, os.fsdecode(path)))
    except OSError:
        return ""


def main() -> None:
    """Run a command line of fervid, counting."""
    if len(sys.argv) < 5 or sys.argv[2:4] != ["--", "fervid"]:
        raise SystemExit(__doc__)
    from fervid.cli.main import main as run

    number, words = sys.argv[1], sys.argv[3:]
    roots = tuple(str(Path(place).resolve()) for place in (os.getcwd(), "/tmp"))
    KillPoints(roots, int(number.rstrip("+")), number.endswith("+"), 2 if number == "0" else None).install()
    sys.argv = words
    run()


if __name__ == "__main__":
    main()
