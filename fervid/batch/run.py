"""Many videos: discover → scan in worker processes → score in one batcher → finish → tables.

Every finished video is durable at once as a part in the store beside the output; the tables are composed
from the parts at the end. A later run does only what is new, changed or failed.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fervid.batch.plan import BatchSetup, Paths
from fervid.batch.report import BatchReport, Listener, Product, VideoReport, report_of_row
from fervid.batch.store import Failure, IsDone, ResumeStore, Stamp, settings_key
from fervid.batch.tasks import Known, ScanJob, ScanTask
from fervid.errors import (
    BadResults,
    BadWeights,
    FervidError,
    InternalError,
    MissingLibrary,
    OutputError,
    UnreadableVideo,
)
from fervid.files.discover import MADE_HERE, shown_name
from fervid.files.fingerprint import fingerprint
from fervid.results.parts import Entry, Row, copy_of, read_rows, write_part
from fervid.results.rows import now, result_rows
from fervid.results.schema import output_paths
from fervid.results.writer import compose
from fervid.scan.types import Scan
from fervid.settings import AnalyzeSettings
from fervid.types import EMOTIONS, FloatArray

if TYPE_CHECKING:
    from fervid.batch.engines.base import Engine
    from fervid.batch.engines.ray_scoring import RemoteBatcher
    from fervid.emotions.batching import Batcher


def analyze(
    paths: Paths,
    out: str | os.PathLike[str],
    settings: AnalyzeSettings | None = None,
    listener: Listener | None = None,
    engine: Engine | None = None,
    products: Sequence[Product] = (),
) -> BatchReport:
    """Analyse videos, files or folders, and write the four tables to ``out``.

    ``out`` ends in .parquet or .csv, or is a folder. The tables hold the videos of this call; what an earlier
    one with the same ``out`` and settings has finished is not done again. A video that cannot be read costs
    nothing but its own rows. ``products`` are made last, while no other run may touch ``out``. Raises
    UsageError, OutputLocked and OutputError.
    """
    settings, listener = settings or AnalyzeSettings(), listener or Listener()
    setup = BatchSetup.of(paths, Path(out), settings)
    sources = {shown_name(source.name): source.path for source in setup.sources if not source.skip}
    drawn = {shown_name(source.name): source.path for source in setup.sources if source.skip == MADE_HERE}
    for product in products:
        product.prepare(sources, drawn)
    if setup.keeps_tables:
        return _keep_tables(setup, listener)
    with setup.store() as store:
        listener.start(len(setup.sources))
        batch = _BatchRun(setup, store, listener)
        batch.run(engine)
        report = batch.compose()
        listener.done(report)
        for product in products:
            product.make(setup.out, sources)
    return report


def _keep_tables(setup: BatchSetup, listener: Listener) -> BatchReport:
    """The report of a run that finds nothing to analyse, as in a share that is not mounted, and leaves the tables."""
    report = BatchReport(
        tuple(report_of_row(shown_name(s.name), {"status": "skipped", "message": s.skip}) for s in setup.sources)
    )
    listener.start(len(report.videos))
    listener.notify(f"there is no video to analyse; {setup.out} is left as it was")
    listener.done(report)
    return report


class _BatchRun:
    """One run: which inputs are settled, and how."""

    def __init__(self, setup: BatchSetup, store: ResumeStore, listener: Listener) -> None:
        self._setup, self._store, self._listener = setup, store, listener
        self._settled = IsDone(store.parts, setup.settings.run.retry_failed)
        self._ids: dict[int, str] = {}
        """Position of an input → fingerprint of its content."""
        self._lost: dict[int, Failure] = {}
        """Inputs that failed for a reason that their content, if it is known, need not share."""
        self._rows: dict[str, Row] = {}
        """Manifest rows that have been read, by fingerprint."""
        self._stamps: dict[int, Stamp | None] = {}
        self._fresh: dict[str, VideoReport] = {}
        """What this run found out, by fingerprint."""
        self._loader = setup.loader(listener.notify)
        self._batcher: Batcher[int] | RemoteBatcher[int] | None = None
        self._scans: dict[int, Scan] = {}

    def run(self, engine: Engine | None) -> None:
        """Scan and score whatever is not settled, with the engine of the settings where none is given."""
        tasks = self._tasks()
        first = next(tasks, None)
        if first is None:
            return  # nothing that a scan needs has been loaded
        engine = engine or self._setup.engine()
        job = ScanJob(self._setup.settings.scan, self._setup.geometry, self._settled, self._store.scratch)
        # closing: workers end with the batch, however it ends
        with contextlib.closing(engine.run(chain([first], tasks), job)) as scanning:
            for task, outcome in scanning:
                self._take(task, outcome)
            for scored in self._batcher.flush() if self._batcher else ():
                self._finish(scored.key, scored.probabilities, scored.seconds)
        self._loader.wait()

    def _name(self, position: int) -> str:
        return shown_name(self._setup.sources[position].name)

    def _tasks(self) -> Iterator[ScanTask]:
        """The inputs to scan; those that are known to be settled are passed over."""
        for position, source in enumerate(self._setup.sources):
            if source.skip:
                self._listener.video(VideoReport(self._name(position), "skipped", message=source.skip))
                continue
            video_id = self._store.fingerprint(source.path)
            if video_id is None or not self._settled(video_id) or not self._know(position, video_id):
                self._stamps[position] = _stamp(source.path)
                self._loader.start()
                yield ScanTask(position, source.path)

    def _take(self, task: ScanTask, outcome: Scan | Known | FervidError) -> None:
        """What a worker found out about one input."""
        position = task.position
        if isinstance(outcome, (OutputError, BadWeights, MissingLibrary)):
            raise outcome
        if self._stamps[position] is not None and self._stamps[position] != _stamp(task.path):
            if isinstance(outcome, Scan):
                outcome.discard()
            self._fail(position, UnreadableVideo("changed while it was read; run again when it is complete"), None)
        elif isinstance(outcome, Known):
            self._remember(position, outcome.video_id)
            if not self._know(position, outcome.video_id):
                self._fail(position, InternalError("an earlier result of it was damaged; run again"), None)
        elif isinstance(outcome, FervidError):
            known = None if isinstance(outcome, InternalError) else outcome.video_id or _content(task.path)
            self._fail(position, outcome, known)
        else:
            self._scans[position] = outcome
            if not len(outcome.crops):
                self._finish(position, np.zeros((0, len(EMOTIONS)), np.float32), 0.0)
                return
            self._batcher = self._loader.get()
            for scored in self._batcher.add(position, outcome.crops):
                self._finish(scored.key, scored.probabilities, scored.seconds)

    def _finish(self, position: int, probabilities: FloatArray, seconds: float) -> None:
        """A video has all its probabilities: make its part, which is then there for good."""
        started = time.monotonic()
        scan = self._scans.pop(position)
        try:
            timeline, rows = result_rows(scan, probabilities, self._setup.settings.timeline)
        except Exception as error:  # a defect that one video shows must not end the batch
            self._fail(position, InternalError(f"internal error: {type(error).__name__}: {error}"), None)
            return
        finally:
            scan.discard()
        first = self._fresh.get(scan.video_id)
        if first is None or first.status == "failed":  # a copy of it may have had worse luck
            self._fresh.pop(scan.video_id, None)
            write_part(self._store.parts.part(scan.video_id), timeline, rows)
            self._store.forget_failure(scan.video_id)
        self._remember(position, scan.video_id)
        stages = {"scan": scan.seconds, "score": seconds, "finish": time.monotonic() - started}
        self._notify(
            position, scan.video_id, replace(report_of_row(self._name(position), rows["videos"][0]), seconds=stages)
        )

    def _fail(self, position: int, error: FervidError, video_id: str | None) -> None:
        """An input could not be analysed; where its content is known, that is remembered."""
        if video_id is not None and self._store.parts.part(video_id).exists():  # a copy went well
            self._remember(position, video_id)
            if self._know(position, video_id):
                return
        failure = Failure(type(error).__name__, str(error), now())
        report = VideoReport(self._name(position), "failed", failure.error, failure.message)
        if video_id is None:
            self._lost[position] = failure
            self._listener.video(report)
        else:
            self._store.add_failure(video_id, failure)
            self._remember(position, video_id)
            self._notify(position, video_id, report)

    def _know(self, position: int, video_id: str) -> bool:
        """An input whose content was settled before, or by a copy of it; False where that turns out damaged."""
        failure = self._store.failure(video_id)
        try:
            row: Row = {"status": "failed", **asdict(failure)} if failure else self._row(video_id)
        except BadResults as error:
            self._listener.notify(str(error))
            return False
        self._ids[position] = video_id
        self._notify(position, video_id, report_of_row(self._name(position), row, fresh=False))
        return True

    def _row(self, video_id: str) -> Row:
        """The manifest row of a part; raises BadResults."""
        if video_id not in self._rows:
            self._rows[video_id] = read_rows(self._store.parts.part(video_id))["videos"][0]
        return self._rows[video_id]

    def _notify(self, position: int, video_id: str, report: VideoReport) -> None:
        """Tell of an input; of a copy of one that was met, that it is one."""
        first = self._fresh.setdefault(video_id, report)
        if first is not report and first.status != "failed":
            report = VideoReport(report.video, "skipped", message=f"same content as {first.video}", fresh=report.fresh)
        self._listener.video(report)

    def _remember(self, position: int, video_id: str) -> None:
        self._ids[position] = video_id
        stamp = self._stamps.get(position)
        if stamp is not None:
            self._store.remember(self._setup.sources[position].path, stamp, video_id)

    def compose(self) -> BatchReport:
        """Write the tables, unless they are there and would be the same."""
        entries, reports = self._entries()
        outputs = output_paths(self._setup.out)
        digest = settings_key(
            {"identity": self._setup.identity, "entries": [(entry.name, entry.row) for entry in entries]}
        )
        if not self._store.composed(digest, outputs):
            compose(self._setup.out, entries, self._setup.metadata, self._store.scratch)
            self._store.set_composed(digest, outputs, self._setup.metadata)
        self._store.drop_others()
        return BatchReport(tuple(reports))

    def _entries(self) -> tuple[list[Entry], list[VideoReport]]:
        """Every input in order; of several with one content the first stands for it."""
        met: dict[str, str] = {}
        entries, reports = [], []
        for position, source in enumerate(self._setup.sources):
            name, video_id = self._name(position), self._ids.get(position)
            part = self._store.parts.part(video_id) if video_id else None
            failure = self._lost.get(position) or (self._store.failure(video_id) if video_id else None)
            if source.skip:
                row: Row = {"status": "skipped", "message": source.skip}
            elif failure:
                row = {"video_id": video_id, "status": "failed", **asdict(failure)}
                part = None
            else:
                assert part is not None  # every input is settled by now
                assert video_id is not None
                row = self._row(video_id)
                if video_id in met:
                    row, part = copy_of(met[video_id], video_id), None
                met.setdefault(video_id, name)
            entries.append(Entry(name, part, row))
            fresh = video_id in self._fresh and self._fresh[video_id].fresh
            reports.append(report_of_row(name, row, fresh or position in self._lost))
        return entries, reports


def _stamp(path: Path) -> Stamp | None:
    try:
        return Stamp.of(path)
    except OSError:
        return None


def _content(path: Path) -> str | None:
    """The fingerprint of a file, where it can be read."""
    try:
        return fingerprint(path)
    except UnreadableVideo:
        return None
