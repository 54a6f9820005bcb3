"""A folder of clips that are analysed within a moment: they have no faces, so no network is loaded."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from fervid.api import analyze
from fervid.settings import AnalyzeSettings, ScanSettings
from tests.support.clips import at_rate, write_clip
from tests.support.paths import LONG_AGO

FAST = AnalyzeSettings(scan=ScanSettings(fps=2))

FORMS = ("r.parquet", "r.csv", "r")
"""The forms of results."""


def make_videos(folder: Path) -> Path:
    """Write ``a.mp4`` to ``d.mp4``, ``copy.mp4``, which is ``a.mp4``, and ``x.mp4``, which is no video."""
    folder.mkdir(parents=True)
    for count, name in enumerate("abcd", 8):
        write_clip(folder / f"{name}.mp4", at_rate(4, count), width=64, height=48)
    shutil.copy(folder / "a.mp4", folder / "copy.mp4")
    (folder / "x.mp4").write_bytes(b"this is no video")
    age(folder)
    return folder


def age(folder: Path) -> None:
    """Make files old enough for the index."""
    for path in folder.rglob("*"):
        os.utime(path, (LONG_AGO, LONG_AGO))


def run(videos: Path, out: Path, settings: AnalyzeSettings = FAST) -> int:
    """Analyse, and return the exit code."""
    return analyze(videos, out, settings).exit_code


def contents(folder: Path) -> dict[str, bytes]:
    """Name → content of every file in a folder, without hidden ones and the record of the run."""
    found = {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {
        str(name): path.read_bytes()
        for name, path in found.items()
        if not any(part.startswith(".") for part in name.parts) and not path.name.endswith("run.json")
    }
