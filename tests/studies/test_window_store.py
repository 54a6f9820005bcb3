"""Windows on disk are those that were added, and the tables that are built of them a few at a time are whole."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fervid.errors import OutputError
from fervid.studies import tables
from fervid.studies.catalog import Recording
from fervid.studies.study import compute_study, study
from fervid.studies.window_store import WindowBlock, WindowStore
from fervid.studies.windows import FIGURES, Window, WindowValues
from tests.support.made_study import MadeParticipant, write_study, written_quickly


def made_block(name: str, count: int, measures: int, seed: int) -> WindowBlock:
    random = np.random.default_rng(seed)
    windows = tuple(
        Window(("event", "around", "bin")[n % 3], 1.5 * n, 1.5 * n + 1, 1.5 * n, n - 1, ("", "joke", "story")[n % 3])
        for n in range(count)
    )
    figures = {one: np.where(random.random((count, measures)) < 0.2, np.nan, random.random((count, measures)))
               for one in FIGURES}  # fmt: skip
    seconds = random.random((count, measures)) * [1, 0, 1]
    values = WindowValues(seconds, random.random((count, measures)), random.random(count), figures)
    return WindowBlock(name, Recording(Path("r"), f"{name}.mp4", "a" * 32, None, ""), windows, values)


def assert_same(one: WindowBlock, other: WindowBlock, columns: list[int]) -> None:
    assert (one.participant, one.recording, one.windows) == (other.participant, other.recording, other.windows)
    np.testing.assert_array_equal(one.values.seconds, other.values.seconds[:, columns])
    np.testing.assert_array_equal(one.values.coverage, other.values.coverage[:, columns])
    np.testing.assert_array_equal(one.values.quality, other.values.quality)
    for name in FIGURES:
        np.testing.assert_array_equal(one.values.figures[name], other.values.figures[name][:, columns])


def test_blocks_come_back_as_they_were_added_with_the_measures_that_are_kept() -> None:
    blocks = [made_block("Ann", 4, 3, 0), made_block("Ben", 0, 3, 1), made_block("Cat", 7, 3, 2)]
    store = WindowStore(3)
    for block in blocks:
        store.add(block)
    assert store.count == 11
    assert store.observed.tolist() == [True, False, True]
    for _ in range(2):
        for one, other in zip(store, blocks, strict=True):
            assert_same(one, other, [0, 1, 2])
    store.keep(np.array([0, 2]))
    assert store.observed.tolist() == [True, True]
    for one, other in zip(store, blocks, strict=True):
        assert_same(one, other, [0, 2])


def test_the_table_of_windows_is_the_same_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_study(tmp_path, [MadeParticipant("Ann", "a", 1.0, 0.0), MadeParticipant("Ben", "b", 0.5, 0.0)])
    whole = compute_study(path).tables
    monkeypatch.setattr(tables, "PART_ROWS", 1)
    with written_quickly(figures=False):
        parts = study(path, tmp_path / "out").tables
    assert len(list(parts.window_rows.parts())) == 2
    pd.testing.assert_frame_equal(parts.windows, whole.windows)
    written = pd.read_csv(tmp_path / "out" / "windows.csv", keep_default_na=False, na_values=[""])
    assert len(written) == len(whole.windows) == parts.window_rows.rows
    np.testing.assert_allclose(written["mean"], whole.windows["mean"])
    used = whole.windows[whole.windows["usable"] & whole.windows["trial_type"].isin(["joke"])]
    expected = used.groupby(["participant", "window", "measure"], observed=True)["mean"].mean()
    found = whole.conditions[whole.conditions["trial_type"] == "joke"].set_index(["participant", "window", "measure"])
    np.testing.assert_allclose(found["mean"][expected.index], expected)
    assert len(expected)


def test_without_any_temporary_folder_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> str:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", fails)
    with pytest.raises(OutputError, match="TMPDIR"):
        WindowStore(3)
