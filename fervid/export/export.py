"""Exporting results to other formats: ELAN, Praat, BORIS, BIDS, Excel, and CSV as py-feat and OpenFace write it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import cast

import pandas as pd

from fervid.errors import UsageError
from fervid.export.bids import plan_bids, write_bids
from fervid.export.elan import write_elan
from fervid.export.excel import write_excel
from fervid.export.output_files import (
    Exported,
    Format,
    Values,
    refuse_overwriting_inputs,
    single_file,
    target_files,
    write_csv,
)
from fervid.export.pyfeat_openface import pyfeat_frame, timeline_frame, write_openface
from fervid.export.textgrid_boris import write_boris, write_textgrids
from fervid.files.locks import locked_temporarily
from fervid.results.find_videos import FoundVideos, Videos, find_videos
from fervid.results.reader import Results, read_results
from fervid.results.schema import ANALYSED
from fervid.results.workbook import refuse_without_openpyxl

LOCK = ".fervid-export.lock"
"""Lock file in a folder that an export writes into. It exists while a call writes there."""

NOTES: dict[Format, tuple[str, ...]] = {
    "elan": (
        "ELAN documents hold the episodes of emotions, rounded to milliseconds; they do not hold probabilities, boxes,"
        " quality and trust",
    ),
    "textgrid": (
        "TextGrid files hold the episodes of emotions; they do not hold probabilities, boxes, quality and trust",
    ),
    "boris": (
        "the project holds the episodes of emotions, rounded to milliseconds; it does not hold probabilities, boxes,"
        " quality and trust",
    ),
    "bids": (
        "the dataset holds the episodes of emotions, the timeline and the trust; it does not hold shots, doubts about"
        " single faces and the summary, which can be computed from it",
    ),
    "excel": (
        "a sheet of Excel holds 1,048,575 rows and a cell 32,767 characters; longer tables go on in the next sheet,"
        " longer texts are cut",
    ),
    "pyfeat": (
        "py-feat has no columns for face_id, person, face_quality and episodes; its approx_time has whole seconds only",
        "py-feat's columns of action units, landmarks and head pose are absent",
    ),
    "openface": (
        "OpenFace counts frames from 1; only sampled frames have a row, so frame numbers are not consecutive",
        "pose_Rx to pose_Rz are relative to the line from the camera to the face; x_0 to y_67 are there if the meshes"
        " were kept (`mesh`)",
        "OpenFace's gaze, positions in millimetres, landmarks of the eyes and action units (AU45 too) are absent; box"
        " and emotions follow the other columns",
    ),
    "csv": (),
}
"""What each format cannot hold, as sentences for the user."""

EPISODES_ONLY = ("elan", "textgrid", "boris")
"""Formats without probabilities. Their files may hold manual work, so they are not replaced unasked."""

ENDINGS: dict[Format, str] = {"elan": ".eaf", "textgrid": ".TextGrid", "openface": ".csv"}
"""Formats with one file per video → the ending of the files."""

ONE_FILE: dict[Format, str] = {"boris": ".boris", "excel": ".xlsx"}
"""Formats with one file for all videos, that is not a CSV file → its ending."""


def export(
    results: str | os.PathLike[str] | Results,
    to: str,
    out: str | os.PathLike[str],
    values: str | None = None,
    videos: Videos = None,
    overwrite: bool = False,
) -> Exported:
    """Write results in the format of another tool.

    Args:
        results: What ``analyze`` wrote, or what ``read_results`` returned.
        to: ``elan``, ``textgrid`` or ``openface`` (one file per video), ``boris`` (one project), ``bids`` (a dataset),
            ``excel`` (one workbook), ``pyfeat`` or ``csv`` (one CSV file).
        out: The file to write. For ``elan`` (.eaf), ``textgrid`` (.TextGrid) and ``openface`` (.csv) a folder, or a
            file if the results hold only one video. For ``bids`` a folder.
        values: Probabilities to write, ``raw`` or ``smooth``. None: ``raw`` for ``pyfeat`` and ``openface``, which is
            what these tools write, and both for the others. Not for those that hold episodes.
        videos: The folder that holds the videos, or the file of each video name. None: the folders that were analysed.
            ELAN documents and BORIS projects link to the videos that are found.
        overwrite: Replace files of ELAN, Praat, BORIS, BIDS and Excel that exist and hold something else. Without it
            they are kept, because they may hold manual work.

    Returns:
        The files, what the format could not hold, and which videos were not found for links.

    Raises:
        MissingLibrary: ``excel`` needs the package openpyxl.
        UsageError: The arguments do not fit together, or a file exists that must not be replaced.
        InputNotFound: The results or the folder ``videos`` do not exist.
        BadResults: fervid did not write ``results``.
        OutputLocked: Another call writes into the folder.
        OutputError: A file cannot be written.
    """
    form, chosen = _checked(to, values)
    tables = results if isinstance(results, Results) else read_results(results)
    names = list(_analysed(tables)["video"])
    if form == "bids":
        return _export_bids(results, tables, Path(out), chosen, overwrite)
    source = None if isinstance(results, Results) else Path(results)
    targets = _targets(form, names, Path(out), source)
    found = FoundVideos({}, "")
    notes = tables.notes + NOTES[form]
    if form in ("elan", "boris"):
        found = _sources(tables, names, videos)
        notes += _missing_links([name for name in names if name not in found.paths], found.missing_message)
    writers: dict[Format, Callable[[], None]] = {
        "elan": lambda: write_elan(tables, targets, found.paths, overwrite),
        "textgrid": lambda: write_textgrids(tables, targets, overwrite),
        "boris": lambda: write_boris(tables, targets[""], found.paths, overwrite),
        "excel": lambda: write_excel(tables, targets[""], chosen, overwrite),
        "openface": lambda: write_openface(tables, targets, chosen or "raw", source),
        "pyfeat": lambda: write_csv(targets[""], pyfeat_frame(tables.timeline, chosen or "raw")),
        "csv": lambda: write_csv(targets[""], timeline_frame(tables.timeline, chosen)),
    }
    with _lock(Path(out), targets):
        writers[form]()
    return Exported(tuple(targets.values()), notes)


def _targets(form: Format, names: list[str], out: Path, results: Path | None) -> dict[str, Path]:
    """The file of each video; for formats with one file for all, that file under an empty name."""
    if form in ENDINGS:
        targets = target_files(names, out, ENDINGS[form])
    else:
        targets = {"": single_file(out, ONE_FILE.get(form, ".csv"))}
    if results is not None:
        refuse_overwriting_inputs(targets.values(), results)
    return targets


def _export_bids(
    results: str | os.PathLike[str] | Results, tables: Results, out: Path, values: Values | None, overwrite: bool
) -> Exported:
    """Write a dataset of BIDS."""
    plan = plan_bids(tables, list(_analysed(tables)["video"]), out, values)
    if not isinstance(results, Results):
        refuse_overwriting_inputs([out, *plan.files], Path(results))
    with locked_temporarily(out / LOCK):
        write_bids(plan, overwrite)
    return Exported(tuple(plan.files), tables.notes + NOTES["bids"] + plan.notes)


def _lock(out: Path, targets: Mapping[str, Path]) -> contextlib.AbstractContextManager[None]:
    """A lock on the folder that an export writes into. A single file needs none: it is written atomically."""
    return contextlib.nullcontext() if out in targets.values() else locked_temporarily(out / LOCK)


def _checked(to: str, values: str | None) -> tuple[Format, Values | None]:
    """Check the format and which probabilities it is to hold."""
    if to not in NOTES:
        raise UsageError(f"`to` must be one of {', '.join(NOTES)}, not {to!r}")
    if values not in (None, "raw", "smooth"):
        raise UsageError(f"`values` must be raw or smooth, not {values!r}")
    if to in EPISODES_ONLY and values is not None:
        raise UsageError(f"`values` does not apply to {to}, which holds episodes")
    if to == "excel":
        refuse_without_openpyxl()
    return to, cast(Values | None, values)


def _sources(tables: Results, names: Iterable[str], videos: Videos) -> FoundVideos:
    """The videos that ELAN documents link to; none if their folder is neither given nor recorded."""
    if videos is None and not tables.roots:
        return FoundVideos({}, "the results do not record the folder of the videos; `videos` names it")
    return find_videos(tables, names, videos)


def _missing_links(names: Sequence[str], reason: str) -> tuple[str, ...]:
    """A note that names the videos to which ELAN documents have no full link; empty if there are none."""
    if not names:
        return ()
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    listed = ", ".join(names[:3]) + more
    return (f"no full link to {listed}: {reason}. ELAN and BORIS look for a video in the folder of their file",)


def _analysed(tables: Results) -> pd.DataFrame:
    """The manifest rows of videos that have a timeline."""
    return tables.videos[tables.videos["status"].isin(ANALYSED)]
