"""The videos of a batch that are being scanned in pieces: what is still to be done, and what has come of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from fervid.batch.tasks import Division, JoinTask, ScanJob, ScanTask, SegmentTask, WholeTask, records_path
from fervid.errors import FervidError
from fervid.scan.types import ScannedSegment

LEAST_TIME = 0.01
"""Seconds that a piece is given where the pieces before it have used up the video's time."""


@dataclass
class _DividedVideo:
    """One video: its spans that are scanned, by number."""

    division: Division
    done: dict[int, ScannedSegment] = field(default_factory=dict)

    @property
    def spans(self) -> tuple[ScannedSegment, ...]:
        """Those that are scanned, in order."""
        return tuple(self.done[number] for number in sorted(self.done))


class SegmentedScans:
    """Turns the results of pieces into further pieces, and in the end into the outcome of their video.

    ``due``: tasks that come before any other, the next one first; those of pieces are put there. What is no
    piece passes through.
    """

    def __init__(self, job: ScanJob, due: deque[ScanTask]) -> None:
        self._job, self._due = job, due
        self._videos: dict[int, _DividedVideo] = {}

    def rest(self, task: ScanTask, limit: float) -> float:
        """What is left for a task of the ``limit`` in seconds (0: none) that its video may take: spans and their
        joining share it. A video that is scanned as a whole after all has it anew."""
        video = self._videos.get(task.position)
        if not limit or video is None or not isinstance(task, (SegmentTask, JoinTask)):
            return limit
        return max(LEAST_TIME, limit - sum(span.seconds for span in video.spans))

    def take(self, task: ScanTask, outcome: Any) -> tuple[ScanTask, Any] | None:
        """What became of a task. Returns the video's own task and its outcome where that is the end of it."""
        if isinstance(outcome, Division):
            self._videos[task.position] = _DividedVideo(outcome)
            self._due.extendleft(SegmentTask(task.position, task.path, span) for span in reversed(outcome.spans))
            return None
        if isinstance(task, SegmentTask):
            return self._take_span(task, outcome)
        if isinstance(task, JoinTask):
            self._end(task)
        return ScanTask(task.position, task.path), outcome

    def _take_span(
        self, task: SegmentTask, outcome: ScannedSegment | FervidError
    ) -> tuple[ScanTask, FervidError] | None:
        video = self._videos.get(task.position)
        if video is None or isinstance(outcome, FervidError):
            records_path(task, self._job).unlink(missing_ok=True)
        if video is None:  # another of its spans has decided what becomes of it
            return None
        if isinstance(outcome, FervidError):
            outcome.video_id = video.division.video_id
            self._end(task)
            return ScanTask(task.position, task.path), outcome
        video.done[task.span.number] = outcome
        complete = len(video.done) == len(video.division.spans)
        if not outcome.whole or (complete and not segments_match(video.spans)):
            self._end(task)
            self._due.appendleft(WholeTask(task.position, task.path, video.division.video_id))
        elif complete:
            self._due.appendleft(JoinTask(task.position, task.path, video.division.video_id, video.spans))
        return None

    def _end(self, task: ScanTask) -> None:
        """Forget the pieces of a video, and remove what they have left."""
        for span in self._videos.pop(task.position).spans:
            span.discard()
        for other in [
            other for other in self._due if isinstance(other, SegmentTask) and other.position == task.position
        ]:
            self._due.remove(other)


def segments_match(spans: Sequence[ScannedSegment]) -> bool:
    """Whether these are all the spans of a video, in order, as the scan of the whole would have decoded them: each
    shows the same picture at its seam, bit for bit, as the one before, which reached it from another keyframe."""
    return all(
        one.whole and one.info == spans[0].info and one.after == (following.first if following else None)
        for one, following in zip_longest(spans, spans[1:])
    )
