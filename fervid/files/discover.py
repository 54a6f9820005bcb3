"""Finding input files: paths, folders and glob patterns → an ordered list of videos."""

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
"""Endings by which files in a folder count as videos. A file given by itself always counts."""


@dataclass(frozen=True)
class Source:
    """One input file, or an entry of an input folder that is skipped.

    Attributes:
        path: The file.
        name: Its name in the tables: its ``place``, or ``path`` as given if files of several roots share the place.
        place: Its path relative to ``root``. A skipped link to a folder has a place that ends in a slash.
        skip: Why it is not analysed; None if it is.
        root: The input folder in which it was found; for a file given by itself, the folder that holds it.
    """

    path: Path
    name: str
    place: str
    skip: str | None = None
    root: Path = Path()


OUTSIDE = "a link that points outside the input folder; use `follow_links` to follow it"
"""Reason for skipping a link."""

ANNOTATED = ".annotated.mp4"
"""Ending of the videos that ``fervid annotate`` writes. Folders and patterns do not count them as inputs."""

MADE_HERE = f"*{ANNOTATED} is fervid's own output; pass the file by name to analyse it"
"""Reason for skipping an annotated video."""

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
"""Endings by which files in a folder count as still images."""


def discover(
    paths: Iterable[str | os.PathLike[str]], suffixes: frozenset[str] = SUFFIXES, follow_links: bool = False
) -> list[Source]:
    """Find videos (or files with other endings) by files, folders and glob patterns.

    Folders are searched recursively in the order of their names, without hidden entries. A file that is reached more
    than once is listed once, and a folder is searched once, so that a loop of links ends. Without ``follow_links``, a
    link that points outside its input folder is listed with the reason why it is skipped.

    Args:
        paths: Files, folders and glob patterns.
        suffixes: Endings, in lower case, that count inside folders. A file given by itself always counts.
        follow_links: Whether to follow links that point outside the input folder.

    Returns:
        The inputs, in the order of ``paths``.

    Raises:
        InputNotFound: A path does not exist, or a pattern matches nothing.
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
    """Make names unique: a source that shares its name with another one is named by its path."""
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
    """Apply the settings that leave inputs out.

    Args:
        sources: The inputs.
        settings: Patterns to exclude, the shard to keep, and how long a file must have been unchanged.

    Returns:
        The inputs that are neither excluded nor in another shard. Files modified too recently have a ``skip`` reason.
    """
    chosen = []
    for source in sources:
        places = {shown_name(source.place), shown_name(source.place).rstrip("/")}
        excluded = any(fnmatch.fnmatchcase(place, pattern) for place in places for pattern in settings.exclude)
        if excluded or not _in_shard(shown_name(source.name), settings):
            continue
        if source.skip is None and settings.settle and _age(source.path) < settings.settle:
            source = replace(source, skip="modified a moment ago; the next run analyses it")
        chosen.append(source)
    return chosen


def _in_shard(name: str, settings: InputSettings) -> bool:
    if settings.part is None:
        return True
    number, count = settings.part
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) % count == number - 1


def _age(path: Path) -> float:
    """Seconds since a file was modified; infinite if the file cannot be examined."""
    try:
        status = path.stat()
        now = time.time()
        # another machine's clock may be ahead, and would make the file appear new forever; ctime is this machine's
        return now - (status.st_mtime if status.st_mtime <= now else status.st_ctime)
    except OSError:
        return float("inf")


def refuse_overwriting(sources: Iterable[Source], outputs: Iterable[Path]) -> None:
    """Check that no output is also an input.

    Args:
        sources: The inputs.
        outputs: The files that will be written.

    Raises:
        UsageError: An output is one of the inputs, perhaps through a link.
    """
    targets = {os.path.realpath(output) for output in outputs}
    for source in sources:
        if os.path.realpath(source.path) in targets:
            raise UsageError(f"the output would overwrite the input {source.path}")


def _expand(given: str | os.PathLike[str]) -> list[Path]:
    """The path itself if it exists, otherwise what it matches as a glob pattern."""
    path = Path(given)
    if os.fspath(given) and os.path.lexists(path):  # an empty name would be the working directory
        return [path]
    pattern = os.fspath(given)
    matches = sorted(Path(match) for match in glob.glob(pattern, recursive=True))
    if not matches:
        raise InputNotFound(f"no such file or folder: {given}")
    return matches


def _fixed(given: str | os.PathLike[str]) -> Path:
    """The folder that contains all matches of a pattern: the parts before the first wildcard."""
    parts = Path(given).parts
    fixed = itertools.takewhile(lambda part: not glob.has_magic(part), parts)
    return Path(*fixed)


def _search(root: Path, suffixes: frozenset[str], follow_links: bool) -> Iterator[Source]:
    """The inputs under a folder, in order; or the file itself."""
    if not root.is_dir():
        yield Source(root, root.name, root.name, root=root.parent)
        return

    def source(path: Path, skip: str | None = None, ending: str = "") -> Source:
        place = path.relative_to(root).as_posix()
        return Source(path, place, place + ending, skip, root)

    unreadable: list[OSError] = []
    visited = {os.path.realpath(root)}
    for folder, subfolders, files in os.walk(root, onerror=unreadable.append, followlinks=True):
        inner = [Path(folder) / name for name in sorted(subfolders) if not name.startswith(".")]
        leading_out = [path for path in inner if _leaves(path, root)]
        if not follow_links:
            yield from (source(path, OUTSIDE, "/") for path in leading_out)
        # A link to a folder inside the root is followed only if that folder is hidden: the search finds the others.
        # Folders come before links, so that a folder that is reached both ways has its own name.
        chosen = [path for path in inner if not os.path.islink(path)] + (leading_out if follow_links else [])
        links = [path for path in inner if os.path.islink(path) and path not in leading_out]
        chosen += [path for path in links if _is_hidden(path, root)]
        new = {real: path.name for path in reversed(chosen) if (real := os.path.realpath(path)) not in visited}
        subfolders[:] = sorted(new.values())
        visited |= new.keys()
        for name in sorted(files):
            path = Path(folder) / name
            if not name.startswith(".") and path.suffix.lower() in suffixes:
                outside = not follow_links and _leaves(path, root)
                yield source(path, OUTSIDE if outside else MADE_HERE if name.endswith(ANNOTATED) else None)
    for error in unreadable:  # kept as inputs, so that they are reported as failed
        yield source(Path(error.filename))


def _leaves(path: Path, root: Path) -> bool:
    """Whether ``path`` is a link to something that exists outside ``root``. A dangling link is reported as failed."""
    if not os.path.islink(path):
        return False
    target, base = os.path.realpath(path), os.path.realpath(root)
    return os.path.lexists(target) and os.path.commonpath([target, base]) != base


def _is_hidden(path: Path, root: Path) -> bool:
    """Whether the target of ``path``, a link inside ``root``, is a hidden entry of ``root``."""
    inside = os.path.relpath(os.path.realpath(path), os.path.realpath(root))
    return any(part.startswith(".") and part != "." for part in Path(inside).parts)


def shown_name(name: str) -> str:
    """Make a file name printable as UTF-8.

    Args:
        name: A name as Python gives it, with surrogates for bytes that are not UTF-8.

    Returns:
        The name with those bytes as backslash escapes, such as ``\\xfc``.
    """
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
