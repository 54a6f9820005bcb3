"""Composing the tables of an output from its stored results, and recording how."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path

from fervid.batch.composition import Composition
from fervid.batch.store import ResumeStore, key_of
from fervid.errors import BadResults
from fervid.results.mesh_table import has_meshes
from fervid.results.parts import Entry, read_part
from fervid.results.schema import stamped_paths
from fervid.results.writer import compose


def compose_tables(
    store: ResumeStore,
    out: Path,
    entries: Sequence[Entry],
    metadata: Mapping[str, str],
    inputs: Mapping[str, str | None],
    mesh: bool,
) -> bool:
    """Write the tables, unless they are up to date.

    Args:
        store: The state of the output.
        out: The results.
        entries: The inputs, in the order of the rows.
        metadata: What the tables record about how they were made, without the hashes of the small tables.
        inputs: See ``Composition.inputs``.
        mesh: Whether there is a table of meshes.

    Returns:
        Whether they were written.

    Raises:
        OutputError: The tables cannot be written.
        BadResults: A stored result is damaged. All that are damaged are removed.
    """
    digest = key_of(chain([store.identity, metadata["roots"]], ((entry.name, entry.row) for entry in entries)))
    before = store.compositions.of(stamped_paths(out))
    known = before is not None and (before.digest, before.key) == (digest, store.parts.key)
    if known and mesh == has_meshes(out):
        return False

    def record(complete: dict[str, str], tables: dict[str, Path]) -> None:
        composition = Composition(digest, store.parts.key, complete, dict(inputs))
        store.compositions.prepare(composition, tables, store.scratch)

    store.write_identity()
    try:
        compose(out, entries, metadata, store.scratch, mesh, record)
    except BadResults:
        _remove_damaged_parts(entries)
        raise
    store.settle_composition()
    return True


def _remove_damaged_parts(entries: Iterable[Entry]) -> None:
    """Remove every part whose rows are damaged, so that one more run makes all of them again."""
    for entry in entries:
        if entry.part is not None:
            with contextlib.suppress(BadResults):
                read_part(entry.part)
