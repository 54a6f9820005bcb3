"""How pytest-xdist shares the tests between its workers.

The tests of a file stay together, so that what they share is made once, and the longest files begin first. Files of
long tests that share little are handed out test by test at the end, which keeps all workers busy until the end.
pytest-xdist's own ``--dist loadgroup`` does not see the marks of pytest 9.
"""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

LONGEST = (
    "tests/batch/test_ray.py",
    "tests/training/test_training.py",
    "tests/annotate/test_annotate.py",
    "tests/batch/test_resume.py",
    "tests/batch/test_analyze.py",
    "tests/test_real_clips.py",
)
"""Files that take most of the time, the longest first."""

ONE_BY_ONE = (
    "tests/batch/test_worker_crashes.py",
    "tests/batch/test_kill.py",
    "tests/scan/test_segments.py",
    "tests/fuzz/",
)
"""Files, or folders, of long tests that share little."""


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Hands out a file, or a single test of the files in ONE_BY_ONE, to the next worker that is free."""

    def __init__(self, config: pytest.Config, log: Producer) -> None:
        config.option.loadscopereorder = False  # ``order`` has done that
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return nodeid if nodeid.startswith(ONE_BY_ONE) else nodeid.split("::")[0]


def order(nodeid: str) -> int:
    """The place of a test's file among the others, smallest first."""
    name = nodeid.split("::")[0]
    if name in LONGEST:
        return LONGEST.index(name)
    return len(LONGEST) + nodeid.startswith(ONE_BY_ONE)
