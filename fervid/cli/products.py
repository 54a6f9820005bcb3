"""Annotated videos and the report: as commands of their own, and as products of a batch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fervid.cli.messages import as_options
from fervid.cli.progress import ProgressDisplay
from fervid.errors import printable
from fervid.files.fingerprint import fingerprint
from fervid.types import Progress

if TYPE_CHECKING:
    from fervid.results.sources import Videos


class AnnotatedVideos:
    """Annotated videos as a product of a batch; see Product.

    Args:
        folder: Where they are written.
        quiet: Print failures only.

    Attributes:
        exit_code: The exit code of annotating; 0 before ``make``.
    """

    def __init__(self, folder: Path, quiet: bool) -> None:
        self._folder, self._quiet = folder, quiet
        self.exit_code = 0

    def prepare(self, sources: Mapping[str, Path], annotated: Mapping[str, Path]) -> None:
        """See Product.prepare."""
        from fervid.annotate.annotate import prepare

        prepare(sources, {**sources, **annotated}, self._folder)

    def make(self, results: Path, sources: Mapping[str, Path], fingerprint: Callable[[Path], str]) -> None:
        """See Product.make."""
        self.exit_code = write_videos(results, self._folder, sources, "full", False, self._quiet, fingerprint)


class ReportPage:
    """The report as a product of a batch; see Product.

    Args:
        target: The page to write.
        quiet: Print only what is missing.
    """

    def __init__(self, target: Path, quiet: bool) -> None:
        self._target, self._quiet = target, quiet

    def prepare(self, sources: Mapping[str, Path], annotated: Mapping[str, Path]) -> None:
        """See Product.prepare."""
        from fervid.files.discover import Source, refuse_overwriting
        from fervid.report.report import check_target

        check_target(self._target)
        inputs = {**sources, **annotated}
        refuse_overwriting((Source(path, name, name) for name, path in inputs.items()), [self._target])

    def make(self, results: Path, sources: Mapping[str, Path], fingerprint: Callable[[Path], str]) -> None:
        """See Product.make."""
        write_report(results, self._target, sources, True, self._quiet, fingerprint)


def write_videos(
    results: Path,
    out: Path,
    videos: Videos,
    style: str,
    blur: bool,
    quiet: bool,
    fingerprint: Callable[[Path], str] = fingerprint,
) -> int:
    """Write annotated videos. Shows a bar on a terminal, and prints one line per video and the counts.

    Args:
        results: The tables.
        out: Folder for the annotated videos.
        videos: See ``annotate``.
        style: ``full`` or ``minimal``.
        blur: Whether to blur the faces.
        quiet: Print failures only.
        fingerprint: See ``annotate``.

    Returns:
        The exit code.
    """
    from fervid.annotate.annotate import AnnotatedVideo
    from fervid.annotate.annotate import annotate as run

    with ProgressDisplay(quiet) as display:

        def show(progress: Progress) -> None:
            display.update(Progress(progress.step, progress.done, progress.total, progress.unit))
            video = progress.outcome
            if isinstance(video, AnnotatedVideo) and (
                video.status == "failed" or (video.status != "unchanged" and not quiet)
            ):
                display.write(str(video))

        report = run(results, videos, out, style, blur, show, fingerprint)
    if not quiet:
        counts = [f"{report.count(status)} {status}" for status in ("written", "skipped", "failed")]
        counts += [f"{report.count('unchanged')} unchanged"] if report.count("unchanged") else []
        print(f"annotated videos: {', '.join(counts)}: {out}", file=sys.stderr)
    return report.exit_code


def write_report(
    results: Path,
    out: Path,
    videos: Videos,
    thumbnails: bool,
    quiet: bool,
    fingerprint: Callable[[Path], str] = fingerprint,
) -> None:
    """Write the report. Shows a bar on a terminal, and prints what is missing from the page.

    Args:
        results: The tables.
        out: The page to write.
        videos: See ``fervid.report.report.write_report``.
        thumbnails: Whether to show a thumbnail of each face.
        quiet: Print only what is missing.
        fingerprint: See ``fervid.report.report.write_report``.
    """
    from fervid.report.report import write_report

    with ProgressDisplay(quiet) as display:
        written = write_report(results, out, videos, thumbnails, display.update, fingerprint)
    for reason in sorted({reason for _, reason in written.missing}):
        names = [name for name, why in written.missing if why == reason]
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        print(printable(as_options(f"no thumbnails: {reason}: {', '.join(names[:3])}{more}")), file=sys.stderr)
    if not quiet:
        print(f"{out}: {written.size / 1e6:.1f} MB", file=sys.stderr)
