"""Choosing output file names: one file per video, in a folder tree like that of the inputs."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Iterable
from itertools import chain, count
from pathlib import Path, PurePosixPath

from fervid.runtime.platform import LONGEST_PATH, allowed_name

MAX_BYTES = 220
"""Longest file name, in bytes, that is kept. File systems allow 255; endings and temporary names need the rest."""

LEAST_BYTES = 20
"""Bytes of a name that are kept even if the path gets too long for the system."""


def files_for(names: Iterable[str], folder: Path, ending: str) -> dict[str, Path]:
    """Choose one output file for each video.

    A file has the stem of its video's name. If videos share a stem, each file has the video's full name, with a
    number if that is still not unique. Names count as equal if they differ in upper and lower case only. No file lies
    outside ``folder``, and names that are too long for a file system are shortened.

    Args:
        names: Video names as the tables have them.
        folder: The output folder.
        ending: Appended to each name, such as ``.annotated.mp4``.

    Returns:
        Video name → file.
    """
    room = None if LONGEST_PATH is None else LONGEST_PATH - len(f"{folder.absolute()}/{ending}")
    inside = {name: _inside(name, room) for name in names}
    stems = {name: path.with_name(path.stem + ending) for name, path in inside.items()}
    sharing = Counter(map(_key, stems.values()))
    files: dict[str, Path] = {}
    taken: set[str] = set()
    for name, path in inside.items():
        by_stem = [stems[name]] if sharing[_key(stems[name])] == 1 else []
        full = path.with_name(path.name + ending)
        numbered = (path.with_name(f"{path.name}.{number}{ending}") for number in count(2))
        chosen = next(choice for choice in chain(by_stem, [full], numbered) if _key(choice) not in taken)
        taken.add(_key(chosen))
        files[name] = folder / chosen
    return files


def _key(path: PurePosixPath) -> str:
    """The path as a file system compares it that ignores case and how letters with accents are composed."""
    return unicodedata.normalize("NFC", path.as_posix()).casefold()


def _inside(name: str, room: int | None = None) -> PurePosixPath:
    """The name as a relative path without ``..``, which has at most ``room`` characters if that is possible."""
    parts = [_shortened(allowed_name(part)) for part in PurePosixPath(name).parts if part not in ("/", "//", "..")]
    if parts and room is not None:
        left = room - sum(len(part) + 1 for part in parts[:-1])
        parts[-1] = _shortened(parts[-1], min(max(left, LEAST_BYTES), MAX_BYTES))
    return PurePosixPath(*parts or ["video"])


def _shortened(part: str, most: int = MAX_BYTES) -> str:
    """The part, cut to this number of bytes; a hash of the full part keeps it unique."""
    data = part.encode()
    if len(data) <= most:
        return part
    digest = hashlib.sha256(data).hexdigest()[:8]
    return data[: most - 9].decode(errors="ignore") + "-" + digest
