"""Scans that run once in this process and are reused whenever the same content is analysed again.

The shipped network is loaded once too, and computes each crop once.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Generator, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fervid.batch.engines.base import Outcome
from fervid.batch.engines.local import LocalEngine
from fervid.batch.tasks import AlreadyDone, ScanJob, ScanTask
from fervid.batch.worker import scan_undivided
from fervid.emotions import classifier
from fervid.emotions.classifier import Network, load_onnx
from fervid.emotions.sidecar import SHIPPED, Sidecar, read_sidecar
from fervid.errors import FervidError
from fervid.files.fingerprint import fingerprint
from fervid.files.scratch import CropFile
from fervid.scan.types import Scan
from fervid.types import FloatArray

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


class RememberingNetwork:
    """A network that computes each crop once: its logits do not depend on the rest of the batch."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._known: dict[bytes, FloatArray] = {}

    def logits(self, inputs: FloatArray) -> FloatArray:
        """See Network."""
        keys = [crop.tobytes() for crop in inputs]
        new = [number for number, key in enumerate(keys) if key not in self._known]
        if new:
            self._known.update(zip([keys[number] for number in new], self._network.logits(inputs[new]), strict=True))
        return np.stack([self._known[key] for key in keys])


@functools.cache
def _shipped_network() -> Network:
    return RememberingNetwork(load_onnx(SHIPPED, read_sidecar(SHIPPED)))


def _load_network(path: Path, sidecar: Sidecar) -> Network:
    return _shipped_network() if path == SHIPPED else load_onnx(path, sidecar)


@contextlib.contextmanager
def replaying() -> Iterator[pytest.MonkeyPatch]:
    """Make local engines reuse scans, and the classifier what it computed, until the context ends."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier, "load_onnx", _load_network)
        patch.setattr(LocalEngine, "run", lambda self, tasks, job: replay(tasks, job))
        yield patch


@pytest.fixture
def replayed_scans() -> Iterator[pytest.MonkeyPatch]:
    """Make local engines reuse scans; ``replayed_scans.undo()`` restores real scans."""
    with replaying() as patch:
        yield patch


@pytest.fixture(scope="module")
def replayed_module() -> Iterator[None]:
    """As ``replayed_scans``, for all tests of a module and the fixtures that they share."""
    with replaying():
        yield
