"""What not every system has: signals, ways to start processes, names of files, control groups."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path, PureWindowsPath
from typing import Any

import pytest

from fervid.errors import ConfigError
from fervid.files.names import files_for
from fervid.runtime import machine, platform, special_files
from fervid.runtime.machine import total_memory, usable_cores
from fervid.runtime.platform import allowed_name, interrupt_later, start_method
from fervid.runtime.special_files import refuse_name
from fervid.settings_io import read_job
from tests.support.groups import make_groups
from tests.support.paths import ROOT
from tests.support.processes import wait_for

# names of files


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("plain.mp4", "plain.mp4"),
        ("2026-01-02 10:30.mp4", "2026-01-02 10_30.mp4"),
        ('<b>"*?|\\.mp4', "_b______.mp4"),
        ("line\nbreak.mp4", "line_break.mp4"),
        ("dots..", "dots._"),
        ("space ", "space_"),
        ("CON", "CON_"),
        ("con.mp4", "con_.mp4"),
        ("aux .tar.gz", "aux _.tar.gz"),
        ("Lpt1.mp4", "Lpt1_.mp4"),
        ("COM\u00b9", "COM\u00b9_"),
        ("console.mp4", "console.mp4"),
        ("", ""),
    ],
)
def test_windows_allows_the_names(name: str, expected: str) -> None:
    assert allowed_name(name, windows=True) == expected
    assert allowed_name(name, windows=False) == name


def test_names_that_windows_makes_equal_get_files_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fervid.files.names.allowed_name", lambda part: allowed_name(part, windows=True))
    files = files_for(["a:b.mp4", "a_b.mp4", "con.mp4", "D:/x.mp4", "d:/X.mp4"], Path("out"), ".end")
    names = [path.as_posix().removeprefix("out/") for path in files.values()]
    assert names == ["a_b.mp4.end", "a_b.mp4.2.end", "con_.end", "D_/x.mp4.end", "d_/X.mp4.2.end"]


@pytest.mark.parametrize("name", ["x" * 150 + ".mp4", "folder/" + "x" * 150 + ".mp4", "\u00e9" * 90])
def test_paths_are_as_short_as_the_system_needs(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    folder = Path("/") / ("y" * 100)
    monkeypatch.setattr("fervid.files.names.LONGEST_PATH", 240)
    first, second = files_for([name, name.replace("x.", "xx.") + "z"], folder, ".annotated.mp4").values()
    assert first != second
    assert max(len(str(path)) for path in (first, second)) <= 240


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("C:/results/r.parquet", None),
        ("../results/r.parquet", None),
        ("results/10:30.parquet", "10:30.parquet"),
        ("nul/r.csv", "nul"),
        ("results./r.csv", "results."),
    ],
)
def test_outputs_that_windows_would_take_for_something_else_are_refused(
    monkeypatch: pytest.MonkeyPatch, path: str, name: str | None
) -> None:
    monkeypatch.setattr(special_files, "allowed_name", lambda part: allowed_name(part, windows=True))
    parts = PureWindowsPath(path)
    if name is None:
        refuse_name(parts, ConfigError)  # type: ignore[arg-type]
    else:
        with pytest.raises(ConfigError, match=f"does not allow the name '{name}'"):
            refuse_name(parts, ConfigError)  # type: ignore[arg-type]


def test_a_job_with_such_a_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(special_files, "allowed_name", lambda part: allowed_name(part, windows=":" in part))
    job = tmp_path / "job.toml"
    job.write_text('paths = ["v"]\nout = "%H:%M.parquet"\n', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"'..:..\.parquet'; '.._..\.parquet' would be allowed"):
        read_job(job)


def test_names_that_macos_makes_equal_get_files_of_their_own() -> None:
    """Its file systems take one letter with an accent for another way to write it."""
    files = files_for(["\u00e9.mp4", "e\u0301.mp4"], Path("out"), ".end")
    assert [path.name for path in files.values()] == ["\u00e9.mp4.end", "e\u0301.mp4.2.end"]


# processes


def test_the_start_method_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FERVID_START_METHOD", raising=False)
    assert start_method() == ("forkserver" if sys.platform == "linux" else "spawn")
    monkeypatch.setenv("FERVID_START_METHOD", "spawn")
    assert start_method() == "spawn"
    monkeypatch.setenv("FERVID_START_METHOD", "fork")
    with pytest.raises(ConfigError, match="FERVID_START_METHOD must be forkserver or spawn on this system, not 'fork'"):
        start_method()


SOCKET = """
import multiprocessing.util, os, tempfile
from fervid.runtime.platform import start_method
print(start_method(), os.path.dirname(multiprocessing.util.get_temp_dir()), tempfile.gettempdir())
"""


@pytest.mark.parametrize("length", [10, 71, 72, 150])
def test_the_socket_of_the_fork_server_fits_whatever_the_temporary_folder(tmp_path: Path, length: int) -> None:
    """Linux allows 108 bytes for the path of a socket."""
    base = tmp_path / "t"
    folder = base / ("x" * max(length - len(str(base)) - 1, 1))
    folder.mkdir(parents=True)
    environment = {name: value for name, value in os.environ.items() if name != "FERVID_START_METHOD"}
    line = [sys.executable, "-c", SOCKET]
    done = subprocess.run(
        line, capture_output=True, text=True, check=True, cwd=ROOT, env=environment | {"TMPDIR": str(folder)}
    )
    method, sockets, others = done.stdout.split()
    assert method == "forkserver"
    assert others == str(folder)  # files stay where the user wants them
    assert sockets == str(folder) if len(str(folder)) <= 71 else sockets in platform.SOCKET_FOLDERS


ORPHAN = """
import ctypes, multiprocessing, sys, time
from fervid.runtime import platform

def work(ready):
    ctypes.CDLL = None  # as where prctl is missing
    platform.die_with_parent()
    ready.send(multiprocessing.current_process().pid)
    time.sleep(3600)

if __name__ == "__main__":
    here, there = multiprocessing.Pipe()
    multiprocessing.get_context(sys.argv[1]).Process(target=work, args=(there,), daemon=True).start()
    print(here.recv(), flush=True)
    time.sleep(3600)
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_worker_ends_with_its_parent_without_prctl(tmp_path: Path, method: str) -> None:
    (tmp_path / "script.py").write_text(ORPHAN, encoding="utf-8")
    line = [sys.executable, str(tmp_path / "script.py"), method]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        worker = int(process.stdout.readline())
        os.kill(worker, 0)
        process.kill()
    wait_for(lambda: not Path(f"/proc/{worker}").exists() or _is_zombie(worker), "the worker outlives its parent")


def _is_zombie(number: int) -> bool:
    return " Z " in Path(f"/proc/{number}/stat").read_text(encoding="ascii")


def test_an_interrupt_is_sent_again_without_alarms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(signal, "setitimer")
    arrived: list[int] = []
    event = threading.Event()

    def handler(number: int, _: Any) -> None:
        arrived.append(number)
        event.set()

    before = signal.getsignal(signal.SIGINT)
    try:
        interrupt_later(handler, 0.01)
        wait_for(event.is_set, "no signal arrives")
    finally:
        signal.signal(signal.SIGINT, before)
    assert arrived == [signal.SIGINT]


# control groups


@pytest.mark.parametrize(
    ("own", "files", "cores", "memory"),
    [
        ("0::/\n", {}, 8, None),
        ("0::/\n", {"cpu.max": "50000 100000", "memory.max": "1073741824"}, 1, 1 << 30),
        ("0::/a/b\n", {"a/cpu.max": "250000 100000", "a/b/cpu.max": "max 100000", "a/memory.max": "max"}, 3, None),
        ("0::/a/b\n", {"a/cpu.max": "100000 100000", "a/b/cpu.max": "400000 100000"}, 1, None),
        ("0::/a\n", {"a/cpu.max": "100000000 100000"}, 8, None),
        ("0::/\n", {"cpu.max": "a lot"}, 8, None),
        ("0::/\n", {"cpu.max": "0 0", "memory.max": ""}, 8, None),
        ("1:name=systemd:/x\n0::/x\n", {"unified/x/cpu.max": "150000 100000"}, 2, None),
        ("4:cpu,cpuacct:/d/1\n3:memory:/d/1\n", {
            "cpu,cpuacct/d/1/cpu.cfs_quota_us": "50000", "cpu,cpuacct/d/1/cpu.cfs_period_us": "100000",
            "memory/d/1/memory.limit_in_bytes": "1073741824"}, 1, 1 << 30),
        ("2:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8, None),
        ("2:cpu:/docker/1\n", {"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"}, 2, None),
        ("2:cpu:/\n", {"cpu/cpu.cfs_quota_us": "200000"}, 8, None),
        ("3:cpuacct,cpu:/\n", {"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "50000"}, 1, None),
        ("2:cpuset:/\n", {"cpuset/cpu.cfs_quota_us": "50000", "cpuset/cpu.cfs_period_us": "100000"}, 8, None),
        ("nonsense\n", {"cpu.max": "50000 100000"}, 8, None),
    ],
)  # fmt: skip
def test_quotas_and_limits_of_control_groups_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: str, files: dict[str, str], cores: int, memory: int | None
) -> None:
    make_groups(tmp_path, own, files, monkeypatch)
    monkeypatch.setattr(machine, "granted_cores", lambda: 8)
    assert usable_cores() == cores
    assert total_memory() == (memory or platform.physical_memory())


def test_without_control_groups_all_cores_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "OWN_GROUPS", tmp_path / "none")
    assert usable_cores() == platform.granted_cores()
