"""Paths, globs and folders → an ordered list of video files."""

from __future__ import annotations

import fnmatch
import glob
import hashlib
import itertools
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from fervid.errors import InputNotFound, UsageError
from fervid.settings import InputSettings

SUFFIXES = frozenset(
    {".3g2", ".3gp", ".asf", ".avi", ".divx", ".dv", ".f4v", ".flv", ".gif", ".m1v", ".m2ts", ".m2v", ".m4v", ".mkv"}
    | {".mov", ".mp4", ".mpe", ".mpeg", ".mpg", ".mts", ".mxf", ".nut", ".ogm", ".ogv", ".qt", ".rm", ".rmvb", ".ts"}
    | {".vob", ".webm", ".wmv"}
)
"""Files in a folder count as videos by these endings; a file named by itself always counts."""


@dataclass(frozen=True)
class Source:
    """``path``: the file. ``name``: how tables call it: its ``place`` under the input root it was found in, or,
    where files of several roots would share that name, the path as given. ``skip``: why it is passed over; so is
    a link to a folder, whose place ends in a slash."""

    path: Path
    name: str
    place: str
    skip: str | None = None


OUTSIDE = "a link that leads out of the input folder; --follow-links takes it"
ANNOTATED = ".annotated.mp4"
"""Ending of the files that ``fervid annotate`` writes; in folders and patterns they are not taken for videos."""
MADE_HERE = "it has the ending of what fervid annotate writes; named by itself it is taken"

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
"""The same for still images."""


def discover(
    paths: Iterable[str | os.PathLike[str]], suffixes: frozenset[str] = SUFFIXES, follow_links: bool = False
) -> list[Source]:
    """Find the videos (or files of other endings) under files, folders (searched recursively) and glob patterns.

    Folders are listed in the order of their names, hidden entries left out; a file is listed once, however
    often it is reached. A link that leads out of the input folder, to a file or to a folder, is listed with the
    reason why it is passed over, or taken with ``follow_links``; a folder is searched once, so a loop of links
    ends. Raises InputNotFound for a path or pattern that matches nothing.
    """
    found: dict[Path, Source] = {}
    for given in paths:
        literal = bool(os.fspath(given)) and os.path.lexists(given)
        for root in _expand(given):
            linked = not literal and not follow_links and _leaves(root, _fixed(given))
            for source in _search(root, suffixes, follow_links and not linked):
                if linked:
                    source = replace(source, skip=OUTSIDE)
                elif not literal and source.path.name.endswith(ANNOTATED):
                    source = replace(source, skip=MADE_HERE)
                key = Path(os.path.realpath(source.path.parent)) / source.path.name
                found.setdefault(key, source)
    return _distinct(list(found.values()))


def _distinct(sources: list[Source]) -> list[Source]:
    """The sources, those that share a name by their paths; which may be the name of yet another."""
    while True:
        named = Counter(source.name for source in sources)
        paths = [source.path.as_posix() for source in sources]
        if all(named[s.name] == 1 or s.name == path for s, path in zip(sources, paths, strict=True)):
            return sources
        sources = [
            replace(source, name=path) if named[source.name] > 1 else source
            for source, path in zip(sources, paths, strict=True)
        ]


def select(sources: Iterable[Source], settings: InputSettings) -> list[Source]:
    """The sources that ``settings`` take; those that it passes over for a reason of their own carry it."""
    chosen = []
    for source in sources:
        places = {shown_name(source.place), shown_name(source.place).rstrip("/")}
        excluded = any(fnmatch.fnmatchcase(place, pattern) for place in places for pattern in settings.exclude)
        if excluded or not _in_shard(shown_name(source.name), settings):
            continue
        if source.skip is None and settings.settle and _age(source.path) < settings.settle:
            source = replace(source, skip="changed a moment ago; left for the next run")
        chosen.append(source)
    return chosen


def _in_shard(name: str, settings: InputSettings) -> bool:
    if settings.part is None:
        return True
    number, count = settings.part
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) % count == number - 1


def _age(path: Path) -> float:
    """Seconds since a file's last change; infinite where there is nothing to be seen of it."""
    try:
        status = path.stat()
        now = time.time()
        # a clock that is ahead would make a file young for ever; when it was written here, this clock knows
        return now - (status.st_mtime if status.st_mtime <= now else status.st_ctime)
    except OSError:
        return float("inf")


def refuse_overwriting(sources: Iterable[Source], outputs: Iterable[Path]) -> None:
    """Raise UsageError where an output is one of the inputs."""
    targets = {os.path.realpath(output) for output in outputs}
    for source in sources:
        if os.path.realpath(source.path) in targets:
            raise UsageError(f"the output would overwrite the input {source.path}")


def _expand(given: str | os.PathLike[str]) -> list[Path]:
    """A path as it is where it exists, else what it matches as a pattern."""
    path = Path(given)
    if os.fspath(given) and os.path.lexists(path):  # an empty name would be the working directory
        return [path]
    pattern = os.fspath(given)
    matches = sorted(Path(match) for match in glob.glob(pattern, recursive=True))
    if not matches:
        raise InputNotFound(f"no such file or folder: {given}")
    return matches


def _fixed(given: str | os.PathLike[str]) -> Path:
    """The folder that all matches of a pattern lie in: its parts before the first wildcard."""
    parts = Path(given).parts
    fixed = itertools.takewhile(lambda part: not glob.has_magic(part), parts)
    return Path(*fixed)


def _search(root: Path, suffixes: frozenset[str], follow_links: bool) -> Iterator[Source]:
    if not root.is_dir():
        yield Source(root, root.name, root.name)
        return

    def at(path: Path, skip: str | None = None, ending: str = "") -> Source:
        place = path.relative_to(root).as_posix()
        return Source(path, place, place + ending, skip)

    locked: list[OSError] = []
    met = {os.path.realpath(root)}
    for folder, subfolders, files in os.walk(root, onerror=locked.append, followlinks=True):
        inner = [Path(folder) / name for name in sorted(subfolders) if not name.startswith(".")]
        leading_out = [path for path in inner if _leaves(path, root)]
        if not follow_links:
            yield from (at(path, OUTSIDE, "/") for path in leading_out)
        # folders before links to them; what a link inside the folder leads to is met by itself, unless it is hidden
        taken = [path for path in inner if not os.path.islink(path)] + (leading_out if follow_links else [])
        taken += [path for path in inner if os.path.islink(path) and path not in leading_out and _is_hidden(path, root)]
        fresh = {real: path.name for path in reversed(taken) if (real := os.path.realpath(path)) not in met}
        subfolders[:] = sorted(fresh.values())
        met |= fresh.keys()
        for name in sorted(files):
            path = Path(folder) / name
            if not name.startswith(".") and path.suffix.lower() in suffixes:
                outside = not follow_links and _leaves(path, root)
                yield at(path, OUTSIDE if outside else MADE_HERE if name.endswith(ANNOTATED) else None)
    for error in locked:  # listed, so that it fails by name instead of being passed over
        yield at(Path(error.filename))


def _leaves(path: Path, root: Path) -> bool:
    """Whether ``path`` is a link to something outside ``root``; a dangling one fails by itself, later, as does what
    lies in a folder that may be listed and no more."""
    if not os.path.islink(path):
        return False
    target, base = os.path.realpath(path), os.path.realpath(root)
    return os.path.lexists(target) and os.path.commonpath([target, base]) != base


def _is_hidden(path: Path, root: Path) -> bool:
    """Whether a link inside ``root`` leads to something in it that is hidden."""
    inside = os.path.relpath(os.path.realpath(path), os.path.realpath(root))
    return any(part.startswith(".") and part != "." for part in Path(inside).parts)


def shown_name(name: str) -> str:
    """A file name as text: bytes that are no UTF-8 as backslash escapes."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
