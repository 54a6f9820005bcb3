"""Leaving out frames that are not needed: what is read stays the same, also of damaged and unusual files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from fervid.errors import UnreadableVideo
from fervid.runtime.opencv import cv2
from fervid.types import ByteArray, Frame, PictureShape
from fervid.video.index import read_index
from fervid.video.needed_packets import SkippingFailed
from fervid.video.reader import SkippingReader, VideoReader
from fervid.video.sampling import SamplingGrid, SeekPoint
from tests.fuzz.mutate import MUTATIONS
from tests.support.clips import encode
from tests.support.paths import SAMPLES

KINDS: dict[str, tuple[str, dict[str, str]]] = {
    "h264.mp4": ("libx264", {"g": "40", "bf": "3"}),
    "h264.mkv": ("libx264", {"g": "250", "bf": "8", "x264-params": "b-pyramid=none:scenecut=0"}),
    "without-b.mp4": ("libx264", {"g": "25", "bf": "0"}),
    "open.mp4": ("libx264", {"g": "20", "bf": "3", "x264-params": "open-gop=1"}),
    "refresh.mp4": ("libx264", {"g": "30", "bf": "2", "x264-params": "intra-refresh=1"}),
    "slices.mp4": ("libx264", {"g": "40", "bf": "3", "x264-params": "slices=3"}),
    "without-cabac.mp4": ("libx264", {"g": "40", "bf": "3", "profile": "main", "x264-params": "cabac=0"}),
    "weights.mkv": ("libx264", {"g": "40", "bf": "3", "x264-params": "weightp=2:weightb=1:ref=6:direct=auto"}),
}
"""File name → encoder and its options, of videos whose frames can be left out."""

IN_FULL: dict[str, tuple[str, dict[str, str]]] = {
    "hevc.mp4": ("libx265", {"x265-params": "keyint=30:bframes=4:open-gop=1:log-level=none", "preset": "ultrafast"}),
    "vp9.webm": ("libvpx-vp9", {"g": "30", "auto-alt-ref": "1", "lag-in-frames": "16", "cpu-used": "8"}),
    "av1.mkv": ("libsvtav1", {"g": "30", "preset": "12", "svtav1-params": "hierarchical-levels=4"}),
    "mpeg4.avi": ("mpeg4", {"g": "30", "bf": "2"}),
    "h264.avi": ("libx264", {"g": "40", "bf": "3"}),
    "h264.ts": ("libx264", {"g": "40", "bf": "3"}),
    "h264.flv": ("libx264", {"g": "40", "bf": "3"}),
    "bare.h264": ("libx264", {"g": "40", "bf": "3"}),
    "interlaced.mp4": ("libx264", {"g": "40", "bf": "3", "x264-params": "interlaced=1"}),
    "mpeg2.mkv": ("mpeg2video", {"g": "15", "bf": "2"}),
}
"""The same of videos of which every frame is decoded: open groups of pictures with leading pictures, hidden frames,
temporal layers, no or untrusted presentation times, fields."""


@dataclass(frozen=True)
class Read:
    """What reading a video gave: each frame, the pixels of samples, and what was noticed."""

    frames: dict[int, tuple[float, PictureShape]]
    samples: dict[int, bytes]
    count: int
    noticed: tuple[Any, ...]


def images() -> list[ByteArray]:
    """Two scenes in turn, moving."""
    with VideoReader(SAMPLES / "pan_zoom.mp4", fps=0) as one, VideoReader(SAMPLES / "crossing.mp4", fps=0) as other:
        scenes = [
            [np.asarray(cv2.resize(frame.image, (160, 96)), np.uint8) for frame in reader.frames()][:75]
            for reader in (one, other)
        ]
    return [*scenes[0], *scenes[1]]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, shown = tmp_path_factory.mktemp("clips"), images()
    for name, (codec, options) in (KINDS | IN_FULL).items():
        encode(folder / name, shown, codec, options=options)
    return folder


def read(path: Path, skip: bool, **settings: Any) -> Read | str:
    """Read a video, and again in full if leaving out frames fails; or why it cannot be read."""
    frames, samples, count = {}, {}, 0
    try:
        with (SkippingReader if skip else VideoReader)(path, threads=1, **settings) as reader:
            for frame in reader.frames():
                count += 1 + len(frame.skipped)
                frames[frame.index] = frame.time, frame.shape
                if frame.sampled:
                    samples[frame.index] = frame.image.tobytes()
                    if isinstance(reader, SkippingReader):
                        reader.forget(frame.index)
            noticed = (reader.corrupt, reader.truncated, reader.end_time, reader.duration, reader.repaired)
            return Read(frames, samples, count, (*noticed, reader.jumps, reader.info, reader.stream_note))
    except UnreadableVideo as error:
        return str(error)
    except SkippingFailed:
        return read(path, False, **settings)


def assert_alike(path: Path, **settings: Any) -> tuple[int, int]:
    """Assert that leaving out frames changes nothing. Returns the numbers of frames of both."""
    full, sparse = read(path, False, **settings), read(path, True, **settings)
    if isinstance(full, str) or isinstance(sparse, str):
        assert full == sparse
        return 0, 0
    assert sparse.samples == full.samples
    assert sparse.frames.items() <= full.frames.items()
    assert sparse.count == full.count
    assert sparse.noticed == full.noticed
    return len(full.frames), len(sparse.frames)


SETTINGS: list[dict[str, Any]] = [
    {"fps": 5.0},
    {"fps": 12.5},
    {"fps": 0.7},
    {"fps": 5.0, "start": 1.31, "end": 4.17},
    {"fps": 5.0, "end": 0.0},
    {"fps": 5.0, "start": 99.0},
    {"fps": 0.0},
]


FEW = ({"fps": 5.0}, {"fps": 5.0, "start": 1.31, "end": 4.17})
"""Settings with which every kind is read in every run of the tests; the first two kinds are read with all."""


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        pytest.param(
            name, one, id=f"{name}-{one}", marks=() if one in FEW or name.startswith("h264") else pytest.mark.slow
        )
        for name in KINDS
        for one in SETTINGS
    ],
)
def test_samples_times_and_numbers_are_those_of_decoding_everything(clips: Path, name: str, settings: Any) -> None:
    assert_alike(clips / name, **settings)


@pytest.mark.parametrize("name", IN_FULL)
def test_every_frame_of_other_kinds_is_decoded(clips: Path, name: str) -> None:
    with SkippingReader(clips / name, fps=5.0, threads=1) as reader:
        assert not reader.skips
        assert not any(frame.skipped for frame in reader.frames())
    assert_alike(clips / name, fps=5.0)


@pytest.mark.parametrize("name", ["h264.mp4", "h264.mkv", "open.mp4", "slices.mp4", "without-cabac.mp4", "weights.mkv"])
def test_a_sound_file_needs_no_second_reading(clips: Path, name: str) -> None:
    with SkippingReader(clips / name, fps=5.0, threads=1) as reader:
        assert any(frame.skipped for frame in reader.frames())


@pytest.mark.parametrize(("name", "share"), [("h264.mp4", 0.8), ("h264.mkv", 0.6)])
def test_fewer_frames_are_given_out(clips: Path, name: str, share: float) -> None:
    full, sparse = assert_alike(clips / name, fps=2.0)
    assert sparse < share * full


def test_with_threads(clips: Path) -> None:
    with SkippingReader(clips / "h264.mp4", fps=5.0, threads=3) as reader:
        threaded = [(frame.index, frame.time, frame.sampled and frame.image.tobytes()) for frame in reader.frames()]
    full = read(clips / "h264.mp4", False, fps=5.0)
    assert isinstance(full, Read)
    assert {index: content for index, _, content in threaded if content} == full.samples


@pytest.mark.parametrize("name", ["h264.mp4", "open.mp4", "slices.mp4"])
def test_from_a_seek_point(clips: Path, name: str) -> None:
    index = read_index(clips / name, 0.0)
    assert index is not None
    number = 83
    time = float(index.times[number])
    key = int(np.searchsorted(index.key_times, time, "right")) - 1
    grid = SamplingGrid(5.0, 0.0)
    for earlier in index.times[:number]:
        grid.takes(float(earlier))
    assert_alike(clips / name, fps=5.0, seek_point=SeekPoint(int(index.keys[key]), number, time, grid.tick))


@pytest.mark.parametrize("name", ["h264.mp4", "h264.mkv", "without-cabac.mp4", "slices.mp4"])
def test_frames_that_were_left_out_can_be_decoded_again(clips: Path, name: str) -> None:
    def content(frame: Frame) -> tuple[Any, ...]:
        return frame.index, frame.time, frame.shape, frame.image.tobytes(), frame.thumbnail.tobytes()

    with VideoReader(clips / name, fps=0, threads=1) as reader:
        full = [content(frame) for frame in reader.frames()]
    random, last, fetched = np.random.default_rng(1), 0, 0
    with SkippingReader(clips / name, fps=2.5, threads=1) as reader:
        for frame in reader.frames():
            assert content(frame) == full[frame.index]
            if frame.sampled:
                if random.random() < 0.5:
                    again = [content(one) for one in reader.frames_between(last, frame.index)]
                    assert again == full[last + 1 : frame.index]
                    fetched += len(again)
                reader.decode_everything(bool(random.random() < 0.3))
                reader.forget(frame.index)
                last = frame.index
    assert fetched > 20


def test_where_it_costs_more_than_it_saves_every_frame_is_decoded(clips: Path) -> None:
    def left_out(again: bool) -> int:
        count = last = 0
        with SkippingReader(clips / "h264.mkv", fps=5.0, threads=1) as reader:
            for frame in reader.frames():
                count += len(frame.skipped)
                if again and frame.index:
                    assert len(list(reader.frames_between(last, frame.index))) == frame.index - last - 1
                last = frame.index
        return count

    assert left_out(again=True) < 0.7 * left_out(again=False)


def damaged(content: bytes, index: int) -> bytes:
    """A file with a damage of some kind, always the same for one number."""
    random = np.random.default_rng(index)
    data = bytearray(content)
    if index % 2:  # a few bytes of the pictures
        for position in random.integers(len(data) // 20, len(data) * 9 // 10, int(random.integers(1, 4))):
            data[position] ^= int(random.integers(1, 256))
        return bytes(data)
    for _ in range(int(random.integers(1, 3))):
        data = MUTATIONS[int(random.integers(len(MUTATIONS)))](data, content, random)
    return bytes(data)


@pytest.mark.parametrize("name", ["h264.mp4", "h264.mkv", "slices.mp4"])
@pytest.mark.parametrize("run", [range(8), pytest.param(range(8, 400), marks=pytest.mark.slow)], ids=str)
def test_damaged_files(clips: Path, tmp_path: Path, name: str, run: range) -> None:
    content = (clips / name).read_bytes()
    for index in run:
        path = tmp_path / f"{index}-{name}"
        path.write_bytes(damaged(content, index))
        full, sparse = read(path, False, fps=5.0), read(path, True, fps=5.0)
        if isinstance(full, str) or isinstance(sparse, str):
            assert full == sparse, index
        else:
            assert sparse.samples == full.samples, index
            assert sparse.frames.items() <= full.frames.items(), index
            assert max(sparse.frames) == max(full.frames), index
            assert sparse.noticed[0] <= full.noticed[0], index  # a damaged frame that is not needed is not noticed
            assert sparse.noticed[1:] == full.noticed[1:], index
        path.unlink()


@pytest.mark.parametrize("name", ["h264.mkv", "without-cabac.mp4"])
@pytest.mark.parametrize("bits", [range(34, 104, 7), pytest.param(range(104), marks=pytest.mark.slow)], ids=str)
def test_a_damaged_header_of_a_frame_that_is_left_out(clips: Path, tmp_path: Path, name: str, bits: range) -> None:
    content = (clips / name).read_bytes()
    with SkippingReader(clips / name, fps=5.0, threads=1) as reader:
        left_out = [time for frame in reader.frames() for time in frame.skipped]
    with av.open(str(clips / name)) as container:
        start = (container.start_time or 0) / av.time_base
        packet = next(
            bytes(packet)
            for packet in container.demux(video=0)
            if packet.pts is not None and abs(float(packet.pts * packet.time_base) - start - left_out[20]) < 1e-3
        )
    place = content.index(packet)
    for bit in bits:
        data = bytearray(content)
        data[place + bit // 8] ^= 128 >> bit % 8
        path = tmp_path / f"{bit}-{name}"
        path.write_bytes(data)
        full, sparse = read(path, False, fps=5.0), read(path, True, fps=5.0)
        assert isinstance(full, Read)
        assert isinstance(sparse, Read)
        assert sparse.samples == full.samples, bit
        assert sparse.frames.items() <= full.frames.items(), bit
        assert max(sparse.frames) == max(full.frames), bit
