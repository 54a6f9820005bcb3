"""Choosing output file names: one file per video, in a folder tree like that of the inputs."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Iterable
from itertools import chain, count
from pathlib import Path, PurePosixPath

from fervid.runtime.platform import allowed_name

MAX_BYTES = 220
"""Longest file name, in bytes, that is kept. File systems allow 255; endings and temporary names need the rest."""


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
    inside = {name: _inside(name) for name in names}
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


def _inside(name: str) -> PurePosixPath:
    """The name as a relative path without ``..``."""
    parts = [_shortened(allowed_name(part)) for part in PurePosixPath(name).parts if part not in ("/", "//", "..")]
    return PurePosixPath(*parts or ["video"])


def _shortened(part: str) -> str:
    """The part, cut to MAX_BYTES; a hash of the full part keeps it unique."""
    data = part.encode()
    if len(data) <= MAX_BYTES:
        return part
    digest = hashlib.sha256(data).hexdigest()[:8]
    return data[: MAX_BYTES - 9].decode(errors="ignore") + "-" + digest
