"""The outcome of a batch, and the interface of products that are made from its tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from fervid.errors import batch_exit_code
from fervid.results.parts import Row


@dataclass(frozen=True, slots=True)
class VideoReport:
    """The outcome of one input.

    Attributes:
        video: Its name in the tables.
        status: ``ok``, ``no_face``, ``failed`` or ``skipped``.
        error: The name of the exception if it failed.
        message: Why it failed or was skipped, or a note on a video that was analysed.
        faces: Number of faces found.
        frames_sampled: Number of frames analysed.
        duration: Length of the video in seconds.
        fresh: Whether the outcome is from this run; False if it is from an earlier run.
        seconds: Processing time by stage.
    """

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
    """The outcome of every input, in input order."""

    videos: tuple[VideoReport, ...]

    def count(self, status: str, fresh: bool | None = None) -> int:
        """Count inputs by status.

        Args:
            status: ``ok``, ``no_face``, ``failed`` or ``skipped``.
            fresh: True counts only outcomes from this run, False only those from earlier runs, None both.

        Returns:
            The number of inputs.
        """
        return sum(video.status == status and fresh in (None, video.fresh) for video in self.videos)

    @property
    def exit_code(self) -> int:
        """0 if nothing failed, 3 if some inputs failed, 4 if all did. Skipped inputs do not count."""
        return batch_exit_code(self.count("failed"), len(self.videos) - self.count("skipped"))


class Product(Protocol):
    """Something made from the tables in the same run, such as annotated videos."""

    def prepare(self, sources: Mapping[str, Path], annotated: Mapping[str, Path]) -> None:
        """Check that the product can be made, before anything is analysed.

        Args:
            sources: Name in the tables → file, for every input that is analysed.
            annotated: Name → file, for inputs that are skipped because they are named like annotated videos.

        Raises:
            UsageError: The product cannot be made with these inputs.
            OutputError: The product cannot be written.
        """

    def make(self, results: Path, sources: Mapping[str, Path], fingerprint: Callable[[Path], str]) -> None:
        """Make the product. Called when the tables are complete, while no other run can change them.

        Args:
            results: The tables.
            sources: Name in the tables → file.
            fingerprint: Gives the fingerprint of a file, and reads the file only if it changed during the run.

        Raises:
            OutputError: The product cannot be written.
        """


def report_of_row(name: str, row: Row, fresh: bool = True) -> VideoReport:
    """Summarise a row of the manifest.

    Args:
        name: The input's name in the tables.
        row: Its row in the ``videos`` table; columns may be missing.
        fresh: Whether the outcome is from this run.

    Returns:
        The report.
    """
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
