"""What a command shows on stderr while it works: bars on a terminal, plain lines elsewhere, closing counts."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

from tqdm import tqdm

from fervid.batch.plan import Plan
from fervid.batch.report import BatchReport, Listener, VideoReport
from fervid.errors import printable
from fervid.settings import ScanSettings


class BatchDisplay(Listener):
    """Progress of a batch: a bar on a terminal, one line per failed file, a closing table.

    ``quiet`` prints nothing but what newly failed; ``log_json`` prints every event as a JSON object instead.
    ``out``: what the closing table calls the results; ``scan``: which part of each video was analysed.
    """

    def __init__(
        self, out: Path, quiet: bool = False, log_json: bool = False, scan: ScanSettings | None = None
    ) -> None:
        self._scan = scan or ScanSettings()
        self._out, self._quiet, self._log_json = out, quiet or log_json, log_json
        self._bar: tqdm[NoReturn] | None = None
        self._begun = time.monotonic()

    def __enter__(self) -> BatchDisplay:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def start(self, count: int) -> None:
        """See Listener."""
        hidden = self._quiet or not sys.stderr.isatty()
        self._bar = tqdm(total=count, unit="video", disable=hidden, dynamic_ncols=True)
        self._log(event="start", videos=count)

    def video(self, report: VideoReport) -> None:
        """See Listener."""
        if self._bar is not None:
            self._bar.update()
        for stage, seconds in report.seconds.items():
            self._log(event="stage", video=report.video, stage=stage, seconds=round(seconds, 3))
        if self._log_json:
            found = {"status": report.status, "fresh": report.fresh, "error": report.error, "message": report.message}
            self._log(event="video", video=report.video, **found, faces=report.faces, duration=report.duration)
        elif report.status == "failed" and report.fresh:
            tqdm.write(printable(f"failed: {report.video}: {report.message}"), file=sys.stderr)

    def notify(self, message: str) -> None:
        """See Listener."""
        self._log(event="message", message=message)
        if not self._log_json:
            tqdm.write(printable(message), file=sys.stderr)

    def _log(self, **values: Any) -> None:
        if self._log_json:
            print(json.dumps({"time": round(time.time(), 3), **values}), file=sys.stderr, flush=True)

    def done(self, report: BatchReport) -> None:
        """See Listener: the closing lines."""
        if self._bar is not None:
            self._bar.close()
        out = printable(str(self._out))
        elapsed = max(time.monotonic() - self._begun, 1e-3)
        statuses = {status: report.count(status) for status in ("ok", "no_face", "skipped", "failed")}
        self._log(event="end", **statuses, exit_code=report.exit_code, seconds=round(elapsed, 3), out=out)
        if self._quiet:
            return
        fresh = [video for video in report.videos if video.fresh]
        before = sum(not video.fresh for video in report.videos)
        seconds = sum(self._analysed(video.duration) for video in fresh)
        rows = [("videos with faces", statuses["ok"]), ("without a face", statuses["no_face"])]
        rows += [("passed over", statuses["skipped"]), ("failed", statuses["failed"])]
        rows += [("faces", sum(video.faces for video in report.videos))]
        rows += [("done before", before)] if before else []
        for label, value in rows:
            print(f"{label:>18}  {value}", file=sys.stderr)
        if not report.videos:
            print("no videos found", file=sys.stderr)
        if seconds:
            speed = f"{seconds:.1f} s in {elapsed:.1f} s ({seconds / elapsed:.1f} x)"
            print(f"{'video analysed':>18}  {speed}", file=sys.stderr)
        print(f"{'results':>18}  {out}", file=sys.stderr)

    def _analysed(self, duration: float) -> float:
        end = duration if self._scan.end is None else min(duration, self._scan.end)
        return max(0.0, end - self._scan.start)


def show_plan(plan: Plan) -> None:
    """What a run would do, a line a video, on stdout; the counts on stderr."""
    for name, what, why in plan.videos:
        print(printable(f"{what:<8} {name}{f': {why}' if why else ''}"))
    counts = [f"{plan.count(what)} {label}" for what, label in _PLANNED.items() if plan.count(what)]
    print("; ".join(counts) or "no videos found", file=sys.stderr)


_PLANNED = {
    "analyze": "to analyse",
    "done": "done before",
    "failed": "failed before (--retry-failed tries again)",
    "copy": "copies",
    "skipped": "passed over",
}
