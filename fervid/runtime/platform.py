"""What not every operating system has. No other module uses such calls; ``tests/test_portable.py`` checks this.

Where a call is missing, its purpose is met in another way, or the function does nothing and says so. This module is
loaded before everything else, so it imports nothing heavy.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fervid.errors import ConfigError

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


# signals


def _signals(*names: str) -> tuple[signal.Signals, ...]:
    """Those of the signals that this system has."""
    return tuple(getattr(signal, name) for name in names if hasattr(signal, name))


ENDING = _signals("SIGINT", "SIGTERM", "SIGBREAK")
"""Signals that ask a process to end: Ctrl-C, a request of the system, and Ctrl-Break on Windows."""

INTERRUPTING = ENDING + _signals("SIGALRM")
"""Signals whose handlers may raise an exception. ``interrupt_later`` sends the last one."""


def interrupt_later(handler: Callable[[int, Any], None], seconds: float) -> None:
    """Call a handler of signals once more, in the main thread.

    Args:
        handler: The handler of all signals in INTERRUPTING.
        seconds: How much later.
    """
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)
        return
    import _thread
    import threading

    with contextlib.suppress(ValueError):  # not the main thread, where the handler was not replaced
        signal.signal(signal.SIGINT, handler)
    timer = threading.Timer(seconds, _thread.interrupt_main)
    timer.daemon = True
    timer.start()


@contextlib.contextmanager
def blocked_interrupt() -> Iterator[None]:
    """Block SIGINT in this thread while processes and threads start, which inherit this.

    Yields:
        Nothing.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # before SIGINT is blocked, because this unblocks it
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


# processes

START_METHOD = "FERVID_START_METHOD"
"""Environment variable that chooses how worker processes start: ``forkserver`` or ``spawn``."""

SOCKET_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")
"""Folders for the socket of the fork server if the path of the usual one is too long."""

_LONGEST_SOCKET_FOLDER = 104 - len("/pymp-12345678/listener-12345678") - 1
"""Characters of the longest folder in which the path of a socket fits: 104 bytes on macOS, 108 on Linux."""

_PR_SET_PDEATHSIG = 1


def start_method() -> str:
    """Choose how worker processes start.

    Returns:
        ``forkserver`` on Linux, which is faster; elsewhere ``spawn``. On macOS system libraries do not survive a fork.
        FERVID_START_METHOD overrides this.

    Raises:
        ConfigError: FERVID_START_METHOD names another method, or one that this system does not have.
    """
    import multiprocessing

    possible = {"forkserver", "spawn"}.intersection(multiprocessing.get_all_start_methods())
    if chosen := os.environ.get(START_METHOD):
        if chosen not in possible:
            raise ConfigError(f"{START_METHOD} must be {' or '.join(sorted(possible))} on this system, not {chosen!r}")
        return chosen
    return "forkserver" if sys.platform == "linux" and "forkserver" in possible and _socket_fits() else "spawn"


def _socket_fits() -> bool:
    """Choose a folder for sockets that is short enough. Returns whether there is one."""
    import tempfile
    from multiprocessing import process, util

    used: str | None = process.current_process()._config.get("tempdir")  # type: ignore[attr-defined]
    usual = tempfile.gettempdir() if used is None else os.path.dirname(used)
    if len(os.fsencode(usual)) <= _LONGEST_SOCKET_FOLDER:
        return True
    for folder in SOCKET_FOLDERS if used is None else ():
        before, tempfile.tempdir = tempfile.tempdir, folder
        try:
            util.get_temp_dir()  # makes a private folder, which multiprocessing uses from now on and removes at the end
        except OSError:
            continue
        else:
            return True
        finally:
            tempfile.tempdir = before
    return False


def die_with_parent() -> None:
    """Arrange that this worker process ends when the process that started it does, even if that one is killed."""
    with contextlib.suppress(ImportError, OSError, AttributeError, TypeError):
        import ctypes

        if ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) == 0:
            return
    import multiprocessing
    import threading

    if parent := multiprocessing.parent_process():
        threading.Thread(target=_end_after, args=(parent.sentinel,), name="fervid-parent", daemon=True).start()


def _end_after(sentinel: int) -> None:
    """Wait until the pipe to the parent is closed, and end this process."""
    from multiprocessing import connection

    connection.wait([sentinel])
    os._exit(1)


def prefer_as_victim() -> None:
    """Let the system kill this process before others if memory runs out. Linux only."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def limit_memory(memory: int) -> None:
    """Limit the memory of this process. Does nothing where the system has no such limit.

    Args:
        memory: Bytes.
    """
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (memory, resource.getrlimit(resource.RLIMIT_DATA)[1]))


def return_memory() -> None:
    """Return memory that this process has freed to the system. Does nothing where the system does so by itself."""
    with contextlib.suppress(ImportError, OSError, AttributeError, TypeError):
        import ctypes

        ctypes.CDLL(None).malloc_trim(0)


@contextlib.contextmanager
def limited_memory(memory: int) -> Iterator[None]:
    """Limit the memory of this process during the block; see ``limit_memory``.

    Args:
        memory: Bytes.

    Yields:
        Nothing.
    """
    try:
        import resource
    except ImportError:
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_DATA)
    limit_memory(memory)
    try:
        yield
    finally:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_DATA, before)


# files

CLOSE_ON_EXEC = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOINHERIT", 0)
"""Flag of ``os.open``: programs that this process starts do not inherit the file."""

NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
"""Flag of ``os.open`` that refuses symbolic links; 0 where the system has no such flag."""

NO_WAIT = getattr(os, "O_NONBLOCK", 0)
"""Flag of ``os.open`` that does not wait for the other end of a pipe; 0 where the system has no such flag."""

CHANGES_OPEN_FILES = os.name != "nt"
"""Whether a file can be renamed, replaced and removed while a process has it open, and locks bind only those who ask
for them. On Windows they keep others from reading and writing."""

HAS_OWNERS = hasattr(os, "geteuid")
"""Whether the permissions of a file say who may use it. On Windows they do not."""

UTF8_STREAMS = os.name != "nt"
"""Whether what a process writes to stderr is UTF-8. A Windows console receives text through Python's own stream."""

LONGEST_PATH = 240 if os.name == "nt" else None
"""Characters of the longest path that all programs can open; None: the system has no such limit. Windows allows 260, of
which temporary names need a part."""

FORBIDDEN = "".join(map(chr, range(32))) + '<>:"/\\|?*'
"""Characters that Windows does not allow in file names."""

RESERVED = {"con", "prn", "aux", "nul", "conin$", "conout$"} | {
    f"{port}{number}" for port in ("com", "lpt") for number in "0123456789\u00b9\u00b2\u00b3"
}
"""Names of devices, in lower case, which Windows does not allow as file names, whatever their ending."""


def may_be_alive(pid: int) -> bool:
    """Whether a process of this machine may be alive.

    Args:
        pid: Its number.

    Returns:
        False if it is certain that there is no such process.
    """
    if os.name == "nt":  # there os.kill ends the process, or sends it Ctrl-C
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # it belongs to another user
        return True
    return True


def belongs_to_other(status: os.stat_result) -> bool:
    """Check the owner of a file.

    Args:
        status: What ``os.stat`` says about it.

    Returns:
        Whether another user owns it; False where the system does not tell.
    """
    return HAS_OWNERS and status.st_uid != os.geteuid()


def allowed_name(part: str, windows: bool = os.name == "nt") -> str:
    """Change a name so that the system allows it.

    Args:
        part: Name of a file or folder, without slashes.
        windows: Whether the rules of Windows hold.

    Returns:
        The name. On Windows forbidden characters and a dot or space at the end become ``_``, and names of devices get
        one. Elsewhere the name stays as it is.
    """
    if not windows:
        return part
    part = "".join("_" if sign in FORBIDDEN else sign for sign in part)
    if part[-1:] in (".", " "):
        part = f"{part[:-1]}_"
    start, dot, rest = part.partition(".")
    return f"{start}_{dot}{rest}" if start.rstrip(" ").lower() in RESERVED else part


# the machine

CONTROL_GROUPS = Path("/sys/fs/cgroup")
"""Where Linux shows the limits of control groups."""

OWN_GROUPS = Path("/proc/self/cgroup")
"""Where Linux shows the control groups of this process."""

GPU_DRIVERS = ("/proc/driver/nvidia", "/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
"""Files of the GPU drivers that TensorFlow may use: NVIDIA's, the same under Windows, AMD's."""


def gpu_driver() -> str | None:
    """Find a GPU driver that TensorFlow may use.

    Returns:
        A file of the driver; None if there is none.
    """
    return next((place for place in GPU_DRIVERS if os.path.exists(place)), None)


def granted_cores() -> int:
    """Count the cores on which the system lets this process run.

    Returns:
        The number of cores, at least 1. Quotas of control groups are not counted.
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def physical_memory() -> int:
    """Find out how much memory the machine has.

    Returns:
        Bytes.
    """
    if hasattr(os, "sysconf"):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    import psutil  # installed on Windows only

    return int(psutil.virtual_memory().total)


def memory_limits() -> Iterator[int]:
    """Read the memory limits of the Linux control groups (versions 1 and 2) of this process.

    Yields:
        Bytes, once for each group and each group above it that has a limit.
    """
    for group, version in _own_groups("memory"):
        with contextlib.suppress(OSError, ValueError):  # ValueError: the limit is "max", which means none
            name = "memory.limit_in_bytes" if version == 1 else "memory.max"
            yield int((group / name).read_text(encoding="ascii"))


def core_quotas() -> Iterator[float]:
    """Read how many cores' time the Linux control groups (versions 1 and 2) of this process allow.

    Yields:
        Cores, such as 0.5, once for each group and each group above it that has a quota.
    """
    for group, version in _own_groups("cpu"):
        with contextlib.suppress(OSError, ValueError):  # ValueError: the quota is "max", which means none
            names = ("cpu.cfs_quota_us", "cpu.cfs_period_us") if version == 1 else ("cpu.max",)
            quota, period = (int(one) for name in names for one in (group / name).read_text(encoding="ascii").split())
            if quota > 0 and period > 0:  # -1 means none
                yield quota / period


def _own_groups(controller: str) -> Iterator[tuple[Path, int]]:
    """The folders of the control groups of this process, and those above them, with the version of each.

    In a container the path of a group may be the one that the host sees. Then only the folders above it exist.
    """
    with contextlib.suppress(OSError, ValueError):
        for line in OWN_GROUPS.read_text(encoding="utf-8").splitlines():
            _, controllers, place = line.split(":", 2)
            if not controllers:
                bases, version = (CONTROL_GROUPS, CONTROL_GROUPS / "unified"), 2
            elif controller in controllers.split(","):
                bases, version = (CONTROL_GROUPS / controller, CONTROL_GROUPS / controllers), 1
            else:
                continue
            for base in dict.fromkeys(bases):
                group = base / place.lstrip("/")
                yield group, version
                yield from ((above, version) for above in group.parents if above.is_relative_to(base))
