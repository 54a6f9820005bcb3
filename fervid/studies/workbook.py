"""The tables of a study as one Excel workbook, with a sheet that defines every column."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from fervid.errors import MissingLibrary
from fervid.results.workbook import refuse_without_openpyxl, write_workbook
from fervid.studies.tables import WindowRows

WORKBOOK = "study.xlsx"

MAX_CELLS = 300_000
"""A table with more cells is not in the workbook: openpyxl would write it for 10 s or longer."""

MAX_COLUMNS = 16_384
"""Columns of a sheet of Excel."""


def write_study_workbook(
    folder: Path, windows: WindowRows, frames: Mapping[str, pd.DataFrame], record: Mapping[str, Any]
) -> tuple[str, ...]:
    """Write ``study.xlsx``: how the study was computed, what each column means, and the tables.

    Args:
        folder: Where to write.
        windows: The rows of the table of windows.
        frames: The other tables by name.
        record: What ``dictionary.describe`` says about them.

    Returns:
        What a user should know, as sentences: that openpyxl is missing, so that nothing was written, or which tables
        are only in their CSV files.

    Raises:
        OutputError: The file cannot be written.
    """
    try:
        refuse_without_openpyxl()
    except MissingLibrary as error:
        return (f"{WORKBOOK} was not written: {error}",)
    if windows.rows * len(windows.columns) > MAX_CELLS:
        large = ["windows"]
    else:
        large, frames = [], {"windows": windows.frame(), **frames}
    large += [name for name, frame in frames.items() if frame.size > MAX_CELLS or frame.shape[1] > MAX_COLUMNS]
    about = [("fervid", record["fervid"]), ("methods", record["methods"])]
    about += [(f"{name}.csv", "this table is too large for a workbook; the CSV file has it") for name in large]
    columns = [(table, name, text) for table, own in record["tables"].items() for name, text in own.items()]
    sheets = {
        "about": pd.DataFrame(about, columns=["what", "text"]),
        "columns": pd.DataFrame(columns, columns=["table", "column", "meaning"]),
        **{name: frame for name, frame in frames.items() if name not in large},
    }
    write_workbook(folder / WORKBOOK, sheets.items())
    if not large:
        return ()
    return (
        f"{WORKBOOK} leaves out {', '.join(large)}, which are longer than {MAX_CELLS:,} cells; the CSV files hold them",
    )
