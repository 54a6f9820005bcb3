"""Times against FFmpeg's own: what ``ffprobe -show_frames`` prints as best-effort timestamps, less the file's start.

Where they differ, the table DIFFERENCES says why.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest

from fervid.video.container import choose_stream
from fervid.video.reader import VideoReader
from tests.support.paths import ROOT

SHARED = ROOT.parent / "shared"
SUFFIXES = {".mp4", ".mkv", ".mov", ".webm", ".ts", ".avi", ".asf"}


def stated(path: Path) -> list[float | None]:
    """The time of every frame that FFmpeg decodes, in its order, in seconds from the start of the file."""
    with av.open(str(path)) as container:
        stream, _ = choose_stream(container)
        base, origin = stream.time_base, Fraction(container.start_time or 0, av.time_base)
        return [None if frame.pts is None else float(frame.pts * base - origin) for frame in container.decode(stream)]


def read(path: Path) -> list[float]:
    with VideoReader(path, fps=0) as reader:
        return [frame.time for frame in reader.frames()]


DIFFERENCES = {
    "numbered_h264.asf": (100, "ASF states decoding times; FFmpeg's are a period late"),
    "numbered_h264.avi": (100, "AVI states decoding times; FFmpeg's are a period late"),
    "numbered_h264_b_hole.avi": (79, "AVI states decoding times; FFmpeg's are late, and wrong after the hole"),
    "one_far_time.mp4": (1, "one frame is stated 30 s too late"),
    "segments_one_double.ts": (1, "two frames are stated at the same time"),
}
"""File → number of frames whose time is not FFmpeg's, and why. All other times are equal."""


def assert_as_stated(path: Path) -> None:
    expected, found = stated(path), read(path)
    assert len(expected) == len(found)
    different = [
        index
        for index, (one, other) in enumerate(zip(expected, found, strict=True))
        if one is None or abs(one - other) > 1e-6
    ]
    assert len(different) == DIFFERENCES.get(path.name, (0, ""))[0]


def files(folder: str) -> list[str]:
    return sorted(path.name for path in (SHARED / folder).glob("*") if path.suffix in SUFFIXES)


@pytest.mark.skipif(not (SHARED / "cases").is_dir(), reason="needs the folder ../shared/cases beside the repository")
@pytest.mark.parametrize("name", [name for name in files("cases") if name != "sound_with_cover.mp4"])
def test_times_of_the_cases(name: str) -> None:
    assert_as_stated(SHARED / "cases" / name)


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "media").is_dir(), reason="needs the folder ../shared/media beside the repository")
@pytest.mark.parametrize("name", files("media"))
def test_times_of_real_clips(name: str) -> None:
    assert_as_stated(SHARED / "media" / name)
