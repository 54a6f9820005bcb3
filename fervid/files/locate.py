"""Finding the video files that a results table names."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePath

from fervid.errors import InputNotFound
from fervid.files.discover import discover, shown_name
from fervid.files.sequences import exists, is_sequence


def locate(
    names: Iterable[str],
    roots: Path | Sequence[Path] | None = None,
    is_same: Callable[[str, Path], bool] | None = None,
) -> dict[str, Path]:
    """Find the files of videos by their names in the tables.

    Args:
        names: Video names as the tables have them: relative to an analysed folder, or, if two analysed folders
            contain the same name, the path as it was given.
        roots: The folder that was analysed, or several; None: the working directory. If there are several, those that
            no longer exist are skipped.
        is_same: Whether a file has the content of the video with a name. It is called only if a name fits several
            files, or none. A name that fits none may begin with a prefix that ``merge`` added, so the name is
            searched for without its first folders too.

    A name never leads outside these folders. Links in them are followed, since whoever can make them can also copy.

    Returns:
        Name → file, for each video that was found. If several files fit and none is the same, the first is used.

    Raises:
        InputNotFound: ``roots`` is one folder and does not exist.
    """
    if isinstance(roots, Path) and not roots.exists():
        raise InputNotFound(f"no such folder: {roots}")
    folders = [Path()] if roots is None else [roots] if isinstance(roots, Path) else list(roots)
    wanted = {name for name in names if name}
    found: dict[str, Path] = {}
    for name in wanted:
        files = _files(name, folders)
        path = files[0] if files else None
        if is_same is not None and len(files) != 1:
            same = (file for file in files or _files_without_prefix(name, folders) if is_same(name, file))
            path = next(same, path)
        if path is not None:
            found[name] = path
    escaped = {name for name in wanted - found.keys() if "\\x" in name}
    for folder in folders if roots is not None and escaped else ():
        if folder.exists():
            shown = {shown_name(source.name): source.path for source in discover([folder])}
            found = {name: shown[name] for name in escaped if name in shown} | found
    return found


def _files(name: str, folders: Iterable[Path]) -> list[Path]:
    """The existing files that a name fits, without links to the same file."""
    files: dict[str, Path] = {}
    for folder in folders:
        inside = (path for path in _candidates(name, folder) if _is_inside(path, folder))
        for path in filter(_is_file, inside):
            files.setdefault(os.path.realpath(path), path)
    return list(files.values())


def _files_without_prefix(name: str, folders: Sequence[Path]) -> Iterator[Path]:
    """The existing files that a name fits without its first folder, its first two folders, and so on."""
    parts = PurePath(name).parts
    for count in range(1, len(parts)):
        yield from _files(str(PurePath(*parts[count:])), folders)


def _candidates(name: str, folder: Path) -> Iterator[Path]:
    """Places where a video may be: under the folder, also if its name repeats the end of the folder's path."""
    yield folder / name
    parts = PurePath(name).parts
    for count in range(1, len(parts)):
        if folder.parts[-count:] == parts[:count]:
            yield folder.joinpath(*parts[count:])


def _is_inside(path: Path, folder: Path) -> bool:
    """Whether a path, without following links, lies in a folder."""
    try:
        return Path(os.path.abspath(path)).is_relative_to(os.path.abspath(folder))
    except (OSError, ValueError):  # the name contains a null character
        return False


def _is_file(path: Path) -> bool:
    try:
        return path.is_file() or (is_sequence(path) and exists(path))
    except (OSError, ValueError):  # the name is too long, or contains a null character
        return False
