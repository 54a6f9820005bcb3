"""The sizes and orientations of the frames of one video, of which most videos have only one."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from fervid.types import PictureShape, VideoInfo

MAX_NAMED = 3
"""A note names this many sizes."""


@dataclass
class PictureRun:
    """Successive frames of one size and orientation.

    Attributes:
        start: Time of the first frame in seconds.
        shape: Shape of the first frame.
        frames: Number of frames.
        samples: How many of them are sampled.
    """

    start: float
    shape: PictureShape
    frames: int = 0
    samples: int = 0


class PictureRuns:
    """Collects the runs of one video from its frames.

    Attributes:
        runs: The runs in order of time.
    """

    def __init__(self) -> None:
        self.runs: list[PictureRun] = []

    def add(self, time: float, shape: PictureShape, sampled: bool, skipped: int = 0) -> None:
        """Add the next frame.

        Args:
            time: Its time in seconds.
            shape: Its shape.
            sampled: Whether it is sampled.
            skipped: Number of frames directly before it that were not decoded. Their shape is that of the frame before
                them, because only a keyframe changes it.
        """
        if self.runs:
            self.runs[-1].frames += skipped
        if not self.runs or self.runs[-1].shape.layout != shape.layout:
            self.runs.append(PictureRun(time, shape))
        self.runs[-1].frames += 1
        self.runs[-1].samples += sampled


def with_usual_picture(info: VideoInfo, runs: Sequence[PictureRun]) -> VideoInfo:
    """Describe a video by the size and orientation that most of its samples have, the earlier one of two equal ones.

    Args:
        info: What the container says.
        runs: The runs of the video.

    Returns:
        ``info`` with that size and orientation; unchanged if nothing was sampled.
    """
    samples: Counter[PictureShape] = Counter()
    for run in runs:
        samples[run.shape] += run.samples
    if not samples:
        return info
    shape = samples.most_common(1)[0][0]
    (width, height), aspect = shape.shown, shape.aspect
    return replace(
        info, width=width, height=height, rotation=shape.rotation, sample_aspect_ratio=aspect, mirrored=shape.mirrored
    )


def picture_notes(runs: Sequence[PictureRun]) -> list[str]:
    """Say how the size and orientation of the frames change.

    Args:
        runs: The runs of the video.

    Returns:
        A sentence for the manifest; none if they do not change.
    """
    frames: Counter[tuple[int, int, int, bool]] = Counter()
    for run in runs:
        frames[run.shape.layout] += run.frames
    if len(frames) < 2:
        return []
    turned = len({layout[:2] for layout in frames}) < len(frames)
    if len(runs) <= MAX_NAMED:
        parts = [
            f"{_named(run.shape.layout, turned)} until {following.start:.10g} s"
            for run, following in itertools.pairwise(runs)
        ]
        parts.append(_named(runs[-1].shape.layout, turned))
        return [f"the picture changes size: {', then '.join(parts)}"]
    total, named = sum(frames.values()), frames.most_common(MAX_NAMED)
    parts = [f"{_named(layout, turned)} in {100 * count / total:.2g} % of the frames" for layout, count in named]
    more = f" and {len(frames) - MAX_NAMED} more" if len(frames) > MAX_NAMED else ""
    return [f"the picture changes size {len(runs) - 1} times: {', '.join(parts)}{more}"]


def _named(layout: tuple[int, int, int, bool], turned: bool) -> str:
    """A size in words, with its orientation if one size occurs in several."""
    width, height, rotation, mirrored = layout
    orientation = f" turned by {rotation} degrees{' and mirrored' if mirrored else ''}" if turned else ""
    return f"{width}x{height}{orientation}"
