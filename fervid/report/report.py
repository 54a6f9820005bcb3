"""The report: results as one HTML page that needs no network and no other file."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fervid.errors import UsageError
from fervid.files.atomic import atomic_path, writing
from fervid.files.fingerprint import fingerprint
from fervid.report import page_content
from fervid.report.frame_plan import FramePlan, plan_frames
from fervid.report.page import render
from fervid.report.pictures import MAX_THUMBNAILS, THUMBNAIL_BYTES, Pictures, Sources
from fervid.report.series import BYTES_PER_ROW, MAX_ROWS
from fervid.results.find_videos import Videos, find_videos
from fervid.results.reader import Results, read_results
from fervid.types import ProgressCallback, ignore_progress

PAGE_BYTES = 5_600_000
"""Size of a page with pictures, if its timelines leave so much room."""

LEAST_ROOM = 1_200_000
"""Bytes for frames in a page whose timelines take more."""


@dataclass(frozen=True)
class WrittenReport:
    """A report that was written.

    Attributes:
        path: The file.
        size: Its size in bytes.
        missing: (video, reason) for each video that has no pictures.
        notes: What a user should know about the results, as sentences.
    """

    path: Path
    size: int
    missing: tuple[tuple[str, str], ...]
    notes: tuple[str, ...] = ()


def write_report(
    results: str | os.PathLike[str] | Results,
    out: str | os.PathLike[str],
    videos: Videos = None,
    thumbnails: bool = True,
    on_progress: ProgressCallback = ignore_progress,
    fingerprint: Callable[[Path], str] = fingerprint,
    frames: bool = True,
) -> WrittenReport:
    """Write results as one HTML page.

    Args:
        results: What ``analyze`` wrote, or what ``read_results`` returned.
        out: The file to write; it ends in .html.
        videos: The folder that holds the videos, or the file of each video name. None: the folders that were
            analysed. Pictures are made only of files that still have the content that was analysed.
        thumbnails: Show an image of each face, cut out of its video. False: show no pictures at all.
        on_progress: Called after each video that is opened for pictures.
        fingerprint: Computes the fingerprint of a file. Replace it to reuse fingerprints that you have.
        frames: Store small frames of the videos too, which a click on a timeline shows.

    Returns:
        The file, and which videos have no pictures.

    Raises:
        UsageError: ``out`` does not end in .html.
        InputNotFound: The results or the folder ``videos`` do not exist.
        BadResults: fervid did not write ``results``.
        OutputError: The page cannot be written.
    """
    target = Path(out)
    check_target(target)
    tables, name = (results, "results") if isinstance(results, Results) else (read_results(results), Path(results).name)
    plan = _plan(tables) if thumbnails and frames else FramePlan({}, 0.0, 0, 0, 0)
    pictures: Pictures | None = None
    if thumbnails:
        faces = page_content.wanted_thumbnails(tables, MAX_THUMBNAILS)
        shown = tables.videos["video_id"].isin(plan.frames)
        names = {*faces, *tables.videos.loc[shown, "video"]}
        sources = Sources(tables, find_videos(tables, names, videos, fingerprint), target.parent, fingerprint)
        pictures = Pictures(sources, faces, plan, on_progress)
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(target) as partial, partial.open("w", encoding="utf-8") as file:
        for text in render(tables, name, pictures, plan):
            file.write(text)
        file.flush()
        size = partial.stat().st_size
    return WrittenReport(target, size, tuple(pictures.missing if pictures else ()), tables.notes)


def _plan(tables: Results) -> FramePlan:
    """The frames for which the page has room beside its timelines and the images of faces."""
    rows = min(len(tables.timeline), MAX_ROWS) * BYTES_PER_ROW
    faces = min(len(tables.summary), MAX_THUMBNAILS) * THUMBNAIL_BYTES
    return plan_frames(tables, max(LEAST_ROOM, int((PAGE_BYTES - (rows + faces) * 4 / 3) * 3 / 4)))


def check_target(out: Path) -> None:
    """Check that a report can be written to a path.

    Args:
        out: The path.

    Raises:
        UsageError: It does not end in .html.
    """
    if out.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"a report must end in .html: {out}")
