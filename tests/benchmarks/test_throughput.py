"""Parts of the throughput benchmark on small clips. No timings are checked."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

import numpy as np
import pytest

from fervid.files.fingerprint import fingerprint
from fervid.settings import ScanSettings
from fervid.video.reader import VideoReader
from tests.benchmarks import fer_runs, fer_script, throughput, throughput_profile, throughput_wall
from tests.benchmarks.throughput_clips import (
    CODECS,
    HEAD,
    RATE,
    SCENES,
    SIZES,
    Clip,
    cover,
    heads,
    make,
    pictures,
    twins,
)
from tests.benchmarks.throughput_profile import FILES, STAGES, Sampler, stage_of, stage_of_module
from tests.benchmarks.throughput_runs import (
    Decoders,
    Times,
    count_frames,
    count_keyframes,
    fresh,
    options_of,
    peaks,
    read_needed,
)
from tests.support.clips import at_rate, draw_number, encode, numbered, read_number
from tests.support.imports import PACKAGE, modules_imported
from tests.support.paths import ROOT, SAMPLES


def read(path: Path) -> tuple[list[float], list[int]]:
    """Times and numbers of all frames."""
    with VideoReader(path, fps=0) as reader:
        found = [(frame.time, read_number(frame.image)) for frame in reader.frames()]
    times, numbers = zip(*found, strict=True)
    return list(times), list(numbers)


def counting(folder: Path) -> Clip:
    """A clip of 60 frames that carry their numbers, in three groups of pictures with B-frames."""
    return Clip(encode(folder / "clip.mp4", numbered(60), options={"g": "25", "bf": "2"}), 60)


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The size of clips, which is not what is tested."""
    monkeypatch.setitem(SIZES, "720p", (320, 180))


@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize("codec", CODECS)
def test_clips_are_made_once_and_repeat_without_a_gap(shared_media: Path, tmp_path: Path, codec: str) -> None:
    clip = make(shared_media, tmp_path, "720p", codec, 0.4)
    made = clip.path.stat().st_mtime_ns
    assert make(shared_media, tmp_path, "720p", codec, 0.4) == clip
    assert clip.path.stat().st_mtime_ns == made
    assert count_frames(str(clip.path)) == clip.frames == 10
    assert clip.kilobits > 0
    (longer,) = twins(clip, tmp_path, 1, turns=3)
    with VideoReader(longer.path, fps=0) as reader:
        times = [frame.time for frame in reader.frames()]
        assert reader.info.codec == codec
        assert (reader.info.width, reader.info.height) == (320, 180)
        assert reader.repaired == reader.corrupt == 0
    assert len(times) == longer.frames == 30
    assert np.diff(times) == pytest.approx(1 / RATE, abs=0.0011)


@pytest.mark.usefixtures("_small")
def test_the_head_has_a_clip_of_its_own(shared_media: Path, tmp_path: Path) -> None:
    mixed, head = (make(shared_media, tmp_path, "720p", "h264", 0.4, alone) for alone in (False, True))
    assert mixed.path != head.path
    assert count_frames(str(head.path)) == head.frames == 10
    images = list(itertools.islice(pictures(shared_media, 160, 90, 12, [HEAD]), 12))
    changes = [np.abs(one.astype(int) - other).mean() for one, other in itertools.pairwise(images)]
    assert max(changes) < 2  # no other scene


def test_copies_have_the_same_frames_and_different_contents(tmp_path: Path) -> None:
    clip = counting(tmp_path)
    first, second = twins(clip, tmp_path, 2)
    assert fingerprint(first.path) != fingerprint(second.path)
    assert read(first.path) == read(second.path) == read(clip.path)
    assert twins(clip, tmp_path, 2) == [first, second]


def test_repeated_clips_are_continuous_and_short_clips_are_the_first_group(tmp_path: Path) -> None:
    clip = counting(tmp_path)
    (longer,), (head,) = twins(clip, tmp_path, 1, turns=2), heads(clip, tmp_path, 1)
    times, numbers = read(longer.path)
    assert numbers == [*range(60), *range(60)]
    assert times == pytest.approx(at_rate(RATE, 120), abs=1e-3)
    assert read(head.path)[1] == list(range(head.frames))
    assert 1 <= head.frames < 60
    assert longer.seconds == pytest.approx(4.8)


def test_every_scene_has_its_turn(shared_media: Path) -> None:
    images = [image for image, _ in zip(pictures(shared_media, 160, 90, len(SCENES)), range(len(SCENES)), strict=False)]
    assert {image.shape for image in images} == {(90, 160, 3)}
    assert all(np.abs(a.astype(int) - b).mean() > 2 for a, b in itertools.pairwise(images))


@pytest.mark.parametrize("shape", [(48, 64), (64, 48), (480, 480), (10, 300)])
def test_cover_keeps_the_centre(shape: tuple[int, int]) -> None:
    image = np.zeros((*shape, 3), np.uint8)
    top, left = shape[0] // 2 - shape[0] // 8 - 1, shape[1] // 2 - shape[1] // 8 - 1
    image[top : shape[0] - top, left : shape[1] - left] = 255
    found = cover(image, 90, 50)
    assert found.shape == (50, 90, 3)
    assert found[25, 45].min() > 200


def test_decoders_decode_everything_or_refuse(tmp_path: Path) -> None:
    clip = counting(tmp_path)
    with Decoders.of(1, clip.path) as decoders:
        assert decoders.seconds([clip, clip]) > 0
        with pytest.raises(AssertionError, match="decoded"):
            decoders.seconds([Clip(clip.path, 61)])


def test_keyframes_and_needed_frames_are_counted(tmp_path: Path) -> None:
    clip = counting(tmp_path)
    assert count_keyframes(str(clip.path)) == 3
    assert read_needed(str(clip.path), 5.0) == 12
    with Decoders.of(1, clip.path) as decoders:
        assert decoders.keyframes([clip]) > 0
        assert decoders.needed([clip], 5.0) > 0


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        (ScanSettings(fps=5), ["--fps", "5"]),
        (ScanSettings(fps=0, follow_faces=True, measures=False), ["--fps", "0", "--follow-faces", "--no-measures"]),
        (ScanSettings(fps=2.5, adaptive=True), ["--fps", "2.5", "--adaptive"]),
    ],
)
def test_a_command_has_the_options_of_the_settings(settings: ScanSettings, options: list[str]) -> None:
    assert options_of(settings) == options


def test_versions_are_compared_by_the_slope(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = []

    def taken(checkout: Path, clips: Sequence[Clip], options: Sequence[str]) -> float:
        asked.append((checkout, list(options)))
        return 1.5 + sum(clip.seconds for clip in clips) / 20

    monkeypatch.setattr(throughput_wall, "seconds_of", taken)
    long, short = Clip(tmp_path / "long", 50 * RATE), Clip(tmp_path / "short", 2 * RATE)
    found = throughput_wall.analyse(tmp_path, [long, long], [short, short], ["--fps", "0"])
    assert (found.whole, found.net) == pytest.approx((6.5, 5.0))
    assert asked == [(tmp_path, ["--fps", "0"])] * 2
    assert throughput_wall.spread([3.0, 1.0, 2.0]) == "2.00 (1.00 to 3.00)"


def test_net_is_the_slope_between_a_long_and_a_short_call() -> None:
    start, speed = 1.5, 20.0
    times = Times(3.0, 1.0, 2.0, start + 240 / speed, start + 4 / speed, 240, 4, 1200, 5)
    assert times.net == pytest.approx(240 / speed)


def test_peaks_distinguish_the_processes() -> None:
    code = """
import subprocess, sys
held = bytearray(b"x") * (100 << 20)
subprocess.run([sys.executable, "-c", "held = bytearray(b'x') * (50 << 20); import time; time.sleep(1)"], check=True)
"""
    _, found = peaks([sys.executable, "-c", code])
    assert [peak.role for peak in found] == ["main", "other"]
    assert found[0].megabytes > 100
    assert 50 < found[1].megabytes < 100
    with pytest.raises(AssertionError, match="exit code"):
        peaks([sys.executable, "-c", "raise SystemExit(3)"])


# the profile


def function_of(file: str, name: str, body: str) -> Callable[..., object]:
    """A function that appears to be in a file of fervid."""
    space: dict[str, Callable[..., object]] = {}
    exec(compile(f"def {name}(*given):\n    {body}\n", str(ROOT / "fervid" / file), "exec"), space)
    return space[name]


@pytest.mark.parametrize(
    ("file", "name", "stage"),
    [
        ("faces/detectors.py", "detect", "detect"),
        ("faces/detectors.py", "create_detector", "start-up"),
        ("video/reader.py", "_decode", "decode"),
        ("video/reader.py", "_convert", "convert"),
        ("video/reader.py", "_thumbnail", "cuts"),
        ("results/reader.py", "write", "finish"),
        ("elsewhere.py", "anything", "other"),
    ],
)
def test_a_stack_belongs_to_the_innermost_file_of_fervid(file: str, name: str, stage: str) -> None:
    frame = function_of(file, name, "return given[0]()")(lambda: sys._getframe())
    assert isinstance(frame, FrameType)
    assert stage_of(frame) == stage
    assert function_of("scan/scan.py", "scan", "return given[0](given[1]())")(stage_of, lambda: frame) == stage


def test_everything_that_a_scan_uses_has_a_stage() -> None:
    due, used = {"scan/scan"}, set[str]()
    while due:
        module = due.pop()
        used.add(module)
        due |= modules_imported(PACKAGE / f"{module}.py") - used
    basic = {"errors", "types", "settings", "settings_io"}
    assert {module for module in used - basic if stage_of_module(module) == "other"} == set()
    assert set(FILES.values()) <= set(STAGES)


def test_the_sampler_divides_all_the_time() -> None:
    # processor time does not depend on other processes
    body = "import time; until = time.process_time() + given[0]\n    while time.process_time() < until: pass"
    detect, track = function_of("faces/detectors.py", "detect", body), function_of("faces/tracking.py", "update", body)
    started, used = time.perf_counter(), time.process_time()
    with Sampler() as sampler:
        for _ in range(5):
            detect(0.06)
            track(0.02)
    assert sum(sampler.seconds.values()) <= time.perf_counter() - started
    assert sum(sampler.processor.values()) <= time.process_time() - used
    assert set(sampler.processor) == set(sampler.seconds) <= {"detect", "track", "other"}
    assert sampler.processor["detect"] > sampler.processor["track"] > 0


@pytest.mark.slow
def test_one_process_is_profiled(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["throughput_profile", str(SAMPLES / "cut.mp4"), "--fps", "1"])
    throughput_profile.main()
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"wall", "processor"}
    for seconds in found.values():
        assert list(seconds) == list(STAGES)
        assert min(seconds.values()) >= 0
        assert all(seconds[stage] > 0 for stage in ("decode", "detect", "classify", "start-up"))


# the peer


def test_the_peer_reads_the_frames_that_fervid_samples(tmp_path: Path) -> None:
    clip = counting(tmp_path)
    indices = fer_runs.sampled(clip.path, 5)
    assert indices == list(range(0, 60, 5))
    assert fer_runs.sampled(clip.path, 0) == list(range(60))
    images = list(fer_script.frames(str(clip.path), indices))
    assert [read_number(image) for image in images] == indices
    assert np.abs(images[1].astype(int) - draw_number(5)).mean() < 12


@pytest.mark.slow
@pytest.mark.parametrize("processes", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_the_peer_counts_frames_and_faces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: int) -> None:
    stand_in(tmp_path, monkeypatch, "return [{}, {}]")
    clips = twins(counting(tmp_path), tmp_path, 2)
    indices = [[0, 10, 20], [5]]
    found = fer_runs.run(Path(sys.executable), clips, indices, "haar", processes)
    assert (found.processes, found.frames, found.faces) == (processes, 4, 8)
    with pytest.raises(AssertionError, match="the peer read"):
        fer_runs.run(Path(sys.executable), clips, [[0], [100]], "haar", processes)


def test_a_peer_that_dies_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, monkeypatch, "import os; os._exit(3)")
    with pytest.raises(RuntimeError, match="a process of the peer died"):
        fer_runs.run(Path(sys.executable), [counting(tmp_path)], [[0, 1]], "haar", 1)


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """A stand-in for the package ``fer`` whose detector runs ``body``. The real one needs its own environment."""
    package = folder / "peer" / "fer"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    code = f"class FER:\n    def __init__(self, mtcnn): pass\n    def detect_emotions(self, image):\n        {body}\n"
    (package / "fer.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(package.parent))


# the command


@pytest.mark.slow
@pytest.mark.usefixtures("_small", "replayed_scans")
def test_the_command_prints_and_saves_a_table(
    shared_media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "raw.json"
    options = ["--only=decode", "--case=720p-h264", "--fps=5", "--rounds=1", "--seconds=2", "--files=1", "--workers=1"]
    places = ["--media", str(shared_media), "--work", str(tmp_path / "work"), "--json", str(kept)]
    monkeypatch.setattr(sys, "argv", ["throughput", *places, *options])
    throughput.main()
    printed, raw = capsys.readouterr().out, json.loads(kept.read_text())
    (row,) = raw["decode"]
    assert (row["size"], row["codec"], row["fps"], row["sampled"]) == ("720p", "h264", 5.0, 10)
    assert row["decode"] > 0
    assert row["video"] == 2
    assert "tensorflow" in raw["machine"]["versions"]
    assert "| 720p h264 |" in printed


def test_a_command_can_be_limited_to_some_cores() -> None:
    core = min(os.sched_getaffinity(0))
    line = [sys.executable, "-c", f"import os; assert os.sched_getaffinity(0) == {{{core}}}"]
    assert fresh(line, [core]) > 0
    if len(os.sched_getaffinity(0)) > 1:
        with pytest.raises(subprocess.CalledProcessError):
            fresh(line)


def test_every_table_can_be_selected() -> None:
    asked = throughput.parse(["--media", "m", *(f"--only={name}" for name in throughput.SECTIONS), "--minutes", "1"])
    assert asked.only == list(throughput.SECTIONS)
    assert asked.minutes == [1.0]
