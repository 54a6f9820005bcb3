"""Many videos: discover → scan in worker processes → score in one batcher → finish → tables.

Every finished video is durable at once as a part in the store beside the output; the tables are composed
from the parts at the end. A later run does only what is new, changed or failed.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fervid.config import AnalyzeSettings, to_mapping
from fervid.detect import describe_detector
from fervid.discover import MADE_HERE, Source, discover, refuse_overwriting, select, shown_name
from fervid.errors import (
    BadResults,
    BadWeights,
    FervidError,
    InternalError,
    MissingLibrary,
    OutputError,
    UnreadableVideo,
    batch_exit_code,
)
from fervid.fingerprint import fingerprint
from fervid.finish import finish, now
from fervid.parts import Entry, Row, compose, copy_of, read_rows, refuse_foreign, write_part
from fervid.persons import describe_embedder
from fervid.preload import BatcherLoader
from fervid.sidecar import SHIPPED, read_sidecar, sha256, sidecar_path
from fervid.store import Failure, Settled, Stamp, Store, StoreView, settings_key, store_folder
from fervid.tables import SCHEMA_VERSION, is_folder, output_paths
from fervid.tasks import Known, Scan, ScanJob, ScanTask
from fervid.types import EMOTIONS, FloatArray
from fervid.version import __version__

if TYPE_CHECKING:
    from fervid.classify import Batcher
    from fervid.engines import Engine
    from fervid.ray_scoring import ClusterLoader, RemoteBatcher


@dataclass(frozen=True)
class VideoReport:
    """What became of one video. ``status``: ok, no_face, failed or skipped; ``fresh``: found out by this run.
    ``duration``: seconds of video; ``seconds``: of work, by stage."""

    video: str
    status: str
    error: str | None = None
    message: str | None = None
    faces: int = 0
    frames_sampled: int = 0
    duration: float = 0.0
    fresh: bool = True
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class BatchReport:
    """What became of every input, in input order."""

    videos: tuple[VideoReport, ...]

    def count(self, status: str, fresh: bool | None = None) -> int:
        """How many videos ended with that status; ``fresh``: of those that this run, or an earlier one, found out."""
        return sum(video.status == status and fresh in (None, video.fresh) for video in self.videos)

    @property
    def exit_code(self) -> int:
        """0 when nothing failed, 3 when some inputs failed, 4 when all did; what is skipped does not count."""
        return batch_exit_code(self.count("failed"), len(self.videos) - self.count("skipped"))


@dataclass(frozen=True)
class Plan:
    """What a run would do with each input: ``analyze`` it, or pass it over since it is ``done``, has ``failed``
    before, is a ``copy`` of another input, or is ``skipped`` for the reason given."""

    videos: tuple[tuple[str, str, str], ...]
    """Name, what would be done, and why."""

    def count(self, what: str) -> int:
        """How many inputs that would happen to."""
        return sum(planned == what for _, planned, _ in self.videos)


class Listener:
    """Hears how a batch goes on; does nothing by itself."""

    def start(self, count: int) -> None:
        """Called once, with the number of videos."""

    def video(self, report: VideoReport) -> None:
        """A video is done."""

    def tell(self, message: str) -> None:
        """Something that a person may want to know."""

    def done(self, report: BatchReport) -> None:
        """The tables are there."""


class Product(Protocol):
    """Something that is made of the tables in the same run, such as annotated videos."""

    def prepare(self, sources: Mapping[str, Path], drawn: Mapping[str, Path]) -> None:
        """Refuse what cannot work, before anything is done. ``sources``: name in the tables → file; ``drawn``: files
        among the inputs with the ending of annotated ones.

        Raises UsageError and OutputError.
        """

    def make(self, results: Path, sources: Mapping[str, Path]) -> None:
        """Called when the tables are there, before the output is given back; raises OutputError."""


Paths = Iterable[str | os.PathLike[str]] | str | os.PathLike[str]


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
    setup = _Setup.of(paths, Path(out), settings)
    sources = {shown_name(source.name): source.path for source in setup.sources if not source.skip}
    drawn = {shown_name(source.name): source.path for source in setup.sources if source.skip == MADE_HERE}
    for product in products:
        product.prepare(sources, drawn)
    if setup.keeps_tables:
        return _kept(setup, listener)
    with setup.store() as store:
        listener.start(len(setup.sources))
        batch = _Batch(setup, store, listener)
        batch.run(engine)
        report = batch.compose()
        listener.done(report)
        for product in products:
            product.make(setup.out, sources)
    return report


def _kept(setup: _Setup, listener: Listener) -> BatchReport:
    """The report of a run that finds nothing to analyse, as in a share that is not mounted, and leaves the tables."""
    report = BatchReport(
        tuple(_report(shown_name(s.name), {"status": "skipped", "message": s.skip}) for s in setup.sources)
    )
    listener.start(len(report.videos))
    listener.tell(f"there is no video to analyse; {setup.out} is left as it was")
    listener.done(report)
    return report


def plan(paths: Paths, out: str | os.PathLike[str], settings: AnalyzeSettings | None = None) -> Plan:
    """What ``analyze`` would do; writes nothing. Raises UsageError."""
    setup = _Setup.of(paths, Path(out), settings or AnalyzeSettings())
    return Plan(tuple(_plan(setup.sources, setup.view(), setup.settings.run.retry_failed)))


def _plan(sources: Iterable[Source], view: StoreView, retry: bool) -> Iterator[tuple[str, str, str]]:
    met: dict[str, str] = {}
    for source in sources:
        name = shown_name(source.name)
        if source.skip:
            yield name, "skipped", source.skip
            continue
        try:
            video_id = view.fingerprint(source.path) or fingerprint(source.path)
        except UnreadableVideo as error:
            yield name, "analyze", f"it will fail: {error}"
            continue
        failure = view.failure(video_id)
        if video_id in met:
            yield name, "copy", f"same content as {met[video_id]}"
        elif view.done(video_id):
            yield name, "done", ""
        elif failure and not retry:
            yield name, "failed", failure.message
        else:
            yield name, "analyze", "failed before" if failure else "new"
        met.setdefault(video_id, name)


@dataclass(frozen=True)
class _Setup:
    """What a batch is about, before anything is written."""

    sources: list[Source]
    out: Path
    settings: AnalyzeSettings
    weights: Path
    metadata: dict[str, str]
    identity: dict[str, Any]
    geometry: Any

    @classmethod
    def of(cls, paths: Paths, out: Path, settings: AnalyzeSettings) -> _Setup:
        given = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
        sources = select(discover(given, follow_links=settings.inputs.follow_links), settings.inputs)
        refuse_overwriting(sources, output_paths(out))
        weights = SHIPPED if settings.run.model is None else Path(settings.run.model)
        sidecar = read_sidecar(weights)
        detector, detector_sha256 = describe_detector(settings.scan)
        embedder, embedder_sha256 = describe_embedder()
        made_with = {"scan": to_mapping(settings.scan), "timeline": to_mapping(settings.timeline)}
        made_with["scan"].pop("detector_weights")  # its hash counts, not where it lies
        provenance = {
            "schema_version": str(SCHEMA_VERSION),
            "version": __version__,
            "weights_sha256": sidecar.weights_sha256,
            "sidecar_sha256": sha256(sidecar_path(weights)),
            "detector": detector,
            "detector_sha256": detector_sha256,
            "embedder": embedder,
            "embedder_sha256": embedder_sha256,
        }
        metadata = {**provenance, "settings": json.dumps(to_mapping(settings))}
        identity = json.loads(json.dumps({**provenance, **made_with}))  # as it will be read again
        return cls(sources, out, settings, weights, metadata, identity, sidecar.geometry)

    def _arguments(self) -> tuple[Path, dict[str, Any], bool, bool]:
        folder = store_folder(self.out, is_folder(self.out)).absolute()  # other nodes have other working folders
        timeline = self.out / "timeline" if is_folder(self.out) else self.out
        made = any(path.exists() for path in [timeline, *output_paths(self.out)[1:]])
        return folder, self.identity, made, self.settings.run.overwrite

    @property
    def keeps_tables(self) -> bool:
        """Whether there is nothing to analyse, and tables of an earlier run that are not to be overwritten."""
        nothing = all(source.skip for source in self.sources) and not self.settings.run.overwrite
        return nothing and all(path.exists() for path in output_paths(self.out))

    def view(self) -> StoreView:
        return StoreView(*self._arguments())

    def store(self) -> Store:
        refuse_foreign(self.out)
        return Store(*self._arguments())

    def engine(self) -> Engine:
        run = self.settings.run
        if run.engine == "ray":
            from fervid.ray_engine import RayEngine

            return RayEngine(run.address, run.workers, run.timeout, int(run.worker_memory * 2**30))
        from fervid.engines import LocalEngine

        return LocalEngine(run.workers, run.timeout, int(run.worker_memory * 2**30))

    def loader(self, tell: Callable[[str], None]) -> BatcherLoader | ClusterLoader:
        if self.settings.run.engine == "ray":
            from fervid.ray_scoring import ClusterLoader

            return ClusterLoader(self.weights, self.settings.run, tell)
        return BatcherLoader(self.weights, self.settings.run, tell)


class _Batch:
    """One run: which inputs are settled, and how."""

    def __init__(self, setup: _Setup, store: Store, listener: Listener) -> None:
        self._setup, self._store, self._listener = setup, store, listener
        self._settled = Settled(store.parts, setup.settings.run.retry_failed)
        self._ids: dict[int, str] = {}
        """Position of an input → fingerprint of its content."""
        self._lost: dict[int, Failure] = {}
        """Inputs that failed for a reason that their content, if it is known, need not share."""
        self._rows: dict[str, Row] = {}
        """Manifest rows that have been read, by fingerprint."""
        self._stamps: dict[int, Stamp | None] = {}
        self._fresh: dict[str, VideoReport] = {}
        """What this run found out, by fingerprint."""
        self._loader = setup.loader(listener.tell)
        self._batcher: Batcher[int] | RemoteBatcher[int] | None = None
        self._scans: dict[int, Scan] = {}

    def run(self, engine: Engine | None) -> None:
        """Scan and score whatever is not settled, with the engine of the settings where none is given."""
        tasks = self._tasks()
        first = next(tasks, None)
        if first is None:
            return  # nothing that a scan needs has been loaded
        engine = engine or self._setup.engine()
        job = ScanJob(self._setup.settings.scan, self._setup.geometry, self._settled, self._store.spool)
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
            timeline, rows = finish(scan, probabilities, self._setup.settings.timeline)
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
        self._tell(position, scan.video_id, replace(_report(self._name(position), rows["videos"][0]), seconds=stages))

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
            self._tell(position, video_id, report)

    def _know(self, position: int, video_id: str) -> bool:
        """An input whose content was settled before, or by a copy of it; False where that turns out damaged."""
        failure = self._store.failure(video_id)
        try:
            row: Row = {"status": "failed", **asdict(failure)} if failure else self._row(video_id)
        except BadResults as error:
            self._listener.tell(str(error))
            return False
        self._ids[position] = video_id
        self._tell(position, video_id, _report(self._name(position), row, fresh=False))
        return True

    def _row(self, video_id: str) -> Row:
        """The manifest row of a part; raises BadResults."""
        if video_id not in self._rows:
            self._rows[video_id] = read_rows(self._store.parts.part(video_id))["videos"][0]
        return self._rows[video_id]

    def _tell(self, position: int, video_id: str, report: VideoReport) -> None:
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
            compose(self._setup.out, entries, self._setup.metadata, self._store.spool)
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
            reports.append(_report(name, row, fresh or position in self._lost))
        return entries, reports


def _report(name: str, row: Row, fresh: bool = True) -> VideoReport:
    """A manifest row in short."""
    return VideoReport(
        name,
        row["status"],
        row.get("error"),
        row.get("message"),
        row.get("faces") or 0,
        row.get("frames_sampled") or 0,
        row.get("duration") or 0.0,
        fresh,
    )


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
