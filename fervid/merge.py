"""Several results → one: what the shards of a cluster or the months of a job have written."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fervid.errors import UsageError, writing
from fervid.parts import merge_tables, refuse_foreign
from fervid.store import read_identity, store_folder
from fervid.tables import is_folder, output_paths, read_metadata

MADE_WITH = (
    "schema_version",
    "version",
    "weights_sha256",
    "sidecar_sha256",
    "detector",
    "detector_sha256",
    "embedder_sha256",
)
"""What must agree before rows may stand in one table; of the settings, ``scan`` and ``timeline``."""


@dataclass(frozen=True)
class Merged:
    """How many ``videos`` the merged manifest lists, and how many of them are ``copies`` of another."""

    videos: int
    copies: int


def merge(results: Sequence[str | os.PathLike[str]], out: str | os.PathLike[str]) -> Merged:
    """Write the tables of ``results``, in their order, as one at ``out``; a video met twice is kept once.

    Raises UsageError where they were made with different settings, weights or versions, as far as they say
    (CSV does not), or where ``out`` is one of them or another batch's output; BadResults, InputNotFound and
    OutputError.
    """
    paths, target = [Path(path) for path in results], Path(out)
    inputs = {os.path.realpath(path) for given in paths for path in output_paths(given)}
    if any(os.path.realpath(path) in inputs for path in output_paths(target)):
        raise UsageError(f"the output would overwrite one of the results: {target}")
    refuse_foreign(target)
    if read_identity(store_folder(target, is_folder(target))) is not None:
        raise UsageError(f"{target} is kept up to date by fervid analyze; choose another --out")
    metadata = [read_metadata(path) for path in paths]
    for path, found in zip(paths[1:], metadata[1:], strict=True):
        for name, (first, second) in _made_with(metadata[0], found).items():
            if first != second:
                raise UsageError(f"{paths[0]} and {path} were made otherwise: {name} {first} and {second}")
    with writing(target):
        (target if is_folder(target) else target.parent).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as spool:
            return Merged(*merge_tables(paths, target, _as_text(metadata[0]), Path(spool)))


def _as_text(metadata: dict[str, Any]) -> dict[str, str]:
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in metadata.items()}


def _made_with(first: dict[str, Any], second: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    pairs = {name: (first.get(name), second.get(name)) for name in MADE_WITH}
    for part in ("scan", "timeline"):
        sides = [found.get("settings", {}).get(part, {}) for found in (first, second)]
        for key in dict.fromkeys([*sides[0], *sides[1]]):
            pairs[f"{part}.{key}"] = (sides[0].get(key), sides[1].get(key))
    return pairs
