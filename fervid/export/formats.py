"""Tables → the files of other tools: ELAN, and CSV in the shapes of py-feat and OpenFace."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pandas as pd

from fervid.errors import UsageError
from fervid.export.elan import write_elan
from fervid.export.files import (
    Exported,
    Format,
    Values,
    refuse_existing,
    refuse_overwriting_inputs,
    single_video,
    target_files,
    write_csv,
)
from fervid.export.tables import pyfeat_frame, tidy_frame, write_openface
from fervid.files.locate import locate
from fervid.results.reader import Results, read_results
from fervid.results.schema import ANALYSED

NOTES: dict[Format, tuple[str, ...]] = {
    "elan": (
        "ELAN holds the episodes, rounded to milliseconds; probabilities, boxes, quality and trust stay in the results",
    ),
    "pyfeat": (
        "py-feat's columns have no place for face_id, person, face_quality and the episodes;"
        " approx_time has whole seconds only",
        "fervid measures no action units, landmarks or head pose: those columns of py-feat are absent",
    ),
    "openface": (
        "OpenFace counts frames from 1; only sampled frames have a row, so the numbers are not consecutive",
        "fervid measures no gaze, head pose, landmarks or action units: those columns of OpenFace are absent;"
        " box and emotions follow its first five columns",
    ),
    "csv": (),
}
"""What each format cannot hold, in words for people."""


def export(
    results: str | os.PathLike[str],
    to: str,
    out: str | os.PathLike[str],
    values: str | None = None,
    videos: Path | None = None,
    overwrite: bool = False,
) -> Exported:
    """Write the results at ``results`` as files that other tools read. ``to`` is a Format, ``values`` one of Values.

    ``elan`` and ``openface`` know one video a file: ``out`` is a folder, or a file (.eaf, .csv) where the results
    hold one video. ``pyfeat`` and ``csv`` write one CSV. ``values`` are the probabilities to write, by default
    ``raw`` for ``pyfeat`` and ``openface``, as these tools write them, and both for ``csv``. ``videos`` is the
    folder that was analysed: ELAN files then point to the videos there. An ELAN file that is already there may
    hold work done by hand; it is only replaced with ``overwrite``. Raises UsageError, BadResults, OutputError.
    """
    target = Path(out)
    if to not in NOTES:
        raise UsageError(f"--to must be one of {', '.join(NOTES)}, not {to!r}")
    if values not in (None, "raw", "smooth"):
        raise UsageError(f"--values must be raw or smooth, not {values!r}")
    if to == "elan" and values is not None:
        raise UsageError("--values does not apply to ELAN, whose tiers hold episodes")
    chosen = cast(Values | None, values)
    tables = read_results(results)
    if to in ("pyfeat", "csv"):
        targets = {"": single_video(target, ".csv")}
    else:
        targets = target_files(list(_analysed(tables)["video"]), target, ".eaf" if to == "elan" else ".csv")
    refuse_overwriting_inputs(targets.values(), Path(results))
    if to == "elan":
        refuse_existing(targets.values(), overwrite)
    shapes: dict[Format, Callable[[], None]] = {
        "elan": lambda: write_elan(tables, targets, locate(targets, videos) if videos else {}),
        "openface": lambda: write_openface(tables, targets, chosen or "raw"),
        "pyfeat": lambda: write_csv(targets[""], pyfeat_frame(tables.timeline, chosen or "raw")),
        "csv": lambda: write_csv(targets[""], tidy_frame(tables.timeline, chosen)),
    }
    shapes[to]()
    return Exported(tuple(targets.values()), NOTES[to])


def _analysed(tables: Results) -> pd.DataFrame:
    """The rows of ``videos`` that have a timeline."""
    return tables.videos[tables.videos["status"].isin(ANALYSED)]
