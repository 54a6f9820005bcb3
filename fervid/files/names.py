"""A file for each video, inside a folder: where the video lies among the inputs, under its own name."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from itertools import chain, count
from pathlib import Path, PurePosixPath

MAX_BYTES = 220
"""Longest name, in bytes, that is kept as it is: file systems allow 255, and endings are added to it."""


def files_for(names: Iterable[str], folder: Path, ending: str) -> dict[str, Path]:
    """Video name → the file for it, each its own also where the file system does not tell cases apart.

    A file has the stem of its video; where videos share one, each has its full name, and a number where that is not
    enough. None can lie outside ``folder``; a name that is too long for a file system is cut.
    """
    inside = {name: _inside(name) for name in names}
    stems = {name: path.with_name(path.stem + ending) for name, path in inside.items()}
    sharing = Counter(map(_key, stems.values()))
    files: dict[str, Path] = {}
    taken: set[str] = set()
    for name, path in inside.items():
        alone = [stems[name]] if sharing[_key(stems[name])] == 1 else []
        full = path.with_name(path.name + ending)
        numbered = (path.with_name(f"{path.name}.{number}{ending}") for number in count(2))
        chosen = next(choice for choice in chain(alone, [full], numbered) if _key(choice) not in taken)
        taken.add(_key(chosen))
        files[name] = folder / chosen
    return files


def _key(path: PurePosixPath) -> str:
    return path.as_posix().casefold()


def _inside(name: str) -> PurePosixPath:
    """The name as a path that cannot leave the folder it is put in."""
    parts = [_shortened(part) for part in PurePosixPath(name).parts if part not in ("/", "//", "..")]
    return PurePosixPath(*parts or ["video"])


def _shortened(part: str) -> str:
    data = part.encode()
    if len(data) <= MAX_BYTES:
        return part
    digest = hashlib.sha256(data).hexdigest()[:8]
    return data[: MAX_BYTES - 9].decode(errors="ignore") + "-" + digest
