"""The video files behind results: where they are now."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fervid.errors import UnreadableVideo
from fervid.files.fingerprint import content_size, fingerprint
from fervid.files.locate import locate
from fervid.results.reader import Results
from fervid.video.unrecorded import refuse_other_pictures

Videos = Mapping[str, Path] | str | os.PathLike[str] | None
"""Where videos are: the file of each video name, or one folder, or None for the folders that were analysed."""


@dataclass(frozen=True)
class FoundVideos:
    """The result of a search for video files.

    Attributes:
        paths: Video name → file, for the videos that were found.
        missing_message: What to report for a video that was not found.
    """

    paths: Mapping[str, Path]
    missing_message: str


def find_videos(
    results: Results,
    names: Iterable[str],
    videos: Videos = None,
    fingerprint: Callable[[Path], str] = fingerprint,
) -> FoundVideos:
    """Find the files of videos.

    If a name fits several files, the file that was analysed is used. A name that fits no file may have a prefix from
    ``merge``; it is searched for without it, and only the file that was analysed is accepted.

    Args:
        results: The results that name the videos.
        names: Names of the videos to find, as in the column ``video``.
        videos: Where the videos are. None: in the folders that were analysed, or in the working directory if
            the results do not record these folders.
        fingerprint: Computes the fingerprint of a file. Replace it to reuse fingerprints that you have.

    Returns:
        The files that were found.

    Raises:
        InputNotFound: The folder ``videos`` does not exist.
    """
    if isinstance(videos, Mapping):
        return FoundVideos(videos, "not found")

    def is_same(name: str, path: Path) -> bool:
        with contextlib.suppress(UnreadableVideo):
            place = results.places.get(name)
            return place is not None and is_unchanged(path, results.videos.iloc[place].to_dict(), fingerprint)
        return False

    if videos is not None:
        return FoundVideos(locate(names, Path(videos), is_same), f"not found in {os.fspath(videos)}")
    roots = results.roots
    folders = ", ".join(map(str, roots)) if roots else "the working directory"
    paths = locate(names, [root for root in roots if root.is_dir()] if roots else None, is_same)
    return FoundVideos(paths, f"not found in {folders}; `videos` names another folder to search")


def is_unchanged(path: Path, row: Mapping[Any, Any], fingerprint: Callable[[Path], str] = fingerprint) -> bool:
    """Check whether a file has the content that was analysed. A file of another size is not read.

    Args:
        path: The file.
        row: The row of the video in the manifest. Its ``size`` may be missing.
        fingerprint: Computes the fingerprint of a file.

    Returns:
        True if it has.

    Raises:
        UnreadableVideo: The file cannot be read.
    """
    size = row.get("size")
    if isinstance(size, int | np.integer) and content_size(path) != size:
        return False
    return bool(fingerprint(path) == row["video_id"])


def analysed_file(
    results: Results, name: str, found: FoundVideos, fingerprint: Callable[[Path], str] = fingerprint
) -> Path:
    """Get the file of a video, if it still shows what was analysed.

    Args:
        results: The results that name the video.
        name: Name of the video.
        found: What ``find_videos`` found.
        fingerprint: Computes the fingerprint of a file.

    Returns:
        The file.

    Raises:
        UnreadableVideo: It was not found, its content has changed, or the results do not say how it was opened.
    """
    if name not in found.paths:
        raise UnreadableVideo(found.missing_message)
    path = found.paths[name]
    row = results.videos.iloc[results.places[name]]
    if not is_unchanged(path, row.to_dict(), fingerprint):
        raise UnreadableVideo("changed since the analysis")
    if not results.metadata:
        refuse_other_pictures(path, (int(row["width"]), int(row["height"])), int(row["rotation"]))
    return path
