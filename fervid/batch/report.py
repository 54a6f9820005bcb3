"""What a batch reports: the outcome of each video, and the interfaces of listeners and products."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from fervid.errors import batch_exit_code
from fervid.results.parts import Row


@dataclass(frozen=True)
class VideoReport:
    """What became of one video. ``status``: ok, no_face, failed or skipped; ``fresh``: found out by this run.
    ``duration``: seconds of video; ``seconds``: of work, by stage."""

    video: str
    status: str
    error: str | None = None
    message: str | None = None
    faces: int = 0
    frames_sampled: int = 0
    duration: float = 0.0
    fresh: bool = True
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class BatchReport:
    """What became of every input, in input order."""

    videos: tuple[VideoReport, ...]

    def count(self, status: str, fresh: bool | None = None) -> int:
        """How many videos ended with that status; ``fresh``: of those that this run, or an earlier one, found out."""
        return sum(video.status == status and fresh in (None, video.fresh) for video in self.videos)

    @property
    def exit_code(self) -> int:
        """0 when nothing failed, 3 when some inputs failed, 4 when all did; what is skipped does not count."""
        return batch_exit_code(self.count("failed"), len(self.videos) - self.count("skipped"))


class Listener:
    """Hears how a batch goes on; does nothing by itself."""

    def start(self, count: int) -> None:
        """Called once, with the number of videos."""

    def video(self, report: VideoReport) -> None:
        """A video is done."""

    def notify(self, message: str) -> None:
        """Something that a person may want to know."""

    def done(self, report: BatchReport) -> None:
        """The tables are there."""


class Product(Protocol):
    """Something that is made of the tables in the same run, such as annotated videos."""

    def prepare(self, sources: Mapping[str, Path], drawn: Mapping[str, Path]) -> None:
        """Refuse what cannot work, before anything is done. ``sources``: name in the tables → file; ``drawn``: files
        among the inputs with the ending of annotated ones.

        Raises UsageError and OutputError.
        """

    def make(self, results: Path, sources: Mapping[str, Path]) -> None:
        """Called when the tables are there, before the output is given back; raises OutputError."""


def report_of_row(name: str, row: Row, fresh: bool = True) -> VideoReport:
    """A manifest row in short."""
    return VideoReport(
        name,
        row["status"],
        row.get("error"),
        row.get("message"),
        row.get("faces") or 0,
        row.get("frames_sampled") or 0,
        row.get("duration") or 0.0,
        fresh,
    )
