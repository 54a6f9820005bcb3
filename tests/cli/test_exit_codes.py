"""The exit codes of the table, and no others: whatever reads the output, and whenever a signal arrives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fervid.cli.main import NO_MEMORY
from fervid.errors import MissingLibrary
from tests.support.clips import at_rate, face_clip
from tests.support.command import command
from tests.support.paths import ROOT
from tests.support.processes import wait_for

FERVID = [sys.executable, "-m", "fervid"]

SLOW_START = """
import sys, time
class Slow:
    def find_spec(self, name, *_):
        if name == "fervid.cli.main":
            print("ready", flush=True)
            time.sleep(60)
sys.meta_path.insert(0, Slow())
sys.argv = ["fervid", "--version"]
from fervid.__main__ import main
main()
"""

BLOCKED = """
import ctypes
from fervid.cli.signals import handle_signals
handle_signals()
print("ready", flush=True)
mutex = ctypes.create_string_buffer(256)
for _ in range(2):  # the second time, it waits for itself
    ctypes.PyDLL(None).pthread_mutex_lock(mutex)
"""

HELD = """
import time
from fervid.batch.engines.base import hold_signals
from fervid.cli.signals import handle_signals
handle_signals()
with hold_signals():
    print("ready", flush=True)
    time.sleep(120)
"""

HELD_AND_BLOCKED = BLOCKED.replace("handle_signals()\n", "handle_signals()\nhold = hold_signals(); hold.__enter__()\n")
HELD_AND_BLOCKED = "from fervid.batch.engines.base import hold_signals\n" + HELD_AND_BLOCKED

BLOCKED_AFTERWARDS = BLOCKED.replace("handle_signals()\n", "handle_signals()\nwith hold_signals(): pass\n")
BLOCKED_AFTERWARDS = "from fervid.batch.engines.base import hold_signals\n" + BLOCKED_AFTERWARDS


@pytest.mark.parametrize(
    ("line", "reader"),
    [
        ("--version", "closed"),
        ("--help", "full"),
        ("analyze --help", "closed"),
        ("analyze . --out r.csv --dry-run", "full"),
        pytest.param("--version", "full", marks=pytest.mark.slow),
        pytest.param("--help", "closed", marks=pytest.mark.slow),
        pytest.param("analyze --help", "full", marks=pytest.mark.slow),
        pytest.param("analyze . --out r.csv --dry-run", "closed", marks=pytest.mark.slow),
    ],
)
def test_an_answer_that_nobody_can_read_is_an_output_error(line: str, reader: str, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    read, write = os.pipe()
    os.close(read)
    if reader == "full":
        os.close(write)
        write = os.open("/dev/full", os.O_WRONLY)
    done = subprocess.run(
        [*FERVID, *line.split()], stdout=write, stderr=subprocess.PIPE, text=True, check=False, cwd=tmp_path
    )
    os.close(write)
    last = done.stderr.splitlines()[-1]
    assert (done.returncode, last.startswith("fervid: ")) == (5, True), done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize("words", [["analyze", "none", "--out", "r.csv"], ["nothing"], []])
def test_messages_that_nobody_can_read_change_no_exit_code(words: list[str], tmp_path: Path) -> None:
    for target in ("closed", "full"):
        read, write = os.pipe()
        os.close(read)
        file = write if target == "closed" else os.open("/dev/full", os.O_WRONLY)
        assert subprocess.run([*FERVID, *words], stderr=file, check=False, cwd=tmp_path).returncode == 2
        os.close(write)


@pytest.mark.parametrize(
    "words", ["", "nothing", "--nothing", "analyze", "analyze x --out", "info x", "analyze x --fps"]
)
def test_what_cannot_be_parsed_is_wrong_usage(words: str) -> None:
    done = command(*words.split())
    assert done.returncode == 2
    if words:
        assert done.stderr.startswith("fervid: ")
        assert len(done.stderr.splitlines()) == 1


def test_a_defect_is_an_error_with_and_without_its_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("wrong")

    monkeypatch.setattr("fervid.results.merge.merge", fail)
    for wanted, lines in (("", 1), ("1", 5)):
        monkeypatch.setenv("FERVID_TRACEBACK", wanted)
        done = command("merge", "a", "--out", tmp_path / "b.parquet")
        assert (done.returncode, len(done.stderr.splitlines()) >= lines) == (5, True)
        assert done.stderr.splitlines()[-1].startswith("fervid: internal error: AssertionError: wrong; please report")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        ImportError("libavcodec.so: failed to map segment from shared object"),
        MissingLibrary("OpenCV cannot load a system library (libavcodec.so: failed to map segment from shared object)"),
        RuntimeError("can't start new thread"),
    ],
)
def test_lack_of_memory_is_called_so(error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such errors were called a defect, or a library that is not installed."""

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("fervid.results.merge.merge", fail)
    done = command("merge", "a", "--out", tmp_path / "b.parquet")
    assert (done.returncode, done.stderr.splitlines()) == (5, [f"fervid: {NO_MEMORY}"])


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other limits")
@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ("-s 128", "the stack is limited to 128 kB, and fervid needs 512 kB; raise the limit: ulimit -s 512"),
        ("-n 16", "the number of open files is limited to 16, and fervid needs 64; raise the limit: ulimit -n 64"),
        ("-v 60000", "address space is limited to 58 MB, and fervid needs 2048 MB; raise the limit: ulimit -v 2097152"),
        ("-v 300000", "address space is limited to 292 MB"),
        ("-v 600000", "address space is limited to 585 MB"),
        ("-d 200000", "the memory of a process is limited to 195 MB, and fervid needs 512 MB"),
    ],
)
def test_a_limit_that_is_too_low_is_refused_before_a_library_crashes(limit: str, said: str) -> None:
    line = f'ulimit {limit}; exec "$0" -m fervid merge nothing.parquet --out out.parquet'
    done = subprocess.run(["bash", "-c", line, sys.executable], capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.returncode, len(done.stderr.splitlines())) == (5, 1), done.stderr
    assert said in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other limits")
def test_the_lowest_limits_are_enough(tmp_path: Path) -> None:
    face_clip(tmp_path / "a.mp4", at_rate(10, 3))
    limits = "ulimit -s 512; ulimit -n 64; ulimit -d 524288"
    line = f'{limits}; exec "$0" -m fervid analyze a.mp4 --out r.parquet --workers 1 --quiet'
    done = subprocess.run(["bash", "-c", line, sys.executable], capture_output=True, text=True, check=False,
                          cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)})  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_program_starts_interrupts_it(number: signal.Signals) -> None:
    with _started(SLOW_START) as process:
        process.send_signal(number)
        said = process.communicate(timeout=60)[1]
    assert (process.returncode, said) == (130, "fervid: interrupted; run the same command again to continue\n")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such call")
@pytest.mark.parametrize(
    ("code", "number"),
    [
        (BLOCKED, signal.SIGINT),
        (HELD, signal.SIGTERM),
        (HELD_AND_BLOCKED, signal.SIGINT),
        (BLOCKED_AFTERWARDS, signal.SIGTERM),
        pytest.param(BLOCKED, signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(HELD, signal.SIGINT, marks=pytest.mark.slow),
        pytest.param(HELD_AND_BLOCKED, signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(BLOCKED_AFTERWARDS, signal.SIGINT, marks=pytest.mark.slow),
    ],
)
def test_a_second_signal_ends_the_process_while_a_library_works(code: str, number: signal.Signals) -> None:
    """The library never comes back, and holds the lock of the interpreter, so no handler can run.

    Nor does a pool of workers that hangs while it ends, during which signals are held.
    """
    with _started(code) as process:
        time.sleep(0.2)
        process.send_signal(number)
        wait_for(lambda: not _pending(process.pid, number), "the first signal never arrived")
        process.send_signal(number)
        process.communicate(timeout=60)
    assert process.returncode == -number


def _started(code: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def _pending(pid: int, number: int) -> bool:
    """Whether a signal waits for the process."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return any(int(lines[name].strip(), 16) >> (number - 1) & 1 for name in ("SigPnd", "ShdPnd"))
