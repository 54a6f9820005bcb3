"""The video files behind results: where they are now."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fervid.files.locate import locate
from fervid.results.reader import Results

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


def find_videos(results: Results, names: Iterable[str], videos: Videos = None) -> FoundVideos:
    """Find the files of videos.

    Args:
        results: The results that name the videos.
        names: Names of the videos to find, as in the column ``video``.
        videos: Where the videos are. None: in the folders that were analysed, or in the working directory if
            the results do not record these folders.

    Returns:
        The files that were found.

    Raises:
        InputNotFound: The folder ``videos`` does not exist.
    """
    if isinstance(videos, Mapping):
        return FoundVideos(videos, "not found")
    if videos is not None:
        return FoundVideos(locate(names, Path(videos)), f"not found in {os.fspath(videos)}")
    roots = results.roots
    folders = ", ".join(map(str, roots)) if roots else "the working directory"
    paths = locate(names, [root for root in roots if root.is_dir()]) if roots else locate(names)
    return FoundVideos(paths, f"not found in {folders}; `videos` names the folder that holds it")
