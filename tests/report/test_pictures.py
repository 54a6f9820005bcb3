"""The pictures of the report: which frames are stored, how large they are, and what a click shows in a browser."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from fervid.api import analyze
from fervid.report.frame_plan import LEAST_BYTES, plan_frames
from fervid.report.pictures import FrameEncoder
from fervid.report.report import write_report
from fervid.results.reader import read_results
from fervid.types import ByteArray
from fervid.video.reader import VideoReader
from fervid.video.writer import EncoderSettings, VideoWriter
from tests.support.browser import Page
from tests.support.clips import at_rate, encode, numbered, read_number, write_clip
from tests.support.paths import SAMPLES
from tests.support.report_page import SEE, opened, pictures_of, values_of
from tests.support.synthetic_results import EVIL, GAPPY, MadeFace, MadeVideo, leading_emotions, wandering, write_results

ROOM = 3_200_000


# which frames are stored


def test_frames_of_an_hour_are_at_most_2_s_apart(tmp_path: Path) -> None:
    faces = [MadeFace(range(18_000), wandering(18_000, seed)) for seed in (0, 1)]
    results = read_results(write_results(tmp_path / "r.parquet", [MadeVideo("hour.mp4", faces, count=18_000)]))
    plan = plan_frames(results, ROOM)
    (frames,) = plan.frames.values()
    times = [one.time for one in frames]
    assert plan.spacing == 2.0
    assert plan.count == len(frames) <= ROOM // LEAST_BYTES
    assert times[0] == 0
    assert 0 < np.diff(times).min() < 1 < np.diff(times).max() <= 2.001
    assert times[-1] == pytest.approx(3599.8, abs=2.0)
    assert all(one.frame == round(one.time * 25) for one in frames)


def test_short_videos_have_more_frames_and_many_videos_fewer(tmp_path: Path) -> None:
    changing = MadeFace(range(50), leading_emotions(("happy", 25), ("sad", 25)))
    short = read_results(write_results(tmp_path / "s.parquet", [MadeVideo("short.mp4", [changing])]))
    plan = plan_frames(short, ROOM)
    (frames,) = plan.frames.values()
    times = np.array([one.time for one in frames])
    assert plan.spacing == 0.5
    assert np.diff(times).max() <= 0.5
    assert set(np.round([4.8, 5.0, 5.2], 6)) <= set(np.round(times, 6)), "every sampled frame around the change"
    many = read_results(write_results(tmp_path / "m.parquet", [MadeVideo(f"{n}.mp4", [changing]) for n in range(12)]))
    plan = plan_frames(many, 12 * LEAST_BYTES)
    assert plan.count == 12 == len(plan.frames)
    assert plan.spacing > 2
    few = plan_frames(many, 5 * LEAST_BYTES)
    assert (few.count, few.left_out) == (5, 7)
    assert plan_frames(many, 0).count == 0


def test_results_without_a_frame_have_no_plan(tmp_path: Path) -> None:
    failed = MadeVideo("x.mp4", status="failed", error="UnreadableVideo", message="empty file")
    plan = plan_frames(read_results(write_results(tmp_path / "r.parquet", [failed])), ROOM)
    assert (plan.count, plan.frames, plan.left_out) == (0, {}, 0)


@pytest.mark.parametrize("kind", ["noise", "flat"])
def test_frames_stay_within_their_room(kind: str) -> None:
    random, room, count = np.random.default_rng(0), 40_000, 25
    encoder, sizes = FrameEncoder(room, count), []
    for number in range(count):
        noise = random.integers(0, 256, (360, 640, 3), np.uint8)
        image = noise if kind == "noise" else np.full_like(noise, 10 * number)
        sizes.append(len(encoder.encode(np.asarray(image, np.uint8))))
    assert all(sizes)
    assert sum(sizes) <= room


def test_a_frame_without_room_is_left_out() -> None:
    assert FrameEncoder(20, 1).encode(np.zeros((90, 160, 3), np.uint8)) == b""
    assert FrameEncoder(0, 0).encode(np.zeros((90, 160, 3), np.uint8)) == b""


# what the page holds


def write_numbered(folder: Path, seconds: int = 10) -> tuple[Path, Callable[[Path], str]]:
    """Results of a clip whose frames show their numbers, and the fingerprints that belong to them."""
    results = write_results(folder / "r.parquet", [MadeVideo("clip & 1.mp4", [GAPPY], count=5 * seconds)])
    encode(folder / "clip & 1.mp4", numbered(25 * seconds, 320, 180), options={"preset": "ultrafast", "crf": "18"})
    (video_id,) = read_results(results).videos["video_id"]
    return results, lambda _: str(video_id)


@pytest.fixture(scope="module")
def numbered_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("numbered")
    results, fingerprint = write_numbered(folder)
    return write_report(results, folder / "r.html", videos=folder, fingerprint=fingerprint).path


def test_stored_frames_are_the_decoded_ones_with_the_boxes_of_their_faces(numbered_report: Path) -> None:
    pictures = pictures_of(numbered_report.read_text())
    assert pictures["file"] == "clip%20%26%201.mp4"
    for time, image in zip(pictures["times"], pictures["images"], strict=True):
        shown = cv2.imdecode(np.frombuffer(base64.b64decode(image), np.uint8), cv2.IMREAD_COLOR)
        assert shown is not None
        assert read_number(np.asarray(shown, np.uint8)) == round(time * 25)
    seen = {time: boxes for time, boxes in zip(pictures["times"], pictures["boxes"], strict=True) if boxes}
    assert 2.0 not in seen  # in the gap
    # the tables call the frames 640 x 360
    assert seen[0.0] == [[0, *(pytest.approx(value, abs=1e-4) for value in (20.5 / 320, 30.25 / 180, 0.25, 100 / 180))]]


@pytest.mark.parametrize("thumbnails", [False, True])
def test_frames_can_be_left_out(tmp_path: Path, thumbnails: bool) -> None:
    results, fingerprint = write_numbered(tmp_path, 8)
    out = tmp_path / "r.html"
    written = write_report(results, out, tmp_path, thumbnails, fingerprint=fingerprint, frames=not thumbnails)
    text = written.path.read_text()
    policy = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)[0]
    if not thumbnails:
        assert 'id="pictures-0"' not in text
        assert "media-src &#39;none&#39;" in policy
    else:
        pictures = pictures_of(text)
        assert pictures["images"] == []
        assert list(pictures["thumbs"]) == ["0"]
        assert pictures["file"]
    assert "small frames" not in text


# what a click shows


def click(page: Page, time: float, duration: float) -> None:
    """Click the first lane at a time; it shows the whole video."""
    page.evaluate("document.querySelector('.video[open] .axis-row .zoom button:last-child').click()")
    left, top, width, height = page.evaluate(
        f"""{SEE}(document.querySelector('.video[open] .lane-canvas')).then(canvas => {{
            const box = canvas.getBoundingClientRect();
            return [box.left + 30, box.top, box.width - 30, box.height]; }})"""
    )
    where = {"x": left + time / duration * width, "y": top + height / 2, "button": "left", "buttons": 1}
    for kind in ("mousePressed", "mouseReleased"):
        page.call("Input.dispatchMouseEvent", type=kind, clickCount=1, **where)


CAPTION = "document.querySelector('.video[open] .caption').innerText"

SHOWN = """(async (name, width, height) => {
    const node = document.querySelector(`.video[open] .stage ${name}`), canvas = document.createElement('canvas');
    if (name === 'img') await node.decode();
    canvas.width = width; canvas.height = height;
    const pen = canvas.getContext('2d');
    pen.imageSmoothingQuality = 'high';
    pen.drawImage(node, 0, 0, width, height);
    return Array.from(pen.getImageData(0, 0, width, height).data); })"""


def settled(page: Page, text: str) -> str:
    """Wait until the caption holds a text, and return the caption."""
    page.evaluate(
        f"""(async () => {{ for (let turn = 0; turn < 400 && !{CAPTION}.includes({json.dumps(text)}); turn++)
            await new Promise(done => setTimeout(done, 20)); }})()"""
    )
    return str(page.evaluate(CAPTION))


def shown(page: Page, element: str, width: int, height: int) -> ByteArray:
    """What an element of the picture shows: (height, width, 3) uint8, red-green-blue."""
    values = page.evaluate(f"{SHOWN}('{element}', {width}, {height})")
    return np.array(values, np.uint8).reshape(height, width, 4)[..., :3]


def test_a_click_shows_the_exact_frame_and_boxes_only_where_they_fit(numbered_report: Path) -> None:
    with opened(numbered_report) as page:
        for time in (7.31, 0.02, 4.19, 6.9):
            click(page, time, 10.0)
            caption = settled(page, "exact")
            minutes, seconds = caption.split()[0].split(":")
            found = 60 * int(minutes) + float(seconds)
            assert found == pytest.approx(time, abs=0.02)
            cursor = float(page.evaluate("document.querySelector('.axis').getAttribute('aria-valuenow')"))
            assert read_number(shown(page, "video", 320, 180)) == int((cursor + 1e-3) * 25)
        page.evaluate("document.querySelector('.lane-canvas').focus()")
        for _ in range(2):
            page.call("Input.dispatchKeyEvent", type="keyDown", key="ArrowRight")
        assert settled(page, "0:07.20 exact").startswith("0:07.20")
        assert read_number(shown(page, "video", 320, 180)) == 180


def test_without_the_video_a_click_shows_the_nearest_stored_frame(numbered_report: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone.html"
    text = numbered_report.read_text()
    alone.write_text(text.replace('"file":"clip%20%26%201.mp4"', '"why":"it is gone"'))
    times = pictures_of(text)["times"]
    with opened(alone) as page:
        for time in (7.31, 0.02, 4.19, 6.9):
            click(page, time, 10.0)
            assert "stored frame" in settled(page, "stored")
            cursor = float(page.evaluate("document.querySelector('.axis').getAttribute('aria-valuenow')"))
            nearest = min(times, key=lambda one: abs(one - cursor))
            assert read_number(shown(page, "img", 320, 180)) == round(nearest * 25)
        assert "it is gone" in page.evaluate("document.querySelector('.picture .hint').innerText")
        before = page.evaluate(CAPTION)
        page.evaluate("document.querySelector('.picture .zoom button').click()")
        assert page.evaluate(CAPTION) != before


def test_a_video_that_cannot_be_played_leaves_the_stored_frame(numbered_report: Path) -> None:
    broken = numbered_report.parent / "broken.html"
    (numbered_report.parent / "broken.mp4").write_bytes(b"no video")
    broken.write_text(numbered_report.read_text().replace('"file":"clip%20%26%201.mp4"', '"file":"broken.mp4"'))
    with opened(broken) as page:
        click(page, 5.0, 10.0)
        page.wait(0.5)
        assert "stored frame" in page.evaluate(CAPTION)
        assert page.evaluate("document.querySelectorAll('.stage video').length") == 0
        times = pictures_of(broken.read_text())["times"]
        assert read_number(shown(page, "img", 320, 180)) == round(25 * min(times, key=lambda time: abs(time - 5.0)))


def test_a_hostile_name_of_a_video_is_no_address(tmp_path: Path) -> None:
    """The address of a video is that of the file that was found, and only fits a file on this computer."""
    name = "javascript:alert(1).mp4"
    results = write_results(tmp_path / "r.parquet", [MadeVideo(name, [GAPPY]), MadeVideo("../" + EVIL, [GAPPY])])
    write_clip(tmp_path / name, at_rate(25, 250), 320, 180)
    (first, second) = read_results(results).videos["video_id"]
    page = write_report(results, tmp_path / "r.html", tmp_path, fingerprint=lambda _: str(first)).path
    text = page.read_text()
    assert pictures_of(text)["file"] == "javascript%3Aalert%281%29.mp4"
    assert list(pictures_of(text, 1)) == ["missing"]
    assert second != first
    with opened(page) as shown_page:
        click(shown_page, 5.0, 10.0)
        settled(shown_page, "exact")
        address = shown_page.evaluate("document.querySelector('.stage video').src")
        assert address == (tmp_path / name).resolve().as_uri().replace("javascript:", "javascript%3A").replace(
            "(1)", "%281%29"
        )


@pytest.mark.usefixtures("replayed_scans")
def test_a_click_in_the_report_of_a_sample_shows_its_frame(tmp_path: Path) -> None:
    analyze(SAMPLES / "cut.mp4", tmp_path / "r.parquet", fps=2.0)
    written = write_report(tmp_path / "r.parquet", tmp_path / "r.html")
    assert written.missing == ()
    assert_clicks_show_frames(written.path, 0, SAMPLES / "cut.mp4")


def assert_clicks_show_frames(path: Path, place: int, video: Path) -> None:
    """Click the first lane of a video at several times, and compare what is shown with what is decoded."""
    told = values_of(path.read_text())["videos"][place]
    with VideoReader(video, fps=0) as reader:
        frames = [(frame.time, small(frame.image)) for frame in reader.frames()]
    times = np.array([time for time, _ in frames])
    with opened(path) as page:
        page.evaluate(f"""(async () => {{ document.documentElement.style.scrollBehavior = 'auto';
            for (const one of document.querySelectorAll('.video')) one.open = one.id === 'video-{place}';
            await new Promise(done => setTimeout(done, 200)); }})()""")
        duration, start = told["end"] - told["start"], told["start"]
        for part in (0.13, 0.42, 0.77):
            click(page, part * duration, duration)
            page.wait(0.6)
            caption = page.evaluate(CAPTION)
            exact = "exact" in caption
            cursor = float(page.evaluate("document.querySelector('.video[open] .axis').getAttribute('aria-valuenow')"))
            minutes, seconds = caption.split()[0].split(":")
            time = cursor if exact else 60 * int(minutes) + float(seconds)
            assert abs(cursor - (start + part * duration)) < 0.01 * duration + 0.01
            image = small(shown(page, "video" if exact else "img", 640, 360)[..., ::-1])
            wanted = int(np.searchsorted(times, time + 0.006, "right")) - 1
            around = range(max(wanted - 3, 0), min(wanted + 4, len(frames)))
            errors = {one: float(np.abs(frames[one][1] - image).mean()) for one in around}
            assert errors[wanted] <= min(errors.values()) + 0.4, (caption, errors)
            assert errors[wanted] < 8, (caption, errors)


def small(image: ByteArray) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.asarray(cv2.resize(image, (64, 36), interpolation=cv2.INTER_AREA), np.float32)


# slow


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_the_report_of_real_clips_shows_the_frame_of_every_click(shared_media: Path, tmp_path: Path) -> None:
    analyze(shared_media, tmp_path / "r.parquet", workers=1)
    written = write_report(tmp_path / "r.parquet", tmp_path / "r.html", videos=shared_media)
    assert written.missing == ()
    assert written.size < 6_000_000
    told = values_of(written.path.read_text())["videos"]
    for place, video in enumerate(told):
        if video["faces"]:
            assert_clicks_show_frames(written.path, place, shared_media / video["name"])


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_the_report_of_an_hour_of_video_stays_below_6_mb(tmp_path: Path) -> None:
    """18,000 frames at 5 a second, each with other noise, which is hard to compress."""
    count = 18_000
    faces = [MadeFace(range(count), wandering(count, seed)) for seed in (0, 1)]
    video = MadeVideo("hour.mp4", faces, count=count, stride=1)
    results = write_results(tmp_path / "r.parquet", [video])
    random, coarse = np.random.default_rng(0), (45, 80, 3)
    with VideoWriter(tmp_path / "hour.mp4", 640, 360, EncoderSettings(preset="ultrafast", crf=28)) as writer:
        for time in video.times.tolist():
            picture = cv2.resize(random.integers(60, 200, coarse, np.uint8), (640, 360))
            writer.write(np.asarray(picture, np.uint8), time)
    (video_id,) = read_results(results).videos["video_id"]
    written = write_report(results, tmp_path / "r.html", tmp_path, fingerprint=lambda _: str(video_id))
    assert written.missing == ()
    assert written.size < 6_000_000
    times = pictures_of(written.path.read_text())["times"]
    assert len(times) > 1800
    assert np.diff(times).max() <= 2.001
