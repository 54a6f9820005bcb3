"""Seeking to samples gives the frames that decoding everything gives, or everything is decoded."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from fervid.faces.crop import FER2013_GEOMETRY
from fervid.scan.scan import open_reader, scan_video
from fervid.scan.segments import divide_video
from fervid.scan.types import Scan
from fervid.settings import ScanSettings
from fervid.types import ByteArray
from fervid.video.reader import VideoReader
from fervid.video.seeking_reader import SeekingReader, SeekPlan, seek_plan
from tests.support.clips import at_rate, encode, numbered, write_clip
from tests.support.paths import SAMPLES

SETTINGS = ScanSettings(fps=0.2, long_side=192, seek_samples=True)
SECONDS = 14

SEEKABLE: dict[str, dict[str, Any]] = {
    "h264.mp4": {"options": {"g": "30", "bf": "3"}},
    "h264.mkv": {"options": {"g": "40", "bf": "8", "b_strategy": "0"}},
    "rotated.mov": {"options": {"g": "25"}, "rotation": 90},
    "hevc_open.mp4": {"codec": "libx265", "options": {"x265-params": "keyint=30:open-gop=1:log-level=none"}},
    "hevc.mkv": {"codec": "libx265", "options": {"x265-params": "keyint=25:open-gop=0:log-level=none"}},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"g": "25", "deadline": "realtime", "cpu-used": "8"}},
}
"""Files with safe keyframes."""
OTHERS: dict[str, dict[str, Any]] = {
    "open.mp4": {"options": {"g": "20", "bf": "3", "x264-params": "open-gop=1"}},
    "far.mp4": {"options": {"g": "1000"}},
    "clip.avi": {"options": {"g": "20"}},
    "clip.ts": {"options": {"g": "20"}},
}
"""Files of which every frame is decoded: keyframes that are not safe, too few, or times that are not stored."""


def made(folder: Path, name: str, how: dict[str, Any]) -> Path:
    if how.get("codec", "libx264") not in av.codecs_available:
        pytest.skip(f"needs an FFmpeg with {how['codec']}")
    return encode(folder / name, numbered(25 * SECONDS), **how)


def samples(path: Path, settings: ScanSettings, seek: bool) -> list[tuple[int, float, ByteArray, ByteArray]]:
    """Index, time, image and thumbnail of each sample."""
    with open_reader(path, settings, seek) as reader:
        assert isinstance(reader, SeekingReader) == seek
        found = [(frame.index, frame.time, frame.image, frame.thumbnail) for frame in reader.frames() if frame.sampled]
        if seek:
            assert reader.duration == duration_of(path, settings)
    return found


def duration_of(path: Path, settings: ScanSettings) -> float | None:
    with open_reader(path, settings, False) as reader:
        for _ in reader.frames():
            pass
        return reader.duration


TIMES: tuple[dict[str, Any], ...] = ({"start": 3.3}, {"start": 1.0, "end": 11.5}, {"fps": 0.23})


@pytest.mark.parametrize(
    ("name", "times"),
    [*((name, {}) for name in SEEKABLE), *((name, times) for name in ("h264.mp4", "hevc_open.mp4") for times in TIMES)],
)
def test_samples_are_those_of_decoding_everything(tmp_path: Path, name: str, times: dict[str, Any]) -> None:
    path, settings = made(tmp_path, name, SEEKABLE[name]), replace(SETTINGS, **times)
    sought, decoded = samples(path, settings, True), samples(path, settings, False)
    assert [one[:2] for one in sought] == [one[:2] for one in decoded]
    assert len(sought) >= 2
    for one, other in zip(sought, decoded, strict=True):
        assert all(np.array_equal(*pair) for pair in zip(one[2:], other[2:], strict=True))


@pytest.mark.parametrize("name", OTHERS)
def test_other_files_are_not_read_by_seeking(tmp_path: Path, name: str) -> None:
    path = made(tmp_path, name, OTHERS[name])
    with open_reader(path, SETTINGS, True) as reader:
        assert not isinstance(reader, SeekingReader)
        assert sum(1 + len(frame.skipped) for frame in reader.frames()) == 25 * SECONDS


def test_a_variable_rate_keeps_its_times(tmp_path: Path) -> None:
    times = [*at_rate(30, 100), *at_rate(10, 60, start=5.0), *at_rate(Fraction(30000, 1001), 150, start=12.5)]
    path = write_clip(tmp_path / "clip.mkv", times)
    plan = seek_plan(path, SETTINGS)
    with VideoReader(path, fps=SETTINGS.fps) as reader:
        expected = [(frame.index, frame.time) for frame in reader.frames() if frame.sampled]
    with open_reader(path, SETTINGS, True) as reader:
        assert isinstance(reader, SeekingReader) == (plan is not None)
        assert [(frame.index, frame.time) for frame in reader.frames() if frame.sampled] == expected


def test_seeking_does_not_pay_for_dense_samples(tmp_path: Path) -> None:
    path = made(tmp_path, "h264.mp4", SEEKABLE["h264.mp4"])
    assert seek_plan(path, SETTINGS) is not None
    for fps in (0.0, 1.0, 5.0):
        assert seek_plan(path, replace(SETTINGS, fps=fps)) is None


def test_few_frames_are_decoded_and_the_plan_counts_them(tmp_path: Path) -> None:
    path = made(tmp_path, "h264.mp4", SEEKABLE["h264.mp4"])
    plan = seek_plan(path, SETTINGS)
    assert plan is not None
    assert plan.count == 25 * SECONDS
    assert plan.decoded <= 0.5 * plan.count
    with open_reader(path, SETTINGS, True) as reader:
        assert isinstance(reader, SeekingReader)
        frames = list(reader.frames())
    assert frames[-1].index == plan.count - 1
    assert sum(len(frame.skipped) + 1 for frame in frames) == plan.count
    assert all(frame.after_seek == bool(frame.skipped) for frame in frames)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A person who stays for 20 s, with a keyframe every second."""
    with VideoReader(SAMPLES / "leaving.mp4", fps=0, end=1.0) as reader:
        images = [frame.image for frame in reader.frames()]
    return encode(tmp_path_factory.mktemp("people") / "p.mp4", [*images, *images[::-1]] * 10, options={"g": "25"})


def scanned(path: Path, settings: ScanSettings, folder: Path) -> Scan:
    return scan_video(path, "0", settings, FER2013_GEOMETRY, folder / "x.crops")


def test_no_track_continues_over_frames_that_were_not_decoded(tmp_path: Path, people: Path) -> None:
    settings = ScanSettings(fps=0.25, seek_samples=True, measures=False)
    plan = seek_plan(people, settings)
    assert plan is not None
    sought = scanned(people, settings, tmp_path)
    decoded = scanned(people, replace(settings, seek_samples=False), tmp_path)
    assert np.array_equal(sought.frames, decoded.frames)
    assert np.array_equal(sought.times, decoded.times)
    rows, expected = (
        sorted(
            (time, *box) for track in one.tracks for time, box in zip(track.times, track.boxes.tolist(), strict=True)
        )
        for one in (sought, decoded)
    )
    assert rows == expected
    assert rows
    assert all(len(track.times) == 1 for track in sought.tracks)
    assert any(len(track.times) > 1 for track in decoded.tracks)
    assert len({track.person for track in sought.tracks}) == 1  # embeddings say so
    assert set(sought.times[1:]) <= set(sought.cuts)
    assert any("cuts between samples are not known" in note for note in sought.notes)
    assert sought.info == decoded.info
    assert divide_video(people, settings, 3.0, 6.0) == []


def test_a_file_that_is_not_what_its_index_says_is_decoded(
    tmp_path: Path, people: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ScanSettings(fps=0.25, seek_samples=True, measures=False)
    expected = scanned(people, replace(settings, seek_samples=False), tmp_path)
    plan = seek_plan(people, settings)
    assert plan is not None
    wrong = SeekPlan(replace(plan.index, times=plan.index.times + 0.04), plan.stretches, plan.decoded, plan.count)
    monkeypatch.setattr("fervid.scan.scan.seek_plan", lambda *_: wrong)
    found = scanned(people, settings, tmp_path)
    assert [track.times.tolist() for track in found.tracks] == [track.times.tolist() for track in expected.tracks]
    assert found.cuts == expected.cuts
    assert found.notes == expected.notes


@pytest.mark.parametrize("end", [None, 100.0])
def test_a_file_that_ends_early_says_so(tmp_path: Path, end: float | None) -> None:
    path = made(tmp_path, "h264.mkv", SEEKABLE["h264.mkv"])
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.7)])
    settings = replace(SETTINGS, end=end)
    with open_reader(path, settings, True) as reader:
        assert isinstance(reader, SeekingReader)
        assert sum(frame.sampled for frame in list(reader.frames())) >= 2
        assert reader.truncated
