"""Workers that are forked from a server, and workers that are new processes, are in the same state."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from fervid.batch.engines.worker_pool import PRELOADED, WorkerPool
from fervid.batch.tasks import ScanJob, ScanTask
from fervid.faces.crop import FER2013_GEOMETRY
from fervid.settings import ScanSettings

MEMORY = 3 << 30


def state(task: ScanTask, job: ScanJob) -> dict[str, Any]:
    """What a worker finds when its first task begins."""
    return {
        "ignores Ctrl-C": signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []),
        "imports nothing from the working folder": sys.flags.safe_path,
        "limit": resource.getrlimit(resource.RLIMIT_DATA)[0],
        "has loaded": all(name in sys.modules for name in PRELOADED),
        "ends at SIGTERM": signal.getsignal(signal.SIGTERM) is signal.SIG_DFL,
    }


@pytest.mark.parametrize("method", [pytest.param("forkserver", marks=pytest.mark.slow), "spawn"])
def test_a_worker_is_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    monkeypatch.setenv("FERVID_START_METHOD", method)
    before = os.environ.get("PYTHONSAFEPATH")
    pool, job = WorkerPool(1, MEMORY), ScanJob(ScanSettings(), FER2013_GEOMETRY, bool, tmp_path)
    try:
        pool.start()
        (child,) = multiprocessing.active_children()
        assert (method == "spawn") == (type(child).__name__ == "SpawnProcess")
        found = pool.schedule(state, ScanTask(0, tmp_path), job, 0.0).result()
    finally:
        pool.stop()
    assert found == {
        "ignores Ctrl-C": True,
        "imports nothing from the working folder": True,
        "limit": MEMORY,
        "has loaded": True,
        "ends at SIGTERM": True,
    }
    assert os.environ.get("PYTHONSAFEPATH") == before
