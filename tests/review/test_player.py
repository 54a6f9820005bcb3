"""The player in Chromium: whatever is clicked, the picture shown is the decoded frame of that time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from fervid.api import analyze
from fervid.results.reader import read_results
from fervid.types import ByteArray
from fervid.video.reader import VideoReader
from tests.support.clips import Tone, at_rate, encode, numbered, read_number, write_clip
from tests.support.replay import replaying
from tests.support.review_page import ReviewPage, review_page
from tests.support.review_server import Served, reviewing

WIDTH, HEIGHT, COUNT = 160, 120, 60
IMAGES = numbered(COUNT, WIDTH, HEIGHT)
UNEVEN = [
    time + (0.9 if number >= 20 else 0.0) + 0.013 * (number % 3) for number, time in enumerate(at_rate(25, COUNT))
]


def sideways(path: Path) -> Path:
    """Stored turned by 90 degrees, with a mark that says so."""
    turned = [np.ascontiguousarray(np.rot90(image)) for image in IMAGES]
    return encode(path, turned, rotation=90)


@dataclass(frozen=True)
class Kind:
    """A kind of file, and whether the browser plays it itself."""

    name: str
    make: Callable[[Path], object]
    kind: str = "proxy"


FAST = {"preset": "ultrafast", "x265-params": "log-level=none"}
KINDS = [
    Kind("h264.mp4", lambda path: encode(path, IMAGES), "file"),
    Kind("uneven.mp4", lambda path: write_clip(path, UNEVEN, WIDTH, HEIGHT, audio=Tone(440.0)), "file"),
    Kind("vp9.webm", lambda path: encode(path, IMAGES, "libvpx-vp9", options={"deadline": "realtime"}), "file"),
    Kind("av1.mp4", lambda path: encode(path, IMAGES, "libsvtav1", options={"preset": "12"}), "file"),
    Kind("wmv2.wmv", lambda path: encode(path, IMAGES, "wmv2", options={"qscale": "2"})),
    Kind("late.mp4", lambda path: write_clip(path, [time + 0.6 for time in at_rate(25, COUNT)], WIDTH, HEIGHT)),
    Kind("mpeg4.avi", lambda path: encode(path, IMAGES, "mpeg4", options={"qscale": "2"})),
    Kind("hevc.mp4", lambda path: encode(path, IMAGES, "libx265", options=FAST)),
    Kind("sideways.mov", sideways),
    Kind("wide.mkv", lambda path: encode(path, IMAGES, aspect=Fraction(4, 3))),
]


IN_EVERY_RUN = ("h264.mp4", "uneven.mp4", "wmv2.wmv", "late.mp4", "sideways.mov")
"""Of the files that are played and of those that are copied, the plain one and those with times or a turn."""


@dataclass(frozen=True)
class Clips:
    """Analysed clips and a server that shows them."""

    served: Served
    numbers: dict[str, int]
    folder: Path


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clips]:
    folder = tmp_path_factory.mktemp("player")
    videos = folder / "videos"
    videos.mkdir()
    for kind in KINDS:
        kind.make(videos / kind.name)
    with replaying():
        analyze(videos, folder / "r.parquet", fps=2.0)
    names = read_results(folder / "r.parquet").videos["video"].tolist()
    with reviewing(folder / "r.parquet", cache=folder / "cache") as served:
        yield Clips(served, {name: number for number, name in enumerate(names)}, videos)


def shown_number(page: ReviewPage) -> int:
    return read_number(page.picture(WIDTH, HEIGHT))


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=() if kind.name in IN_EVERY_RUN else pytest.mark.slow) for kind in KINDS],
    ids=lambda kind: kind.name,
)
def test_a_click_shows_the_frame_of_that_time(clips: Clips, kind: Kind) -> None:
    number = clips.numbers[kind.name]
    with VideoReader(clips.folder / kind.name, fps=0) as reader:
        decoded = [(frame.time, read_number(frame.image)) for frame in reader.frames()]
    with review_page(clips.served, f"video/{number}") as page:
        page.wait_until("document.getElementById('player').readyState >= 2")
        told = clips.served.get(f"api/video/{number}/source").values
        assert (told["state"], told["kind"]) == ("ready", kind.kind)
        np.testing.assert_allclose(told["times"], [time for time, _ in decoded], atol=1e-6)
        duration = clips.served.get(f"api/video/{number}").values["duration"]
        for wanted in (41, 7, 58, 0, 33):
            time, image = decoded[wanted]
            following = decoded[wanted + 1][0] if wanted + 1 < len(decoded) else duration
            page.seek((time + following) / 2, duration)
            page.settle(wanted)
            assert shown_number(page) == image
        page.press("ArrowRight")
        page.settle(34)
        assert shown_number(page) == decoded[34][1]
        page.press("ArrowLeft")
        page.press("ArrowLeft")
        page.settle(32)
        assert shown_number(page) == decoded[32][1]
        assert page.page.console == []


def test_the_cursor_stays_at_the_picture_while_it_plays(clips: Clips) -> None:
    with review_page(clips.served, f"video/{clips.numbers['h264.mp4']}") as page:
        page.push("play")
        seen = []
        for _ in range(6):
            page.page.wait(0.15)
            seen.append((page.frame, shown_number(page)))
        assert len({number for number, _ in seen}) > 1
        # two questions to the page, between which the video may go on
        assert all(0 <= picture - cursor <= 8 for cursor, picture in seen), seen
        difference = page.value(
            """new Promise((done) => { const video = document.getElementById("player"); let worst = 0, count = 0;
            video.currentTime = 0; video.play();
            const look = (_, frame) => { requestAnimationFrame(() => {
              const cursor = Number(document.getElementById("clock").textContent.split(" ").pop());
              worst = Math.max(worst, Math.abs(cursor - Math.round(frame.mediaTime * 25)));
              if (++count < 10) video.requestVideoFrameCallback(look); else { video.pause(); done(worst); } }); };
            video.requestVideoFrameCallback(look); })"""
        )
        assert difference <= 1


def test_a_copy_is_made_once_and_says_where_it_is(clips: Clips) -> None:
    number = clips.numbers["mpeg4.avi"]
    with review_page(clips.served, f"video/{number}"):
        pass
    told = clips.served.get(f"api/video/{number}/source").values
    files = list(Path(told["folder"]).glob("*"))
    assert Path(told["folder"]).stat().st_mode & 0o077 == 0
    before = {path: path.stat().st_ino for path in files}
    with reviewing(clips.folder.parent / "r.parquet", cache=clips.folder.parent / "cache") as again:
        assert again.get(f"api/video/{number}/source").values["state"] == "ready"
    assert all(path.stat().st_ino == number for path, number in before.items())


# real clips

REAL = [
    ("composite_cross.mp4", "file"), ("d19_hevc_aac.mp4", "proxy"), ("d19_vp9_opus.webm", "file"),
    ("d19_av1_opus.mkv", "proxy"), ("d13_rot90.mov", "proxy"), ("d9_vfr.mp4", "file"),
    ("face_noface_hevc_vfr.mov", "proxy"),
    ("d19_h264_longgop.mkv", "proxy"), ("hamilton_cuts.mp4", "proxy"),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), REAL, ids=[name for name, _ in REAL])
def test_real_clips_show_the_frame_of_that_time(shared_media: Path, tmp_path: Path, name: str, kind: str) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    (videos / name).symlink_to(shared_media / name)
    analyze(videos, tmp_path / "r.parquet", fps=1.0, workers=1, follow_links=True)
    with VideoReader(shared_media / name, fps=0) as reader:
        frames = [(frame.time, small(frame.image)) for frame in reader.frames()]
    with reviewing(tmp_path / "r.parquet", cache=tmp_path / "cache") as served, review_page(served, "video/0") as page:
        page.wait_until("document.getElementById('player').readyState >= 2")
        assert served.get("api/video/0/source").values["kind"] == kind
        duration = served.get("api/video/0").values["duration"]
        for wanted in np.linspace(2, len(frames) - 3, 8).round().astype(int).tolist():
            page.seek((frames[wanted][0] + frames[wanted + 1][0]) / 2, duration)
            page.wait_until("!document.getElementById('player').seeking")
            page.page.wait(0.3)
            shown = small(page.picture(320, 180)[..., ::-1])
            number = page.frame
            assert abs(number - wanted) <= 1  # a pixel of the timeline is longer than a frame
            around = range(max(number - 3, 0), min(number + 4, len(frames)))
            errors = {one: float(np.abs(frames[one][1] - shown).mean()) for one in around}
            assert errors[number] <= min(errors.values()) + 0.15, errors
            assert errors[number] < 6, errors


def small(image: ByteArray) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.asarray(cv2.resize(image, (64, 36), interpolation=cv2.INTER_AREA), np.float32)
