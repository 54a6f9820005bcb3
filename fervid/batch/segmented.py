"""Bookkeeping for the videos of a batch that are scanned in segments."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from fervid.batch.tasks import Division, JoinTask, ScanJob, ScanTask, SegmentTask, UndividedTask, records_path
from fervid.errors import FervidError
from fervid.scan.types import ScannedSegment
from fervid.types import VideoInfo

MIN_TIMEOUT = 0.01
"""Seconds a task gets when the other tasks of its video have used up the video's time limit."""


@dataclass
class _DividedVideo:
    """A video, and those of its segments that are scanned, by number."""

    division: Division
    done: dict[int, ScannedSegment] = field(default_factory=dict)

    @property
    def scanned(self) -> tuple[ScannedSegment, ...]:
        """The scanned segments in order."""
        return tuple(self.done[number] for number in sorted(self.done))


class SegmentedScans:
    """Turns a Division into segment tasks, their results into a join task, and that into the video's scan.

    If a segment fails, its video fails. If the segments do not match, the video is scanned in one go. Outcomes of
    other tasks pass through unchanged.

    Args:
        job: The batch's job.
        queue: Tasks to hand out before any other, the next one first. This object adds tasks to it and removes them.
    """

    def __init__(self, job: ScanJob, queue: deque[ScanTask]) -> None:
        self._job, self._queue = job, queue
        self._videos: dict[int, _DividedVideo] = {}

    def time_left(self, task: ScanTask, limit: float) -> float:
        """Work out how long a task may take.

        Args:
            task: The task. The segments of a video and their join share its limit. A video that is scanned in one go
                after all has the full limit again.
            limit: Seconds that a video may take; 0: no limit.

        Returns:
            Seconds; 0: no limit.
        """
        video = self._videos.get(task.position)
        if not limit or video is None or not isinstance(task, (SegmentTask, JoinTask)):
            return limit
        return max(MIN_TIMEOUT, limit - sum(segment.seconds for segment in video.scanned))

    def finish_task(self, task: ScanTask, outcome: Any) -> tuple[ScanTask, Any] | None:
        """Process the outcome of a task.

        Args:
            task: The task that ended.
            outcome: What a worker returned, or a FervidError.

        Returns:
            The video's own task and its outcome, or None if more tasks of the video must be done first.
        """
        if isinstance(outcome, Division):
            self._videos[task.position] = _DividedVideo(outcome)
            self._queue.extendleft(SegmentTask(task.position, task.path, part) for part in reversed(outcome.segments))
            return None
        if isinstance(task, SegmentTask):
            return self._finish_segment(task, outcome)
        if isinstance(task, JoinTask):
            self._forget(task)
        return ScanTask(task.position, task.path), outcome

    def _finish_segment(
        self, task: SegmentTask, outcome: ScannedSegment | FervidError
    ) -> tuple[ScanTask, FervidError] | None:
        video = self._videos.get(task.position)
        if video is None or isinstance(outcome, FervidError):
            records_path(task, self._job).unlink(missing_ok=True)
        if video is None:  # another segment has failed or does not match, so this result is of no use
            return None
        if isinstance(outcome, FervidError):
            outcome.video_id = video.division.video_id
            self._forget(task)
            return ScanTask(task.position, task.path), outcome
        video.done[task.segment.number] = outcome
        all_scanned = len(video.done) == len(video.division.segments)
        if not outcome.intact or (all_scanned and not segments_match(video.scanned)):
            self._forget(task)
            self._queue.appendleft(UndividedTask(task.position, task.path, video.division.video_id))
        elif all_scanned:
            self._queue.appendleft(JoinTask(task.position, task.path, video.division.video_id, video.scanned))
        return None

    def _forget(self, task: ScanTask) -> None:
        """Remove the segments of a video, their files and their waiting tasks."""
        for segment in self._videos.pop(task.position).scanned:
            segment.discard()
        for waiting in list(self._queue):
            if isinstance(waiting, SegmentTask) and waiting.position == task.position:
                self._queue.remove(waiting)


def segments_match(segments: Sequence[ScannedSegment]) -> bool:
    """Check that scanned segments together are what scanning the video in one go would have given.

    Two neighbouring segments reach the frame at their split point from different keyframes. If both decode it to the
    same bits, the decoder has no hidden state that a seek loses.

    Args:
        segments: Scanned segments of one video, in order.

    Returns:
        Whether they are all the segments of the video and fit together.
    """
    return all(
        segment.intact
        and _same_stream(segment.info, segments[0].info)
        and segment.next_digest == (following.first_digest if following else None)
        for segment, following in zip_longest(segments, segments[1:])
    )


def _same_stream(first: VideoInfo | None, second: VideoInfo | None) -> bool:
    """Whether both describe one stream. Size and orientation are those of a segment's first frame and may change."""
    if first is None or second is None:
        return first is second
    return (first.codec, first.duration) == (second.codec, second.duration)
