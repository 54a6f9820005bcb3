"""Soft locks, for file systems without ``flock``, which a filter of the kernel stands in for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import SoftFileLock

from fervid.errors import ConfigError, OutputError, OutputLocked
from fervid.files.locks import is_abandoned, locked, locked_temporarily, take_lock, using_locks
from tests.support.clips import beginning
from tests.support.no_flock import IS_POSSIBLE
from tests.support.paths import ROOT, SAMPLES

HOLD = """
import os, pathlib, sys
from fervid.files.locks import {function}
with {function}(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def soft(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FERVID_LOCK", "soft")


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds a soft lock on ``lock`` without ``flock``."""
    if not IS_POSSIBLE:
        pytest.skip("needs a filter of the Linux kernel")
    code = HOLD.format(function="locked")
    line = [sys.executable, "-m", "tests.support.no_flock", "-c", code, str(tmp_path / "lock")]
    environment = os.environ | {"FERVID_LOCK": "soft"}
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(line, text=True, cwd=ROOT, env=environment, **pipes) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


@pytest.mark.usefixtures("soft")
def test_a_soft_lock_excludes_and_ends(tmp_path: Path) -> None:
    with locked_temporarily(tmp_path / "lock"):
        text = (tmp_path / "lock.soft").read_text(encoding="utf-8")
        assert text.startswith(f"{os.getpid()}\n")
        assert len(text.splitlines()) == 3  # the process, its machine, and when it started
        with pytest.raises(OutputLocked, match=rf"process {os.getpid()} on .* since 20"), locked(tmp_path / "lock"):
            pass
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("kind", ["system", "soft"])
def test_kinds_exclude_each_other(tmp_path: Path, kind: str) -> None:
    other = {"system": "soft", "soft": "system"}[kind]
    with using_locks(kind), locked(tmp_path / "lock"):
        with using_locks(other), pytest.raises(OutputLocked, match="another run"), locked(tmp_path / "lock"):
            pass
        assert (tmp_path / "lock.soft").exists() == (kind == "soft")  # a refusal leaves nothing and removes nothing
    with using_locks(other), locked(tmp_path / "lock"):
        pass


@pytest.mark.parametrize("kind", ["system", "soft"])
def test_a_living_holder_is_respected_and_a_killed_one_is_not(
    holder: subprocess.Popen[str], tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    with using_locks(kind):
        with pytest.raises(OutputLocked, match=f"process {holder.pid} on"), locked(tmp_path / "lock"):
            pass
        assert not caplog.messages
        holder.kill()
        holder.wait()
        with locked(tmp_path / "lock"):
            (message,) = caplog.messages
            assert message.startswith(f"took over the lock {tmp_path / 'lock.soft'} of process {holder.pid} on ")
    assert os.listdir(tmp_path) == ["lock"]


def test_a_killed_holder_is_taken_over_by_one_process_only(holder: subprocess.Popen[str], tmp_path: Path) -> None:
    holder.kill()
    holder.wait()
    begin, release, outcomes = threading.Barrier(6), threading.Event(), []

    def take() -> None:
        begin.wait()
        try:
            with using_locks("soft"):
                lock = take_lock(tmp_path / "lock")
        except OutputLocked:
            outcomes.append("refused")
        else:
            outcomes.append("taken")
            release.wait(30)
            lock.release()

    threads = [threading.Thread(target=take) for _ in range(6)]
    for thread in threads:
        thread.start()
    while len(outcomes) < 6:
        threads[0].join(0.01)
    release.set()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["refused"] * 5 + ["taken"]


@pytest.mark.usefixtures("soft")
@pytest.mark.parametrize("text", ["", "12345\nanother machine\n99\n"], ids=["empty", "elsewhere"])
def test_what_cannot_be_judged_is_not_taken_over(tmp_path: Path, text: str) -> None:
    (tmp_path / "lock.soft").write_text(text, encoding="utf-8")
    with (
        pytest.raises(OutputLocked, match=r"if that process has ended, remove .*lock\.soft"),
        locked(tmp_path / "lock"),
    ):
        pass
    (tmp_path / "lock.soft").unlink()
    with locked(tmp_path / "lock"):
        pass


@pytest.mark.usefixtures("soft")
def test_nothing_counts_as_abandoned(tmp_path: Path) -> None:
    """Another machine may be writing it, whose locks this one does not see."""
    (tmp_path / "file").touch()
    assert not is_abandoned(tmp_path / "file")


def test_a_wrong_kind_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FERVID_LOCK", "hard")
    with pytest.raises(ConfigError, match="FERVID_LOCK must be system or soft, not 'hard'"):
        take_lock(tmp_path / "lock")


@pytest.mark.usefixtures("soft")
def test_a_link_in_place_of_the_lock_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lock.soft").symlink_to(tmp_path / "elsewhere")
    with pytest.raises((OutputError, OutputLocked)), locked(tmp_path / "lock"):
        pass
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.slow
def test_two_runs_without_flock(tmp_path: Path) -> None:
    """The refusal names the option, the option works, a second run is refused, and a killed run is taken over."""
    if not IS_POSSIBLE:
        pytest.skip("needs a filter of the Linux kernel")
    video, out = beginning(SAMPLES / "cut.mp4", tmp_path / "video.mp4", 1.0), tmp_path / "r.parquet"
    line = [sys.executable, "-m", "tests.support.no_flock", "-m", "fervid", "analyze", str(video), "--out", str(out)]

    def run(*options: str) -> tuple[int, str]:
        done = subprocess.run([*line, *options, "--fps", "2"], capture_output=True, text=True, check=False, cwd=ROOT)
        return done.returncode, done.stderr

    code, said = run()
    assert (code, "cannot lock" in said, "--lock soft for analyze" in said) == (5, True, True), said
    marker = tmp_path / ".r.parquet.fervid" / "lock.soft"
    with SoftFileLock(marker):
        code, said = run("--lock", "soft")
        assert (code, f"process {os.getpid()} on" in said) == (75, True), said
    with subprocess.Popen([*line, "--lock", "soft"], stderr=subprocess.PIPE, cwd=ROOT) as process:
        while not (marker.exists() and marker.read_text(encoding="utf-8").count("\n") == 3):
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
    assert marker.exists()
    code, said = run("--lock", "soft")
    assert (code, f"took over the lock {marker} of process {process.pid}" in said) == (0, True), said
    assert out.exists()
    assert not marker.exists()
