"""What the command line prints about annotated videos and reports."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Self

from fervid.cli.messages import say
from fervid.cli.option_names import as_options
from fervid.cli.progress import ProgressDisplay
from fervid.types import Progress

if TYPE_CHECKING:
    from fervid.annotate.annotate import AnnotateReport
    from fervid.report.report import WrittenReport


class AnnotationDisplay(ProgressDisplay):
    """Shows the progress of annotated videos: a bar, and a line for each video that was written, skipped or failed.

    Args:
        quiet: Show no bar, and lines for failed videos only.
    """

    def __init__(self, quiet: bool = False) -> None:
        super().__init__(quiet)
        self._quiet = quiet

    def __call__(self, progress: Progress) -> None:
        """Show one event.

        Args:
            progress: The event; its ``outcome`` is an AnnotatedVideo if a video is finished.
        """
        from fervid.annotate.annotate import AnnotatedVideo

        self.update(progress)
        video = progress.outcome
        if isinstance(video, AnnotatedVideo):
            silent = {"unchanged", "written", "skipped"} if self._quiet else {"unchanged"}
            if video.status not in silent:
                self.write(str(video), "warning" if video.status == "failed" else "info")


class StepsDisplay:
    """Shows the progress of several steps, each with its own display. An instance is an ``on_progress``.

    Args:
        displays: Display by name of the step.
    """

    def __init__(self, displays: Mapping[str, ProgressDisplay]) -> None:
        self._displays = displays
        self._opened = contextlib.ExitStack()

    def __enter__(self) -> Self:
        for display in self._displays.values():
            self._opened.enter_context(display)
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def __call__(self, progress: Progress) -> None:
        """Pass one event to the display of its step.

        Args:
            progress: The event.
        """
        self._displays[progress.step](progress)


def show_annotated(report: AnnotateReport, folder: Path) -> None:
    """Print how many annotated videos were written.

    Args:
        report: The outcome for every video.
        folder: Where they were written.
    """
    counts = [f"{report.count(status)} {status}" for status in ("written", "skipped", "failed")]
    counts += [f"{report.count('unchanged')} unchanged"] if report.count("unchanged") else []
    show_notes(report.notes)
    say(f"annotated videos: {', '.join(counts)}: {folder}")


def show_notes(notes: Iterable[str]) -> None:
    """Print notes on results.

    Args:
        notes: Sentences.
    """
    for note in notes:
        say(as_options(note))


def show_report(written: WrittenReport, quiet: bool) -> None:
    """Print the size of a report, and why pictures are missing.

    Args:
        written: The report.
        quiet: Print only what is missing.
    """
    show_notes(written.notes)
    for reason in sorted({reason for _, reason in written.missing}):
        names = [name for name, why in written.missing if why == reason]
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        say(as_options(f"no pictures of {', '.join(names[:3])}{more}: {reason}"))
    if not quiet:
        say(f"{written.path}: {written.size / 1e6:.1f} MB")
