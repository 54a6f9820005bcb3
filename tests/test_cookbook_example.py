"""The cookbook's example of timelines in pandas prints what it should."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import fervid
from tests.support.paths import ROOT

HEADING = "## Timelines in pandas"


@pytest.fixture(scope="module")
def example() -> str:
    cookbook = (ROOT / "docs" / "cookbook.md").read_text(encoding="utf-8")
    assert HEADING in cookbook, f"the cookbook has no section {HEADING!r}"
    block = re.search(r"```python\n(.*?)```", cookbook.split(HEADING)[1], flags=re.DOTALL)
    assert block is not None
    return block[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``results.parquet`` of two people who are visible together, and of one who leaves and returns."""
    root = tmp_path_factory.mktemp("example")
    samples = ROOT / "sample_videos"
    fervid.analyze([samples / "crossing.mp4", samples / "leaving.mp4"], root / "results.parquet")
    return root


@pytest.fixture
def names(
    example: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> dict[str, Any]:
    """The variables of the example after it ran, and under ``printed`` what it printed."""
    monkeypatch.chdir(folder)
    left: dict[str, Any] = {"__name__": "example"}
    exec(compile(example, "cookbook.md", "exec"), left)
    return left | {"printed": capsys.readouterr().out}


def test_it_shows_each_person_second_by_second(names: dict[str, Any]) -> None:
    happiness = names["happiness"]
    assert isinstance(happiness, pd.DataFrame)
    together = happiness.loc["crossing.mp4"].dropna(axis="columns", how="all")
    assert together.shape[1] == 2
    assert together.stack().between(0, 1).all()
    assert together.index.tolist() == list(range(5))
    assert "crossing.mp4" in names["printed"]


def test_it_gives_the_synchrony_of_two_faces(names: dict[str, Any]) -> None:
    found = re.findall(r"crossing\.mp4: faces \d+ and \d+: (\S+)", names["printed"])
    assert len(found) == 1
    assert -1 <= float(found[0]) <= 1


def test_its_synchrony_is_a_correlation_at_common_times(names: dict[str, Any]) -> None:
    def face(times: Any, values: Any) -> pd.DataFrame:
        return pd.DataFrame({"time": times, "happy_smooth": values})

    times = np.arange(0, 20, 0.2)
    one, other = face(times, np.sin(times)), face(times[10:] + 0.07, np.sin(times[10:] + 0.07))
    assert names["synchrony"](one, one) == pytest.approx(1)
    assert names["synchrony"](one, other) == pytest.approx(1, abs=1e-3)
    assert names["synchrony"](one, face(times, -np.sin(times))) == pytest.approx(-1)
    holed = other[(other["time"] < 4) | (other["time"] > 15)]
    assert names["synchrony"](one, holed) == pytest.approx(1, abs=1e-3)
    assert np.isnan(names["synchrony"](one, face(times + 100, times)))
