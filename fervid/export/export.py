"""Exporting results to the formats of other tools: ELAN, and CSV as py-feat and OpenFace write it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import cast

import pandas as pd

from fervid.errors import UsageError
from fervid.export.elan import write_elan
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
from fervid.files.locks import locked_temporarily
from fervid.results.find_videos import FoundVideos, Videos, find_videos
from fervid.results.reader import Results, read_results
from fervid.results.schema import ANALYSED

LOCK = ".fervid-export.lock"
"""Lock file in a folder that an export writes into. It exists while a call writes there."""

NOTES: dict[Format, tuple[str, ...]] = {
    "elan": (
        "ELAN documents hold the episodes, rounded to milliseconds; they do not hold probabilities, boxes, quality"
        " and trust",
    ),
    "pyfeat": (
        "py-feat has no columns for face_id, person, face_quality and episodes; its approx_time has whole seconds only",
        "fervid measures no action units, landmarks or head pose: those columns of py-feat are absent",
    ),
    "openface": (
        "OpenFace counts frames from 1; only sampled frames have a row, so frame numbers are not consecutive",
        "fervid measures no gaze, head pose, landmarks or action units: those columns of OpenFace are absent;"
        " box and emotions follow its first five columns",
    ),
    "csv": (),
}
"""What each format cannot hold, as sentences for the user."""


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
        to: ``elan`` or ``openface`` (one file per video), ``pyfeat`` or ``csv`` (one CSV file).
        out: The file to write. For ``elan`` (.eaf) and ``openface`` (.csv) a folder, or a file if the results hold
            only one video.
        values: Probabilities to write, ``raw`` or ``smooth``. None: ``raw`` for ``pyfeat`` and ``openface``, which is
            what these tools write, and both for ``csv``. Not for ``elan``.
        videos: The folder that holds the videos, or the file of each video name. None: the folders that were analysed.
            ELAN documents link to the videos that are found.
        overwrite: Replace ELAN documents that exist. Without it they are kept, because they may hold manual work.

    Returns:
        The files, what the format could not hold, and which videos were not found for links.

    Raises:
        UsageError: The arguments do not fit together, or a file exists that must not be replaced.
        InputNotFound: The results or the folder ``videos`` do not exist.
        BadResults: fervid did not write ``results``.
        OutputLocked: Another call writes into the folder.
        OutputError: A file cannot be written.
    """
    target = Path(out)
    if to not in NOTES:
        raise UsageError(f"`to` must be one of {', '.join(NOTES)}, not {to!r}")
    if values not in (None, "raw", "smooth"):
        raise UsageError(f"`values` must be raw or smooth, not {values!r}")
    if to == "elan" and values is not None:
        raise UsageError("`values` does not apply to ELAN, whose tiers hold episodes")
    chosen = cast(Values | None, values)
    tables = results if isinstance(results, Results) else read_results(results)
    if to in ("pyfeat", "csv"):
        targets = {"": single_file(target, ".csv")}
    else:
        targets = target_files(list(_analysed(tables)["video"]), target, ".eaf" if to == "elan" else ".csv")
    if not isinstance(results, Results):
        refuse_overwriting_inputs(targets.values(), Path(results))
    found = FoundVideos({}, "")
    notes = tables.notes + NOTES[to]
    if to == "elan":
        found = _sources(tables, targets, videos)
        notes += _missing_links([name for name in targets if name not in found.paths], found.missing_message)
    writers: dict[Format, Callable[[], None]] = {
        "elan": lambda: write_elan(tables, targets, found.paths, overwrite),
        "openface": lambda: write_openface(tables, targets, chosen or "raw"),
        "pyfeat": lambda: write_csv(targets[""], pyfeat_frame(tables.timeline, chosen or "raw")),
        "csv": lambda: write_csv(targets[""], timeline_frame(tables.timeline, chosen)),
    }
    with _lock(target, targets):
        writers[to]()
    return Exported(tuple(targets.values()), notes)


def _lock(out: Path, targets: Mapping[str, Path]) -> contextlib.AbstractContextManager[None]:
    """A lock on the folder that an export writes into. A single file needs none: it is written atomically."""
    return contextlib.nullcontext() if out in targets.values() else locked_temporarily(out / LOCK)


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
    return (f"no full link to {listed}: {reason}. ELAN looks for a video in the folder of its document",)


def _analysed(tables: Results) -> pd.DataFrame:
    """The manifest rows of videos that have a timeline."""
    return tables.videos[tables.videos["status"].isin(ANALYSED)]
