"""Merging several results into one, such as those of the shards of a cluster or the months of a job."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from fervid.errors import BadResults, UsageError
from fervid.results.mesh_table import has_meshes, read_meshes, renamed
from fervid.results.parts import Row, by_video, copy_of, named
from fervid.results.reader import read_checked, read_metadata, read_tables
from fervid.results.schema import ANALYSED, SMALL
from fervid.results.workspace import refuse_output, writing_results

MADE_WITH = (
    "schema_version",
    "version",
    "weights_sha256",
    "onnx_sha256",
    "sidecar_sha256",
    "detector",
    "detector_sha256",
    "embedder_sha256",
    "mesh_sha256",
)
"""Metadata that must agree before results are merged, in addition to the settings ``scan`` and ``timeline``."""


@dataclass(frozen=True)
class Merged:
    """What a merge did.

    Attributes:
        videos: Rows of the merged manifest.
        skipped: How many of them have the status ``skipped``, such as copies.
        unknown: Results without metadata; if there are any, the merged results have no metadata either.
        notes: What a user should know about the results that were read, as sentences.
    """

    videos: int
    skipped: int
    unknown: tuple[Path, ...]
    notes: tuple[str, ...] = ()


def merge(results: Sequence[str | os.PathLike[str]], out: str | os.PathLike[str]) -> Merged:
    """Write the tables of several results as one.

    A video that occurs twice is kept once. If two different videos have the same name, the second gets a prefix: the
    name of the results that it comes from.

    Args:
        results: The results to merge, in the order of the merged rows.
        out: The results to write: a Parquet file, a CSV file or a folder.

    Returns:
        What was written.

    Raises:
        UsageError: The results were made with different settings, weights or versions, as far as their metadata say;
            or ``out`` is one of them, or the output of ``analyze``.
        InputNotFound: Some results do not exist.
        BadResults: fervid did not write some of the results.
        OutputError: ``out`` cannot be written.
    """
    paths, target = list({os.path.realpath(path): Path(path) for path in results}.values()), Path(out)
    refuse_output(target, paths)
    metadata = {path: read_metadata(path) for path in paths}
    known = [path for path in paths if metadata[path]]
    for path in known[1:]:
        for name, (first, second) in _made_with(metadata[known[0]], metadata[path]).items():
            if first != second:
                raise UsageError(f"{known[0]} and {path} were made differently: {name} {first} and {second}")
    unknown = tuple(path for path in metadata if not metadata[path])
    common = {} if unknown else _common_metadata(list(metadata.values()))
    videos, skipped, notes = _join(paths, target, common)
    return Merged(videos, skipped, unknown, notes)


def _common_metadata(each: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The metadata of the first results, with the roots of all."""
    roots = list(dict.fromkeys(root for metadata in each for root in metadata.get("roots", [])))
    return each[0] | ({"roots": roots} if roots else {})


def _made_with(first: dict[str, Any], second: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Name → both values, of everything that must agree."""
    pairs = {name: (first.get(name), second.get(name)) for name in MADE_WITH}
    for part in ("scan", "timeline"):
        sides = [found.get("settings", {}).get(part, {}) for found in (first, second)]
        for key in dict.fromkeys([*sides[0], *sides[1]]):
            pairs[f"{part}.{key}"] = (sides[0].get(key), sides[1].get(key))
    pairs.pop("scan.detector_weights", None)  # the hash of that file identifies the weights, not its path
    return pairs


def _join(paths: Sequence[Path], out: Path, metadata: Mapping[str, Any]) -> tuple[int, int, tuple[str, ...]]:
    """Write the tables. Returns the numbers of manifest rows and of those with the status ``skipped``, and notes."""
    manifests, notes = _manifests(paths)
    merged = _Manifest({path: manifest.to_pylist() for path, manifest in manifests.items()})
    count = skipped = 0
    lacking = [path for path in paths if not has_meshes(path)]
    mesh = len(lacking) < len(paths)
    notes += [f"{path} lies without its meshes; they are missing in the merged table" for path in lacking if mesh]
    with writing_results(out, metadata, notes, mesh) as opened:
        timeline, small = opened.timeline, opened.small
        for path in paths:
            tables, names = read_tables(path), merged.names(path)
            if not tables["videos"].equals(manifests[path]):
                raise BadResults(f"{path} was replaced by another run meanwhile; merge again")
            rows = list(merged.rows(path))
            count, skipped = count + len(rows), skipped + sum(row["status"] == "skipped" for row in rows)
            small["videos"].add(rows)
            for name in SMALL.keys() - {"videos"}:
                small[name].add(
                    {**row, "video": names[row["video_id"]]}
                    for row in tables[name].to_pylist()
                    if row["video_id"] in names
                )
            for video_id, video in by_video(tables["timeline"]):
                if video_id in names:
                    timeline.add(named(video, names[video_id]))
                    if path not in lacking:
                        opened.mesh.add(renamed(table, names[video_id]) for table in read_meshes(path, video_id))
    return count, skipped, tuple(notes)


def _manifests(paths: Sequence[Path]) -> tuple[dict[Path, pa.Table], list[str]]:
    """The manifests of results, and the notes on all. Their other tables leave the memory."""
    manifests: dict[Path, pa.Table] = {}
    notes: list[str] = []
    for path in paths:
        read = read_checked(path)
        manifests[path] = read.tables["videos"]
        notes += read.notes
    return manifests, notes


class _Manifest:
    """The merged manifest: which results each video is taken from, and its name."""

    def __init__(self, results: Mapping[Path, list[Row]]) -> None:
        self._results = results
        self._first: dict[str, Path] = {}
        """Fingerprint of each analysed video → the results that it is taken from."""
        self._names: dict[str, str] = {}
        """Fingerprint of each analysed video → its name in the merged tables."""
        self._taken: set[str] = set()
        """All names in the merged tables."""
        self._listed: set[tuple[str | None, str, str, str | None]] = set()
        """Fingerprint, name, status and message of each other input in the merged manifest."""
        for path, rows in results.items():
            for row in rows:
                if row["status"] in ANALYSED and row["video_id"] not in self._first:
                    self._first[row["video_id"]] = path
                    self._names[row["video_id"]] = self._free(path, row["video"])

    def _free(self, path: Path, name: str) -> str:
        """A name that no other video has: ``name``, if necessary with the name of its results as a prefix."""
        stems = itertools.chain([path.stem], (f"{path.stem}-{number}" for number in itertools.count(2)))
        names = itertools.chain([name], (f"{stem}/{name}" for stem in stems))
        chosen = next(choice for choice in names if choice not in self._taken)
        self._taken.add(chosen)
        return chosen

    def names(self, path: Path) -> dict[str, str]:
        """Fingerprint → name of the videos that are taken from the results at ``path``."""
        return {video_id: self._names[video_id] for video_id, first in self._first.items() if first == path}

    def rows(self, path: Path) -> Iterator[Row]:
        """The merged manifest's rows from the results at ``path``, with their merged names."""
        for row in self._results[path]:
            kept = self._names.get(row["video_id"])
            if row["status"] in ANALYSED and self._first[row["video_id"]] == path:
                yield {**row, "video": kept}
            elif not self._is_listed(path, row):
                listed = copy_of(kept, row["video_id"]) if kept else row
                name = self._free(path, row["video"])
                self._listed.add((row["video_id"], name, listed["status"], listed["message"]))
                yield {**listed, "video": name}

    def _is_listed(self, path: Path, row: Row) -> bool:
        """Whether the merged manifest already has this input, under its name here or under a name from a merge."""
        video_id, name = row["video_id"], row["video"]
        candidates = [name, f"{path.stem}/{name}"]
        if video_id in self._names:
            kept, stem = self._names[video_id], self._first[video_id].stem
            if kept in candidates or name == f"{stem}/{kept}":
                return True
            status, message = "skipped", f"same content as {kept}"
        else:
            status, message = row["status"], row["message"]
            # a failed input without a fingerprint may be another file of the same name
            candidates = candidates if video_id or status == "skipped" else candidates[1:]
        return any((video_id, candidate, status, message) in self._listed for candidate in candidates)
