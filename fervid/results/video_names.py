"""Finding videos by the names that people write: whole names, file names, stems and patterns."""

from __future__ import annotations

import fnmatch
import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True)
class NameIndex:
    """Positions of videos by their names.

    Attributes:
        names: All names.
        exact: Name → positions.
        files: Name without folders → positions.
        stems: Name without folders and ending → positions.
    """

    names: Sequence[str]
    exact: dict[str, list[int]]
    files: dict[str, list[int]]
    stems: dict[str, list[int]]

    def find(self, name: str) -> list[int]:
        """Find the videos that a name means.

        Args:
            name: A video's whole name, its file name, its stem, or a pattern with ``*``, ``?`` or ``[...]``.

        Returns:
            Positions of the videos. The first of these rules that fits any video decides.
        """
        for table in (self.exact, self.files, self.stems):
            if name in table:
                return table[name]
        if not glob.has_magic(name):
            return []
        return [
            position
            for position, one in enumerate(self.names)
            if fnmatch.fnmatchcase(one, name) or fnmatch.fnmatchcase(PurePosixPath(one).name, name)
        ]

    def starting_with(self, stem: str) -> list[int]:
        """Find the videos of a recording of BIDS, whose names go on with a suffix.

        Args:
            stem: The common start, such as ``sub-01_task-talk``.

        Returns:
            Positions of the videos.
        """
        return self.find(stem) or [place for one, places in self.stems.items() if one.startswith(f"{stem}_")
                                   for place in places]  # fmt: skip


def by_name(names: Sequence[str]) -> NameIndex:
    """Build the index of names.

    Args:
        names: Names of videos, as in the column ``video``.

    Returns:
        The index.
    """
    index = NameIndex(names, {}, {}, {})
    for position, name in enumerate(names):
        path = PurePosixPath(name)
        for table, key in ((index.exact, name), (index.files, path.name), (index.stems, path.stem)):
            table.setdefault(key, []).append(position)
    return index


def listed(names: Sequence[str], limit: int = 3) -> str:
    """Write names for a message.

    Args:
        names: Names.
        limit: How many are written out.

    Returns:
        Text such as ``a, b, c and 4 more``.
    """
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
