"""The package uses nothing that only some systems have, except in runtime/platform.py, and states every encoding.

A run in which such things are hidden must give the tables of an ordinary run. Its workers start by spawn.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import fervid
from tests.support import hidden_posix
from tests.support.clips import beginning
from tests.support.comparison import assert_identical
from tests.support.imports import FILES, PACKAGE
from tests.support.paths import ROOT, SAMPLES
from tests.support.replay import replaying

HOME = PACKAGE / "runtime" / "platform.py"
"""The one module that may."""

MODULES = {"fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "posix", "syslog", "readline", "curses", "spwd"}
"""Modules that Windows does not have."""

NAMES = {
    "os": """O_CLOEXEC O_DIRECTORY O_NOFOLLOW O_NONBLOCK O_PATH O_SYNC O_TMPFILE WNOHANG chflags chown chroot confstr
        copy_file_range ctermid fchdir fchmod fchown fdatasync fork forkpty fpathconf getegid geteuid getgid getgroups
        getloadavg getpgid getpgrp getpriority getresuid getsid getuid getxattr kill killpg lchown listxattr lockf major
        memfd_create mkfifo mknod nice openpty pathconf pidfd_open pipe2 posix_fadvise posix_fallocate posix_spawn pread
        preadv pwrite pwritev sched_getaffinity sched_setaffinity sched_yield sendfile setegid seteuid setgid setpgid
        setpriority setsid setuid setxattr splice statvfs sync sysconf tcgetpgrp ttyname uname wait wait3 wait4
        waitid""",
    "signal": """ITIMER_REAL SIGALRM SIGCHLD SIGCONT SIGHUP SIGKILL SIGPIPE SIGQUIT SIGSTOP SIGUSR1 SIGUSR2 SIGWINCH
        SIG_BLOCK SIG_SETMASK SIG_UNBLOCK alarm pause pthread_kill pthread_sigmask set_wakeup_fd setitimer sigwait
        siginterrupt sigtimedwait""",
    "select": "poll epoll kqueue",
    "socket": "AF_UNIX socketpair send_fds recv_fds",
    "time": "tzset clock_settime pthread_getcpuclockid",
    "ctypes": "CDLL",
}
"""Names that a module does not have on Windows. ``os.kill`` exists there, and ends the process."""

FOLDERS = ("/proc", "/sys/", "/dev/", "/tmp", "/var/", "/etc/")

OPENING = {"open": 0, "fdopen": 1, "read_text": None, "write_text": None, "TextIOWrapper": None}
"""Methods that open a text, and the place of the argument that may say that a file is binary; None: there is none."""

OTHERS = {"os", "av", "Image", "webbrowser", "self"}
"""What has a function ``open`` that opens no text."""


def faults(path: Path) -> Iterator[str]:
    """What a file uses that not every system has, and where it leaves an encoding to the system."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documentation = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        where = f"{path.name}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Import):
            yield from (f"{where} imports {one.name}" for one in node.names if one.name.split(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom):
            if (node.module or "").split(".")[0] in MODULES:
                yield f"{where} imports {node.module}"
            yield from (
                f"{where} imports {one.name}" for one in node.names if one.name in NAMES.get(str(node.module), ())
            )
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if _is_rare(node.value.id, node.attr):
                yield f"{where} uses {node.value.id}.{node.attr}"
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            if node.value.startswith(FOLDERS):
                yield f"{where} names {node.value}"
        elif isinstance(node, ast.Call) and _opens_text(node):
            yield f"{where} states no encoding"


def _is_rare(module: str | None, name: str) -> bool:
    return name in NAMES.get(module or "", "").split()


def _opens_text(call: ast.Call) -> bool:
    """Whether a call opens a text and does not state its encoding."""
    if isinstance(call.func, ast.Name):
        place: int | None = 1
        if call.func.id != "open":
            return False
    elif isinstance(call.func, ast.Attribute) and call.func.attr in OPENING:
        place = OPENING[call.func.attr]
        if call.func.attr == "open" and isinstance(call.func.value, ast.Name) and call.func.value.id in OTHERS:
            return False
    else:
        return False
    modes = [keyword.value for keyword in call.keywords if keyword.arg == "mode"]
    modes += [] if place is None else call.args[place : place + 1]
    binary = any(isinstance(mode, ast.Constant) and "b" in str(mode.value) for mode in modes)
    return not binary and not any(keyword.arg == "encoding" for keyword in call.keywords)


@pytest.mark.parametrize(
    ("code", "count"),
    [
        ("import fcntl", 1),
        ("def f():\n    from resource import getrlimit", 1),
        ("import os\nos.fork(), os.O_NOFOLLOW, os.kill(1, 0)", 3),
        ("from signal import SIGALRM, SIGTERM", 1),
        ("x = '/proc/self/status'", 1),
        ('"""Reads /proc."""\n\n\ndef f():\n    """/proc"""', 0),
        ("open('x'), path.open('w'), path.read_text(), path.write_text('b')", 4),
        ("open('x', 'rb'), path.open('wb'), path.read_text(encoding='utf-8'), os.open('x', 0), av.open('x')", 0),
        ("os.fdopen(1, 'w'), os.fdopen(1, 'wb')", 1),
        ("import os\nos.replace('a', 'b'), os.getpid(), os.name", 0),
    ],
)
def test_this_test_sees_faults(tmp_path: Path, code: str, count: int) -> None:
    (tmp_path / "x.py").write_text(code, encoding="utf-8")
    assert len(list(faults(tmp_path / "x.py"))) == count


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).with_suffix("").as_posix())
def test_only_one_module_uses_what_not_every_system_has(path: Path) -> None:
    found = list(faults(path))
    if path == HOME:
        assert found
        assert not [fault for fault in found if "encoding" in fault]
    else:
        assert not found


HIDDEN = """
import importlib, os, signal
for name in ("fcntl", "resource", "pwd"):
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        continue
    raise SystemExit(f"{name} can be imported")
assert not os.path.exists("/proc/self") and not hasattr(signal, "SIGALRM")
"""


def test_a_run_needs_nothing_that_only_posix_has(tmp_path: Path) -> None:
    for name in ("cut.mp4", "crossing.mp4"):
        (tmp_path / "videos").mkdir(exist_ok=True)
        beginning(SAMPLES / name, tmp_path / "videos" / name, 1.0)
    environment = os.environ | {"FERVID_START_METHOD": "spawn", "FERVID_LOCK": "soft"}
    environment["PYTHONPATH"] = os.pathsep.join([str(Path(hidden_posix.__path__[0])), str(ROOT)])
    subprocess.run([sys.executable, "-c", HIDDEN], check=True, env=environment)
    line = [sys.executable, "-m", "fervid", "analyze", str(tmp_path / "videos"), "--fps", "2", "--workers", "1"]
    done = subprocess.run(
        [*line, "--out", str(tmp_path / "hidden.parquet")], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    with replaying():
        fervid.analyze(tmp_path / "videos", tmp_path / "usual.parquet", fps=2)
    hidden, usual = (fervid.read_results(tmp_path / f"{name}.parquet") for name in ("hidden", "usual"))
    assert len(usual.summary) > 1
    assert_identical(hidden, usual)
