"""A made tree of the files by which Linux shows control groups."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from fervid.runtime import platform

HALF_A_CORE = {"cpu.max": "50000 100000", "memory.max": str(1 << 30)}
"""A group of version 2 that allows half a core and 1 GiB."""


def make_groups(folder: Path, own: str, files: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the tree, and let this process read it.

    Args:
        folder: Where it is written.
        own: The groups of this process, as in ``/proc/self/cgroup``.
        files: Path below ``/sys/fs/cgroup`` → content.
        monkeypatch: Undoes this at the end of the test.
    """
    (folder / "own").write_text(own, encoding="utf-8")
    for place, text in files.items():
        path = folder / "groups" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")
    monkeypatch.setattr(platform, "OWN_GROUPS", folder / "own")
    monkeypatch.setattr(platform, "CONTROL_GROUPS", folder / "groups")
