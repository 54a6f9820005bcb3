"""Setting up a batch: inputs, settings, provenance, and the plan of a dry run. Nothing here writes files."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fervid.batch.request import Request
from fervid.batch.store import ResumeStore, StoreView
from fervid.emotions.background_loader import BatcherLoader
from fervid.emotions.classifier import check_weights
from fervid.emotions.sidecar import SHIPPED, sidecar_path
from fervid.errors import UnreadableVideo, UsageError
from fervid.faces.crop import CropGeometry
from fervid.files.discover import VIDEOS, Source, discover, refuse_overwriting, select, shown_name
from fervid.files.fingerprint import fingerprint, sha256
from fervid.files.sequences import is_sequence
from fervid.results.mesh_table import refuse_foreign_meshes
from fervid.results.provenance import made_with
from fervid.results.schema import is_folder, mesh_path, output_paths, refuse_foreign
from fervid.results.store_files import store_folder
from fervid.settings import AnalyzeSettings, RunSettings
from fervid.settings_io import to_mapping

if TYPE_CHECKING:
    from fervid.batch.engines.base import Engine
    from fervid.batch.engines.ray_classification import ClusterLoader

Paths = Iterable[str | os.PathLike[str]] | str | os.PathLike[str]
"""A file, folder or glob pattern, or several."""


@dataclass(frozen=True)
class Plan:
    """What a run would do with each input.

    Attributes:
        videos: For each input its name, what would happen, and why. What would happen: ``analyze``; ``done`` if an
            earlier run analysed it; ``failed`` if an earlier run failed and would not be repeated; ``copy`` if another
            input has the same content; ``skipped``.
    """

    videos: tuple[tuple[str, str, str], ...]

    def count(self, planned: str) -> int:
        """Count inputs by what would happen.

        Args:
            planned: ``analyze``, ``done``, ``failed``, ``copy`` or ``skipped``.

        Returns:
            The number of inputs.
        """
        return sum(what == planned for _, what, _ in self.videos)


def plan(paths: Paths, out: str | os.PathLike[str], settings: AnalyzeSettings | None = None) -> Plan:
    """Find out what ``analyze`` would do, without writing anything.

    Args:
        paths: Files, folders and glob patterns.
        out: The results, as for ``analyze``.
        settings: The settings, as for ``analyze``.

    Returns:
        The plan.

    Raises:
        UsageError: ``analyze`` would refuse these inputs, this output or these settings.
    """
    setup = BatchSetup.of(paths, Path(out), settings or AnalyzeSettings())
    return Plan(tuple(planned(setup.sources, setup.view(), setup.settings.run)))


def planned(
    sources: Iterable[Source], view: StoreView, run: RunSettings, reads: bool = True
) -> Iterator[tuple[str, str, str]]:
    """Find out what would happen to each input.

    Args:
        sources: The inputs.
        view: The state of the output.
        run: The settings of the run.
        reads: Whether to read files that are new or have changed, as long as a run would read them. Otherwise it stays
            unknown whether another file has the same content.

    Yields:
        For each input its name, what would happen (see ``Plan.videos``), and why.
    """
    retry_failed = run.retry_failed
    first_with: dict[str, str] = {}
    for source in sources:
        name = shown_name(source.name)
        if source.skip:
            yield name, "skipped", source.skip
            continue
        known = None if retry_failed else view.failure_of(source.path)
        if known is not None:
            yield name, "failed", known.message
            continue
        try:
            video_id = view.fingerprint(source.path) or (fingerprint(source.path, run.timeout) if reads else None)
        except UnreadableVideo as error:
            yield name, "analyze", f"it will fail: {error}"
            continue
        if video_id is None:
            yield name, "analyze", "new or changed"
            continue
        failure = view.failure(video_id)
        if video_id in first_with:
            yield name, "copy", f"same content as {first_with[video_id]}"
        elif view.done(video_id):
            yield name, "done", ""
        elif failure and not retry_failed:
            yield name, "failed", failure.message
        else:
            yield name, "analyze", "failed before" if failure else "new"
        first_with.setdefault(video_id, name)


def _found(paths: list[str | os.PathLike[str]], settings: AnalyzeSettings) -> list[Source]:
    wanted = replace(VIDEOS, sequences=settings.scan.fps_in is not None)
    found = discover(paths, wanted, settings.inputs.follow_links)
    if not wanted.sequences and (sequence := next((one for one in found if is_sequence(one.path)), None)):
        raise UsageError(f"{sequence.path} is an image sequence; `fps_in` must say how many images make a second")
    return found


@dataclass(frozen=True)
class BatchSetup:
    """The inputs, settings and provenance of a batch, as known before it starts.

    Attributes:
        request: What was asked for.
        sources: The inputs, in order.
        out: The results: a .parquet or .csv file, or a folder.
        settings: All settings.
        weights: The classifier's weights.
        metadata: What the tables record about how they were made.
        identity: Everything that can change a result. Stored results with another identity are not reused.
        geometry: How the classifier wants faces cropped.
    """

    request: Request
    sources: list[Source]
    out: Path
    settings: AnalyzeSettings
    weights: Path
    metadata: dict[str, str]
    identity: dict[str, Any]
    geometry: CropGeometry

    @classmethod
    def of(cls, paths: Paths, out: Path, settings: AnalyzeSettings) -> BatchSetup:
        """Find the inputs and check the settings.

        Args:
            paths: Files, folders and glob patterns.
            out: The results.
            settings: All settings.

        Returns:
            The setup.

        Raises:
            UsageError: An input does not exist, the output would overwrite one, or a setting cannot be used.
        """
        given = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
        sources = select(_found(given, settings), settings.inputs)
        refuse_overwriting(sources, [*output_paths(out), mesh_path(out)])
        refuse_foreign_meshes(out)
        weights = SHIPPED if settings.run.model is None else Path(settings.run.model)
        sidecar = check_weights(weights, settings.run.device)
        provenance = made_with(settings.scan, sidecar) | {"sidecar_sha256": sha256(sidecar_path(weights))}
        roots = list(dict.fromkeys(os.path.abspath(source.root) for source in sources))
        metadata = {**provenance, "settings": json.dumps(to_mapping(settings)), "roots": json.dumps(roots)}
        result_settings = {"scan": to_mapping(settings.scan), "timeline": to_mapping(settings.timeline)}
        result_settings["scan"].pop("detector_weights")  # the hash of the file identifies the weights, not its path
        identity = json.loads(json.dumps({**provenance, **result_settings}))  # typed as when read back
        return cls(Request.of(given, settings), sources, out, settings, weights, metadata, identity, sidecar.geometry)

    def _store_arguments(self) -> tuple[Path, dict[str, Any], bool, bool]:
        folder = store_folder(self.out, is_folder(self.out)).absolute()  # other nodes have other working directories
        timeline = self.out / "timeline" if is_folder(self.out) else self.out
        tables_exist = any(path.exists() for path in [timeline, *output_paths(self.out)[1:], mesh_path(self.out)])
        return folder, self.identity, tables_exist, self.settings.run.overwrite

    @property
    def keeps_tables(self) -> bool:
        """Whether there is nothing to analyse, and a table of an earlier run exists, which must not be overwritten."""
        no_input = all(source.skip for source in self.sources) and not self.settings.run.overwrite
        return no_input and any(path.exists() for path in output_paths(self.out))

    def view(self) -> StoreView:
        """Read the state of the output without locking it.

        Returns:
            The state.

        Raises:
            UsageError: The output was made with other settings, and `overwrite` is not set.
        """
        return StoreView(*self._store_arguments())

    def store(self) -> ResumeStore:
        """Lock the output and read its state.

        Returns:
            The state; the lock is released when its context ends.

        Raises:
            UsageError: The output was made with other settings, or holds files that are not fervid's.
            OutputLocked: Another run holds the output.
            OutputError: The output's folder cannot be written.
        """
        refuse_foreign(self.out)
        return ResumeStore(*self._store_arguments())

    def engine(self) -> Engine:
        """Create the engine that the settings choose.

        Returns:
            The engine.

        Raises:
            MissingLibrary: The settings choose Ray, and it is not installed.
        """
        run = self.settings.run
        if run.engine == "ray":
            from fervid.batch.engines.ray_engine import RayEngine

            return RayEngine(run.address, run.workers, run.timeout, int(run.worker_memory * 2**30))
        from fervid.batch.engines.local import LocalEngine

        return LocalEngine(run.workers, run.timeout, int(run.worker_memory * 2**30))

    def loader(self, on_message: Callable[[str], None]) -> BatcherLoader | ClusterLoader:
        """Create the loader of the classifier for the engine that the settings choose.

        Args:
            on_message: Called with messages for the user.

        Returns:
            The loader; nothing is loaded yet.
        """
        if self.settings.run.engine == "ray":
            from fervid.batch.engines.ray_classification import ClusterLoader

            return ClusterLoader(self.weights, self.settings.run, on_message)
        return BatcherLoader(self.weights, self.settings.run, on_message)
