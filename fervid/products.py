"""What ``analyze`` makes from the results of a batch: annotated videos and a report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fervid.types import ProgressCallback

if TYPE_CHECKING:
    from fervid.annotate.annotate import AnnotateReport
    from fervid.report.report import WrittenReport


class AnnotatedVideos:
    """The annotated videos of a batch; see Product.

    Attributes:
        done: The outcome; None until they are made.
    """

    def __init__(self, folder: Path, on_progress: ProgressCallback) -> None:
        """Say where they go.

        Args:
            folder: Folder of the annotated videos.
            on_progress: Called with the progress.
        """
        self._folder, self._on_progress = folder, on_progress
        self.done: AnnotateReport | None = None

    def prepare(self, sources: Mapping[str, Path], annotated: Mapping[str, Path]) -> None:
        """See Product.

        Args:
            sources: See Product.
            annotated: See Product.
        """
        from fervid.annotate.annotate import prepare

        prepare(sources, {**sources, **annotated}, self._folder)

    def make(self, results: Path, sources: Mapping[str, Path], fingerprint: Callable[[Path], str]) -> None:
        """See Product.

        Args:
            results: See Product.
            sources: See Product.
            fingerprint: See Product.
        """
        from fervid.annotate.annotate import annotate

        self.done = annotate(results, sources, self._folder, on_progress=self._on_progress, fingerprint=fingerprint)


class ReportPage:
    """The HTML report of a batch; see Product.

    Attributes:
        done: The page; None until it is written.
    """

    def __init__(self, target: Path, on_progress: ProgressCallback) -> None:
        """Say where it goes.

        Args:
            target: The page.
            on_progress: Called with the progress.
        """
        self._target, self._on_progress = target, on_progress
        self.done: WrittenReport | None = None

    def prepare(self, sources: Mapping[str, Path], annotated: Mapping[str, Path]) -> None:
        """See Product.

        Args:
            sources: See Product.
            annotated: See Product.
        """
        from fervid.files.discover import Source, refuse_overwriting
        from fervid.report.report import check_target

        check_target(self._target)
        inputs = {**sources, **annotated}
        refuse_overwriting((Source(path, name, name) for name, path in inputs.items()), [self._target])

    def make(self, results: Path, sources: Mapping[str, Path], fingerprint: Callable[[Path], str]) -> None:
        """See Product.

        Args:
            results: See Product.
            sources: See Product.
            fingerprint: See Product.
        """
        from fervid.report.report import write_report

        self.done = write_report(results, self._target, sources, on_progress=self._on_progress, fingerprint=fingerprint)
