"""What a command shows on stderr while it works: progress bars, messages, and the summary of a batch."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, Literal, NoReturn, Self

from tqdm import tqdm

from fervid.batch.plan import Plan
from fervid.batch.report import BatchReport, VideoReport
from fervid.cli.messages import answer, is_json, log, say
from fervid.cli.option_names import as_options
from fervid.settings import ScanSettings
from fervid.types import Progress

SECONDS_FORMAT = "{percentage:3.0f}%|{bar}| {n:.0f}/{total:.0f} s of video [{elapsed}<{remaining}]"
"""tqdm's bar for steps that count seconds of video."""


class ProgressDisplay:
    """Shows the progress of one step: a bar on a terminal, and messages as lines. An instance is an ``on_progress``.

    Args:
        quiet: Show no bar.
        label: Text before the bar.
    """

    def __init__(self, quiet: bool = False, label: str | None = None) -> None:
        self._hidden, self._label = quiet or is_json() or not sys.stderr.isatty(), label
        self._bar: tqdm[NoReturn] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __call__(self, progress: Progress) -> None:
        """Update the bar and show the message, if there is one.

        Args:
            progress: One event of the step.
        """
        self.update(progress)
        if progress.message:
            self.write(progress.message)

    def update(self, progress: Progress) -> None:
        """Update the bar; the first event creates it, the last one closes it.

        Args:
            progress: One event of the step.
        """
        if self._bar is None:
            shape = SECONDS_FORMAT if progress.unit == "seconds" else None
            self._bar = tqdm(
                total=progress.total,
                unit=progress.unit.removesuffix("s"),
                desc=self._label,
                bar_format=shape,
                disable=self._hidden,
                dynamic_ncols=True,
            )
        self._bar.update(progress.done - self._bar.n)
        if progress.done == progress.total:
            self.close()

    def write(self, message: str, level: Literal["info", "warning"] = "info") -> None:
        """Write a line above the bar.

        Args:
            message: The line. Settings in backticks are shown as options, and control characters are escaped.
            level: How important it is. Only JSON shows it.
        """
        say(as_options(message), level=level)

    def close(self) -> None:
        """Close the bar, if there is one."""
        if self._bar is not None:
            self._bar.close()


class BatchDisplay(ProgressDisplay):
    """Shows the progress of ``analyze``: a bar, a line for each video that failed, and a summary at the end.

    Args:
        out: The results, named in the summary.
        quiet: Print nothing but new failures and messages.
        log_json: Print each event as a JSON object instead.
        scan: Which part of each video is analysed, for the speed in the summary.
    """

    def __init__(
        self, out: Path, quiet: bool = False, log_json: bool = False, scan: ScanSettings | None = None
    ) -> None:
        super().__init__(quiet or log_json)
        self._scan = scan or ScanSettings()
        self._out, self._quiet, self._log_json = out, quiet or log_json, log_json
        self._started = self._updated = time.monotonic()
        self._begun = False

    def __call__(self, progress: Progress) -> None:
        """Show one event of the batch.

        Args:
            progress: The event; its ``outcome`` is a VideoReport if the outcome of a video is known.
        """
        self._updated = time.monotonic()
        if not self._begun:
            self._begun = True
            self._log(event="start", videos=progress.total)
        self.update(progress)
        if isinstance(progress.outcome, VideoReport):
            self._show_video(progress.outcome)
        elif progress.message:
            self._log(event="message", message=progress.message)
            if not self._log_json:
                self.write(progress.message)

    def _show_video(self, report: VideoReport) -> None:
        for stage, seconds in report.seconds.items():
            self._log(event="stage", video=report.video, stage=stage, seconds=round(seconds, 3))
        if self._log_json:
            found = {"status": report.status, "fresh": report.fresh, "error": report.error, "message": report.message}
            level: Literal["info", "warning"] = "warning" if report.status == "failed" else "info"
            log(level, event="video", video=report.video, **found, faces=report.faces, duration=report.duration)
        elif report.status == "failed" and report.fresh:
            self.write(f"failed: {report.video}: {report.message}")

    def _log(self, **values: Any) -> None:
        if self._log_json:
            log(**values)

    def finish(self, report: BatchReport) -> None:
        """Print the summary.

        Args:
            report: The outcome of every input.
        """
        self.close()
        out = str(self._out)
        elapsed = max(self._updated - self._started, 1e-3)
        statuses = {status: report.count(status) for status in ("ok", "no_face", "skipped", "failed")}
        self._log(event="end", **statuses, exit_code=report.exit_code, seconds=round(elapsed, 3), out=out)
        if self._quiet:
            return
        seconds = sum(self._analysed(video.duration) for video in report.videos if video.fresh)
        done_before = sum(not video.fresh for video in report.videos)
        rows = [("videos with faces", statuses["ok"]), ("without a face", statuses["no_face"])]
        rows += [("skipped", statuses["skipped"]), ("failed", statuses["failed"])]
        rows += [("faces", sum(video.faces for video in report.videos))]
        rows += [("done before", done_before)] if done_before else []
        for label, value in rows:
            say(f"{label:>18}  {value}")
        if not report.videos:
            say("no videos found")
        if seconds:
            speed = f"{seconds:.1f} s in {elapsed:.1f} s ({seconds / elapsed:.1f} x)"
            say(f"{'video analysed':>18}  {speed}")
        say(f"{'results':>18}  {out}")

    def _analysed(self, duration: float) -> float:
        """How many seconds of a video lie between the start and end that were set."""
        end = duration if self._scan.end is None else min(duration, self._scan.end)
        return max(0.0, end - self._scan.start)


def show_plan(plan: Plan) -> None:
    """Print what a run would do: one line per input on stdout, the counts on stderr.

    Args:
        plan: The plan.
    """
    for name, planned, reason in plan.videos:
        answer(as_options(f"{planned:<8} {name}{f': {reason}' if reason else ''}"))
    labels = _PLANNED | ({"copy": "copy"} if plan.count("copy") == 1 else {})
    counts = [f"{plan.count(planned)} {label}" for planned, label in labels.items() if plan.count(planned)]
    say("; ".join(counts) or "no videos found")


_PLANNED = {
    "analyze": "to analyse",
    "done": "done before",
    "failed": "failed before (--retry-failed tries again)",
    "copy": "copies",
    "skipped": "skipped",
}
"""What would happen to an input → its label in the counts."""
