"""Limits hold for reading a file's content too, which may take longer than scanning it."""

from __future__ import annotations

from pathlib import Path

import fervid
from fervid.settings import AnalyzeSettings, RunSettings


def test_a_file_that_cannot_be_read_in_time_is_remembered_without_reading_it(tmp_path: Path) -> None:
    """A sparse file of 200 GB: no machine hashes it within a second."""
    video, out = tmp_path / "a.mp4", tmp_path / "r.parquet"
    with video.open("wb") as file:
        file.truncate(200 << 30)
    settings = AnalyzeSettings(run=RunSettings(timeout=1, workers=1))
    first = fervid.analyze(video, out, settings)
    assert [(row.status, row.error, row.fresh) for row in first.videos] == [("failed", "WorkerFailed", True)]
    assert "not scanned within 1 s" in str(first.videos[0].message)
    (planned,) = fervid_plan(video, out, settings)
    assert planned == ("a.mp4", "failed", first.videos[0].message)
    again = fervid.analyze(video, out, settings)
    assert [(row.status, row.fresh) for row in again.videos] == [("failed", False)]
    video.write_bytes(b"changed")
    assert fervid.analyze(video, out, settings).videos[0].fresh


def fervid_plan(video: Path, out: Path, settings: AnalyzeSettings) -> tuple[tuple[str, str, str], ...]:
    from fervid.batch.plan import plan

    return plan(video, out, settings).videos
