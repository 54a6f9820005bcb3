"""Annotated videos and the report, as commands of their own and as part of a batch."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from fervid.errors import printable

if TYPE_CHECKING:
    from fervid.annotate.annotate import AnnotatedVideo


class AnnotatedVideos:
    """Annotated videos as a product of a batch (see Product); ``exit_code`` is theirs."""

    def __init__(self, folder: Path, quiet: bool) -> None:
        self._folder, self._quiet = folder, quiet
        self.exit_code = 0

    def prepare(self, sources: Mapping[str, Path], drawn: Mapping[str, Path]) -> None:
        """See Product."""
        from fervid.annotate.annotate import prepare

        prepare(sources, {**sources, **drawn}, self._folder)

    def make(self, results: Path, sources: Mapping[str, Path]) -> None:
        """See Product."""
        self.exit_code = write_videos(results, self._folder, sources, "full", False, self._quiet)


class ReportPage:
    """The report as a product of a batch (see Product)."""

    def __init__(self, target: Path, quiet: bool) -> None:
        self._target, self._quiet = target, quiet

    def prepare(self, sources: Mapping[str, Path], drawn: Mapping[str, Path]) -> None:
        """See Product."""
        from fervid.files.discover import Source, refuse_overwriting
        from fervid.report.report import check_target

        check_target(self._target)
        inputs = {**sources, **drawn}
        refuse_overwriting((Source(path, name, name) for name, path in inputs.items()), [self._target])

    def make(self, results: Path, sources: Mapping[str, Path]) -> None:
        """See Product."""
        write_report(results, self._target, None, True, self._quiet, sources)


def write_videos(results: Path, out: Path, sources: Mapping[str, Path], style: str, blur: bool, quiet: bool) -> int:
    """Write annotated videos, a bar on a terminal, one line per video; returns the exit code."""
    from fervid.annotate.annotate import annotate as run
    from fervid.results.reader import read_results
    from fervid.results.schema import ANALYSED

    table = read_results(results)
    hidden = quiet or not sys.stderr.isatty()
    total = float(table.videos.loc[table.videos["status"].isin(ANALYSED), "duration"].sum())
    shape = "{percentage:3.0f}%|{bar}| {n:.0f}/{total:.0f} s of video [{elapsed}<{remaining}]"
    with tqdm(total=total, bar_format=shape, disable=hidden, dynamic_ncols=True) as bar:

        def notify(video: AnnotatedVideo) -> None:
            name, note = video.path or video.video, f": {video.message}" if video.message else ""
            if video.status == "failed" or (video.status != "unchanged" and not quiet):
                bar.write(printable(f"{video.status}: {name}{note}"), file=sys.stderr)

        done = run(table, sources, out, style, blur, notify, bar.update)
    if not quiet:
        counts = [f"{done.count(status)} {status}" for status in ("written", "skipped", "failed")]
        counts += [f"{done.count('unchanged')} unchanged"] if done.count("unchanged") else []
        print(f"annotated videos: {', '.join(counts)}: {out}", file=sys.stderr)
    return done.exit_code


def write_report(
    results: Path,
    out: Path,
    videos: Path | None,
    pictures: bool,
    quiet: bool,
    sources: Mapping[str, Path] | None = None,
) -> None:
    """Write the report, a bar on a terminal, and say what it lacks."""
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
