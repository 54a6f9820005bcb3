"""The last lines of a first analysis: the files that it wrote, and two commands to try next."""

from __future__ import annotations

import glob
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fervid.cli.messages import say
from fervid.results.schema import SMALL, output_paths, small_path, timeline_path

_CONTENTS = {
    "timeline": "one row per face and sampled frame",
    "episodes": "one row per episode: emotions, blinks, speech",
    "summary": "one row per face",
    "persons": "one row per person of a video",
    "shots": "one row per shot",
    "doubts": "what speaks against single faces",
    "videos": "one row per input file",
}
"""What the tables hold."""


@dataclass(frozen=True)
class FirstRun:
    """An analysis whose output does not exist yet."""

    paths: Sequence[str]
    out: Path

    @classmethod
    def of(cls, paths: Sequence[str], out: Path) -> FirstRun | None:
        """Check, before a run, whether its output exists.

        Args:
            paths: The inputs, as given.
            out: The results.

        Returns:
            The first run, or None if there are results already.

        Raises:
            UsageError: ``out`` has an unknown ending.
        """
        exists = any(path.exists() for path in output_paths(out)[1:])
        return None if exists else cls(paths, out)

    def show(self, annotated: Path | None, report: Path | None) -> None:
        """Print the files written and the next commands on stderr.

        Args:
            annotated: Folder of annotated videos, if the run wrote any.
            report: HTML report, if the run wrote one.
        """
        tables = {"timeline": timeline_path(self.out)} | {name: small_path(self.out, name) for name in SMALL}
        files = [(path, _CONTENTS[name]) for name, path in tables.items()]
        files += [(report, "open it in a browser")] if report else []
        files += [(annotated, "annotated videos")] if annotated else []
        width = max(len(str(path)) for path, _ in files)
        lines = ["", "files written:"]
        lines += [f"  {str(path).ljust(width)}  {content}" for path, content in files]
        commands = self._next_commands(annotated, report)
        lines += ["", "next, for example:", *(f"  {command}" for command in commands)] if commands else []
        say(*lines)

    def _next_commands(self, annotated: Path | None, report: Path | None) -> list[str]:
        page = self.out.parent / f"{self.out.stem}.html"
        folder = self.out.parent / f"{self.out.stem}-annotated"
        given = [] if report else [["report", page]]
        given += [] if annotated else [["annotate", folder]]
        where = self._folder()
        videos = ["--videos", where] if where else []
        return [
            shlex.join(map(str, ["fervid", command, self.out, "--out", target, *videos])) for command, target in given
        ]

    def _folder(self) -> str | None:
        """The folder of all inputs; None if they lie in several, which only the results remember."""
        found = [path for given in self.paths for path in _matches(given)]
        folders = {path if os.path.isdir(path) else os.path.dirname(path) or "." for path in found}
        return folders.pop() if len(folders) == 1 else None


def _matches(given: str) -> list[str]:
    return [given] if os.path.lexists(given) else glob.glob(given, recursive=True)
