"""Tables → one HTML page that shows them. It needs no network, and nothing beside it.

The charts are drawn by uPlot, which lies in ``assets`` with its licence.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fervid.errors import UnreadableVideo, UsageError
from fervid.files.atomic import atomic_path, writing
from fervid.files.locate import locate
from fervid.report import content
from fervid.report.page import render
from fervid.report.thumbnails import MAX_THUMBNAILS, thumbnails
from fervid.results.reader import read_results


@dataclass(frozen=True)
class Written:
    """``size`` in bytes. ``missing``: (video, reason) of each whose faces have no picture."""

    path: Path
    size: int
    missing: tuple[tuple[str, str], ...]


def write_report(
    results: str | os.PathLike[str],
    out: str | os.PathLike[str],
    videos: Path | None = None,
    pictures: bool = True,
    sources: Mapping[str, Path] | None = None,
    progress: Callable[[Collection[str]], Iterable[str]] = lambda names: names,
) -> Written:
    """Write the report of the results at ``results`` to ``out``, which ends in .html.

    With ``pictures``, faces are cut out of the videos, which are looked for in ``sources`` (name in the tables →
    file) or else under ``videos``, the folder that was analysed. ``progress`` wraps the names of the videos that
    are opened. Raises UsageError, BadResults, OutputError.
    """
    target = Path(out)
    check_target(target)
    tables = read_results(results)
    found: dict[str, dict[int, str]] = {}
    missing: list[tuple[str, str]] = []
    if pictures:
        wanted = content.wanted_thumbnails(tables, MAX_THUMBNAILS)
        files = locate(wanted, videos) if sources is None else sources
        ids = dict(zip(tables.videos["video"], tables.videos["video_id"], strict=True))
        for name in progress(wanted):
            try:
                if name not in files:
                    raise UnreadableVideo("not found")
                found[name] = thumbnails(files[name], ids[name], wanted[name])
            except UnreadableVideo as error:
                missing.append((name, str(error)))
    page = render(tables, Path(results).name, found)
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(target) as beside:
        beside.write_text(page, encoding="utf-8")
    return Written(target, len(page.encode()), tuple(missing))


def check_target(out: Path) -> None:
    """Raise UsageError where a report cannot be called ``out``."""
    if out.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"a report ends in .html: {out}")
