"""How a result was made, as remembered beside it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

COMPOSED_FILE = "composed.json"
"""What the outputs were composed of, and with."""


def store_folder(out: Path, is_folder: bool) -> Path:
    """Where the state of the output ``out`` lies."""
    return out / ".fervid" if is_folder else out.with_name(f".{out.name}.fervid")


def composed_metadata(folder: Path, outputs: Iterable[Path]) -> dict[str, str]:
    """The metadata with which the store in ``folder`` composed ``outputs``; nothing where they have changed since."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        content = json.loads((folder / COMPOSED_FILE).read_text(encoding="utf-8"))
        if content["outputs"] == stamps(outputs):
            return dict(content["metadata"])
    return {}


def stamps(paths: Iterable[Path]) -> dict[str, list[int]]:
    """Name → size and time of change, of the files among ``paths``; raises OSError where one is missing."""
    found = {path.name: path.stat() for path in paths}
    return {name: [status.st_size, status.st_mtime_ns] for name, status in found.items()}


def read_identity(folder: Path) -> dict[str, Any] | None:
    """What the parts in a store's folder were made with; None where there is no such folder."""
    with contextlib.suppress(OSError, ValueError):
        return dict(json.loads((folder / "identity.json").read_text(encoding="utf-8")))
    return None
