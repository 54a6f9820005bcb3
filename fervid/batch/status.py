"""The state of an output: what is done, what failed, what is left, who works on it, and what a rerun would do.

Nothing is changed, no lock is waited for, and no video is opened.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from fervid.batch.plan import BatchSetup, planned
from fervid.batch.prune import store_size
from fervid.batch.request import read_request
from fervid.batch.run_record import RunRecord, read_run
from fervid.batch.store import StoreView
from fervid.errors import BadResults, FervidError, InputNotFound
from fervid.files.holder import Holder, find_holder
from fervid.files.private_folder import is_foreign
from fervid.results.reader import Manifest, read_manifest
from fervid.results.schema import SMALL, is_folder, small_path, timeline_path
from fervid.results.store_files import store_folder
from fervid.results.workspace import left_workspace


@dataclass(frozen=True)
class Rerun:
    """What the same command, without ``overwrite``, would do now.

    Attributes:
        analyze: Number of videos that are new or have changed.
        done: Number of those that are done.
        failed: Number of those that failed and would not be tried again.
        copies: Number of those with the same content as another one.
        skipped: Number of inputs that would be skipped.
        leaving: Number of inputs of the tables that are no longer there, and whose rows would leave.
        pending: Names of the videos that would be analysed.
        refused: Why the command would end at once; None if it would not.
    """

    analyze: int = 0
    done: int = 0
    failed: int = 0
    copies: int = 0
    skipped: int = 0
    leaving: int = 0
    pending: tuple[str, ...] = ()
    refused: str | None = None


@dataclass(frozen=True)
class Status:
    """The state of an output.

    Attributes:
        out: The results.
        tables: ``complete``, ``absent``, or ``incomplete`` if a run is replacing them or was killed while it did.
        written: When the tables were written, ISO 8601; None if they are absent.
        videos: Number of inputs in the tables by status; empty if the tables are absent.
        failed: Why inputs failed, by name.
        holder: The process that works on the output; None if none does.
        last_run: The record of the last run; None if there is none.
        store: The hidden folder; None if there is none.
        store_size: Bytes of the files in it.
        rerun: What the same command would do; None if that is not known.
        notes: What else a user should know, as sentences.
    """

    out: Path
    tables: str
    written: str | None
    videos: Mapping[str, int]
    failed: Mapping[str, str]
    holder: Holder | None
    last_run: RunRecord | None
    store: Path | None
    store_size: int
    rerun: Rerun | None
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Convert to plain values.

        Returns:
            Value by attribute; nested objects are dictionaries and lists.
        """
        plain = {**asdict(self), "out": os.fspath(self.out), "videos": dict(self.videos), "failed": dict(self.failed)}
        return {**plain, "store": None if self.store is None else os.fspath(self.store)}


def status(out: str | os.PathLike[str]) -> Status:
    """Find out the state of an output, as ``fervid status`` does.

    Example:
        >>> state = fervid.status("results.parquet")
        >>> state.tables, state.videos["ok"], state.holder
        ('complete', 2, None)

    Args:
        out: What ``analyze``, ``merge`` or ``correct`` wrote, or is writing.

    Returns:
        The state.

    Raises:
        InputNotFound: There is nothing at ``out``.
        BadResults: fervid did not write what is there.
        UsageError: ``out`` cannot name results.
    """
    path = Path(out)
    store = store_folder(path, is_folder(path))
    has_store, workspace = os.path.lexists(store), left_workspace(path)
    tables, manifest = _tables(path, has_store or workspace is not None)
    notes = list(manifest.notes)
    usable = has_store and not is_foreign(store)
    rerun: Rerun | None = None
    failed: dict[str, str] = {}
    if usable:
        rerun, failed = _rerun(path, store, notes)
    elif has_store:
        notes.append(f"{store} is not a folder of this user, so what a rerun would do is not known")
    elif manifest.rows:
        notes.append(f"{path} has no hidden folder: merge or correct wrote it, or the folder was removed or not copied")
    holder = (find_holder(store) if usable else None) or (find_holder(workspace) if workspace else None)
    if holder is None and _was_killed(store if usable else None, workspace):
        notes.append("a run was killed; the same command goes on, and clears what the killed one left")
    rows = {row["video"]: row for row in manifest.rows}
    told = {name: str(row["message"]) for name, row in rows.items() if row["status"] == "failed"}
    return Status(
        path,
        tables,
        None if tables == "absent" else _written(path),
        dict(Counter(row["status"] for row in manifest.rows)),
        {**told, **failed},
        holder,
        read_run(path),
        store if has_store else None,
        store_size(store) if usable else 0,
        rerun,
        tuple(dict.fromkeys(notes)),
    )


def _tables(out: Path, is_begun: bool) -> tuple[str, Manifest]:
    """The state of the tables, and their manifest. ``is_begun``: whether there is a hidden folder."""
    nothing = Manifest([], {}, ())
    if not os.path.lexists(timeline_path(out)):
        if any(small_path(out, name).exists() for name in SMALL):
            return "incomplete", nothing
        if is_begun:
            return "absent", nothing
        if not os.path.lexists(out):
            raise InputNotFound(f"no such results: {out}")
    try:
        return "complete", read_manifest(out)
    except BadResults as error:
        if is_begun and os.path.lexists(timeline_path(out)):  # such as small tables that were removed
            return "incomplete", Manifest([], {}, (str(error),))
        raise


def _written(out: Path) -> str | None:
    """When the timeline was written."""
    with contextlib.suppress(OSError):
        modified = timeline_path(out).stat().st_mtime
        return datetime.fromtimestamp(modified).astimezone().isoformat(timespec="seconds")
    return None


def _was_killed(store: Path | None, workspace: Path | None) -> bool:
    """Whether a process left its temporary folder."""
    return workspace is not None or (store is not None and any((store / "scratch").glob("*")))


def _rerun(out: Path, store: Path, notes: list[str]) -> tuple[Rerun | None, dict[str, str]]:
    """What the same command would do, and why inputs failed that are not in the tables yet."""
    request = read_request(store)
    if request is None:
        notes.append("the inputs of the last run are not recorded, so what a rerun would do is not known")
        return None, {}
    try:
        setup = BatchSetup.of(request.paths, out, request.settings)
        view = setup.view()
        return _planned(setup, view)
    except FervidError as error:
        return Rerun(refused=str(error)), {}


def _planned(setup: BatchSetup, view: StoreView) -> tuple[Rerun, dict[str, str]]:
    found = list(planned(setup.sources, view, setup.settings.run, reads=False))
    counts = Counter(what for _, what, _ in found)
    names = {name for name, _, _ in found}
    contents = {view.fingerprint(source.path) for source in setup.sources if not source.skip}
    former = view.compositions.last_inputs()
    leaving = sum(name not in names and (video_id or "") not in contents for name, video_id in former.items())
    if setup.keeps_tables:
        return Rerun(skipped=counts["skipped"], refused="there is no video to analyse; the tables stay"), {}
    rerun = Rerun(
        counts["analyze"],
        counts["done"],
        counts["failed"],
        counts["copy"],
        counts["skipped"],
        leaving,
        tuple(name for name, what, _ in found if what == "analyze"),
    )
    return rerun, {name: reason for name, what, reason in found if what == "failed"}
