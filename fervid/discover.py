"""Paths, globs and folders → an ordered list of video files."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fervid.errors import InputNotFound

SUFFIXES = frozenset(
    {".3g2", ".3gp", ".asf", ".avi", ".divx", ".dv", ".f4v", ".flv", ".gif", ".m1v", ".m2ts", ".m2v", ".m4v", ".mkv"}
    | {".mov", ".mp4", ".mpe", ".mpeg", ".mpg", ".mts", ".mxf", ".nut", ".ogm", ".ogv", ".qt", ".rm", ".rmvb", ".ts"}
    | {".vob", ".webm", ".wmv"}
)
"""Files in a folder count as videos by these endings; a file named by itself always counts."""


@dataclass(frozen=True)
class Source:
    """``path``: the file. ``name``: how tables call it, relative to the input root it was found under."""

    path: Path
    name: str


IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
"""The same for still images."""


def discover(paths: Iterable[str | os.PathLike[str]], suffixes: frozenset[str] = SUFFIXES) -> list[Source]:
    """Find the videos (or files of other endings) under files, folders (searched recursively) and glob patterns.

    Folders are listed in the order of their names, hidden entries left out; a file is listed once, however
    often it is reached. Links to folders are not followed, so a loop of links ends. Raises InputNotFound
    for a path or pattern that matches nothing.
    """
    found: dict[Path, Source] = {}
    for given in paths:
        for root in _expand(given):
            for source in _search(root, suffixes):
                key = Path(os.path.realpath(source.path.parent)) / source.path.name
                found.setdefault(key, source)
    return list(found.values())


def _expand(given: str | os.PathLike[str]) -> list[Path]:
    """A path as it is where it exists, else what it matches as a pattern."""
    path = Path(given)
    if os.fspath(given) and os.path.lexists(path):  # an empty name would be the working directory
        return [path]
    matches = sorted(Path(match) for match in glob.glob(os.fspath(given), recursive=True))
    if not matches:
        raise InputNotFound(f"no such file or folder: {given}")
    return matches


def _search(root: Path, suffixes: frozenset[str]) -> Iterator[Source]:
    if not root.is_dir():
        yield Source(root, root.name)
        return
    for folder, subfolders, files in os.walk(root):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in sorted(files):
            path = Path(folder) / name
            if not name.startswith(".") and path.suffix.lower() in suffixes:
                yield Source(path, path.relative_to(root).as_posix())
