"""Videos of results that do not record how the videos were opened, such as a CSV file that was saved again."""

from __future__ import annotations

from pathlib import Path

from fervid.errors import UnreadableVideo
from fervid.files.sequences import is_sequence
from fervid.video.reader import VideoReader


def refuse_other_pictures(path: Path, size: tuple[int, int], rotation: int) -> None:
    """Check that a video opened with the defaults shows what results describe.

    Args:
        path: The video.
        size: Width and height of its pictures in the manifest of the results.
        rotation: Their rotation there.

    Raises:
        UnreadableVideo: Its first picture has another size or rotation, or it is an image sequence of unknown rate.
    """
    lost = "these results do not record the settings of their analysis"
    if is_sequence(path):
        raise UnreadableVideo(f"{lost}, such as the rate of an image sequence")
    with VideoReader(path, end=0.0) as reader:
        info = reader.info
    if (info.width, info.height, info.rotation) != (*size, rotation):
        raise UnreadableVideo(
            f"{lost}, and its first picture is {info.width}x{info.height} turned by {info.rotation} degrees, not "
            f"{size[0]}x{size[1]} turned by {rotation}"
        )
