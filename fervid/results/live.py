"""Results whose videos are corrected one at a time, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from fervid.errors import BadCorrections, BadResults
from fervid.results.correct import corrected_video, require_shots, timeline_settings
from fervid.results.corrections import Correction
from fervid.results.in_memory import results_of_video
from fervid.results.reader import Results, read_checked, tidy_frame
from fervid.results.schema import ANALYSED, SMALL

if TYPE_CHECKING:
    from fervid.settings import TimelineSettings


class LiveResults:
    """Results for a viewer: every video as it is with its corrections.

    Attributes:
        results: The tables as they are on disk.
        refusal: Why they cannot be corrected; empty if they can.
    """

    def __init__(self, path: Path) -> None:
        """Read results.

        Args:
            path: What ``analyze`` wrote.

        Raises:
            InputNotFound: There is nothing at ``path``.
            BadResults: fervid did not write what is there, or it is incomplete.
        """
        read = read_checked(path)
        frames = {name: tidy_frame(table) for name, table in read.tables.items()}
        self.results = Results(**frames, metadata=read.metadata, notes=read.notes, is_intact=read.is_intact)
        self._tables = read.tables
        self._settings: TimelineSettings | None = None
        self.refusal = ""
        try:
            require_shots(path, self._tables)
            self._settings = timeline_settings(path, read.metadata)
        except BadResults as error:
            self.refusal = str(error)

    def corrected(self, video: str, corrections: Sequence[Correction]) -> Results:
        """Compute the tables of one video.

        Args:
            video: Its name.
            corrections: Its corrections in order.

        Returns:
            Its tables. They equal those that ``correct`` writes.

        Raises:
            BadCorrections: A correction does not fit, or the results cannot be corrected.
        """
        manifest = self._tables["videos"].filter(pc.equal(self._tables["videos"]["video"], video))
        (row,) = manifest.to_pylist()[:1]
        analysed = row["status"] in ANALYSED
        tables = {
            name: table.filter(pc.equal(table["video_id"], row["video_id"])) if analysed else table.slice(0, 0)
            for name, table in self._tables.items()
        }
        rows = {name: tables[name].to_pylist() for name in SMALL} | {"videos": [row]}
        timeline = tables["timeline"]
        if corrections:
            if self._settings is None:
                raise BadCorrections(self.refusal)
            if row["status"] != "ok":
                raise corrections[0].wrong("video", f"{video}: it is {row['status']!r} and has no faces")
            timeline, corrected = corrected_video(timeline, rows, corrections, self._settings)
            rows = {**rows, **corrected}
            rows["videos"] = [{**row, **corrected["videos"][0]}]
        return results_of_video(video, timeline, rows, self.results.metadata)
