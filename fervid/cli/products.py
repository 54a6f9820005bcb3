"""Annotated videos and the report: as commands of their own, and as products of a batch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from fervid.cli.progress import ProgressDisplay
from fervid.errors import printable
from fervid.types import Progress

if TYPE_CHECKING:
    from fervid.annotate.annotate import AnnotatedVideo


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
        self.exit_code = write_videos(results, self._folder, sources, "full", False, self._quiet)


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
        write_report(results, self._target, None, True, self._quiet, sources)


def write_videos(results: Path, out: Path, sources: Mapping[str, Path], style: str, blur: bool, quiet: bool) -> int:
    """Write annotated videos. Shows a bar on a terminal, and prints one line per video and the counts.

    Args:
        results: The tables.
        out: Folder for the annotated videos.
        sources: Name in the tables → file.
        style: ``full`` or ``minimal``.
        blur: Whether to blur the faces.
        quiet: Print failures only.

    Returns:
        The exit code.
    """
    from fervid.annotate.annotate import annotate as run
    from fervid.results.reader import read_results
    from fervid.results.schema import ANALYSED

    table = read_results(results)
    total = float(table.videos.loc[table.videos["status"].isin(ANALYSED), "duration"].sum())
    done = 0.0
    with ProgressDisplay(quiet) as display:

        def written(seconds: float) -> None:
            nonlocal done
            done += seconds
            display.update(Progress("annotate", done, total, "seconds"))

        def finished(video: AnnotatedVideo) -> None:
            name, note = video.path or video.video, f": {video.message}" if video.message else ""
            if video.status == "failed" or (video.status != "unchanged" and not quiet):
                display.write(f"{video.status}: {name}{note}")

        report = run(table, sources, out, style, blur, finished, written)
    if not quiet:
        counts = [f"{report.count(status)} {status}" for status in ("written", "skipped", "failed")]
        counts += [f"{report.count('unchanged')} unchanged"] if report.count("unchanged") else []
        print(f"annotated videos: {', '.join(counts)}: {out}", file=sys.stderr)
    return report.exit_code


def write_report(
    results: Path,
    out: Path,
    videos: Path | None,
    pictures: bool,
    quiet: bool,
    sources: Mapping[str, Path] | None = None,
) -> None:
    """Write the report. Shows a bar on a terminal, and prints what is missing from the page.

    Args:
        results: The tables.
        out: The page to write.
        videos: The folder that was analysed; None: as the results say.
        pictures: Whether to show an image of each face.
        quiet: Print only what is missing.
        sources: Name in the tables → file; None: search for the videos.
    """
    from fervid.report.report import write_report

    hidden = quiet or not sys.stderr.isatty()

    def progress(names: Collection[str]) -> Iterator[str]:
        with tqdm(names, unit="video", desc="faces", disable=hidden, dynamic_ncols=True) as bar:
            yield from bar

    written = write_report(results, out, videos, pictures, sources, progress)
    reasons = {reason for _, reason in written.missing}
    for reason in sorted(reasons):
        names = [name for name, why in written.missing if why == reason]
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        print(printable(f"no pictures of the faces: {reason}: {', '.join(names[:3])}{more}"), file=sys.stderr)
    if "not found" in reasons and videos is None:
        print("--videos names the folder that was analysed; --no-thumbnails leaves the pictures out", file=sys.stderr)
    if not quiet:
        print(f"{out}: {written.size / 1e6:.1f} MB", file=sys.stderr)
