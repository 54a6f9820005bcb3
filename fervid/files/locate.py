"""Table → source files: where the videos that a table names lie now."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from fervid.errors import InputNotFound
from fervid.files.discover import discover, shown_name


def locate(names: Iterable[str], root: Path | None = None) -> dict[str, Path]:
    """Video name, as in the tables → its file, for those that are there.

    Names are relative to ``root``, the folder that was analysed; without one, to the working directory.
    Raises InputNotFound where ``root`` is not there.
    """
    if root is not None and not root.exists():
        raise InputNotFound(f"no such folder: {root}")
    base = root or Path()
    wanted = set(names)
    found = {name: base / name for name in wanted if _is_file(base / name)}
    if root is not None and len(found) < len(wanted):  # names with bytes that are no UTF-8 stand escaped in the tables
        shown = {shown_name(source.name): source.path for source in discover([root])}
        found |= {name: shown[name] for name in wanted - found.keys() if name in shown}
    return found


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long, or one with a null
        return False
