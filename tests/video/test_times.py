"""Presentation times of files whose stated times are wrong, doubled, missing, only decoding times, or jump.

Kinds of bad times, of which each has a file here:

- one frame far ahead (first, in the middle, last), two in a row, ten in a row, one far behind, one doubled, every fifth
  doubled, a joint of segments that share frames, no time at all;
- a frame too near: a far one that is no farther than a hole would be;
- holes, slides and other long steps, which are no faults and stay as they are;
- the clock jumps ahead by hours, jumps back and stays, jumps ahead and returns;
- only decoding times: AVI and ASF with H.264, MPEG-4 and MPEG-2, with and without B-frames and holes; Matroska with the
  header of AVI; MP4, FLV and MPEG-TS that copy the decoding times over the presentation times;
- an end that is not the picture's: sound that is longer, an empty edit first, a far time that makes the file seem long,
  no duration at all.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fervid.annotate.annotate import annotate_video
from fervid.results.face_timelines import SampledSizes
from fervid.scan.scan import reader_notes
from fervid.scan.segments import divide_video
from fervid.settings import ScanSettings
from fervid.video.index import read_index
from fervid.video.reader import VideoReader
from fervid.video.timestamps import WINDOW, FrameTimes, longest_increasing
from tests.support.clips import draw_number, encode, numbered, read_number

COUNT, PERIOD = 60, 0.04


def stamped(
    path: Path,
    numbers: Sequence[int],
    times: Sequence[float],
    codec: str = "libx264",
    decoding: Sequence[float] | None = None,
    sound: Sequence[float] = (),
) -> Path:
    """Frames without B-frames whose packets state the given times; ``sound``: begins of packets of silence."""
    unit = Fraction(1, 1000)
    options = {"use_editlist": "0"} if decoding is not None and path.suffix == ".mp4" else {}
    with av.open(str(path), "w", options=options) as container:
        stream: Any = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = stream.time_base = unit
        stream.codec_context.max_b_frames = 0
        stream.options = {"bf": "0", "g": "25", "preset": "ultrafast"} if codec == "libx264" else {"g": "25"}
        tone: Any = container.add_stream("aac", rate=44100, layout="mono") if sound else None
        packets = []
        for index, number in enumerate(numbers):
            frame = av.VideoFrame.from_ndarray(draw_number(number), format="bgr24")
            frame.pts, frame.time_base = index * 40, unit
            packets += stream.encode(frame)
        packets += stream.encode(None)
        for packet, time, decoded in zip(packets, times, decoding or times, strict=True):
            packet.time_base, packet.pts, packet.dts = unit, round(time * 1000), round(decoded * 1000)
            packet.duration = 40
        packets += _silence(tone, sound)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)
    return path


def _silence(stream: Any, begins: Sequence[float]) -> list[Any]:
    packets = []
    for index, _ in enumerate(begins):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 44100, index * 1024
        packets += stream.encode(frame)
    packets = packets[: len(begins)]
    for packet, begin in zip(packets, begins, strict=False):
        packet.time_base, packet.pts, packet.dts = Fraction(1, 44100), round(begin * 44100), round(begin * 44100)
        packet.duration = 1024
    return packets


def frames_of(path: Path) -> tuple[list[int], list[float], VideoReader]:
    """Numbers and times of all frames, and the reader after its last frame."""
    with VideoReader(path, fps=0) as reader:
        found = [(read_number(frame.image), frame.time) for frame in reader.frames()]
    numbers, times = zip(*found, strict=True)
    assert all(later > earlier for earlier, later in pairwise(times))
    return list(numbers), list(times), reader


def regular(count: int = COUNT) -> list[float]:
    """Times of a constant rate."""
    return [PERIOD * index for index in range(count)]


# single bad times

CONTAINERS = [".mp4", ".mkv", ".flv", ".ts"]

BAD: dict[str, Callable[[list[float]], None]] = {
    "far": lambda times: times.__setitem__(30, 32.0),
    "hours": lambda times: times.__setitem__(30, 7200.0),
    "first": lambda times: times.__setitem__(0, 30.0),
    "two": lambda times: times.__setitem__(slice(30, 32), [32.0, 32.04]),
    "ten": lambda times: times.__setitem__(slice(30, 40), [32.0 + PERIOD * index for index in range(10)]),
    "near": lambda times: times.__setitem__(slice(30, 32), [1.5, 1.54]),
}


@pytest.mark.parametrize("suffix", CONTAINERS)
@pytest.mark.parametrize("kind", BAD)
def test_only_far_off_times_are_repaired(tmp_path: Path, kind: str, suffix: str) -> None:
    if (kind, suffix) == ("hours", ".flv"):
        pytest.skip("FLV cannot state it")
    times = regular()
    BAD[kind](times)
    wrong = sum(time != right for time, right in zip(times, regular(), strict=True))
    path = stamped(tmp_path / f"clip{suffix}", range(COUNT), times, decoding=regular())
    numbers, found, reader = frames_of(path)
    assert numbers == list(range(COUNT))
    assert found == pytest.approx(regular(), abs=0.002)
    assert reader.repaired == wrong
    assert not reader.jumps
    assert not reader.truncated
    assert reader.duration == pytest.approx(COUNT * PERIOD, abs=0.05)
    assert f"{wrong} missing, doubled" in "; ".join(reader_notes(reader, ScanSettings()))


@pytest.mark.parametrize("suffix", CONTAINERS)
@pytest.mark.parametrize("every", [COUNT, 5])
def test_a_doubled_time_moves_no_other_frame(tmp_path: Path, every: int, suffix: str) -> None:
    right = regular()
    times = [right[i - 1] if i % every == every // 2 else time for i, time in enumerate(right)]
    doubled = [index for index, time in enumerate(times) if time != right[index]]
    path = stamped(tmp_path / f"clip{suffix}", range(COUNT), [time + 1 for time in times], decoding=right)
    numbers, found, reader = frames_of(path)
    assert numbers == list(range(COUNT))
    assert np.delete(found, doubled) == pytest.approx(np.delete(right, doubled), abs=0.002)
    assert found == pytest.approx(right, abs=0.022)
    assert reader.repaired == len(doubled)
    assert not reader.jumps


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_one_time_far_behind_is_repaired(tmp_path: Path, suffix: str) -> None:
    right = regular()
    times = [time + 2 for time in right]
    times[30] = 1.6
    _, found, reader = frames_of(stamped(tmp_path / f"clip{suffix}", range(COUNT), times, decoding=right))
    assert found == pytest.approx(right, abs=0.002)
    assert reader.repaired == 1


@pytest.mark.parametrize("shared", [1, 2, 5])
def test_segments_that_share_frames_join_where_they_meet(tmp_path: Path, shared: int) -> None:
    right = regular()
    one = stamped(tmp_path / "one.ts", range(30), right[:30])
    two = stamped(tmp_path / "two.ts", range(30 - shared, COUNT), right[30 - shared :])
    joined = tmp_path / "joined.ts"
    joined.write_bytes(one.read_bytes() + two.read_bytes())
    numbers, found, reader = frames_of(joined)
    assert numbers == [*range(30), *range(30 - shared, COUNT)]
    assert found[: 30 - shared] == pytest.approx(right[: 30 - shared], abs=0.002)
    assert found[30 + shared :] == pytest.approx(right[30:], abs=0.002)
    assert 1 <= reader.repaired <= 2 * shared
    assert not reader.jumps


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_holes_slides_and_long_steps_stay_as_stated(tmp_path: Path, suffix: str) -> None:
    times = np.cumsum([0, *[0.04] * 10, 3.0, *[0.01, 0.3] * 5, *[8.0] * 5, *[0.04] * 20]).tolist()
    _, found, reader = frames_of(stamped(tmp_path / f"clip{suffix}", range(len(times)), times))
    assert found == pytest.approx(times, abs=0.002)
    assert (reader.repaired, reader.jumps) == (0, [])


def test_a_single_frame_a_minute_is_no_jumping_clock(tmp_path: Path) -> None:
    times = [60.0 * index for index in range(20)]
    _, found, reader = frames_of(stamped(tmp_path / "clip.mkv", range(20), times))
    assert found == pytest.approx(times, abs=0.002)
    assert (reader.repaired, reader.jumps) == (0, [])


# jumps of the clock

HOURS = [time + 36000 * (index >= 30) for index, time in enumerate(regular())]


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_a_clock_that_jumps_by_hours_is_noted_and_kept(tmp_path: Path, suffix: str) -> None:
    path = stamped(tmp_path / f"clip{suffix}", range(COUNT), HOURS)
    _, found, reader = frames_of(path)
    assert found == pytest.approx(HOURS, abs=0.002)
    assert reader.repaired == 0
    assert "the clock jumps by 36000 s at 1.2 s" in reader_notes(reader, ScanSettings())
    assert read_index(path, 0) is None
    assert divide_video(path, ScanSettings(), 1.0, 1.0) == []


@pytest.mark.parametrize("suffix", CONTAINERS)
@pytest.mark.parametrize("sound", [False, True])
def test_the_annotated_copy_of_a_jumping_clock_plays(tmp_path: Path, sound: bool, suffix: str) -> None:
    begins = [0.02322 * index for index in range(50)] if sound else []
    begins += [36001.2 + begin for begin in begins]
    path = stamped(tmp_path / f"clip{suffix}", range(COUNT), HOURS, sound=begins)
    copy = tmp_path / "copy.mp4"
    sizes = SampledSizes(np.array([0.0]), np.array([[64, 48]], np.int32))
    notes = annotate_video(path, copy, [], sizes)
    assert any("the clock jumps by 36000 s" in note for note in notes)
    numbers, found, _ = frames_of(copy)
    assert numbers == list(range(COUNT))
    assert found == pytest.approx(np.array(regular()) + found[0], abs=0.005)
    if sound:
        with av.open(str(copy)) as container:
            times = [float((frame.pts or 0) * (frame.time_base or 0)) for frame in container.decode(audio=0)]
        assert len(times) > 90
        assert times[-1] < 2.5
        assert np.diff(times).max() < 0.15


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_a_clock_that_jumps_back_goes_on_from_there(tmp_path: Path, suffix: str) -> None:
    right = regular(90)
    times = [time + 2 - 1.5 * (index >= 40) for index, time in enumerate(right)]
    _, found, reader = frames_of(stamped(tmp_path / f"clip{suffix}", range(90), times, decoding=right))
    assert found == pytest.approx(right, abs=0.005)
    assert reader.repaired == 50
    assert "the clock jumps back by 1.5 s at 1.6 s" in reader_notes(reader, ScanSettings())
    if suffix != ".flv":  # which counts the delay of the first frame
        assert reader.duration == pytest.approx(3.6, abs=0.05)


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_stated_times_count_again_after_a_clock_returns(tmp_path: Path, suffix: str) -> None:
    right = regular(120)
    times = [time + 2 - 1.5 * (40 <= index < 80) for index, time in enumerate(right)]
    _, found, reader = frames_of(stamped(tmp_path / f"clip{suffix}", range(120), times, decoding=right))
    assert found == pytest.approx(right, abs=0.005)
    assert reader.repaired == 40


# only decoding times

REORDERING: dict[str, tuple[str, dict[str, str]]] = {
    "h264": ("libx264", {"bf": "0"}),
    "h264_b": ("libx264", {"bf": "3"}),
    "mpeg4": ("mpeg4", {}),
    "mpeg4_b": ("mpeg4", {"bf": "2"}),
    "mpeg2_b": ("mpeg2video", {"bf": "2"}),
    "vp9": ("libvpx-vp9", {"deadline": "realtime"}),
}


def with_hole(path: Path, codec: str, options: dict[str, str], numbers: Sequence[int]) -> Path:
    """Frames at the times of their numbers; AVI fills the hole with skipped frames."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = stream.time_base = Fraction(1, 25)
        stream.options = options
        for number in numbers:
            frame = av.VideoFrame.from_ndarray(draw_number(number), format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("suffix", [".avi", ".asf", ".wmv"])
@pytest.mark.parametrize("kind", REORDERING)
@pytest.mark.parametrize("hole", [False, True])
def test_decoding_times_give_presentation_times(tmp_path: Path, kind: str, suffix: str, hole: bool) -> None:
    expected = [*range(20), *range(41, COUNT)] if hole else list(range(COUNT))
    path = with_hole(tmp_path / f"clip{suffix}", *REORDERING[kind], expected)
    for threads in (1, 4):
        with VideoReader(path, fps=0, threads=threads) as reader:
            found = [(read_number(frame.image), frame.time) for frame in reader.frames()]
        assert [number for number, _ in found] == expected
        assert [time for _, time in found] == pytest.approx([PERIOD * number for number in expected], abs=0.002)
        assert (reader.repaired, reader.truncated, reader.jumps) == (0, False, [])
    assert read_index(path, 0) is None


def reordered_packets(codec: str, options: dict[str, str], count: int = COUNT) -> list[Any]:
    """Packets of a stream with B-frames, whose only times are those of decoding."""
    context: Any = av.CodecContext.create(codec, "w")
    context.width, context.height, context.pix_fmt = 64, 48, "yuv420p"
    context.time_base, context.framerate, context.options = Fraction(1, 25), Fraction(25), options
    context.max_b_frames = 2
    packets = []
    for index, image in enumerate(numbered(count)):
        frame = av.VideoFrame.from_ndarray(image, format="bgr24")
        frame.pts, frame.time_base = index, Fraction(1, 25)
        packets += context.encode(frame)
    packets += context.encode(None)
    for index, packet in enumerate(packets):
        packet.pts = packet.dts = index
        packet.time_base, packet.duration = Fraction(1, 25), 1
    return packets


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".flv", ".ts"])
@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_decoding_times_copied_over_presentation_times_are_put_in_order(
    tmp_path: Path, codec: str, suffix: str
) -> None:
    if (codec, suffix) == ("mpeg4", ".flv"):
        pytest.skip("FLV does not hold MPEG-4")
    packets = reordered_packets(codec, {"bf": "2"})
    path = tmp_path / f"clip{suffix}"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = stream.time_base = Fraction(1, 25)
        for packet in packets:
            packet.stream = stream
            container.mux(packet)
    numbers, times, reader = frames_of(path)
    assert numbers == list(range(COUNT))
    assert times == pytest.approx(regular(), abs=0.002)
    assert reader.repaired == 0
    assert read_index(path, 0) is None


def test_matroska_with_the_header_of_avi(tmp_path: Path) -> None:
    packets = reordered_packets("mpeg4", {"bf": "2"})
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for packet in packets:
            packet.stream = stream
            container.mux(packet)
    content = path.read_bytes()
    assert content.count(b"V_MPEG4/ISO/ASP") == 1
    place = content.index(b"\x63\xa2") + 3  # the stream's header, which becomes that of AVI
    size = content[place - 1] & 0x7F
    assert 40 <= size < 0x7F
    header = struct.pack("<IiiHH4sIiiII", 40, 64, 48, 1, 24, b"FMP4", 0, 0, 0, 0, 0).ljust(size, b"\0")
    content = content[:place] + header + content[place + size :]
    path.write_bytes(content.replace(b"V_MPEG4/ISO/ASP", b"V_MS/VFW/FOURCC"))
    numbers, times, reader = frames_of(path)
    assert numbers == list(range(COUNT))
    assert times == pytest.approx(regular(), abs=0.002)
    assert reader.repaired == 0
    assert read_index(path, 0) is None


# the end

SOUND_LONGER = [
    (".mkv", "libx264"),
    pytest.param(".webm", "libvpx", marks=pytest.mark.slow),
    (".ts", "libx264"),
    (".flv", "libx264"),
    (".mp4", "libx264"),
]


@pytest.mark.parametrize(("suffix", "codec"), SOUND_LONGER)
def test_longer_sound_is_no_early_end(tmp_path: Path, suffix: str, codec: str) -> None:
    path = tmp_path / f"clip{suffix}"
    if suffix == ".webm":
        path = _vorbis_clip(path)
    else:
        stamped(path, range(COUNT), regular(), codec, sound=[0.02322 * index for index in range(430)])
    _, times, reader = frames_of(path)
    assert len(times) == COUNT
    assert not reader.truncated
    assert reader.duration == pytest.approx(10.0, abs=0.3)


def _vorbis_clip(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libvpx", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        tone: Any = container.add_stream("libopus", rate=48000, layout="mono")
        for index, image in enumerate(numbered(COUNT)):
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 480000), np.float32), format="fltp", layout="mono")
        samples.sample_rate, samples.pts = 48000, 0
        container.mux(tone.encode(samples))
        container.mux(tone.encode(None))
    return path


@pytest.mark.parametrize("suffix", [".mkv", ".ts", ".flv"])
def test_a_cut_file_with_sound_still_ends_early(tmp_path: Path, suffix: str) -> None:
    sound = [0.02322 * index for index in range(430)]
    path = stamped(tmp_path / f"clip{suffix}", range(250), regular(250), sound=sound)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with VideoReader(path) as reader:
        assert len(list(reader.frames())) < 150
        assert reader.truncated == (suffix != ".ts")  # MPEG-TS states no duration


def test_an_empty_edit_first_is_no_early_end(tmp_path: Path) -> None:
    path = stamped(tmp_path / "clip.mp4", range(COUNT), [time + 1 for time in regular()])
    content = bytearray(path.read_bytes())
    place = content.find(b"elst")
    entries = int.from_bytes(content[place + 8 : place + 12], "big")
    assert entries == 2  # an empty edit of 1 s, then all of the frames
    _, times, reader = frames_of(path)
    assert times == pytest.approx(regular(), abs=0.002)
    assert not reader.truncated
    # the second edit is one second shorter than the frames, as where a movie is as long as its media
    length = int.from_bytes(content[place + 24 : place + 28], "big")
    content[place + 24 : place + 28] = (length - 1000).to_bytes(4, "big")
    path.write_bytes(bytes(content))
    _, times, reader = frames_of(path)
    assert times == pytest.approx(regular(COUNT - 25), abs=0.002)
    assert not reader.truncated
    assert reader.duration == pytest.approx((COUNT - 25) * PERIOD, abs=0.05)


LATE = [pytest.param(name, marks=pytest.mark.slow) for name in ("clip.ivf", "live.webm")]


@pytest.mark.parametrize("name", ["clip.h264", "clip.hevc", "clip.m4v", "clip.mjpeg", "live.mkv", *LATE])
def test_a_missing_duration_is_that_of_the_frames(tmp_path: Path, name: str) -> None:
    stem, kind = name.split(".")
    codec, pixels = {
        "hevc": ("libx265", "yuv420p"),
        "m4v": ("mpeg4", "yuv420p"),
        "mjpeg": ("mjpeg", "yuvj420p"),
        "ivf": ("libvpx", "yuv420p"),
        "webm": ("libvpx", "yuv420p"),
    }.get(kind, ("libx264", "yuv420p"))
    if codec not in av.codecs_available:
        pytest.skip(f"needs an FFmpeg with {codec}")
    live = {"live": "1"} if stem == "live" else None
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    formats = {"h264": "h264", "hevc": "hevc", "m4v": "m4v", "mjpeg": "mjpeg"}
    path = encode(tmp_path / name, numbered(COUNT), codec, pixels, options, formats.get(kind), live)
    _, times, reader = frames_of(path)
    assert times == pytest.approx(regular(), abs=0.002)
    assert reader.duration == pytest.approx(COUNT * PERIOD, abs=0.05)


def test_the_index_refuses_times_that_need_repair(tmp_path: Path) -> None:
    times = regular()
    times[30] = 32.0
    path = stamped(tmp_path / "clip.mp4", range(COUNT), times, decoding=regular())
    assert read_index(path, 0) is None
    assert read_index(stamped(tmp_path / "good.mp4", range(COUNT), regular()), 0) is not None


# the rule itself


def assigned(stated: Sequence[float | None], period: float = PERIOD) -> tuple[list[float], FrameTimes]:
    """The times that frames with stated times get."""
    times = FrameTimes(period)
    frame = av.VideoFrame(16, 16, "gray")
    return [time for time, _ in times.assign((time, frame) for time in stated)], times


@settings(max_examples=25)
@given(st.data())
def test_single_bad_times_touch_no_other_frame(data: st.DataObject) -> None:
    steps = data.draw(st.lists(st.floats(0.01, 0.15), min_size=20, max_size=60))
    right = np.cumsum([0.0, *steps]).tolist()
    stated: list[float | None] = list(right)
    bad = [index for index in range(3, len(right) - 3) if index % 7 == data.draw(st.integers(3, 4))]
    for index in bad:
        wrong = st.one_of(st.none(), st.floats(right[index] + 20, 1e6), st.just(right[index - 1]), st.floats(-1e6, -1))
        stated[index] = data.draw(wrong)
    found, times = assigned(stated)
    assert len(found) == len(right)
    assert all(later > earlier for earlier, later in pairwise(found))
    near = {index + side for index in bad for side in (-1, 0)}
    others = [index for index in range(len(right)) if index not in near]
    assert [found[index] for index in others] == pytest.approx([right[index] for index in others])
    assert not times.jumps


@given(st.lists(st.one_of(st.none(), st.floats(-1e9, 1e9), st.sampled_from([0.0, 0.04, 0.08])), max_size=80))
def test_any_times_become_increasing_ones(stated: list[float | None]) -> None:
    found, times = assigned(stated)
    assert len(found) == len(stated)
    assert all(later > earlier for earlier, later in pairwise(found))
    assert times.repaired <= len(stated)


def test_missing_times_go_on_at_the_usual_rate() -> None:
    found, times = assigned([None] * 40)
    assert found == pytest.approx(regular(40))
    assert times.repaired == 40


def test_no_more_frames_are_held_than_are_needed() -> None:
    held: list[int] = []
    stated: list[float | None] = list(regular())
    stated[30] = 99.0
    taken = 0
    frame = av.VideoFrame(16, 16, "gray")

    def source() -> Any:
        nonlocal taken
        for time in stated:
            taken += 1
            yield time, frame

    for given_out, _ in enumerate(FrameTimes(PERIOD).assign(source()), 1):
        held.append(taken - given_out)
    assert max(held[:28]) <= 1
    assert max(held) <= WINDOW
    assert max(held[50:]) <= 1


def test_the_longest_increasing_sequence_of_the_smallest_times() -> None:
    assert longest_increasing([5.0, 1.0, 2.0, 3.0], 0.0, 1.0) == [1, 2, 3]
    assert longest_increasing([9.0, 1.0], 0.0, 1.0) == [1]
    assert longest_increasing([1.0, 1.0, 2.0], 0.0, 1.0) == [0, 2]
    assert longest_increasing([None, 0.0, 1.0], 0.0, 1.0) == [2]
    assert longest_increasing([], 0.0, 1.0) == []
