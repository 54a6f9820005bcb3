"""A small part of the fuzz run. The complete run: ``python -m tests.fuzz --count 10000 --folder fuzz``."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz import results
from tests.fuzz.__main__ import CLIP, run_batch
from tests.fuzz.mutate import MUTATIONS, SEEDS, make_seeds, mutate
from tests.support.paths import ROOT
from tests.support.replay import replaying


def test_mutations_are_repeatable_and_differ(tmp_path: Path) -> None:
    seeds = make_seeds(tmp_path, CLIP)
    assert set(seeds) == set(SEEDS)
    files = [mutate(seeds, index, seed=0) for index in range(200)]
    assert files == [mutate(seeds, index, seed=0) for index in range(200)]
    assert len({data for _, data in files}) > 150
    for name, data in seeds.items():  # every container and every mutation occurs
        assert any(title.endswith(name) and content != data for title, content in files)
    for mutation in MUTATIONS:
        assert any(mutation.__name__ in title for title, _ in files)


@pytest.mark.parametrize("count", [100, pytest.param(300, marks=pytest.mark.slow)])
def test_spoilt_files_cost_nothing_but_themselves(tmp_path: Path, count: int) -> None:
    outcome = run_batch(tmp_path, make_seeds(tmp_path / "seeds", CLIP), range(count), seed=1, timeout=30)
    assert sum(outcome.statuses.values()) == count
    assert outcome.statuses.get("ok", 0) > count / 15  # much survives a few flipped bytes
    assert outcome.statuses.get("UnreadableVideo", 0) > count / 15


@pytest.fixture(scope="module")
def real_results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with replaying():
        return results.make_source(tmp_path_factory.mktemp("fuzz"))


def test_a_few_mutated_results(real_results: Path, tmp_path: Path) -> None:
    """``python -m tests.fuzz.results`` tries thousands."""
    for number in range(100_001, 100_016):
        assert results.run(real_results, number, 1, tmp_path) == []


def run_fuzzer(module: str, *arguments: str) -> None:
    """Run a fuzzer in a process of its own, which must find no fault."""
    line = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(line, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^[1-9]\d* .*, 0 faults, ", done.stdout, re.MULTILINE), done.stdout


def test_a_few_damaged_hidden_folders() -> None:
    run_fuzzer("tests.fuzz.hidden", "--count", "6", "--seed", "3")


@pytest.mark.slow
@pytest.mark.timeout(14400)
@pytest.mark.parametrize(("module", "count"), [("tests.fuzz.results", "10000"), ("tests.fuzz.hidden", "2000")])
def test_thousands_cost_nothing_but_themselves(module: str, count: str) -> None:
    run_fuzzer(module, "--count", count, "--seed", "7")
