"""What a batch is about, worked out before anything is written."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fervid.batch.store import ResumeStore, StoreView
from fervid.emotions.background_loader import BatcherLoader
from fervid.emotions.classifier import check_weights
from fervid.emotions.sidecar import SHIPPED, sidecar_path
from fervid.errors import UnreadableVideo
from fervid.faces.detectors import describe_detector
from fervid.faces.embedding import describe_embedder
from fervid.files.discover import Source, discover, refuse_overwriting, select, shown_name
from fervid.files.fingerprint import fingerprint, sha256
from fervid.results.provenance import store_folder
from fervid.results.schema import SCHEMA_VERSION, is_folder, output_paths, refuse_foreign
from fervid.settings import AnalyzeSettings
from fervid.settings_io import to_mapping
from fervid.version import __version__

if TYPE_CHECKING:
    from fervid.batch.engines.base import Engine
    from fervid.batch.engines.ray_scoring import ClusterLoader


@dataclass(frozen=True)
class Plan:
    """What a run would do with each input: ``analyze`` it, or pass it over since it is ``done``, has ``failed``
    before, is a ``copy`` of another input, or is ``skipped`` for the reason given."""

    videos: tuple[tuple[str, str, str], ...]
    """Name, what would be done, and why."""

    def count(self, what: str) -> int:
        """How many inputs that would happen to."""
        return sum(planned == what for _, planned, _ in self.videos)


Paths = Iterable[str | os.PathLike[str]] | str | os.PathLike[str]


def plan(paths: Paths, out: str | os.PathLike[str], settings: AnalyzeSettings | None = None) -> Plan:
    """What ``analyze`` would do; writes nothing. Raises UsageError."""
    setup = BatchSetup.of(paths, Path(out), settings or AnalyzeSettings())
    return Plan(tuple(_planned(setup.sources, setup.view(), setup.settings.run.retry_failed)))


def _planned(sources: Iterable[Source], view: StoreView, retry: bool) -> Iterator[tuple[str, str, str]]:
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
class BatchSetup:
    """What a batch is about, before anything is written."""

    sources: list[Source]
    out: Path
    settings: AnalyzeSettings
    weights: Path
    metadata: dict[str, str]
    identity: dict[str, Any]
    geometry: Any

    @classmethod
    def of(cls, paths: Paths, out: Path, settings: AnalyzeSettings) -> BatchSetup:
        """Find the inputs and check the settings; nothing is written. Raises UsageError."""
        given = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
        sources = select(discover(given, follow_links=settings.inputs.follow_links), settings.inputs)
        refuse_overwriting(sources, output_paths(out))
        weights = SHIPPED if settings.run.model is None else Path(settings.run.model)
        sidecar = check_weights(weights, settings.run.device)
        detector, detector_sha256 = describe_detector(settings.scan)
        embedder, embedder_sha256 = describe_embedder()
        made_with = {"scan": to_mapping(settings.scan), "timeline": to_mapping(settings.timeline)}
        made_with["scan"].pop("detector_weights")  # its hash counts, not where it lies
        provenance = {
            "schema_version": str(SCHEMA_VERSION),
            "version": __version__,
            "weights_sha256": sidecar.weights_sha256,
            "onnx_sha256": sidecar.onnx_sha256,
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
        """The state of the output, read without locking it."""
        return StoreView(*self._arguments())

    def store(self) -> ResumeStore:
        """The state of the output, locked for this run."""
        refuse_foreign(self.out)
        return ResumeStore(*self._arguments())

    def engine(self) -> Engine:
        """The engine that the settings name."""
        run = self.settings.run
        if run.engine == "ray":
            from fervid.batch.engines.ray_scan import RayEngine

            return RayEngine(run.address, run.workers, run.timeout, int(run.worker_memory * 2**30))
        from fervid.batch.engines.local import LocalEngine

        return LocalEngine(run.workers, run.timeout, int(run.worker_memory * 2**30))

    def loader(self, notify: Callable[[str], None]) -> BatcherLoader | ClusterLoader:
        """What loads the classifier for that engine."""
        if self.settings.run.engine == "ray":
            from fervid.batch.engines.ray_scoring import ClusterLoader

            return ClusterLoader(self.weights, self.settings.run, notify)
        return BatcherLoader(self.weights, self.settings.run, notify)
