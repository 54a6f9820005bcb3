"""Exporting all tables as one Excel workbook."""

from __future__ import annotations

from pathlib import Path

from fervid.export.output_files import Values
from fervid.export.pyfeat_openface import timeline_frame
from fervid.files.atomic import writing
from fervid.results.reader import Results
from fervid.results.workbook import MAX_ROWS, write_workbook


def write_excel(tables: Results, target: Path, values: Values | None, rows: int = MAX_ROWS) -> None:
    """Write one sheet for each table; see ``write_workbook``.

    Args:
        tables: The results.
        target: The .xlsx file to write. Its folder is made.
        values: Probabilities of the timeline to write; None: both.
        rows: Rows of a sheet, without its header.

    Raises:
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
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    write_workbook(target, everything.items(), rows)
