"""Scans that run once in this process and are reused whenever the same content is analysed again."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fervid.batch.engines.base import Outcome
from fervid.batch.engines.local import LocalEngine
from fervid.batch.tasks import AlreadyDone, ScanJob, ScanTask
from fervid.batch.worker import scan_undivided
from fervid.errors import FervidError
from fervid.files.fingerprint import fingerprint
from fervid.files.scratch import CropFile
from fervid.scan.types import Scan

recorded: dict[tuple[Any, ...], tuple[Scan, bytes]] = {}
"""Content and settings → scan, and the bytes of its crops."""


def replay(tasks: Iterable[ScanTask], job: ScanJob) -> Generator[Outcome, None, None]:
    """What ``LocalEngine.run`` yields, without worker processes; see Engine."""
    for task in tasks:
        try:
            yield task, _scan(task, job)
        except FervidError as error:
            yield task, error


def _scan(task: ScanTask, job: ScanJob) -> Scan | AlreadyDone:
    key = (fingerprint(task.path), job.settings, job.geometry)
    if key not in recorded:
        scan = scan_undivided(task, job)
        if not isinstance(scan, Scan):
            return scan
        recorded[key] = scan, scan.crops.path.read_bytes()
        return scan
    if job.is_done(key[0]):
        return AlreadyDone(key[0])
    scan, crops = recorded[key]
    path = job.scratch / f"{task.position}.crops"
    path.write_bytes(crops)
    return _moved(scan, path)


def _moved(scan: Scan, path: Path) -> Scan:
    """The scan with its crops in another file."""
    tracks = []
    for track in scan.tracks:
        assert isinstance(track.crops, CropFile)
        tracks.append(replace(track, crops=replace(track.crops, path=path)))
    return replace(scan, tracks=tracks, crops=replace(scan.crops, path=path))


@contextlib.contextmanager
def replaying() -> Iterator[pytest.MonkeyPatch]:
    """Make local engines reuse scans until the context ends."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LocalEngine, "run", lambda self, tasks, job: replay(tasks, job))
        yield patch


@pytest.fixture
def replayed_scans() -> Iterator[pytest.MonkeyPatch]:
    """Make local engines reuse scans; ``replayed_scans.undo()`` restores real scans."""
    with replaying() as patch:
        yield patch
