"""The report: results as one HTML page that needs no network and no other file.

The charts are drawn by uPlot, which is included in ``assets`` with its licence.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fervid.errors import UnreadableVideo, UsageError
from fervid.files.atomic import atomic_path, writing
from fervid.files.fingerprint import fingerprint
from fervid.report import page_content
from fervid.report.page import render
from fervid.report.thumbnails import MAX_THUMBNAILS, make_thumbnails
from fervid.results.find_videos import Videos, analysed_file, find_videos
from fervid.results.reader import Results, read_results
from fervid.settings import OpenOptions
from fervid.types import Progress, ProgressCallback, ignore_progress


@dataclass(frozen=True)
class WrittenReport:
    """A report that was written.

    Attributes:
        path: The file.
        size: Its size in bytes.
        missing: (video, reason) for each video whose faces have no thumbnails.
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
) -> WrittenReport:
    """Write results as one HTML page.

    Args:
        results: What ``analyze`` wrote, or what ``read_results`` returned.
        out: The file to write; it ends in .html.
        videos: The folder that holds the videos, or the file of each video name. None: the folders that were
            analysed. Thumbnails are made only of files that still have the content that was analysed.
        thumbnails: Show a thumbnail of each face, cut out of its video.
        on_progress: Called after each video that is opened for thumbnails.
        fingerprint: Computes the fingerprint of a file. Replace it to reuse fingerprints that you have.

    Returns:
        The file, and which thumbnails are missing.

    Raises:
        UsageError: ``out`` does not end in .html.
        InputNotFound: The results or the folder ``videos`` do not exist.
        BadResults: fervid did not write ``results``.
        OutputError: The page cannot be written.
    """
    target = Path(out)
    check_target(target)
    tables, name = (results, "results") if isinstance(results, Results) else (read_results(results), Path(results).name)
    images: dict[str, dict[int, str]] = {}
    missing: list[tuple[str, str]] = []
    if thumbnails:
        images, missing = _find_thumbnails(tables, videos, on_progress, fingerprint)
    page = render(tables, name, images)
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(target) as partial:
        partial.write_text(page, encoding="utf-8")
    return WrittenReport(target, len(page.encode()), tuple(missing), tables.notes)


def _find_thumbnails(
    tables: Results, videos: Videos, on_progress: ProgressCallback, fingerprint: Callable[[Path], str]
) -> tuple[dict[str, dict[int, str]], list[tuple[str, str]]]:
    """Video → face_id → data URI, and (video, reason) for videos without thumbnails."""
    wanted = page_content.wanted_thumbnails(tables, MAX_THUMBNAILS)
    found = find_videos(tables, wanted, videos, fingerprint)
    images: dict[str, dict[int, str]] = {}
    missing: list[tuple[str, str]] = []
    for done, (name, faces) in enumerate(wanted.items(), start=1):
        try:
            path = analysed_file(tables, name, found, fingerprint)
            images[name] = make_thumbnails(path, faces, OpenOptions.of(tables.metadata))
        except UnreadableVideo as error:
            missing.append((name, str(error)))
        on_progress(Progress("report", done, len(wanted), "videos"))
    return images, missing


def check_target(out: Path) -> None:
    """Check that a report can be written to a path.

    Args:
        out: The path.

    Raises:
        UsageError: It does not end in .html.
    """
    if out.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"a report must end in .html: {out}")
