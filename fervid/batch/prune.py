"""Removing from an output what no run needs any more: deleted videos, temporary files, results of earlier settings.

The tables are replaced as one thing, and stored results are removed after that. If the process is killed, the same
command goes on.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fervid.batch.composing import compose_tables
from fervid.batch.composition import Composition
from fervid.batch.presence import HERE, Presence
from fervid.batch.request import read_request
from fervid.batch.store import PARTS, ResumeStore, StoreView
from fervid.errors import BadResults, OutputError, UsageError
from fervid.files.holder import find_holder
from fervid.files.locks import using_locks
from fervid.files.private_folder import is_foreign, remove_damaged
from fervid.results.parts import Entry, Row, copy_of, read_rows
from fervid.results.reader import read_manifest
from fervid.results.schema import RECORD, is_folder, stamped_paths
from fervid.results.store_files import read_identity, store_folder
from fervid.results.workspace import left_workspace, workspace

_STORED = re.compile(r"[0-9a-f]{32}\.(parquet|mesh\.parquet|failed\.json)")
"""Names of the files of a folder of parts."""

_ANOTHER = re.compile(rf"{PARTS}[0-9a-f]{{16}}")
"""Names of the folders of parts."""


@dataclass(frozen=True)
class PruneReport:
    """What was removed, or would be.

    Attributes:
        videos: Names of the inputs whose rows leave the tables.
        results: Number of stored results of deleted videos.
        earlier: Number of stored results of earlier settings.
        temporary: Number of temporary files that killed runs left.
        size: Bytes of the files that are removed, without the tables.
        kept: Folder or file that may be out of reach → number of the videos whose results are kept for it.
        notes: What could not be done and what to do about it, as sentences.
    """

    videos: tuple[str, ...]
    results: int
    earlier: int
    temporary: int
    size: int
    kept: Mapping[str, int]
    notes: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to remove."""
        return not (self.videos or self.results or self.earlier or self.temporary)


def prune(out: str | os.PathLike[str], dry_run: bool = False, force: bool = False) -> PruneReport:
    """Remove what no run needs any more: rows and stored results of deleted videos, temporary files of killed runs, and
    stored results of earlier settings.

    Args:
        out: The results.
        dry_run: Change nothing.
        force: Also remove videos that may only be out of reach; see ``fervid.batch.presence``.

    Returns:
        What was removed, or would be.

    Raises:
        InputNotFound: There are no such results.
        UsageError: The record of the settings is damaged.
        BadResults: fervid did not write what is there.
        OutputLocked: Another run holds the output.
        OutputError: The output cannot be written.
    """  # fmt: skip
    path = Path(out)
    store = store_folder(path, is_folder(path)).absolute()
    if not os.path.lexists(store):
        return _prune_workspace(path, dry_run)
    if is_foreign(store):
        raise OutputError(f"cannot use {store}: it is not a folder of this user")
    identity = read_identity(store)
    if identity is None and not any(store.glob(f"{PARTS}*/*")):
        return PruneReport((), 0, 0, 0, 0, {}, (f"no video of {path} is finished yet, so there is nothing to remove",))
    if identity is None:
        again = "run analyze again, or with `overwrite` if it says so"
        raise UsageError(f"{store} does not say what its results were made with; {again}")
    request = read_request(store)
    temporary = [(file, _size(file)) for file in _temporary(store)]
    if dry_run:
        pruning = _Pruning(StoreView(store, identity, True), store, path, force)
        if find_holder(store) is None:
            return pruning.report(temporary)
        report = pruning.report(())  # what is there may belong to the run
        return replace(report, notes=(*report.notes, "a run is at work on this output; prune when it has ended"))
    kind = "system" if request is None else request.settings.run.lock
    with using_locks(kind), ResumeStore(store, identity, True) as opened:
        pruning = _Pruning(opened, store, path, force)
        report = pruning.report(temporary)
        pruning.carry_out(opened)
    return report


def _prune_workspace(out: Path, dry_run: bool) -> PruneReport:
    """Finish or remove what a killed ``merge`` or ``correct`` left."""
    left = left_workspace(out)
    if left is None:
        read_manifest(out)
        note = f"{out} has no hidden folder, so there is nothing to remove"
        return PruneReport((), 0, 0, 0, 0, {}, (note,))
    files = list(_files(left))
    size = sum(map(_size, files))
    if not dry_run:
        with workspace(out):
            pass
    return PruneReport((), 0, 0, len(files), size, {}, ())


class _Pruning:
    """What can be removed from one output.

    Args:
        view: Its state.
        store: Its hidden folder.
        out: The results.
        force: See ``prune``.
    """

    def __init__(self, view: StoreView, store: Path, out: Path, force: bool) -> None:
        self._view, self._store, self._out, self._force = view, store, out, force
        self._notes: list[str] = []
        self._kept: list[str] = []
        self._composition = view.compositions.of(stamped_paths(out))
        self._rows = self._read_rows()
        self._presence = self._look()
        self._entries: list[Entry] = []
        self._dropped: list[str] = []
        if self._presence is not None and self._composition is not None:
            self._sort_rows(self._presence)
        self._results = list(self._unneeded_results()) if self._presence is not None else []
        self._earlier = [
            file
            for folder in store.glob(f"{PARTS}*")
            if folder != view.parts.folder and _ANOTHER.fullmatch(folder.name) and not is_foreign(folder)
            for file in _stored(folder)
        ]

    def _read_rows(self) -> list[Row]:
        """The manifest; empty if there are no tables that fervid composed from this store and nobody changed since."""
        if self._composition is not None and self._composition.key == self._view.parts.key:
            return read_manifest(self._out).rows
        if self._composition is not None:
            self._composition = None
            self._notes.append(
                "an analysis with other settings has begun, so all rows stay; run it first, and then prune"
            )
        elif os.path.lexists(stamped_paths(self._out)[0]):
            advice = "run analyze again, which writes them anew, and then prune"
            self._notes.append(f"the tables are not as fervid wrote them, so their rows stay; {advice}")
        return []

    def _look(self) -> Presence | None:
        """Look for the videos; None if it is not known where they were."""
        request = read_request(self._store)
        if request is None:
            self._notes.append("the inputs of the last run are not recorded, so no video is removed; run analyze again")
            return None
        roots: list[str] = []
        if self._composition is not None:
            with contextlib.suppress(ValueError, KeyError):
                roots = json.loads(self._composition.metadata["roots"])
        roots += [path if os.path.isdir(path) else os.path.dirname(path) for path in request.paths]
        names = [row["video"] for row in self._rows]
        return Presence(request, self._view.index, map(Path, dict.fromkeys(roots)), names)

    def _sort_rows(self, presence: Presence) -> None:
        """Find the rows that leave the tables, and make the entries of the others."""
        first_names: dict[str, str] = {}
        kept: list[Row] = []
        dropped: list[Row] = []
        sizes = {row["video_id"]: row["size"] for row in self._rows if row["size"] is not None}  # copies have none
        for row in self._rows:
            video_id = row["video_id"]
            state = presence.of_row(row["video"], video_id, sizes.get(video_id))
            (kept if self._keeps(state) else dropped).append(row)
        if not dropped:
            return
        for row in kept:
            entry = self._entry(row, first_names)
            if entry is None:
                advice = "run analyze again, and then prune"
                self._notes.append(f"the stored result of {row['video']} is missing, so all rows stay; {advice}")
                self._entries = []
                return
            self._entries.append(entry)
        self._dropped = [row["video"] for row in dropped]

    def _keeps(self, state: str | None) -> bool:
        """Whether to keep what has this state, and count it if it may only be out of reach."""
        if state is not None and state != HERE and not self._force:
            self._kept.append(state)
            return True
        return state == HERE

    def _entry(self, row: Row, first_names: dict[str, str]) -> Entry | None:
        """The input of a row as ``analyze`` would compose it; None if its stored result is missing."""
        name, video_id = row["video"], row["video_id"]
        if row["status"] == "failed":
            told = {key: row[key] for key in ("video_id", "status", "error", "message", "finished_at")}
            return Entry(name, None, told)
        if video_id is None:
            return Entry(name, None, {"status": row["status"], "message": row["message"]})
        if video_id in first_names:
            return Entry(name, None, copy_of(first_names[video_id], video_id))
        part = self._view.parts.part(video_id)
        manifest = _manifest_row(part)
        if manifest is None:
            return None
        first_names[video_id] = name
        return Entry(name, part, manifest)

    def _unneeded_results(self) -> Iterator[Path]:
        """The stored results that belong to no row that stays and to no file."""
        assert self._presence is not None
        rows = {row["video"]: row for row in self._rows}
        needed = {rows[name]["video_id"] for name in rows.keys() - set(self._dropped)}
        last = self._view.compositions.last_inputs() if self._composition is None else {}
        needed |= set(last.values())
        for video_id, files in itertools.groupby(_stored(self._view.parts.folder), _video_id):
            if video_id in needed:
                continue
            row = _manifest_row(self._view.parts.part(video_id)) or {}
            if not self._keeps(self._presence.of_content(video_id, row.get("size"))):
                yield from files

    def report(self, temporary: Sequence[tuple[Path, int]]) -> PruneReport:
        """Say what can be removed. ``temporary``: the files that killed runs left, and their sizes."""
        size = sum(map(_size, [*self._results, *self._earlier])) + sum(own for _, own in temporary)
        return PruneReport(
            tuple(self._dropped),
            len(set(map(_video_id, self._results))),
            len({(file.parent, _video_id(file)) for file in self._earlier}),
            len(temporary),
            size,
            dict(Counter(self._kept)),
            tuple(dict.fromkeys(self._notes)),
        )

    def carry_out(self, store: ResumeStore) -> None:
        """Remove it: first the rows, then what nothing refers to any more."""
        if self._dropped and self._composition is not None:
            self._compose(store, self._composition)
        for file in [*self._results, *self._earlier]:
            remove_damaged(file)
        for folder in {file.parent for file in self._earlier}:
            with contextlib.suppress(OSError):
                folder.rmdir()
        if self._presence is not None:
            store.index.drop(self._presence.absent_files(self._force), store.scratch)

    def _compose(self, store: ResumeStore, before: Composition) -> None:
        """Write the tables without the rows that leave them."""
        metadata = {key: value for key, value in before.metadata.items() if key != RECORD}
        dropped = set(self._dropped)
        inputs = {name: video_id for name, video_id in before.inputs.items() if name not in dropped}
        mesh = bool(store.identity.get("scan", {}).get("mesh"))
        compose_tables(store, self._out, self._entries, metadata, inputs, mesh)


def _manifest_row(part: Path) -> Row | None:
    """The row of the manifest in a part; None if the part is missing or damaged."""
    with contextlib.suppress(BadResults):
        return read_rows(part, removes_damage=False)["videos"][0]
    return None


def _video_id(stored: Path) -> str:
    """The fingerprint of the video that a stored result belongs to."""
    return stored.name.partition(".")[0]


def _stored(folder: Path) -> Iterator[Path]:
    """The stored results in a folder of parts."""
    for path in sorted(folder.glob("*")):
        if _STORED.fullmatch(path.name):
            yield path


def _temporary(store: Path) -> Iterator[Path]:
    """What killed runs left in a store. Opening it for a run removes that."""
    if not (store / "scratch").is_symlink():
        yield from _files(store / "scratch")
    yield from store.glob(f"{PARTS}*/.*.partial*")


def _files(folder: Path) -> Iterator[Path]:
    for place, _, names in os.walk(folder):
        yield from (Path(place) / name for name in names)


def _size(path: Path) -> int:
    """Bytes of a file; 0 if it is gone."""
    with contextlib.suppress(OSError):
        return path.lstat().st_size
    return 0


def store_size(store: Path) -> int:
    """Measure a hidden folder.

    Args:
        store: The folder; it need not exist.

    Returns:
        Bytes of all files in it.
    """
    return sum(map(_size, _files(store)))
