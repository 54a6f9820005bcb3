"""A container with half a core and 1 GiB of memory: one worker, and the work gets done."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

import fervid
from tests.support.groups import HALF_A_CORE, make_groups
from tests.support.paths import ROOT

SCRIPT = """
import sys
from pathlib import Path
from fervid.runtime import platform
platform.OWN_GROUPS, platform.CONTROL_GROUPS = Path(sys.argv.pop(1)), Path(sys.argv.pop(1))
if __name__ == "__main__":
    from fervid.batch.engines.local import LocalEngine
    from fervid.runtime.machine import total_memory
    assert total_memory() == 1 << 30
    assert LocalEngine()._workers == 1
    from fervid.__main__ import main
    main()
"""


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_half_a_core_and_a_gigabyte_are_enough(
    shared_media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control files are made; the memory of each process really is limited, and its address space is not."""
    make_groups(tmp_path, "0::/\n", HALF_A_CORE, monkeypatch)
    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, 1 << 30))
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

    out = tmp_path / "results.parquet"
    line = [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "own"), str(tmp_path / "groups"), "analyze"]
    done = subprocess.run(
        [*line, str(shared_media), "--out", str(out), "--quiet"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        preexec_fn=limit,
    )
    assert done.returncode == 0, done.stderr
    videos = fervid.read_results(out).videos
    assert len(videos) > 10
    assert set(videos["status"]) <= {"ok", "no_face", "skipped"}
