"""The Excel workbook: read back, it is the tables, and no text is a formula."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fervid.errors import MissingLibrary, UsageError
from fervid.export.excel import write_excel
from fervid.export.export import export
from fervid.results.reader import Results, read_results
from fervid.results.schema import SMALL
from tests.support.command import command
from tests.support.corrected import write_people
from tests.support.synthetic_results import EVERYTHING, MadeVideo, write_results

FORMULA = '=HYPERLINK("http://example.org")'


@pytest.fixture
def openpyxl() -> None:
    """The tests that write a workbook are skipped without openpyxl."""
    pytest.importorskip("openpyxl", reason="openpyxl is not installed")


def same(cell: object, value: object) -> bool:
    """Texts and whole numbers are equal; a workbook holds 16 digits of others."""
    return bool(cell == (pytest.approx(value, rel=1e-14, abs=0) if isinstance(value, float | np.floating) else value))


def assert_same(results: Results, path: Path) -> None:
    """Every table is in its sheet, cell for cell."""
    sheets = pd.read_excel(path, sheet_name=None, keep_default_na=False, na_values=[""])
    assert list(sheets) == ["timeline", *SMALL]
    for name, found in sheets.items():
        wanted = getattr(results, str(name))
        assert list(found.columns) == list(wanted.columns)
        assert len(found) == len(wanted)
        for column in found.columns:
            cells = zip(found[column], wanted[column].astype(object), strict=True)
            assert all((pd.isna(cell) and pd.isna(value)) or same(cell, value) for cell, value in cells), (name, column)


@pytest.mark.usefixtures("openpyxl")
def test_every_table_reads_back(tmp_path: Path) -> None:
    for number, results in enumerate((write_people(tmp_path), write_results(tmp_path / "all.parquet", EVERYTHING))):
        (path,) = export(results, "excel", tmp_path / f"{number}.xlsx").files
        assert_same(read_results(results), path)


@pytest.mark.usefixtures("openpyxl")
def test_no_text_is_a_formula_and_odd_texts_are_kept_or_escaped(tmp_path: Path) -> None:
    import openpyxl

    message = FORMULA + "\x01" + "x" * 40_000
    videos = [*EVERYTHING, MadeVideo("bad.mp4", status="failed", error="UnreadableVideo", message=message)]
    results = write_results(tmp_path / "r.parquet", videos)
    (path,) = export(results, "excel", tmp_path / "r.xlsx").files
    book = openpyxl.load_workbook(path)
    cells = [cell for sheet in book for row in sheet.iter_rows() for cell in row]
    assert {cell.data_type for cell in cells} == {"s", "n"}
    (shown,) = [str(cell.value) for cell in cells if str(cell.value).startswith("=")]
    assert shown.startswith(FORMULA + "\\x01xx")
    assert len(shown) == 32_767


@pytest.mark.usefixtures("openpyxl")
def test_a_long_table_goes_on_in_the_next_sheet(tmp_path: Path) -> None:
    results = read_results(write_people(tmp_path))
    write_excel(results, tmp_path / "r.xlsx", "raw", rows=100)
    sheets = pd.read_excel(tmp_path / "r.xlsx", sheet_name=None)
    parts = [sheet for name, sheet in sheets.items() if str(name).startswith("timeline")]
    assert len(parts) == -(-len(results.timeline) // 100) > 2
    assert "happy_smooth" not in parts[0].columns
    joined = pd.concat(parts)
    assert joined["time"].tolist() == pytest.approx(results.timeline["time"].tolist(), rel=1e-14)


@pytest.mark.usefixtures("openpyxl")
def test_a_workbook_that_exists_is_kept(tmp_path: Path) -> None:
    results, path = write_people(tmp_path), tmp_path / "r.xlsx"
    path.write_text("mine")
    with pytest.raises(UsageError, match="may hold manual work"):
        export(results, "excel", path)
    with pytest.raises(UsageError, match=r"must name a \.xlsx file"):
        export(results, "excel", tmp_path / "r.xls")
    done = command("export", results, "--to", "excel", "--out", path, "--overwrite")
    assert done.returncode == 0, done.stderr
    assert "1,048,575 rows" in done.stderr
    assert_same(read_results(results), path)


@pytest.mark.usefixtures("openpyxl")
def test_a_workbook_of_the_same_results_is_no_manual_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed export may have completed it. One that was edited is kept. No temporary file lies elsewhere."""
    from openpyxl import load_workbook

    results, path = write_people(tmp_path), tmp_path / "out" / "r.xlsx"
    (tmp_path / "out" / ".r.0123abcd.partial.xlsx.files").mkdir(parents=True)  # of a killed process
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))  # a killed process would leave files there
    for _ in range(2):
        export(results, "excel", path)
        assert_same(read_results(results), path)
        assert [one.name for one in path.parent.iterdir()] == ["r.xlsx"]
    monkeypatch.setattr(tempfile, "tempdir", None)
    book = load_workbook(path)
    book["summary"]["A2"] = "mine"
    book.save(path)
    edited = path.read_bytes()
    with pytest.raises(UsageError, match="may hold manual work"):
        export(results, "excel", path)
    assert path.read_bytes() == edited
    assert [one.name for one in path.parent.iterdir()] == ["r.xlsx"]


def test_without_openpyxl_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(MissingLibrary, match=r"pip install 'fervid\[excel\]'"):
        export(write_people(tmp_path), "excel", tmp_path / "r.xlsx")
    assert not (tmp_path / "r.xlsx").exists()
