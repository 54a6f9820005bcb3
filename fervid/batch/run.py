"""Analysing many videos: scan in worker processes, classify in one batcher, store each video, compose the tables.

The results of a video are stored as soon as they are complete. The tables are composed from the stored results at the
end. A later run analyses only what is new, changed or failed.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fervid.batch.composing import compose_tables
from fervid.batch.file_index import Failure, Stamp
from fervid.batch.plan import BatchSetup, Paths
from fervid.batch.report import BatchReport, Product, VideoReport, report_of_row
from fervid.batch.store import IsDone, ResumeStore
from fervid.batch.tasks import AlreadyDone, ScanJob, ScanTask
from fervid.errors import (
    BadResults,
    BadWeights,
    FervidError,
    InternalError,
    MissingLibrary,
    OutputError,
    UnreadableVideo,
)
from fervid.files.discover import MADE_HERE, Source, shown_name
from fervid.files.fingerprint import fingerprint
from fervid.files.locks import using_locks
from fervid.results.mesh_table import MESH_NAME, write_part_meshes
from fervid.results.parts import Entry, Row, copy_of, read_rows, write_part
from fervid.results.rows import now, result_rows
from fervid.scan.types import Scan
from fervid.settings import AnalyzeSettings
from fervid.types import EMOTIONS, FloatArray, Progress, ProgressCallback, ignore_progress

if TYPE_CHECKING:
    from fervid.batch.engines.base import Engine
    from fervid.batch.engines.ray_classification import RemoteBatcher
    from fervid.emotions.batching import Batcher


def analyze(
    paths: Paths,
    out: str | os.PathLike[str],
    settings: AnalyzeSettings | None = None,
    on_progress: ProgressCallback = ignore_progress,
    engine: Engine | None = None,
    products: Sequence[Product] = (),
) -> BatchReport:
    """Analyse videos and write the four result tables.

    The tables hold the videos of this call. What an earlier call with the same ``out`` and settings has analysed is
    not analysed again. If a video cannot be read, the others are still analysed.

    Args:
        paths: Files, folders and glob patterns.
        out: The results: a .parquet or .csv file, or a folder.
        settings: All settings; None: the defaults.
        on_progress: Called with step ``analyze`` and unit ``videos`` at the start, when the outcome of an input is
            known (``outcome`` is its VideoReport), and with messages.
        engine: What scans the videos; None: the engine that the settings choose.
        products: Things to make from the tables while no other run can change them, such as a report.

    Returns:
        The outcome of every input, in input order.

    Raises:
        UsageError: An input does not exist, or the inputs, the output or the settings do not fit together.
        OutputLocked: Another run holds the output.
        OutputError: The output cannot be written. What was complete stays complete.
        WorkerFailed: No worker process can be kept alive.
    """
    setup = BatchSetup.of(paths, Path(out), settings or AnalyzeSettings())
    sources = {shown_name(source.name): source.path for source in setup.sources if not source.skip}
    annotated = {shown_name(source.name): source.path for source in setup.sources if source.skip == MADE_HERE}
    for product in products:
        product.prepare(sources, annotated)
    progress = _BatchProgress(on_progress, len(setup.sources))
    if setup.keeps_tables:
        progress.message(f"there is no video to analyse; {setup.out} is left as it was")
        skipped = (VideoReport(shown_name(source.name), "skipped", message=source.skip) for source in setup.sources)
        return BatchReport(tuple(skipped))
    with using_locks(setup.settings.run.lock), setup.store() as store:
        store.write_request(setup.request)
        run = _BatchRun(setup, store, progress)
        run.scan_and_classify(engine)
        report = run.compose()
        for product in products:
            product.make(setup.out, sources, run.fingerprint)
    return report


class _BatchProgress:
    """Reports the progress of a batch."""

    def __init__(self, on_progress: ProgressCallback, total: int) -> None:
        self._on_progress, self._total, self._done = on_progress, total, 0
        self._send()

    def video(self, report: VideoReport) -> None:
        """Report the outcome of one input."""
        self._done += 1
        reason = f": {report.message}" if report.status in ("failed", "skipped") else ""
        self._send(f"{report.video}: {report.status}{reason}", report)

    def message(self, text: str) -> None:
        """Report a message for the user."""
        self._send(text)

    def _send(self, message: str | None = None, outcome: VideoReport | None = None) -> None:
        self._on_progress(Progress("analyze", self._done, self._total, "videos", message, outcome))


@dataclass(eq=False, slots=True)
class _Input:
    """One input and its state.

    Attributes:
        source: The file.
        name: Its name in the tables.
        stamp: Its stamp before it was read; None if it was not read, or could not be examined.
        video_id: The fingerprint of its content, once known.
        failure: Why it failed, if its fingerprint is unknown. Otherwise the store holds the reason.
        failed_before: Whether ``failure`` is from an earlier run.
        scan: Its scan, until its crops are classified.
        row: Its row of the manifest, once read from its part.
    """

    source: Source
    name: str
    stamp: Stamp | None = None
    video_id: str | None = None
    failure: Failure | None = None
    failed_before: bool = False
    scan: Scan | None = None
    row: Row | None = None


class _BatchRun:
    """One run over the inputs of a batch."""

    def __init__(self, setup: BatchSetup, store: ResumeStore, progress: _BatchProgress) -> None:
        self._setup, self._store, self._progress = setup, store, progress
        self._is_done = IsDone(store.parts, setup.settings.run.retry_failed)
        self._inputs = [_Input(source, shown_name(source.name)) for source in setup.sources]
        self._first_reports: dict[str, VideoReport] = {}
        """Fingerprint → report of the first input with that content."""
        self._loader = setup.loader(progress.message)
        self._batcher: Batcher[int] | RemoteBatcher[int] | None = None

    def scan_and_classify(self, engine: Engine | None) -> None:
        """Find the outcome of every input. If there is nothing to scan, no engine and no model is loaded."""
        tasks = self._tasks()
        first = next(tasks, None)
        if first is None:
            return
        engine = engine or self._setup.engine()
        job = ScanJob(self._setup.settings.scan, self._setup.geometry, self._is_done, self._store.scratch)
        with contextlib.closing(engine.run(chain([first], tasks), job)) as outcomes:  # ends the workers in any case
            for task, outcome in outcomes:
                self._handle(task, outcome)
            for classified in self._batcher.flush() if self._batcher else ():
                self._finish(classified.key, classified.probabilities, classified.seconds)
        self._loader.wait()
        # the model would stay in memory while the tables are written
        self._batcher, self._loader = None, self._setup.loader(self._progress.message)

    def _tasks(self) -> Iterator[ScanTask]:
        """The inputs to scan. Reports those that are skipped or done."""
        for position, item in enumerate(self._inputs):
            if item.source.skip:
                self._progress.video(VideoReport(item.name, "skipped", message=item.source.skip))
                continue
            failure = None if self._is_done.retry_failed else self._store.failure_of(item.source.path)
            if failure is not None:
                item.failure, item.failed_before = failure, True
                self._progress.video(VideoReport(item.name, "failed", failure.error, failure.message, fresh=False))
                continue
            video_id = self._store.fingerprint(item.source.path)
            if video_id is None or not self._is_done(video_id) or not self._reuse(item, video_id):
                item.stamp = _stamp(item.source.path)
                self._loader.start()
                yield ScanTask(position, item.source.path)

    def _handle(self, task: ScanTask, outcome: Scan | AlreadyDone | FervidError) -> None:
        """Handle what a worker found out about one input."""
        item = self._inputs[task.position]
        if isinstance(outcome, (OutputError, BadWeights, MissingLibrary)):
            raise outcome
        if item.stamp is not None and item.stamp != _stamp(task.path):
            if isinstance(outcome, Scan):
                outcome.discard()
            self._fail(item, UnreadableVideo("changed while it was read; run again when it is complete"), None)
        elif isinstance(outcome, AlreadyDone):
            self._remember(item, outcome.video_id)
            if not self._reuse(item, outcome.video_id):
                self._fail(item, InternalError("its stored result was damaged; run again to analyse it"), None)
        elif isinstance(outcome, FervidError):
            lasting = not isinstance(outcome, InternalError)
            self._fail(item, outcome, outcome.video_id if lasting else None)
            if lasting and outcome.video_id is None and item.stamp is not None and item.failure is not None:
                self._store.remember_failure(task.path, item.stamp, item.failure)
        else:
            item.scan = outcome
            self._classify(task.position, outcome)

    def _classify(self, position: int, scan: Scan) -> None:
        """Hand the crops of a video to the batcher, and finish the videos that are complete by then."""
        if not len(scan.crops):
            self._finish(position, np.zeros((0, len(EMOTIONS)), np.float32), 0.0)
            return
        self._batcher = self._loader.get()
        for classified in self._batcher.add(position, scan.crops):
            self._finish(classified.key, classified.probabilities, classified.seconds)

    def _finish(self, position: int, probabilities: FloatArray, seconds: float) -> None:
        """Store the results of a video whose crops are all classified."""
        started = time.monotonic()
        item = self._inputs[position]
        scan, item.scan = item.scan, None
        assert scan is not None
        try:
            size = None if item.stamp is None else item.stamp.size
            timeline, rows = result_rows(scan, probabilities, self._setup.settings.timeline, size)
            if self._setup.settings.scan.mesh:
                part = self._store.parts.part(scan.video_id)
                rows[MESH_NAME] = [write_part_meshes(part, scan.video_id, scan.tracks)]
        except OutputError:
            raise
        except Exception as error:  # a defect that shows in one video must not end the batch
            self._fail(item, InternalError(f"internal error: {type(error).__name__}: {error}"), None)
            return
        finally:
            scan.discard()
        first = self._first_reports.get(scan.video_id)
        if first is None or first.status == "failed":
            self._first_reports.pop(scan.video_id, None)
            write_part(self._store.parts.part(scan.video_id), timeline, rows)
            self._store.write_identity()
            self._store.forget_failure(scan.video_id)
        self._remember(item, scan.video_id)
        stages = {"scan": scan.seconds, "score": seconds, "finish": time.monotonic() - started}
        report = report_of_row(item.name, rows["videos"][0])
        self._report(scan.video_id, replace(report, seconds=stages))

    def _fail(self, item: _Input, error: FervidError, video_id: str | None) -> None:
        """Record that an input failed. If its fingerprint is known, later runs skip it."""
        if video_id is not None and self._store.parts.part(video_id).exists():  # a copy was analysed
            self._remember(item, video_id)
            if self._reuse(item, video_id):
                return
        failure = Failure(type(error).__name__, str(error), now())
        report = VideoReport(item.name, "failed", failure.error, failure.message)
        if video_id is None:
            item.failure = failure
            self._progress.video(report)
        else:
            self._store.add_failure(video_id, failure)
            self._remember(item, video_id)
            self._report(video_id, report)

    def _reuse(self, item: _Input, video_id: str) -> bool:
        """Report the stored outcome of an input's content; False if the stored result is damaged."""
        failure = self._store.failure(video_id)
        try:
            row: Row = {"status": "failed", **asdict(failure)} if failure else self._row(item, video_id)
        except BadResults as error:
            self._progress.message(str(error))
            return False
        item.video_id = video_id
        self._report(video_id, report_of_row(item.name, row, fresh=False))
        return True

    def _row(self, item: _Input, video_id: str) -> Row:
        """The input's row of the manifest, read from the part of its content; raises BadResults."""
        if item.row is None:
            item.row = read_rows(self._store.parts.part(video_id))["videos"][0]
        return item.row

    def _report(self, video_id: str, report: VideoReport) -> None:
        """Report the outcome of an input, or that it is a copy of an earlier one."""
        first = self._first_reports.setdefault(video_id, report)
        if first is not report and first.status != "failed":
            report = VideoReport(report.video, "skipped", message=f"same content as {first.video}", fresh=report.fresh)
        self._progress.video(report)

    def _remember(self, item: _Input, video_id: str) -> None:
        """Note an input's fingerprint, here and in the store's index."""
        item.video_id = video_id
        if item.stamp is not None:
            self._store.remember(item.source.path, item.stamp, video_id)

    def fingerprint(self, path: Path) -> str:
        """The fingerprint of a file; it is read only if it is not an input or has changed. Raises UnreadableVideo."""
        return self._store.fingerprint(path) or fingerprint(path)

    def compose(self) -> BatchReport:
        """Write the tables, unless they are up to date."""
        entries, reports = self._entries()
        former = self._store.compositions.last_inputs()
        inputs = {item.name: item.video_id for item in self._inputs if not item.source.skip}
        mesh = self._setup.settings.scan.mesh
        if compose_tables(self._store, self._setup.out, entries, self._setup.metadata, inputs, mesh):
            self._report_dropped(former)
        self._store.drop_others()
        return BatchReport(tuple(reports))

    def _report_dropped(self, former: dict[str, str | None]) -> None:
        """Report how many videos of the previous tables are no longer among the inputs under any name."""
        names, contents = {item.name for item in self._inputs}, {item.video_id for item in self._inputs}
        count = sum(name not in names and (video_id or "") not in contents for name, video_id in former.items())
        if count:
            videos, are = ("video", "it is") if count == 1 else ("videos", "they are")
            self._progress.message(f"{count} {videos} left the tables, because {are} no longer among the inputs")

    def _entries(self) -> tuple[list[Entry], list[VideoReport]]:
        """Every input in order. If several have the same content, the first has the results."""
        first_names: dict[str, str] = {}
        entries, reports = [], []
        for item in self._inputs:
            video_id, part = item.video_id, None
            failure = item.failure or (self._store.failure(video_id) if video_id else None)
            if item.source.skip:
                row: Row = {"status": "skipped", "message": item.source.skip}
            elif failure:
                row = {"video_id": video_id, "status": "failed", **asdict(failure)}
            else:
                assert video_id is not None
                if video_id in first_names:
                    row = copy_of(first_names[video_id], video_id)
                else:
                    row, part = self._row(item, video_id), self._store.parts.part(video_id)
                    first_names[video_id] = item.name
            entries.append(Entry(item.name, part, row))
            first = self._first_reports.get(video_id or "")
            failed = item.failure is not None and not item.failed_before
            fresh = bool(item.source.skip) or failed or (first is not None and first.fresh)
            reports.append(report_of_row(item.name, row, fresh))
        return entries, reports


def _stamp(path: Path) -> Stamp | None:
    """The stamp of a file; None if it cannot be examined."""
    try:
        return Stamp.of(path)
    except OSError:
        return None
