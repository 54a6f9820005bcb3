"""Exporting all tables as one Excel workbook."""

from __future__ import annotations

from pathlib import Path

from fervid.export.output_files import Values, refuse_existing, writing_file
from fervid.export.pyfeat_openface import timeline_frame
from fervid.results.reader import Results
from fervid.results.workbook import MAX_ROWS, fill_workbook, is_same_workbook


def write_excel(
    tables: Results, target: Path, values: Values | None, overwrite: bool = False, rows: int = MAX_ROWS
) -> None:
    """Write one sheet for each table; see ``write_workbook``.

    A workbook that an earlier export of the same results wrote is replaced.

    Args:
        tables: The results.
        target: The .xlsx file to write. Its folder is made.
        values: Probabilities of the timeline to write; None: both.
        overwrite: Replace a file that exists and does not hold the same.
        rows: Rows of a sheet, without its header.

    Raises:
        UsageError: Such a file exists, and ``overwrite`` is false.
        MissingLibrary: The package openpyxl is not installed.
        OutputError: The file cannot be written.
    """
    everything = {
        "timeline": timeline_frame(tables.timeline, values),
        "episodes": tables.episodes,
        "summary": tables.summary,
        "persons": tables.persons,
        "shots": tables.shots,
        "doubts": tables.doubts,
        "videos": tables.videos,
    }
    with writing_file(target) as partial:
        fill_workbook(partial, everything.items(), rows)
        if not is_same_workbook(partial, target):
            refuse_existing([target], overwrite)
