"""A long video scanned in segments: bit for bit the result of scanning it in one go, or it is not divided."""

from __future__ import annotations

import ctypes
import dataclasses
import json
import pickle
import shutil
import struct
import time
from collections import deque
from collections.abc import Sequence
from fractions import Fraction
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fervid
from fervid.batch.engines.local import LocalEngine
from fervid.batch.segmented import SegmentedScans, segments_match
from fervid.batch.tasks import Division, ScanJob, ScanTask, SegmentTask, UndividedTask
from fervid.batch.worker import scan_or_divide
from fervid.errors import FervidError, InternalError, OutputError, WorkerFailed
from fervid.faces.crop import FER2013_GEOMETRY
from fervid.faces.embedding import FaceEmbedder
from fervid.faces.identity import EMBEDDING_PERIOD
from fervid.files.scratch import RecordFile, read_records
from fervid.results.reader import read_results
from fervid.scan.between_samples import analyze_frames
from fervid.scan.frame_analysis import SCHEDULE_PERIOD, FrameAnalyzer
from fervid.scan.records import read_frame_results, write_result
from fervid.scan.scan import cached_detector, open_reader, scan_video
from fervid.scan.segments import divide_video, join_segments, scan_segment
from fervid.scan.types import Scan, ScannedSegment, Segment, segment_length
from fervid.settings import AnalyzeSettings, ScanSettings
from fervid.types import ByteArray
from fervid.video import index as video_index
from fervid.video.reader import VideoReader
from fervid.video.sampling import SamplingGrid, period_index
from tests.support.clips import Part, Tone, at_rate, encode, encode_parts, numbered, packets, write_clip
from tests.support.paths import SAMPLES

SETTINGS = ScanSettings(fps=3, long_side=192, adaptive=True)

SPARSE = ScanSettings(fps=1, long_side=192)
"""For clips without faces."""

SECONDS = 3.0
"""Length of the segments in these tests."""


@pytest.fixture(scope="module")
def scenes() -> list[ByteArray]:
    """360 images: people who come, go and cross, and hard cuts between them."""
    images: list[ByteArray] = []
    for name in ("crossing", "cut", "leaving"):
        with VideoReader(SAMPLES / f"{name}.mp4", fps=0) as reader:
            images += [np.asarray(cv2.resize(frame.image, (320, 240)), np.uint8) for frame in reader.frames()]
    return images[:360]


def shown_at(path: Path, images: Sequence[ByteArray], times: Sequence[float]) -> Path:
    """H.264 with B-frames whose frames are shown at ``times``."""
    height, width = images[0].shape[:2]
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        stream.options = {"g": "20", "bf": "3"}
        for image, shown in zip(images, times, strict=True):
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame.pts, frame.time_base = round(shown * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def scan_segments(path: Path, settings: ScanSettings, folder: Path) -> list[ScannedSegment]:
    """Every segment of a video, scanned."""
    segments = divide_video(path, settings, SCHEDULE_PERIOD, SECONDS)
    return [
        scan_segment(path, segment, settings, FER2013_GEOMETRY, folder / f"{segment.number}.segment")
        for segment in segments
    ]


def whole(path: Path, settings: ScanSettings, folder: Path) -> Scan:
    return scan_video(path, "0", settings, FER2013_GEOMETRY, folder / "whole.crops")


def assert_same(one: Scan, other: Scan) -> None:
    assert (one.info, one.notes, one.video_id) == (other.info, other.notes, other.video_id)
    assert np.array_equal(one.frames, other.frames)
    assert np.array_equal(one.times, other.times)
    assert np.array_equal(one.sizes, other.sizes)
    assert [(t.face_id, t.person) for t in one.tracks] == [(t.face_id, t.person) for t in other.tracks]
    for first, second in zip(one.tracks, other.tracks, strict=True):
        for name in ("frames", "times", "boxes", "scores", "qualities"):
            assert np.array_equal(getattr(first, name), getattr(second, name), equal_nan=True), name
        assert np.array_equal(first.crops[:], second.crops[:])
    assert np.array_equal(one.crops[:], other.crops[:])


def assert_divided_alike(path: Path, settings: ScanSettings, folder: Path, minimum: int = 3) -> None:
    """Check that the video is divided into ``minimum`` segments or more, with the result of scanning it in one go."""
    segments = scan_segments(path, settings, folder)
    assert len(segments) >= minimum
    assert segments_match(segments)
    joined = join_segments(segments, "0", settings, folder / "joined.crops", threads=2)
    assert_same(joined, whole(path, settings, folder))
    split_times = [
        segment.begin.time for segment in divide_video(path, settings, SCHEDULE_PERIOD, SECONDS) if segment.begin
    ]
    assert any(track.times[0] < split <= track.times[-1] for track in joined.tracks for split in split_times)


# schedules


@given(st.lists(st.integers(1, 900), min_size=2, max_size=60), st.sampled_from([0, 0.7, 5, 12.5]), st.data())
def test_a_grid_goes_on_from_its_tick(steps: list[int], fps: float, data: st.DataObject) -> None:
    times = (np.cumsum(steps) / 1000).tolist()
    start = data.draw(st.sampled_from([0.0, 0.53, 3.0]))
    split = data.draw(st.integers(0, len(times) - 1))
    grid = SamplingGrid(fps, start)
    taken = [grid.takes(time) for time in times[:split]]
    later = SamplingGrid(fps, start, grid.tick)
    undivided = SamplingGrid(fps, start)
    assert taken + [later.takes(time) for time in times[split:]] == [undivided.takes(time) for time in times]


@given(st.integers(-(10**4), 10**9), st.integers(0, 10**5))
def test_a_new_period_restarts_every_schedule(thousandths: int, later: int) -> None:
    first, second = thousandths / 1000, (thousandths + later) / 1000
    if period_index(first, SCHEDULE_PERIOD) != period_index(second, SCHEDULE_PERIOD):
        assert period_index(first, EMBEDDING_PERIOD) != period_index(second, EMBEDDING_PERIOD)
    assert (
        period_index(3.0, SCHEDULE_PERIOD)
        == period_index(2.9995, SCHEDULE_PERIOD)
        == 1 + period_index(2.999, SCHEDULE_PERIOD)
    )


# where a video is divided


def assert_segments_are_sound(path: Path, settings: ScanSettings, segments: list[Segment]) -> None:
    with VideoReader(path, fps=settings.fps, start=settings.start, end=settings.end) as reader:
        frames = list(reader.frames())
    assert [segment.number for segment in segments] == list(range(len(segments)))
    assert sum(segment.count for segment in segments) == len(frames)
    assert segments[0].begin is None
    assert segments[-1].stop is None
    for before, segment in pairwise(segments):
        assert segment.begin is not None
        first = frames[segment.begin.index]
        assert before.stop == segment.begin.time == first.time
        samples = [frame.time for frame in frames if frame.sampled]
        earlier = [sample for sample in samples if sample < first.time]
        assert first.sampled or not earlier
        assert not earlier or period_index(earlier[-1], SCHEDULE_PERIOD) != period_index(first.time, SCHEDULE_PERIOD)


@pytest.mark.parametrize(("start", "end"), [(0.0, None), (7.1, None), (0.0, 11.4), (4.0, 10.0)])
def test_segments_share_all_frames_and_start_with_a_period(tmp_path: Path, start: float, end: float | None) -> None:
    path = encode(tmp_path / "clip.mp4", numbered(400), options={"g": "15", "bf": "3"})
    settings = ScanSettings(fps=5, start=start, end=end)
    segments = divide_video(path, settings, SCHEDULE_PERIOD, SECONDS)
    assert len(segments) >= 3
    assert_segments_are_sound(path, settings, segments)


def test_a_short_video_is_not_divided(tmp_path: Path) -> None:
    path = encode(tmp_path / "clip.mp4", numbered(140), options={"g": "15"})
    assert divide_video(path, ScanSettings(), SCHEDULE_PERIOD, SECONDS) == []
    assert divide_video(path, ScanSettings(), SCHEDULE_PERIOD, 2.0) != []
    assert divide_video(path, ScanSettings(end=3.9), SCHEDULE_PERIOD, 2.0) == []


@pytest.mark.parametrize(("fps", "expected"), [(5, 60), (10, 60), (12.5, 15), (0, 15)])
def test_dense_samples_have_shorter_segments(fps: float, expected: float) -> None:
    assert segment_length(ScanSettings(fps=fps), 60.0) == expected
    assert segment_length(ScanSettings(fps=fps), 3.0) == 3.0
    assert segment_length(ScanSettings(fps=fps), 0.0) == 0.0


def test_a_video_with_keyframes_far_apart_is_not_divided(tmp_path: Path) -> None:
    path = encode(tmp_path / "clip.mp4", numbered(300), options={"g": "1000"})
    assert video_index.read_index(path, 0) is not None
    assert divide_video(path, ScanSettings(), SCHEDULE_PERIOD, SECONDS) == []


REFUSED: dict[str, dict[str, Any]] = {
    "open.mp4": {"options": {"g": "20", "bf": "3", "x264-params": "open-gop=1"}},
    "refresh.mkv": {"options": {"g": "20", "x264-params": "intra-refresh=1"}},
    "clip.avi": {"options": {"g": "20"}},
    "raw.h264": {"options": {"g": "20"}, "container_format": "h264"},
    "clip.ts": {"options": {"g": "20"}},
    "old.mp4": {"codec": "mpeg4", "options": {"g": "20"}},
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_video_that_cannot_be_decoded_safely_from_its_middle_is_not_divided(tmp_path: Path, name: str) -> None:
    path = encode(tmp_path / name, numbered(300), **REFUSED[name])
    assert divide_video(path, ScanSettings(), SCHEDULE_PERIOD, SECONDS) == []


def test_damaged_and_foreign_files_are_not_divided(tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    for content in (b"", b"no video at all" * 1000, encode(tmp_path / "c.mp4", numbered(200)).read_bytes()[:5000]):
        path.write_bytes(content)
        assert divide_video(path, ScanSettings(), SCHEDULE_PERIOD, 1.0) == []
    assert divide_video(tmp_path / "absent.mp4", ScanSettings(), SCHEDULE_PERIOD, 1.0) == []


@pytest.mark.parametrize("share", [0.5, 2.0])
def test_a_wrong_duration_is_corrected_as_in_one_go(tmp_path: Path, share: float) -> None:
    path = encode(tmp_path / "clip.mkv", numbered(300), options={"g": "25"})
    content = bytearray(path.read_bytes())
    place = content.index(b"\x44\x89\x88") + 3  # the element Duration, a float64
    (stated,) = struct.unpack_from(">d", content, place)
    struct.pack_into(">d", content, place, share * stated)
    path.write_bytes(content)
    joined = join_segments(scan_segments(path, SPARSE, tmp_path), "0", SPARSE, tmp_path / "joined.crops")
    assert_same(joined, whole(path, SPARSE, tmp_path))
    assert joined.info.duration == pytest.approx(12.0 * max(1, share), abs=0.1)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_the_index_has_the_time_of_every_frame(tmp_path: Path, suffix: str) -> None:
    path = write_clip(tmp_path / f"clip{suffix}", at_rate(Fraction(30000, 1001), 200, start=7.0), audio=Tone(440.0))
    found = video_index.read_index(path, 0)
    assert found is not None
    with VideoReader(path, fps=0) as reader:
        assert found.times.tolist() == [frame.time for frame in reader.frames()]
    assert set(found.key_times) <= set(found.times)


# the same outcome

MADE: dict[str, dict[str, Any]] = {
    "h264.mp4": {"options": {"g": "20", "bf": "3"}},
    "h264.mkv": {"options": {"g": "30", "bf": "2"}},
    "rotated.mov": {"options": {"g": "25"}, "rotation": 90},
    "wide.mp4": {"options": {"g": "25"}, "aspect": Fraction(4, 3)},
    "hevc.mp4": {"codec": "libx265", "options": {"x265-params": "keyint=20:open-gop=1:log-level=none"}},
    "hevc.mkv": {"codec": "libx265", "options": {"x265-params": "keyint=25:open-gop=0:log-level=none"}},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"g": "25", "deadline": "realtime", "cpu-used": "8"}},
    "ten_bits.mkv": {"options": {"g": "25"}, "pixel_format": "yuv420p10le"},
    "every_one_a_key.mov": {"codec": "mjpeg", "pixel_format": "yuvj420p"},
}


IN_EVERY_RUN = ("h264.mp4",)


@pytest.mark.parametrize(
    "name", [name if name in IN_EVERY_RUN else pytest.param(name, marks=pytest.mark.slow) for name in MADE]
)
def test_segments_give_what_scanning_in_one_go_gives(tmp_path: Path, scenes: list[ByteArray], name: str) -> None:
    if MADE[name].get("codec", "libx264") not in av.codecs_available:
        pytest.skip(f"needs an FFmpeg with {MADE[name]['codec']}")
    path = encode(tmp_path / name, scenes, **MADE[name])
    assert_divided_alike(path, SETTINGS, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        ScanSettings(fps=0, end=7.5, long_side=192),
        pytest.param(ScanSettings(fps=2.3, start=4.0, long_side=192), marks=pytest.mark.slow),
        pytest.param(ScanSettings(fps=3, start=8.7, max_gap=0.5, long_side=192), marks=pytest.mark.slow),
        ScanSettings(fps=3, start=3.3, end=12.2, long_side=192),
    ],
    ids=str,
)
def test_with_other_settings_too(tmp_path: Path, scenes: list[ByteArray], settings: ScanSettings) -> None:
    path = encode(tmp_path / "clip.mp4", scenes, options={"g": "20", "bf": "3"})
    assert_divided_alike(path, settings, tmp_path, 2)


@pytest.mark.slow
@pytest.mark.parametrize("adaptive", [False, True])
def test_with_followed_faces(tmp_path: Path, scenes: list[ByteArray], adaptive: bool) -> None:
    path = encode(tmp_path / "clip.mp4", scenes, options={"g": "20", "bf": "3"})
    settings = ScanSettings(fps=0, start=0.5, end=7.5, long_side=192, adaptive=adaptive, follow_faces=True)
    assert_divided_alike(path, settings, tmp_path, 2)
    followed = [np.isnan(track.scores) for track in whole(path, settings, tmp_path).tracks]
    assert 0.1 < np.concatenate(followed).mean() < 0.9


def test_a_meeting_at_the_border_of_two_segments_is_looked_at(tmp_path: Path, scenes: list[ByteArray]) -> None:
    meeting = [*scenes[48:72], *scenes[72:48:-1]] * 5  # two people in front of each other, again and again
    path = encode(tmp_path / "clip.mp4", meeting, options={"g": "20", "bf": "3"})
    settings = ScanSettings(fps=3, long_side=192)
    segments = scan_segments(path, settings, tmp_path)
    records = [result for segment in segments for result in read_frame_results(segment.records)]
    analyzer = FrameAnalyzer(settings, FER2013_GEOMETRY, cached_detector(settings))
    with open_reader(path, settings, skip=False) as reader:
        expected = list(analyze_frames(reader.frames(), analyzer, reader))
    assert [r.time for r in records if r.sample] == [r.time for r in expected if r.sample]
    looked, right = ([(r.time, r.between.faces) for r in results if r.between] for results in (records, expected))
    assert looked == right
    borders = [
        segment.begin.time for segment in divide_video(path, settings, SCHEDULE_PERIOD, SECONDS) if segment.begin
    ]
    assert any(r.between and 0 < border - r.time < 0.3 for r in records for border in borders)
    assert_divided_alike(path, settings, tmp_path, 2)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_with_a_picture_that_changes_size(tmp_path: Path, scenes: list[ByteArray], suffix: str) -> None:
    sizes, edges = ((320, 240), (180, 320), (480, 360)), (0, 60, 170, 300)
    made = [
        Part([np.asarray(cv2.resize(image, size), np.uint8) for image in scenes[begin:end]])
        for size, (begin, end) in zip(sizes, pairwise(edges), strict=True)
    ]
    path = encode_parts(tmp_path / f"clip{suffix}", made, options={"g": "20", "bf": "2"})
    assert_divided_alike(path, SETTINGS, tmp_path)
    scan = whole(path, SETTINGS, tmp_path)
    assert scan.notes == ["the picture changes size: 320x240 until 2.4 s, then 180x320 until 6.8 s, then 480x360"]
    assert (scan.info.width, scan.info.height) == sizes[2]


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".mp4", pytest.param(".mkv", marks=pytest.mark.slow)])
def test_with_a_rate_that_varies(tmp_path: Path, scenes: list[ByteArray], suffix: str) -> None:
    steps = np.random.default_rng(3).choice([0.011, 0.033, 0.04, 0.07, 0.5], len(scenes), p=[0.2, 0.3, 0.3, 0.18, 0.02])
    path = shown_at(tmp_path / f"clip{suffix}", scenes, np.cumsum(steps).tolist())
    assert_divided_alike(path, SETTINGS, tmp_path)


@pytest.mark.parametrize("name", ["wolfgang.mp4"])
def test_real_clips(tmp_path: Path, shared_media: Path, name: str) -> None:
    assert_divided_alike(shared_media / name, ScanSettings(fps=1), tmp_path)


def test_a_false_keyframe_is_noticed(tmp_path: Path, scenes: list[ByteArray], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_index, "_IDR", {1, 5})
    path = encode(tmp_path / "refresh.mkv", scenes, **REFUSED["refresh.mkv"])
    segments = scan_segments(path, SETTINGS, tmp_path)
    assert len(segments) >= 3
    assert not segments_match(segments)


def test_segments_that_differ_in_anything_do_not_match(tmp_path: Path) -> None:
    path = encode(tmp_path / "clip.mp4", numbered(240), options={"g": "20"})
    segments = scan_segments(path, SETTINGS, tmp_path)
    assert len(segments) == 3
    assert segments_match(segments)
    assert not segments_match(segments[:-1])
    assert segments[1].info is not None
    changes: list[dict[str, Any]] = [{"intact": False}, {"first_digest": "0"}, {"next_digest": "0"}]
    changes.append({"info": dataclasses.replace(segments[1].info, codec="vp8")})
    for change in changes:
        assert not segments_match([segments[0], dataclasses.replace(segments[1], **change), segments[2]])


def test_records_come_back_in_order_and_a_refused_file_is_an_output_error(tmp_path: Path) -> None:
    values: list[tuple[int, list[Any]]] = [
        (index, [np.full((3, index), index), np.array([np.nan, 1], np.float32)]) for index in range(50)
    ]
    with RecordFile(tmp_path / "x") as file:
        for value in values:
            file.add(*value)
    for (index, arrays), (expected, others) in zip(read_records(tmp_path / "x"), values, strict=True):
        assert index == expected
        for array, other in zip(arrays, others, strict=True):
            assert np.array_equal(array, other, equal_nan=True)
            assert array.dtype == other.dtype
    with pytest.raises(OutputError, match="absent"):
        RecordFile(tmp_path / "absent" / "x")


class Harmful:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self._path,)


def test_nothing_in_a_file_of_records_is_run(tmp_path: Path) -> None:
    """Another user may exchange the file for a pickle; an array of objects would be one too."""
    mark, path = tmp_path / "mark", tmp_path / "x"
    pickled = pickle.dumps(Harmful(mark))
    objects = json.dumps([1, [["|O", [1]]]]).encode()
    huge = json.dumps([1, [["<f8", [2**40]]]]).encode()
    for content in (
        pickled,
        len(pickled).to_bytes(8, "little") + pickled,
        len(objects).to_bytes(8, "little") + objects + pickled,
        len(huge).to_bytes(8, "little") + huge,
        b"\xff" * 8,
        (9999).to_bytes(8, "little") + b"[" * 9999,
        b"ab",
    ):
        path.write_bytes(content)
        for read in (read_records, read_frame_results):
            with pytest.raises(InternalError, match="was damaged; run again"):
                list(read(path))
    assert not mark.exists()


def test_the_result_of_a_frame_comes_back_as_it_was(tmp_path: Path) -> None:
    settings = ScanSettings(fps=5)
    analyzer = FrameAnalyzer(settings, FER2013_GEOMETRY, cached_detector(settings), FaceEmbedder())
    with VideoReader(SAMPLES / "crossing.mp4", fps=5, end=1.0) as reader:
        results = list(analyze_frames(reader.frames(), analyzer))
    with RecordFile(tmp_path / "x") as file:
        for result in results:
            write_result(file, result)
    found = list(read_frame_results(tmp_path / "x"))
    assert sum(result.sample is not None for result in found) == 6
    for one, other in zip(found, results, strict=True):
        assert pickle.dumps(one.shape) == pickle.dumps(other.shape)
        assert one.time == other.time
        assert np.array_equal(one.thumbnail, other.thumbnail)
        if one.sample is not None and other.sample is not None:
            assert one.sample.faces == other.sample.faces
            np.testing.assert_equal(vars(one.sample), vars(other.sample))


# the engine


class Logbook:
    """A file in which workers note the kinds of their tasks."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "tasks.txt"

    @property
    def kinds(self) -> list[str]:
        return self.path.read_text().split()


def watched(log: Path, task: ScanTask, job: ScanJob) -> Any:
    """A worker that keeps a log, and that crashes, hangs or fails depending on the file's name."""
    with log.open("a") as file:
        file.write(f"{type(task).__name__}\n")
    if isinstance(task, SegmentTask) and task.segment.number == 1:
        attempt = task.path.with_suffix(".attempt")
        first = not attempt.exists()
        attempt.touch()
        if task.path.stem == "crashes" or (task.path.stem == "once" and first):
            ctypes.string_at(0)
        if task.path.stem == "sleeps":
            time.sleep(3600)
        if task.path.stem == "defect":
            raise ZeroDivisionError("one by none")
    return scan_or_divide(task, job)


def never_done(video_id: str) -> bool:
    return False


def run(
    engine: LocalEngine, paths: Sequence[Path], scratch: Path, settings: ScanSettings = SPARSE
) -> dict[str, Scan | FervidError]:
    """Outcomes by name."""
    job = ScanJob(settings, FER2013_GEOMETRY, never_done, scratch)
    found: dict[str, Scan | FervidError] = {}
    for task, outcome in engine.run([ScanTask(number, path) for number, path in enumerate(paths)], job):
        assert type(task) is ScanTask
        assert task.path == paths[task.position]
        assert task.path.stem not in found
        assert isinstance(outcome, (Scan, FervidError))
        found[task.path.stem] = outcome
    assert len(found) == len(paths)
    return found


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


@pytest.fixture
def logbook(tmp_path: Path) -> Logbook:
    return Logbook(tmp_path)


def test_the_engine_divides_and_joins(tmp_path: Path, scratch: Path, logbook: Logbook, scenes: list[ByteArray]) -> None:
    path = encode(tmp_path / "clip.mp4", scenes, options={"g": "20", "bf": "3"})
    engine = LocalEngine(2, work=partial(watched, logbook.path), segment_seconds=SECONDS)
    found = run(engine, [path], scratch, SETTINGS)["clip"]
    assert isinstance(found, Scan)
    expected = dataclasses.replace(whole(path, SETTINGS, tmp_path), video_id=found.video_id)
    assert_same(found, expected)
    count = len(divide_video(path, SETTINGS, SCHEDULE_PERIOD, SECONDS))
    assert logbook.kinds == ["ScanTask", *["SegmentTask"] * count, "JoinTask"]
    assert [file.name for file in scratch.iterdir()] == ["0.crops"]
    found.discard()


def test_one_worker_divides_nothing(tmp_path: Path, scratch: Path, logbook: Logbook) -> None:
    path = encode(tmp_path / "clip.mp4", numbered(300), options={"g": "20"})
    run(LocalEngine(1, work=partial(watched, logbook.path), segment_seconds=SECONDS), [path], scratch)
    assert logbook.kinds == ["ScanTask"]


def test_damage_in_one_span_has_the_whole_scanned(tmp_path: Path, scratch: Path, logbook: Logbook) -> None:
    path = encode(tmp_path / "clip.mp4", numbered(300), options={"g": "20", "bf": "2"})
    content = bytearray(path.read_bytes())
    for position, size in packets(path)[150:153]:
        content[position + 4 : position + size] = bytes(size - 4)
    path.write_bytes(content)
    engine = LocalEngine(2, work=partial(watched, logbook.path), segment_seconds=SECONDS)
    found = run(engine, [path], scratch)["clip"]
    assert isinstance(found, Scan)
    assert found.notes
    assert_same(found, dataclasses.replace(whole(path, SPARSE, tmp_path), video_id=found.video_id))
    assert logbook.kinds[-1] == UndividedTask.__name__
    assert logbook.kinds.count("JoinTask") == 0
    assert not list(scratch.glob("*.segment"))


def test_each_outcome_of_a_segment(tmp_path: Path, scratch: Path, logbook: Logbook) -> None:
    """A segment that crashes once costs nothing; one that always does, or meets a defect, costs its own video."""
    clip = encode(tmp_path / "clip.mp4", numbered(301), options={"g": "20"})
    names = ("a good one", "crashes", "once", "defect", "z good one")
    paths = [Path(shutil.copy(clip, tmp_path / f"{name}.mp4")) for name in names]
    found = run(LocalEngine(2, work=partial(watched, logbook.path), segment_seconds=SECONDS), paths, scratch)
    expected = whole(clip, SPARSE, tmp_path)
    for name in ("a good one", "once", "z good one"):
        outcome = found[name]
        assert isinstance(outcome, Scan), outcome
        assert_same(outcome, dataclasses.replace(expected, video_id=outcome.video_id))
        outcome.discard()
    said = {name: str(outcome) for name, outcome in found.items() if isinstance(outcome, WorkerFailed)}
    assert said.keys() == {"crashes", "defect"}
    assert "died 2 times" in said["crashes"]
    assert "one by none" in said["defect"]
    assert list(scratch.iterdir()) == []


@pytest.mark.slow
def test_a_segment_that_hangs_fails_its_video(tmp_path: Path, scratch: Path, logbook: Logbook) -> None:
    path = encode(tmp_path / "sleeps.mp4", numbered(300), options={"g": "20"})
    engine = LocalEngine(2, timeout=4, work=partial(watched, logbook.path), segment_seconds=SECONDS)
    outcome = run(engine, [path], scratch)["sleeps"]
    assert isinstance(outcome, WorkerFailed)
    assert "not scanned within 4 s" in str(outcome)
    assert list(scratch.iterdir()) == []


def test_segments_share_the_time_limit_of_their_video() -> None:
    task = ScanTask(0, Path("clip.mp4"))
    due: deque[ScanTask] = deque()
    segments = SegmentedScans(ScanJob(SETTINGS, FER2013_GEOMETRY, never_done, Path("nowhere")), due)
    division = Division("0", tuple(Segment(number, None, 1, None) for number in range(3)))
    assert segments.finish_task(task, division) is None
    first, second, third = due
    assert segments.time_left(first, 10.0) == 10.0
    assert segments.time_left(first, 0.0) == 0.0
    segments.finish_task(first, ScannedSegment(Path("nowhere/0"), None, True, seconds=4.0))
    segments.finish_task(second, ScannedSegment(Path("nowhere/1"), None, True, seconds=5.0))
    assert segments.time_left(third, 10.0) == 1.0
    assert segments.time_left(third, 9.0) > 0
    assert segments.time_left(ScanTask(1, Path("other.mp4")), 9.0) == 9.0
    segments.finish_task(third, ScannedSegment(Path("nowhere/2")))
    assert due[0] == UndividedTask(0, task.path, "0")
    assert segments.time_left(due[0], 9.0) == 9.0


@pytest.mark.slow
def test_analyze_gives_the_same_tables(tmp_path: Path, scenes: list[ByteArray], logbook: Logbook) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    encode(folder / "clip.mp4", scenes, options={"g": "20", "bf": "3"})
    encode(folder / "short.mp4", scenes[200:260], options={"g": "20"})
    divided = LocalEngine(2, work=partial(watched, logbook.path), segment_seconds=SECONDS)
    settings = AnalyzeSettings(scan=dataclasses.replace(SETTINGS, fps=2))
    for out, engine in (("one", LocalEngine(1)), ("two", divided)):
        report = fervid.analyze(folder, tmp_path / f"{out}.parquet", settings, engine=engine)
        assert report.exit_code == 0
    assert "JoinTask" in logbook.kinds
    one, two = (read_results(tmp_path / f"{out}.parquet") for out in ("one", "two"))
    assert one.timeline.equals(two.timeline)
    assert one.episodes.equals(two.episodes)
    assert one.summary.equals(two.summary)
    assert one.timeline["face_id"].nunique() >= 3
