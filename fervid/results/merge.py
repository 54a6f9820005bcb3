"""Several results → one: what the shards of a cluster or the months of a job have written."""

from __future__ import annotations

import itertools
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fervid.errors import UsageError
from fervid.files.atomic import writing
from fervid.results.parts import Row, by_video, copy_of, named
from fervid.results.provenance import read_identity, store_folder
from fervid.results.reader import read_metadata, read_small, read_tables
from fervid.results.schema import ANALYSED, SMALL, is_folder, output_paths, refuse_foreign
from fervid.results.writer import writers

MADE_WITH = (
    "schema_version",
    "version",
    "weights_sha256",
    "onnx_sha256",
    "sidecar_sha256",
    "detector",
    "detector_sha256",
    "embedder_sha256",
)
"""What must agree before rows may stand in one table; of the settings, ``scan`` and ``timeline``."""


@dataclass(frozen=True)
class Merged:
    """How many ``videos`` the merged manifest lists, how many of them are ``skipped``, as copies are, and those of the
    results that do not say how they were made."""

    videos: int
    skipped: int
    unknown: tuple[Path, ...]


def merge(results: Sequence[str | os.PathLike[str]], out: str | os.PathLike[str]) -> Merged:
    """Write the tables of ``results``, in their order, as one at ``out``; a video met twice is kept once.

    Of two videos of one name the second gets the name of its results before its own. Raises UsageError where
    they were made with different settings, weights or versions, as far as they say (CSV does only where it lies
    as ``analyze`` left it), or where ``out`` is one of them or another batch's output; BadResults, InputNotFound
    and OutputError.
    """
    paths, target = list({os.path.realpath(path): Path(path) for path in results}.values()), Path(out)
    inputs = {os.path.realpath(path) for given in paths for path in output_paths(given)}
    if any(os.path.realpath(path) in inputs for path in output_paths(target)):
        raise UsageError(f"the output would overwrite one of the results: {target}")
    refuse_foreign(target)
    if read_identity(store_folder(target, is_folder(target))) is not None:
        raise UsageError(f"{target} is kept up to date by fervid analyze; choose another --out")
    metadata = {path: read_metadata(path) for path in paths}
    known = [path for path in paths if metadata[path]]
    for path in known[1:]:
        for name, (first, second) in _made_with(metadata[known[0]], metadata[path]).items():
            if first != second:
                raise UsageError(f"{known[0]} and {path} were made otherwise: {name} {first} and {second}")
    unknown = tuple(path for path in metadata if not metadata[path])
    common = {} if unknown else _as_text(metadata[known[0]])
    with writing(target):
        (target if is_folder(target) else target.parent).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as scratch:
            return Merged(*_join(paths, target, common, Path(scratch)), unknown)


def _as_text(metadata: dict[str, Any]) -> dict[str, str]:
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in metadata.items()}


def _made_with(first: dict[str, Any], second: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    pairs = {name: (first.get(name), second.get(name)) for name in MADE_WITH}
    for part in ("scan", "timeline"):
        sides = [found.get("settings", {}).get(part, {}) for found in (first, second)]
        for key in dict.fromkeys([*sides[0], *sides[1]]):
            pairs[f"{part}.{key}"] = (sides[0].get(key), sides[1].get(key))
    pairs.pop("scan.detector_weights", None)  # its hash counts, not where it lies
    return pairs


def _join(paths: Sequence[Path], out: Path, metadata: Mapping[str, str], scratch: Path) -> tuple[int, int]:
    """Write the tables; the number of rows of the manifest, and how many of them are passed over. Raises BadResults."""
    joined = _Manifest([(path, read_small(path, "videos").to_pylist()) for path in paths])
    rows = skipped = 0
    with writers(out, metadata, scratch) as (timeline, small):
        for path in paths:
            tables, new = read_tables(path), joined.new(path)
            manifest = list(joined.rows(path))
            rows, skipped = rows + len(manifest), skipped + sum(row["status"] == "skipped" for row in manifest)
            small["videos"].add(manifest)
            for name in SMALL.keys() - {"videos"}:
                small[name].add(
                    [
                        {**row, "video": new[row["video_id"]]}
                        for row in tables[name].to_pylist()
                        if row["video_id"] in new
                    ]
                )
            for video_id, video in by_video(tables["timeline"]):
                if video_id in new:
                    timeline.add(named(video, new[video_id]))
    return rows, skipped


class _Manifest:
    """Which row of which results stands for a video, and under what name."""

    def __init__(self, results: Sequence[tuple[Path, list[Row]]]) -> None:
        self._results = dict(results)
        self._first: dict[str, Path] = {}
        """Fingerprint of each video that was analysed → the results that it is taken from."""
        self._names: dict[str, str] = {}
        """Fingerprint of such a video → its name in the merged tables."""
        self._taken: set[str] = set()
        self._listed: set[tuple[str | None, str, str, str | None]] = set()
        """Fingerprint, name, status and message of each other input in the merged manifest."""
        for path, rows in results:
            for row in rows:
                if row["status"] in ANALYSED and row["video_id"] not in self._first:
                    self._first[row["video_id"]] = path
                    self._names[row["video_id"]] = self._free(path, row["video"])

    def _free(self, path: Path, name: str) -> str:
        """The name, or one with that of its results before it, that no other video has."""
        stems = itertools.chain([path.stem], (f"{path.stem}-{number}" for number in itertools.count(2)))
        names = itertools.chain([name], (f"{stem}/{name}" for stem in stems))
        chosen = next(choice for choice in names if choice not in self._taken)
        self._taken.add(chosen)
        return chosen

    def new(self, path: Path) -> dict[str, str]:
        """Fingerprint → name of the videos whose rows are taken from the results at ``path``."""
        return {video_id: self._names[video_id] for video_id, first in self._first.items() if first == path}

    def rows(self, path: Path) -> Iterator[Row]:
        """The manifest rows of the results at ``path`` that the merged manifest has, each with its name there."""
        for row in self._results[path]:
            kept = self._names.get(row["video_id"])
            if row["status"] in ANALYSED and self._first[row["video_id"]] == path:
                yield {**row, "video": kept}
            elif not self._is_met(path, row):
                given = copy_of(kept, row["video_id"]) if kept else row
                name = self._free(path, row["video"])
                self._listed.add((row["video_id"], name, given["status"], given["message"]))
                yield {**given, "video": name}

    def _is_met(self, path: Path, row: Row) -> bool:
        """Whether the merged manifest has this input already: its video, or what it says of it, under the name that it
        has here or got from these results, or from those that the video is taken from, when they were merged."""
        video_id, name = row["video_id"], row["video"]
        known = [name, f"{path.stem}/{name}"]
        if video_id in self._names:
            kept, stem = self._names[video_id], self._first[video_id].stem
            if kept in known or name == f"{stem}/{kept}":
                return True
            status, message = "skipped", f"same content as {kept}"
        else:
            status, message = row["status"], row["message"]
            # what failed and was not read may be another file of that name
            known = known if video_id or status == "skipped" else known[1:]
        return any((video_id, one, status, message) in self._listed for one in known)
