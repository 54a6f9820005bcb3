"""SIGKILL at each change of the file system that a command makes. Then no mixture can be read, the same command
completes the work with the outputs of an undisturbed run, and nothing else stays.

All commands and all changes: ``python -m tests.support.kill_scenarios``, which the slow test runs.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.kill_points import KillPoints
from tests.support.kill_scenarios import SCENARIOS, kills_of
from tests.support.paths import ROOT

A_FEW = (
    "analyze csv",
    "analyze parquet again",
    "analyze folder again",
    "merge folder again",
    "correct",
    "prune folder",
    "report",
    "export elan",
)
"""Commands of which a few kills are tried in every run of the tests."""


def kill(*arguments: str) -> int:
    """Kill as the arguments say, in a process of its own, which must find no fault. Returns the number of kills."""
    line = [sys.executable, "-m", "tests.support.kill_scenarios", *arguments]
    done = subprocess.run(line, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = re.findall(r"^(\d+) kills, 0 faults", done.stdout, re.MULTILINE)
    return int(found)


def test_a_few_kills_of_every_kind_of_output() -> None:
    assert kill("--every", "40", *A_FEW) > 7


@pytest.mark.slow
@pytest.mark.timeout(14400)
@pytest.mark.parametrize("name", SCENARIOS)
def test_every_kill(name: str) -> None:
    assert kill(name) > 3


def test_kills_come_before_and_after_each_change_unless_they_leave_the_same(tmp_path: Path) -> None:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        KillPoints((str(tmp_path),), log=write, compare=True).install()
        (tmp_path / "a").mkdir()
        (tmp_path / "b").mkdir()
        (tmp_path / "a" / "d").open("wb").close()
        subprocess.run(["touch", tmp_path / "c"], check=True)  # a change that is not counted
        (tmp_path / "a" / "d").open("rb+").close()
        (tmp_path / "c").unlink()
        os._exit(0)
    os.close(write)
    assert os.waitpid(child, 0)[1] == 0
    with os.fdopen(read) as log:
        lines = log.read().replace(f"{tmp_path}/", "").splitlines()
    assert [line for line in lines if line[0].isdigit()] == [
        "1 mkdir a", "2 mkdir b", "3 open a/d", "4 open a/d", "5 unlink c"
    ]  # fmt: skip
    assert kills_of(lines) == [(1, False), (1, True), (2, True), (3, True), (4, False), (5, True)]


@pytest.mark.parametrize(("number", "after", "left"), [(1, False, []), (1, True, ["a"]), (4, False, ["a"])])
def test_a_process_ends_at_its_point(tmp_path: Path, number: int, after: bool, left: list[str]) -> None:
    child = os.fork()
    if child == 0:
        KillPoints((str(tmp_path),), number, after).install()
        (tmp_path / "a").mkdir()
        (tmp_path / "a" / "b").write_text("")
        (tmp_path / "a" / "b").unlink()
        (tmp_path / "a").rename(tmp_path / "c")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -9
    assert [path.name for path in tmp_path.iterdir()] == left


def test_a_command_line_lists_its_points_and_ends_at_one(tmp_path: Path) -> None:
    """There is no video, so the command only makes empty tables."""
    (tmp_path / "in").mkdir()

    def run(number: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "tests.support.kill_points", number, "--", "fervid", "analyze", "in"]
        line += ["--out", "r.parquet"]
        return subprocess.run(line, capture_output=True, text=True, check=False, cwd=tmp_path)

    hidden = tmp_path / ".r.parquet.fervid"
    assert run("2+").returncode == -9
    assert list(hidden.iterdir()) == []
    done = run("0")
    assert done.returncode == 0, done.stderr
    assert re.search(rf"^3 open {hidden}/lock$", done.stderr, re.MULTILINE), done.stderr
    assert (tmp_path / "r.parquet").exists()
