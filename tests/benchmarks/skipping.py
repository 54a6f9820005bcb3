"""Leaving out frames that are not needed: what it saves, and that it changes nothing.

    python -m tests.benchmarks.skipping --media ../shared/media [--work FOLDER] [--seconds 24] [--rounds 2]
    python -m tests.benchmarks.skipping --check ../shared/media sample_videos

The first measures processor time with and without it, in turns: of reading (decoding, finding cuts, converting the
samples), and of a whole scan without measures. The clips are that of the throughput benchmark and a talking head, 720p
H.264. The second compares the sampled frames to the bit, their times, the cuts and the notes of all videos of folders.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import os
import sys
import tempfile
import time as clock
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fervid.faces.crop import FER2013_GEOMETRY
from fervid.runtime.opencv import cv2
from fervid.scan import scan
from fervid.scan.between_samples import analyze_frames
from fervid.settings import ScanSettings
from fervid.types import ByteArray, Frame
from fervid.video.needed_packets import SkippingFailed
from fervid.video.reader import SkippingReader, VideoReader
from fervid.video.shots import ShotBoundaryDetector
from tests.benchmarks.throughput_clips import CODECS, Clip, cover, encode, make
from tests.support.no_faces import NoFaces

ENDINGS = {".mp4", ".mkv", ".mov", ".webm", ".avi"}


@dataclass
class Reading:
    """What reading a video gave.

    Attributes:
        samples: Index → time, size and hash of each sampled frame.
        cuts: Times of the first frames of shots.
        noticed: What the reader noticed.
        frames: Number of frames.
        left_out: How many of them were not decoded.
    """

    samples: dict[int, tuple[Any, ...]] = field(default_factory=dict)
    cuts: list[float] = field(default_factory=list)
    noticed: tuple[Any, ...] = ()
    frames: int = 0
    left_out: int = 0


def read(path: Path, skip: bool, fps: float) -> Reading:
    """Read a video and find its cuts.

    Args:
        path: The video.
        skip: Whether frames may be left out.
        fps: Samples per second.

    Returns:
        What it gave. If leaving out fails, what reading every frame gave.
    """
    result, detector = Reading(), ShotBoundaryDetector()
    try:
        with (SkippingReader if skip else VideoReader)(path, fps=fps, threads=1) as reader:
            for found in analyze_frames(_noted(reader, result), NoFaces(), reader):
                detector.update(found.time, found.thumbnail, found.shape, found.skipped, found.is_cut)
                result.left_out += len(found.skipped)
            noticed = reader.corrupt, reader.truncated, reader.end_time, reader.duration, reader.repaired
            result.noticed = (*noticed, list(map(str, reader.jumps)), reader.info, reader.stream_note)
    except SkippingFailed:
        return read(path, False, fps)
    result.cuts = detector.finish()
    return result


def _noted(reader: VideoReader, result: Reading) -> Iterator[Frame]:
    for frame in reader.frames():
        result.frames += 1 + len(frame.skipped)
        if frame.sampled:
            digest = hashlib.blake2b(frame.image.tobytes()).digest()
            result.samples[frame.index] = frame.time, frame.shape, digest
        yield frame


def check(folders: list[Path]) -> bool:
    """Compare both ways of reading, and print a line for each video.

    Args:
        folders: Folders with videos.

    Returns:
        Whether they agree everywhere.
    """
    same = True
    print("| video | frames | not decoded | samples | cuts | the same |\n|---|---|---|---|---|---|")
    for path in sorted(path for folder in folders for path in folder.iterdir() if path.suffix in ENDINGS):
        for fps in (5.0, 1.0):
            full, sparse = read(path, False, fps), read(path, True, fps)
            differs = [
                name for name in ("samples", "cuts", "noticed", "frames") if vars(full)[name] != vars(sparse)[name]
            ]
            same &= not differs
            numbers = full.frames, sparse.left_out, len(full.samples), len(full.cuts)
            print(f"| {path.name}, {fps:g} fps | {' | '.join(map(str, numbers))} | {', '.join(differs) or 'yes'} |")
    return same


def measure(clips: dict[str, Path], rounds: int) -> None:
    """Measure processor time with and without, in turns, and print the least of each.

    Args:
        clips: Title → video.
        rounds: Number of turns.
    """
    print("| clip | fps | not decoded | reading, s: all, needed | ratio | scan, s: all, needed | ratio |")
    print("|---|---|---|---|---|---|---|")
    for (title, path), fps in itertools.product(clips.items(), (5.0, 1.0)):
        spent: dict[tuple[str, bool], list[float]] = {}
        share = 0.0
        for _, skip in itertools.product(range(rounds), (False, True)):
            begin = clock.process_time()
            result = read(path, skip, fps)
            middle = clock.process_time()
            _scan(path, skip, fps)
            spent.setdefault(("read", skip), []).append(middle - begin)
            spent.setdefault(("scan", skip), []).append(clock.process_time() - middle)
            share = result.left_out / result.frames
        (full, sparse), (whole, less) = (
            [min(spent[what, skip]) for skip in (False, True)] for what in ("read", "scan")
        )
        ratios = f"{full:.2f}, {sparse:.2f} | {sparse / full:.2f} | {whole:.2f}, {less:.2f} | {less / whole:.2f}"
        print(f"| {title} | {fps:g} | {share:.0%} | {ratios} |", flush=True)


def _scan(path: Path, skip: bool, fps: float) -> None:
    vars(scan)["SKIPS_FRAMES"] = skip
    with tempfile.TemporaryDirectory() as folder:
        settings = ScanSettings(fps=fps, measures=False)
        scan.scan_video(path, "0", settings, FER2013_GEOMETRY, Path(folder) / "crops")


def talking_head(media: Path, folder: Path, seconds: float) -> Clip:
    """A talking head in 720p, encoded like the clips of the throughput benchmark.

    Args:
        media: Folder with the real clips.
        folder: Where it is written, unless it is there.
        seconds: Length; the frames go forth and back.

    Returns:
        The clip.
    """
    frames = round(25 * seconds)
    path = folder / f"head_{frames}.mp4"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with VideoReader(media / "talking_d3.mp4", fps=0) as reader:
            once: list[ByteArray] = [cover(frame.image, 1280, 720) for frame in itertools.islice(reader.frames(), 250)]
        images = itertools.islice(itertools.cycle([*once, *once[-2:0:-1]]), frames)
        encode(images, path.with_name(f"partial_{path.name}"), 1280, 720, CODECS["h264"])
        os.replace(path.with_name(f"partial_{path.name}"), path)
    return Clip(path, frames)


def main() -> None:
    """Measure or compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--media", type=Path, help="folder with the real clips")
    parser.add_argument("--check", type=Path, nargs="+", default=[], help="folders whose videos are compared")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "fervid-skipping")
    parser.add_argument("--seconds", type=float, default=24.0)
    parser.add_argument("--rounds", type=int, default=2)
    asked = parser.parse_args()
    cv2.setNumThreads(1)
    if asked.media:
        mixed = make(asked.media, asked.work, "720p", "h264", asked.seconds)
        head = talking_head(asked.media, asked.work, asked.seconds)
        measure({"throughput clip": mixed.path, "talking head": head.path}, asked.rounds)
    if asked.check and not check(asked.check):
        sys.exit("reading with fewer frames gave something else")


if __name__ == "__main__":
    main()
