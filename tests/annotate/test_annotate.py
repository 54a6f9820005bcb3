"""Annotated videos: frame times, boxes as in the table, blurred faces, and no partial files."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pandas as pd
import pytest

import fervid
from fervid.annotate.annotate import AnnotatedVideo, AnnotateReport, annotate
from fervid.annotate.overlay import face_color
from fervid.annotate.timeline_strip import TimelineStrip
from fervid.annotate.yuv_canvas import Canvas
from fervid.colors import EMOTION_COLORS, rgb
from fervid.errors import OutputError, UnreadableVideo, UsageError
from fervid.faces.detectors import create_detector
from fervid.files.fingerprint import fingerprint
from fervid.files.locate import locate
from fervid.results.face_timelines import FaceTimelines
from fervid.results.reader import Results, read_results
from fervid.results.schema import FRAME_SIZE
from fervid.runtime.opencv import cv2
from fervid.settings import ScanSettings
from fervid.types import EMOTIONS, ByteArray, Progress
from fervid.video.reader import VideoReader
from fervid.video.writer import EncoderSettings, VideoWriter
from tests.support.browser import open_page
from tests.support.clips import (
    ClipFactory,
    Tone,
    at_rate,
    beginning,
    encode,
    numbered,
    read_number,
    read_numbers,
    read_times,
    write_clip,
)
from tests.support.corrected import write_people

WIDTH, HEIGHT = 320, 240
BOX = (100.0, 80.0, 60.0, 70.0)

Samples = Sequence[tuple[float, tuple[float, ...]]]

SEEK = """
(async () => {
  const video = document.querySelector("video");
  if (video.readyState < 1) await new Promise((go, fail) => {
    video.onloadedmetadata = go; video.onerror = () => fail(new Error(video.error.message));
  });
  const images = [];
  for (const time of %s) {
    const shown = new Promise((go) => { video.requestVideoFrameCallback(go); setTimeout(go, 3000); });
    await new Promise((go) => { video.onseeked = go; video.currentTime = time; });
    await shown;
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [48, 48];
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(video, 0, 0, 48, 48);
    images.push(Array.from(context.getImageData(0, 0, 48, 48).data));
  }
  video.currentTime = 0;
  await video.play();
  await new Promise((go) => setTimeout(go, 700));
  return {images, duration: video.duration, size: [video.videoWidth, video.videoHeight],
          played: video.currentTime, sound: video.webkitAudioDecodedByteCount};
})()
"""


def size_of(path: Path) -> tuple[int, int]:
    """Width and height of a video; any size for a file that is none."""
    with contextlib.suppress(UnreadableVideo), VideoReader(path) as reader:
        return reader.info.width, reader.info.height
    return WIDTH, HEIGHT


def table(
    videos: Mapping[str, Path],
    faces: Mapping[int, Samples] | None = None,
    trust: str = "ok",
    settings: Mapping[str, Any] | None = None,
    sampled: list[float] | None = None,
) -> Results:
    """Results as if every video had been analysed at 5 fps and shown these faces."""
    rows, summary, manifest = [], [], []
    for name, path in videos.items():
        video_id = fingerprint(path)
        samples = [(moment, face_id, box) for face_id, seen in (faces or {}).items() for moment, box in seen]
        empty = [(moment, None, (np.nan,) * 4) for moment in sampled or []]
        for moment, face_id, (x, y, width, height) in [*samples, *empty]:
            row: dict[str, Any] = {"video": name, "video_id": video_id, "frame": 0, "time": moment, "face_id": face_id}
            row |= {"face_x": x, "face_y": y, "face_width": width, "face_height": height}
            row |= dict(zip(FRAME_SIZE, size_of(path), strict=True))
            row |= {f"{emotion}_smooth": 0.7 if emotion == "happy" else 0.05 for emotion in EMOTIONS}
            rows.append(row)
        summary += [{"video_id": video_id, "face_id": face_id, "trust": trust} for face_id in faces or {}]
        status = "ok" if faces else "no_face"
        moments = {moment for moment, *_ in [*samples, *empty]}
        counts = {"faces": len(faces or {}), "frames_sampled": len(moments)}
        named = {"video": name, "video_id": video_id, "status": status, "message": None, "duration": 2.0}
        manifest.append(named | counts)
    columns = ["video", "video_id", "time", "face_id", *FRAME_SIZE]
    timeline = pd.DataFrame(rows, columns=None if rows else columns)
    timeline["face_id"] = timeline["face_id"].astype("Int32")
    columns = ["video_id", "face_id", "person", "participant", "first_seen", "last_seen", "trust"]
    summaries = pd.DataFrame(summary, columns=columns)
    none = pd.DataFrame()
    return Results(
        timeline, none, summaries, none, none, none, pd.DataFrame(manifest), {"settings": dict(settings or {})}
    )


def gray_clip(path: Path, seconds: float = 2.0) -> Path:
    """A plain gray video at 25 fps, so that every drawn pixel is visible."""
    with VideoWriter(path, WIDTH, HEIGHT, EncoderSettings(crf=10)) as writer:
        for moment in at_rate(25, round(25 * seconds)):
            writer.write(np.full((HEIGHT, WIDTH, 3), 128, np.uint8), moment)
    return path


def frames(path: Path) -> list[tuple[float, ByteArray]]:
    with VideoReader(path, fps=0) as reader:
        return [(frame.time, frame.image) for frame in reader.frames()]


def drawn(image: ByteArray) -> np.ndarray[Any, Any]:
    return np.asarray(np.abs(image.astype(int) - 128).max(axis=2) > 25)


# every frame, at its own time


@pytest.mark.parametrize(
    "kind", ["steady", "variable", "late", "slow", "one", "odd", "narrow", "wide pixels", "turned"]
)
def test_every_frame_keeps_its_time(tmp_path: Path, kind: str) -> None:
    source = tmp_path / "clip.mp4"
    leaps = np.cumsum(np.random.default_rng(5).uniform(0.008, 0.3, 40))
    if kind == "odd":
        encode(tmp_path / "clip.mkv", numbered(30, 127, 95), "libvpx-vp9")
        source = tmp_path / "clip.mkv"
    elif kind == "wide pixels":
        encode(source, numbered(30), aspect=Fraction(4, 3))
    elif kind == "turned":
        write_clip(source, at_rate(25, 30), encoder=EncoderSettings(rotation=90))
    elif kind == "narrow":
        write_clip(source, at_rate(25, 30), width=16, height=16)
    else:
        times = {"steady": at_rate(25, 50), "variable": (leaps - leaps[0]).tolist(), "late": at_rate(25, 20, 0.0)}
        times |= {"slow": [0.0, 7.0, 7.5], "one": [0.0]}
        write_clip(source, times[kind])
    faces = {0: [(0.0, (4.0, 4.0, 20.0, 20.0)), (0.4, (9.0, 4.0, 20.0, 20.0))]}
    report = annotate(table({source.name: source}, faces), {source.name: source}, tmp_path / "out", "minimal")
    assert [video.status for video in report.videos] == ["written"]
    target = tmp_path / "out" / "clip.annotated.mp4"
    assert read_times(target) == pytest.approx(read_times(source), abs=1e-3)
    with VideoReader(source) as one, VideoReader(target) as other:
        assert (other.info.codec, other.info.rotation, other.info.sample_aspect_ratio) == ("h264", 0, 1.0)
        for side, made in ((one.info.width, other.info.width), (one.info.height, other.info.height)):
            assert made == side + side % 2
        if one.info.duration is not None and kind != "one":
            assert other.info.duration == pytest.approx(one.info.duration, abs=0.05)


def test_pixels_without_a_drawing_stay_unchanged(clip: ClipFactory, tmp_path: Path) -> None:
    source = clip(at_rate(25, 60), width=WIDTH, height=HEIGHT)
    annotate(table({"clip.mp4": source}), {"clip.mp4": source}, tmp_path / "out")
    target = tmp_path / "out" / "clip.annotated.mp4"
    assert read_numbers(target) == list(range(60))
    for (_, one), (_, other) in zip(frames(source), frames(target), strict=True):
        assert np.abs(one.astype(int) - other).mean() < 2.5


def test_browsers_can_play_it(clip: ClipFactory, tmp_path: Path) -> None:
    source = clip(at_rate(25, 20))
    annotate(table({"clip.mp4": source}), {"clip.mp4": source}, tmp_path / "out")
    data = (tmp_path / "out" / "clip.annotated.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    with av.open(str(tmp_path / "out" / "clip.annotated.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")


@pytest.mark.parametrize("pixels", ["yuv444p", "yuvj420p", "yuv420p10le", "gray", "bgr0"])
def test_colours_survive_other_pixel_formats(tmp_path: Path, pixels: str) -> None:
    codecs = {"gray": "ffv1", "bgr0": "ffv1"}
    colors = [(40, 60, 200), (200, 80, 40), (128, 128, 128), (30, 200, 90)]
    images = [np.full((96, 128, 3), color, np.uint8) for color in colors for _ in range(5)]
    source = encode(tmp_path / "clip.mkv", images, codecs.get(pixels, "libx264"), pixels)
    annotate(table({"clip.mkv": source}), {"clip.mkv": source}, tmp_path / "out")
    for (_, one), (_, other) in zip(frames(source), frames(tmp_path / "out" / "clip.annotated.mp4"), strict=True):
        assert np.abs(one.astype(int) - other).max() <= 8


# boxes


def outline(image: ByteArray, x: float) -> bool:
    """Whether the left side of a box is drawn at ``x``."""
    side = drawn(image)[int(BOX[1]) + 20 : int(BOX[1] + BOX[3]) - 20, round(x) - 2 : round(x) + 3]
    return bool(side.any(axis=1).mean() > 0.9)


def test_a_box_follows_its_face_between_samples_and_not_across_gaps(tmp_path: Path) -> None:
    source = gray_clip(tmp_path / "clip.mp4", 4.0)
    xs = {0.4: 60.0, 0.6: 80.0, 0.8: 80.0, 2.4: 140.0, 2.6: 160.0}
    results = table({"clip.mp4": source}, {0: [(moment, (x, *BOX[1:])) for moment, x in xs.items()]})
    results.timeline.loc[len(results.timeline)] = {**results.timeline.iloc[0].to_dict(), "time": 3.8, "face_id": pd.NA}
    annotate(results, {"clip.mp4": source}, tmp_path / "out", "minimal")
    for moment, image in frames(tmp_path / "out" / "clip.annotated.mp4"):
        shown = 0.4 - 1e-6 <= moment <= 0.8 + 1e-6 or 2.4 - 1e-6 <= moment <= 2.6 + 1e-6
        assert drawn(image).any() == shown, moment
        if shown:
            assert outline(image, float(np.interp(moment, list(xs), list(xs.values())))), moment


@pytest.mark.parametrize("style", ["minimal", "full"])
def test_low_trust_is_shown(tmp_path: Path, style: str) -> None:
    source = gray_clip(tmp_path / "clip.mp4", 0.4)
    faces = {0: [(0.0, BOX), (0.4, BOX)]}
    images = {}
    for trust in ("ok", "seen for only 0.4 s"):
        annotate(table({"clip.mp4": source}, faces, trust), {"clip.mp4": source}, tmp_path / "out", style)
        images[trust] = frames(tmp_path / "out" / "clip.annotated.mp4")[5][1]
    assert outline(images["ok"], BOX[0])
    assert not outline(images["seen for only 0.4 s"], BOX[0])


# blur


def test_blur_hides_faces_between_samples_in_gaps_and_around_the_ends(tmp_path: Path) -> None:
    """Fine stripes stand for the face. Their contrast measures how much of the face can be seen."""
    source, stripes = tmp_path / "clip.mp4", np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    x, y, width, height = map(int, BOX)
    stripes[y : y + height, x : x + width : 4] = stripes[y : y + height, x + 1 : x + width : 4] = 30
    with VideoWriter(source, WIDTH, HEIGHT, EncoderSettings(crf=10)) as writer:
        for moment in at_rate(25, 75):
            writer.write(stripes, moment)
    faces = {0: [(moment, BOX) for moment in (0.6, 0.8, 1.8, 2.0)]}
    settings = {"timeline": {"max_gap": 0.5}, "scan": {"fps": 5.0}}
    annotate(
        table({"clip.mp4": source}, faces, settings=settings, sampled=[2.8]),
        {"clip.mp4": source}, tmp_path / "out", "minimal", blur=True,
    )  # fmt: skip
    seen = [
        float(image[y + 12 : y + height - 12, x + 12 : x + width - 12].std())
        for _, image in frames(tmp_path / "out" / "clip.annotated.mp4")
    ]
    hidden = [0.6 - 0.3 <= moment <= 2.0 + 0.3 for moment in at_rate(25, 75)]
    assert max(value for value, wanted in zip(seen, hidden, strict=True) if wanted) < 8
    assert min(value for value, wanted in zip(seen, hidden, strict=True) if not wanted) > 30


def test_no_box_is_drawn_where_sampled_frames_did_not_show_the_face(tmp_path: Path) -> None:
    """Three missed samples at 5 fps are a gap, although they last less than ``max_gap``, as in report and plot."""
    source = gray_clip(tmp_path / "clip.mp4")
    faces = {0: [(moment, BOX) for moment in (0.0, 0.2, 0.4, 1.2, 1.4, 1.6)]}
    results = table({"clip.mp4": source}, faces, settings={"timeline": {"max_gap": 1.0}}, sampled=[0.6, 0.8, 1.0])
    (timeline,) = FaceTimelines(results).of(results.videos["video_id"].iloc[0])
    assert timeline.gap_follows.tolist() == [False, False, True, False, False]
    annotate(results, {"clip.mp4": source}, tmp_path / "out", "minimal")
    x, y, _, height = map(int, BOX)
    for moment, image in frames(tmp_path / "out" / "clip.annotated.mp4"):
        left_edge = drawn(image[y + height // 3 : y + height // 2, x - 3 : x + 4]).any()
        assert left_edge == (moment <= 0.41 or 1.19 <= moment <= 1.81), moment


def test_the_strip_breaks_where_sampled_frames_missed_the_face(tmp_path: Path) -> None:
    """Frames at 4 and 5 s were sampled and show no face. The step from 3 to 6 s is shorter than ``max_gap``."""
    faces = {0: [(float(moment), BOX) for moment in (0, 1, 2, 3, 6, 7, 8, 9, 10)]}
    clips = {"clip.mp4": gray_clip(tmp_path / "clip.mp4", 0.2)}

    def breaks(missed: list[float]) -> list[tuple[float, float]]:
        """The periods without colour between the first and the last sample, in seconds."""
        results = table(clips, faces, settings={"timeline": {"max_gap": 20.0}}, sampled=missed)
        timelines = FaceTimelines(results).of(results.videos["video_id"].iloc[0])
        width, height = 960, 540
        planes = np.full((height * 3 // 2, width), 128, np.uint8)
        strip = TimelineStrip(timelines, width, height, 10.0, 6, 16, face_color)
        strip.draw(Canvas(planes, 6), 0.0, {0})
        image = np.asarray(cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420), np.uint8)[height - strip.height :]
        happy = np.abs(image.astype(int) - rgb(EMOTION_COLORS["happy"])[::-1]).max(axis=2) < 25
        columns = np.flatnonzero(happy.any(axis=0))
        seconds = (columns - columns[0]) * 10.0 / (columns[-1] - columns[0])
        return [(float(seconds[i]), float(seconds[i + 1])) for i in np.flatnonzero(np.diff(columns) > 5)]

    ((start, end),) = breaks([4.0, 5.0])
    assert (start, end) == pytest.approx((3.0, 6.0), abs=0.1)
    assert breaks([]) == []


def test_blur_covers_a_gap_of_missed_samples(tmp_path: Path) -> None:
    faces = {0: [(moment, BOX) for moment in (0.0, 0.4, 1.2, 1.6)]}
    results = table({"clip.mp4": gray_clip(tmp_path / "clip.mp4")}, faces, sampled=[0.6, 0.8, 1.0])
    (timeline,) = FaceTimelines(results).of(results.videos["video_id"].iloc[0])
    assert timeline.at(0.8) is None
    assert timeline.blur_box(0.8, margin=0.3) == pytest.approx(BOX)


@pytest.mark.parametrize("span", [{"start": 1.0}, {"end": 2.0}])
def test_blur_refuses_results_of_a_part_of_a_video(clip: ClipFactory, tmp_path: Path, span: dict[str, float]) -> None:
    source = clip(at_rate(25, 50))
    results = table({"clip.mp4": source}, settings={"scan": {"start": 0.0, "end": None, **span}})
    with pytest.raises(UsageError, match="whole videos"):
        annotate(results, {"clip.mp4": source}, tmp_path / "out", blur=True)
    assert annotate(results, {"clip.mp4": source}, tmp_path / "out").exit_code == 0


def test_blur_refuses_results_without_sampling_metadata(clip: ClipFactory, tmp_path: Path) -> None:
    source = clip(at_rate(25, 50))
    with pytest.raises(UsageError, match="Parquet"):
        annotate(table({"clip.mp4": source}), {"clip.mp4": source}, tmp_path / "out", blur=True)


# failures


def outcomes(report: AnnotateReport) -> dict[str, tuple[str, str | None]]:
    return {video.video: (video.status, video.message) for video in report.videos}


def test_a_bad_video_does_not_stop_the_others(tmp_path: Path) -> None:
    names = ("changed.mp4", "gone.mp4", "good.mp4", "bad.mp4", "copy.mp4")
    paths = {name: write_clip(tmp_path / name, at_rate(25, 10 + len(name))) for name in names}
    results = table(paths)
    results.videos.loc[3, ["status", "message"]] = ["failed", "empty file"]
    results.videos.loc[4, ["status", "message"]] = ["skipped", "same content as good.mp4"]
    write_clip(paths["changed.mp4"], at_rate(25, 3))
    paths.pop("gone.mp4").unlink()
    events: list[Progress] = []
    report = annotate(results, paths, tmp_path / "out", on_progress=events.append)
    assert outcomes(report) == {
        "changed.mp4": ("failed", "the file has changed since it was analysed"),
        "gone.mp4": ("failed", "not found"),
        "good.mp4": ("written", None),
        "bad.mp4": ("skipped", "it could not be analysed: empty file"),
        "copy.mp4": ("skipped", "same content as good.mp4"),
    }
    assert [event.outcome for event in events if event.outcome] == list(report.videos)
    assert report.exit_code == 3
    assert os.listdir(tmp_path / "out") == ["good.annotated.mp4"]


def test_videos_are_searched_in_the_analysed_folders(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    source = write_clip(tmp_path / "videos" / "a.mp4", at_rate(25, 10))
    results = table({"a.mp4": source})
    results.metadata["roots"] = [str(tmp_path / "gone"), str(source.parent)]
    assert outcomes(annotate(results, None, tmp_path / "out")) == {"a.mp4": ("written", None)}
    results.metadata["roots"] = [str(tmp_path / "gone"), str(tmp_path / "empty")]
    ((_, message),) = outcomes(annotate(results, None, tmp_path / "out")).values()
    assert message == (
        f"not found in {tmp_path / 'gone'}, {tmp_path / 'empty'}; `videos` names another folder to search"
    )


def test_a_given_fingerprint_function_is_used(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.mp4", at_rate(25, 10))
    hashed: list[Path] = []

    def remembered(path: Path) -> str:
        hashed.append(path)
        return fingerprint(path)

    annotate(table({"a.mp4": source}), tmp_path, tmp_path / "out", fingerprint=remembered)
    assert hashed == [source]


def test_skipped_videos_do_not_count_for_the_exit_code(tmp_path: Path) -> None:
    paths = {name: write_clip(tmp_path / name, at_rate(25, 10)) for name in ("a.mp4", "copy.mp4")}
    results = table(paths)
    results.videos.loc[1, ["status", "message"]] = ["skipped", "same content as a.mp4"]
    assert annotate(results, {}, tmp_path / "out").exit_code == 4
    results.videos["status"] = "skipped"
    assert annotate(results, {}, tmp_path / "out").exit_code == 0


def test_a_face_after_the_stated_end_is_drawn(tmp_path: Path) -> None:
    """The duration in joined transport streams is that of the first part."""
    part = write_clip(tmp_path / "part.ts", at_rate(25, 25))
    source = tmp_path / "joined.ts"
    source.write_bytes(part.read_bytes() * 2)
    late: dict[int, Samples] = {0: [(9.0 + step / 5, BOX) for step in range(5)]}
    report = annotate(table({"joined.ts": source}, late), {"joined.ts": source}, tmp_path / "out")
    assert outcomes(report) == {"joined.ts": ("written", None)}


def test_frames_that_the_encoder_refuses_fail_only_their_video(tmp_path: Path) -> None:
    tiny, good = tmp_path / "tiny.mkv", write_clip(tmp_path / "z.mp4", at_rate(25, 10))
    with av.open(str(tiny), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width = stream.height = 2
        stream.pix_fmt = "yuv420p"
        for _ in range(10):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((3, 2), 90, np.uint8), format="yuv420p")))
        container.mux(stream.encode(None))
    paths = {"tiny.mkv": tiny, "z.mp4": good}
    report = annotate(table(paths), paths, tmp_path / "out")
    assert [video.status for video in report.videos] == ["failed", "written"]
    assert report.exit_code == 3


def test_an_unchanged_video_is_not_annotated_again(clip: ClipFactory, tmp_path: Path) -> None:
    source = clip(at_rate(25, 10))
    faces: dict[int, Samples] = {0: [(0.0, (10.0, 10.0, 20.0, 20.0)), (0.2, (12.0, 10.0, 20.0, 20.0))]}
    target = tmp_path / "out" / "clip.annotated.mp4"

    def draw(found: Mapping[int, Samples], style: str = "full", blur: bool = False) -> str:
        results = table({"clip.mp4": source}, found, settings={"scan": {"fps": 5.0}})
        return annotate(results, {"clip.mp4": source}, tmp_path / "out", style, blur).videos[0].status

    assert draw(faces) == "written"
    made = target.stat().st_mtime_ns
    assert draw(faces) == "unchanged"
    assert target.stat().st_mtime_ns == made
    for change in ({"style": "minimal"}, {"style": "minimal", "blur": True}):
        assert draw(faces, **change) == "written"
        assert draw(faces, **change) == "unchanged"
    assert draw({0: faces[0][:1]}) == "written"
    target.write_bytes(target.read_bytes()[:100])
    assert draw({0: faces[0][:1]}) == "written"


def test_an_unreadable_video_is_a_failure(tmp_path: Path) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_text("no video at all")
    report = annotate(table({"bad.mp4": bad}), {"bad.mp4": bad}, tmp_path / "out")
    assert outcomes(report)["bad.mp4"] == ("failed", "not a video, or damaged beyond decoding")
    assert report.exit_code == 4
    assert os.listdir(tmp_path / "out") == []


def test_a_source_is_never_overwritten(clip: ClipFactory, tmp_path: Path) -> None:
    source = clip(at_rate(25, 10))
    other = clip(at_rate(25, 12), "clip.annotated.mp4")
    before = other.read_bytes()
    with pytest.raises(UsageError, match="overwrite"):
        annotate(table({"clip.mp4": source}), {"clip.mp4": source, "clip.annotated.mp4": other}, tmp_path)
    assert other.read_bytes() == before


@pytest.mark.parametrize("where", ["file", "file/below", "/proc/fervid"])
def test_a_folder_that_cannot_be_written_is_an_output_error(clip: ClipFactory, tmp_path: Path, where: str) -> None:
    source = clip(at_rate(25, 10))
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"):
        annotate(table({"clip.mp4": source}), {"clip.mp4": source}, tmp_path / where)


def test_an_unknown_style_is_refused(clip: ClipFactory, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="minimal or full or head"):
        annotate(table({"clip.mp4": clip(at_rate(25, 3))}), {}, tmp_path / "out", "loud")


def test_an_interruption_leaves_no_partial_file(clip: ClipFactory, tmp_path: Path) -> None:
    source = clip(at_rate(25, 50))

    def stop(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        annotate(table({"clip.mp4": source}), {"clip.mp4": source}, tmp_path / "out", on_progress=stop)
    assert os.listdir(tmp_path / "out") == []


def test_progress_adds_up_to_the_length_of_the_video(clip: ClipFactory, tmp_path: Path) -> None:
    source = clip(at_rate(25, 50))
    events: list[Progress] = []
    annotate(table({"clip.mp4": source}), {"clip.mp4": source}, tmp_path / "out", on_progress=events.append)
    *frames, last = events
    assert len(frames) == 50
    assert [event.done for event in frames] == sorted(event.done for event in frames)
    assert frames[-1].done == pytest.approx(1.96)
    assert (last.done, last.total, last.unit) == (2.0, 2.0, "seconds")
    assert isinstance(last.outcome, AnnotatedVideo)


# names


@pytest.mark.parametrize(
    "name", ["with space.mp4", "-dash.mp4", "line\nbreak.mp4", "ünï.mp4", b"raw\xff.mp4"], ids=ascii
)
def test_odd_names_are_found_and_written(tmp_path: Path, name: str | bytes) -> None:
    root = tmp_path / "videos"
    root.mkdir()
    write_clip(root / os.fsdecode(name), at_rate(25, 5))
    shown = os.fsdecode(name).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    sources = locate([shown], root)
    report = annotate(table({shown: sources[shown]}), sources, tmp_path / "out")
    assert report.exit_code == 0
    assert len(os.listdir(tmp_path / "out")) == 1


# real clips

QUICK = ["d19_av1_opus.mkv", "hamilton_cuts.mp4", "composite_cross.mp4"]
SLOW = [
    "d13_rot90.mov",
    "crowd_1080p.mp4",
    "d19_h264_longgop.mkv",
    "d19_hevc_aac.mp4",
    "d19_vp9_opus.webm",
    "d9_vfr.mp4",
    "wolfgang.mp4",
]
SLOW += ["talking_d3.mp4", "face_noface_hevc_vfr.mov"]
SLOW += [f"emo7_{name}.mp4" for name in ("angry", "disgust", "fear", "happy", "neutral", "sadness", "surprise")]
CLIPS = [pytest.param(name, 2.5, id=f"the beginning of {name}") for name in QUICK]
CLIPS += [pytest.param(name, None, id=name, marks=pytest.mark.slow) for name in QUICK + SLOW]

Annotated = Callable[..., tuple[Path, Path, Results]]


@pytest.fixture(scope="module")
def annotated(shared_media: Path, tmp_path_factory: pytest.TempPathFactory) -> Annotated:
    """Make the source, the annotated file and the results of a clip or of its first seconds. Each is made once."""
    folder = tmp_path_factory.mktemp("annotated")

    @functools.cache
    def make(name: str, seconds: float | None, fps: float = 1.0, blur: bool = False) -> tuple[Path, Path, Results]:
        source = shared_media / name
        if seconds is not None:
            (folder / f"{seconds} s").mkdir(exist_ok=True)
            source = beginning(source, folder / f"{seconds} s" / name, seconds)
        results = fervid.analyze_video(source, fps=fps)
        report = annotate(results, {name: source}, folder / f"{name}.{seconds}.{blur}", blur=blur)
        assert report.exit_code == 0
        assert report.videos[0].path is not None
        return source, report.videos[0].path, results

    return make


def packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        sound = container.streams.audio
        return [bytes(packet) for packet in container.demux(sound[0]) if packet.size] if sound else []


@pytest.mark.parametrize(("name", "seconds"), CLIPS)
def test_a_real_clip_keeps_its_frames_times_and_sound(annotated: Annotated, name: str, seconds: float | None) -> None:
    source, target, _ = annotated(name, seconds)
    times, made = read_times(source), read_times(target)
    assert len(made) == len(times)
    assert made == pytest.approx(times, abs=1e-3)
    assert packets(target) == packets(source)
    with VideoReader(source) as one, VideoReader(target) as other:
        assert (other.info.width, other.info.height) == (one.info.width, one.info.height)


@pytest.mark.parametrize(("name", "seconds"), CLIPS)
def test_chromium_plays_a_real_clip(annotated: Annotated, tmp_path: Path, name: str, seconds: float | None) -> None:
    source, target, _ = annotated(name, seconds)
    shown = frames(target)
    picked = [shown[round(part * (len(shown) - 2))] for part in (0.15, 0.5, 0.85)]
    begins = [moment for moment, _ in shown]
    seeks = [moment + 0.4 * (begins[begins.index(moment) + 1] - moment) for moment, _ in picked]
    page_file = tmp_path / "play.html"
    page_file.write_text(f'<video muted preload="auto" src="{target.as_uri()}"></video>')
    with open_page(page_file) as page:
        answer = page.evaluate(SEEK % seeks)
        assert not page.console
    height, width = shown[0][1].shape[:2]
    assert answer["size"] == [width, height]
    assert answer["duration"] >= shown[-1][0]
    assert answer["played"] > 0.1
    assert bool(answer["sound"]) == bool(packets(source))
    for (_, image), pixels in zip(picked, answer["images"], strict=True):
        seen = np.array(pixels, np.uint8).reshape(48, 48, 4)[..., 2::-1]
        expected = _shrunk(image)
        # browsers and OpenCV shrink differently, and take untagged colours for BT.709 or BT.601
        assert np.abs(seen.astype(int) - expected).mean() < 12
        assert np.corrcoef(seen.mean(axis=2).ravel(), expected.mean(axis=2).ravel())[0, 1] > 0.9


def _shrunk(image: ByteArray) -> ByteArray:
    return np.asarray(cv2.resize(image, (48, 48), interpolation=cv2.INTER_AREA), np.uint8)


@pytest.mark.parametrize("rate", [pytest.param(25, marks=pytest.mark.slow), 30])
def test_chromium_shows_the_right_frame_at_each_time(tmp_path: Path, rate: int) -> None:
    """Each frame shows its number. There is a gap in the frame times."""
    times = [moment + (0.7 if index >= 30 else 0.0) for index, moment in enumerate(at_rate(rate, 80))]
    source = write_clip(tmp_path / "clip.mp4", times, audio=Tone(440.0))
    annotate(table({"clip.mp4": source}), {"clip.mp4": source}, tmp_path / "out")
    page_file = tmp_path / "play.html"
    page_file.write_text('<video muted preload="auto" src="out/clip.annotated.mp4"></video>')
    wanted = [3, 29, 30, 64]
    with open_page(page_file) as page:
        answer = page.evaluate(SEEK % [times[index] + 0.4 / rate for index in wanted])
    shown = [read_number(np.array(pixels, np.uint8).reshape(48, 48, 4)[..., :3]) for pixels in answer["images"]]
    assert shown == wanted


def faces_left(target: Path, results: Results, until: float | None = None) -> tuple[int, list[tuple[float, float]]]:
    """Count the frames with a face in the table, and detect clear faces of 40 pixels or more inside these boxes.

    Returns the number of frames, and (time, score) of each detected face.
    """
    detector = create_detector(ScanSettings())
    timelines = FaceTimelines(results).of(results.videos["video_id"].iloc[0])
    count, left = 0, []
    with VideoReader(target, fps=0, end=until) as reader:
        for frame in reader.frames():
            states = [state for timeline in timelines if (state := timeline.at(frame.time)) is not None]
            count += bool(states)
            for found in detector.detect(frame.image):
                x, y = found.x + found.width / 2, found.y + found.height / 2
                inside = any(
                    left_ <= x <= left_ + width and top <= y <= top + height
                    for left_, top, width, height in (state.box for state in states)
                )
                if inside and found.score >= 0.9 and min(found.width, found.height) >= 40:
                    left.append((frame.time, found.score))
    return count, left


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        pytest.param("crowd_1080p.mp4", 0.7, marks=pytest.mark.slow),
        pytest.param("crowd_1080p.mp4", None, marks=pytest.mark.slow),
        pytest.param("wolfgang.mp4", None, marks=pytest.mark.slow),
    ],
)
def test_no_known_face_is_found_again_after_blurring(annotated: Annotated, name: str, seconds: float | None) -> None:
    source, target, results = annotated(name, seconds, fps=5.0, blur=True)
    count, left = faces_left(target, results)
    assert count > 10
    assert left == []
    assert len(faces_left(source, results, until=1.0)[1]) > 10, "the detector would have found nothing anyway"


def test_faces_are_called_as_their_persons(tmp_path: Path) -> None:
    results = read_results(write_people(tmp_path))
    timelines = FaceTimelines(results)
    first, second = (timelines.of(video_id) for video_id in results.videos["video_id"])
    assert [(face.name, face.short, face.first) for face in first] == [
        ("Ann <b>&amp;</b…", "Ann…", 0),
        ("person 1", "P1", 1),
        ("Ann <b>&amp;</b…", "Ann…", 0),
        ("3", "3", 3),
    ]
    assert [(face.name, face.short, face.first) for face in second] == [
        ("person 0", "P0", 0),
        ("person 0, face 1", "P0", 0),
    ]
    nameless = FaceTimelines(results, with_names=False).of(results.videos["video_id"][0])
    assert [face.name for face in nameless] == ["person 0", "person 1", "person 0", "3"]


def test_blurred_videos_name_no_participant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[bool] = []

    class Observed(FaceTimelines):
        def __init__(self, results: Results, with_names: bool = True, *more: Any) -> None:
            super().__init__(results, with_names, *more)
            called.append(
                any(face.name.startswith("Ann") for row in results.videos["video_id"] for face in self.of(row))
            )

    monkeypatch.setattr("fervid.annotate.annotate.FaceTimelines", Observed)
    results = read_results(write_people(tmp_path))
    for blur in (True, False):
        annotate(results, {}, tmp_path / "out", blur=blur)
    assert called == [False, True]
