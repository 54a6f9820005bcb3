"""Finding the video files that a results table names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePath

from fervid.errors import InputNotFound
from fervid.files.discover import discover, shown_name


def locate(names: Iterable[str], roots: Path | Sequence[Path] | None = None) -> dict[str, Path]:
    """Find the files of videos by their names in the tables.

    Args:
        names: Video names as the tables have them: relative to an analysed folder, or, if two analysed folders
            contain the same name, the path as it was given.
        roots: The folder that was analysed, or several; None: the working directory. If there are several, those that
            no longer exist are skipped.

    Returns:
        Name → file, for each video that was found. If several folders have the file, the first of them is used.

    Raises:
        InputNotFound: ``roots`` is one folder and does not exist.
    """
    if isinstance(roots, Path) and not roots.exists():
        raise InputNotFound(f"no such folder: {roots}")
    folders = [Path()] if roots is None else [roots] if isinstance(roots, Path) else list(roots)
    wanted = set(names)
    found: dict[str, Path] = {}
    for folder in folders:
        for name in wanted - found.keys():
            path = next(filter(_is_file, _candidates(name, folder)), None)
            if path is not None:
                found[name] = path
    escaped = {name for name in wanted - found.keys() if "\\x" in name}
    for folder in folders if roots is not None and escaped else ():
        if folder.exists():
            shown = {shown_name(source.name): source.path for source in discover([folder])}
            found = {name: shown[name] for name in escaped if name in shown} | found
    return found


def _candidates(name: str, folder: Path) -> Iterator[Path]:
    """Places where a video may be: under the folder, also if its name repeats the end of the folder's path."""
    yield folder / name
    parts = PurePath(name).parts
    for count in range(1, len(parts)):
        if folder.parts[-count:] == parts[:count]:
            yield folder.joinpath(*parts[count:])


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # the name is too long, or contains a null character
        return False
