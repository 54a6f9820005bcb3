"""Which analysed videos are still there, and which may only be out of reach, such as on a share that is not mounted.

A file that is gone was deleted if its folder is gone too, or holds other entries. It may be out of reach if

- the system refuses to look, or a link on the way leads nowhere,
- an input folder is gone, or holds no video any more,
- the folder that held it is empty, as the place is at which a share was mounted.
"""

from __future__ import annotations

import glob
import os
import stat
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from fervid.batch.file_index import FileIndex
from fervid.batch.request import Request
from fervid.errors import UnreadableVideo
from fervid.files.discover import VIDEOS, Source, discover, shown_name
from fervid.files.fingerprint import content_size, fingerprint
from fervid.files.sequences import exists

HERE = "here"
"""The answer for a video that is there."""


class Presence:
    """Looks for the files of videos. No file is read whose size is not that of a video that is looked for.

    Args:
        request: What the last run was asked to do. All files below its folders count, also excluded ones.
        index: What is known of files.
        roots: The input folders of the tables, absolute.
        names: The names of all inputs in the tables.
    """

    def __init__(self, request: Request, index: FileIndex, roots: Iterable[Path], names: Iterable[str]) -> None:
        self._index, self._roots, self._listed = index, list(roots), set(names)
        sources = _sources(request)
        self._names = {shown_name(source.name) for source in sources}
        self._paths = {os.path.abspath(source.path) for source in sources}
        self._holders: dict[str, list[Source]] = defaultdict(list)
        self._unread: list[Source] = []
        for source in sources:
            video_id = index.fingerprint(source.path)
            if video_id is not None:
                self._holders[video_id].append(source)
            elif index.failure(source.path) is None and (source.skip is None or exists(source.path)):
                self._unread.append(source)
        self._places: dict[str, list[str]] = defaultdict(list)
        for path, video_id in index.known_files().items():
            self._places[video_id].append(path)
        videos = [os.path.abspath(source.path) for source in sources if source.skip is None]
        self._empty_roots = [root for root in self._roots if not any(_is_below(path, root) for path in videos)]
        self._states: dict[str, str | None] = {}

    def of_row(self, name: str, video_id: str | None, size: int | None) -> str | None:
        """Find out whether a row of the tables still has its video.

        Args:
            name: The name of the input.
            video_id: Its fingerprint; None if it is unknown.
            size: Its size in bytes; None if it is unknown.

        Returns:
            HERE if the file is there, or its content is there under a name that the tables do not have. None if it was
            deleted. Otherwise the folder or file that is out of reach.
        """
        if name in self._names:
            return HERE
        if video_id is not None and (state := self._moved(video_id, size)) is not None:
            return state
        known = [] if video_id is None else self._places[video_id]
        places = [place for place in [*known, *self._index.failed_files()] if _ends_in(place, name)]
        return self._state(places or [os.path.join(root, name) for root in self._roots])

    def of_content(self, video_id: str, size: int | None) -> str | None:
        """Find out whether a file has a content.

        Args:
            video_id: The fingerprint.
            size: Its size in bytes; None if it is unknown.

        Returns:
            HERE if a file may have it. None if it was deleted. Otherwise the folder or file that is out of reach.
        """
        places = self._places[video_id]
        if self._holders[video_id] or any(self._index.fingerprint(Path(place)) == video_id for place in places):
            return HERE
        changed = [Source(Path(place), place, place) for place in places if exists(Path(place))]
        if (self._unread or changed) and (state := self._among([*self._unread, *changed], video_id, size)):
            return state
        absent = [place for place in places if not exists(Path(place))]
        if not places:  # its file was too new for the index, or the index was damaged
            absent = [os.path.join(root, video_id) for root in self._roots]
        return self._state(absent)

    def absent_files(self, force: bool) -> list[str]:
        """List the files of the index that were deleted.

        Args:
            force: List those that may be out of reach too.

        Returns:
            Absolute paths.
        """
        paths = [*self._index.known_files(), *self._index.failed_files()]
        states = {path: self._state_of(path) for path in paths}
        return [path for path, state in states.items() if state is None or (force and state != HERE)]

    def _moved(self, video_id: str, size: int | None) -> str | None:
        """HERE if a content lies under a name that is not in the tables; a file that may have it, or None."""
        if any(shown_name(source.name) not in self._listed for source in self._holders[video_id]):
            return HERE
        new = [source for source in self._unread if shown_name(source.name) not in self._listed]
        return self._among(new, video_id, size) if new else None

    def _among(self, sources: Sequence[Source], video_id: str, size: int | None) -> str | None:
        """HERE if one of these files has a content or may have it; one that cannot be read, or None.

        Files of another size are not read. If the size is unknown, any of them may have it.
        """
        unknown = None
        for source in sources:
            try:
                own = content_size(source.path)
                if size is None or (own == size and fingerprint(source.path) == video_id):
                    return HERE
            except UnreadableVideo:
                unknown = os.fspath(source.path)
        return unknown

    def _state(self, places: Iterable[str]) -> str | None:
        """HERE if one of these paths exists; what may be out of reach of one of them; None if all were deleted."""
        states = [self._state_of(place) for place in places]
        return HERE if HERE in states else next((state for state in states if state is not None), None)

    def _state_of(self, place: str) -> str | None:
        if place not in self._states:
            self._states[place] = HERE if place in self._paths else self._examined(Path(place))
        return self._states[place]

    def _examined(self, path: Path) -> str | None:
        """The same of one path, by looking at it and at the folders above."""
        if exists(path):
            return HERE
        root = next((root for root in self._empty_roots if _is_below(os.fspath(path), root)), None)
        if root is not None:
            return os.fspath(root)
        for place in (path, *path.parents):
            try:
                is_folder = stat.S_ISDIR(place.stat().st_mode)
                return None if not is_folder or _has_entries(place) else os.fspath(place)
            except (FileNotFoundError, NotADirectoryError):
                if place.is_symlink():  # it leads nowhere
                    return os.fspath(place)
            except (OSError, ValueError):
                return os.fspath(place)
        return None


def _sources(request: Request) -> list[Source]:
    """All files below the inputs of a run, also those that its settings exclude. An input that is gone has none."""
    wanted = replace(VIDEOS, sequences=request.settings.scan.fps_in is not None)
    present = [path for path in request.paths if exists(Path(path)) or next(glob.iglob(path, recursive=True), None)]
    return discover(present, wanted, request.settings.inputs.follow_links)


def _is_below(path: str, root: Path) -> bool:
    return path.startswith(os.path.join(root, ""))


def _ends_in(place: str, name: str) -> bool:
    """Whether a path is that of an input with a name, which is relative to its folder."""
    shown = shown_name(Path(place).as_posix())
    return shown == name or shown.endswith(f"/{name}")


def _has_entries(folder: Path) -> bool:
    """Whether a folder holds anything that is not hidden. Raises OSError."""
    with os.scandir(folder) as entries:
        return any(not entry.name.startswith(".") for entry in entries)
