"""What the last run of an output was asked to do, so that others can say what the same command would do now."""

from __future__ import annotations

import contextlib
import glob
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from fervid.errors import ConfigError
from fervid.files.atomic import write_text_atomically
from fervid.results.store_files import read_text, sealed, unsealed
from fervid.settings import AnalyzeSettings
from fervid.settings_io import from_mapping, to_mapping

REQUEST_FILE = "request.json"
"""Name of the file in the store."""


@dataclass(frozen=True)
class Request:
    """The inputs and settings of a run.

    Attributes:
        paths: Files, folders and glob patterns, absolute.
        settings: All settings. ``overwrite`` is off: it holds for one run only.
    """

    paths: tuple[str, ...]
    settings: AnalyzeSettings

    @classmethod
    def of(cls, paths: Iterable[str | os.PathLike[str]], settings: AnalyzeSettings) -> Request:
        """Describe a run that starts in the working folder.

        Args:
            paths: As the run got them.
            settings: As the run got them.

        Returns:
            The description.
        """
        run = replace(settings.run, overwrite=False)
        return cls(tuple(_absolute(os.fspath(path)) for path in paths), replace(settings, run=run))

    def write(self, folder: Path, scratch: Path) -> None:
        """Keep it in a store, unless it is there already.

        Args:
            folder: The store.
            scratch: Folder for the unfinished file.

        Raises:
            OutputError: It cannot be written.
        """
        if read_request(folder) != self:
            values = {"paths": list(self.paths), "settings": to_mapping(self.settings)}
            write_text_atomically(folder / REQUEST_FILE, sealed(REQUEST_FILE, values), scratch)


def read_request(folder: Path) -> Request | None:
    """Read what the last run was asked to do.

    Args:
        folder: The store.

    Returns:
        The description; None if there is none, or it is damaged.
    """
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError, ConfigError):
        values = unsealed(REQUEST_FILE, read_text(folder / REQUEST_FILE))
        paths = tuple(path for path in values["paths"] if isinstance(path, str))
        return Request(paths, from_mapping(AnalyzeSettings, values["settings"]))
    return None


def _absolute(path: str) -> str:
    """An absolute path or pattern. Wildcards in the name of the working folder itself are escaped."""
    if os.path.isabs(path) or not path:
        return path
    is_pattern = glob.has_magic(path) and not os.path.lexists(path)
    return os.path.join(glob.escape(os.getcwd()) if is_pattern else os.getcwd(), path)
