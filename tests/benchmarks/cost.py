"""Cost of an hour of video: processor seconds by stage, and bytes on disk.

A clip is scaled to a height, repeated, and analysed one video at a time: scanned (decoding, detection, tracking,
cropping), classified and written. The table shows costs per hour of video, and for many hours. Loading the models is
left out, because each worker does it only once.

    python -m tests.benchmarks.cost CLIP [--height 720] [--minutes 3] [--fps 5] [--hours 1000000] [--days 30]
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fervid.emotions.sidecar import SHIPPED, read_sidecar
from fervid.files.fingerprint import fingerprint
from fervid.results.parts import Entry, write_part
from fervid.results.rows import result_rows
from fervid.results.writer import compose
from fervid.runtime.opencv import cv2
from fervid.scan.scan import scan_video
from fervid.settings import ScanSettings, TimelineSettings
from fervid.video.reader import VideoReader
from fervid.video.writer import VideoWriter
from tests.benchmarks.memory import repeat

BATCH = 256

COPIES = 100
"""Number of videos in the table that is composed."""


@dataclass(frozen=True)
class Cost:
    """One video: length in hours, processor seconds by stage, samples, faces, and bytes by file."""

    hours: float
    seconds: dict[str, float]
    samples: int
    faces: int
    sizes: dict[str, int]


def enlarge(clip: Path, height: int, out: Path) -> Path:
    """Encode the clip as H.264 at another height."""
    with VideoReader(clip, fps=0.0) as reader:
        width = round(reader.info.width * height / reader.info.height / 2) * 2
        with VideoWriter(out, width, height) as writer:
            for frame in reader.frames():
                writer.write(np.asarray(cv2.resize(frame.image, (width, height)), np.uint8), frame.time)
    return out


def measure(video: Path, fps: float, folder: Path) -> Cost:
    """Scan, classify and write one video. The models are loaded before the clock starts."""
    from fervid.emotions.classifier import load_classifier

    settings = ScanSettings(fps=fps)
    model, geometry = load_classifier(), read_sidecar(SHIPPED).geometry
    scan_video(video, "0" * 32, ScanSettings(fps=fps, end=2.0), geometry, folder / "warm")
    seconds = {}

    def spent(stage: str, begun: float) -> float:
        seconds[stage] = time.process_time() - begun
        return time.process_time()

    clock = time.process_time()
    video_id = fingerprint(video)
    clock = spent("fingerprint", clock)
    found = scan_video(video, video_id, settings, geometry, folder / "crops")
    spent("scan", clock)
    model.probabilities(found.crops[:BATCH])
    clock = time.process_time()
    probabilities = [
        model.probabilities(found.crops[start : start + BATCH]) for start in range(0, len(found.crops), BATCH)
    ]
    clock = spent("score", clock)
    timeline, rows = result_rows(found, np.concatenate(probabilities), TimelineSettings())
    part = folder / f"{found.video_id}.parquet"
    write_part(part, timeline, rows)
    spent("finish", clock)
    row = rows["videos"][0]
    clock = time.process_time()
    compose(folder / "table.parquet", [Entry(f"{number}.mp4", part, row) for number in range(COPIES)], {}, folder)
    spent("compose", clock)
    seconds["compose"] /= COPIES
    hours = float(found.info.duration or found.times[-1]) / 3600
    sizes = {name: (folder / name).stat().st_size for name in ("crops", part.name)}
    return Cost(hours, seconds, len(found.times), len(found.crops), sizes)


def table(cost: Cost, hours: float, days: float) -> str:
    """The costs per hour of video, and of processing ``hours`` within ``days``, as a Markdown table."""
    lines = [f"| per hour of video | here | for {hours:,.0f} hours in {days:g} days |", "|---|---|---|"]
    for stage, spent in cost.seconds.items():
        each = spent / cost.hours
        lines.append(f"| {stage}, processor s | {each:.1f} | {each * hours / days / 86400:,.1f} cores |")
    each = sum(cost.seconds.values()) / cost.hours
    lines.append(f"| all, processor s | {each:.1f} | {each * hours / days / 86400:,.1f} cores |")
    for name, count in (("samples", cost.samples), ("faces", cost.faces)):
        each = count / cost.hours
        lines.append(f"| {name} | {each:,.0f} | {each * hours / days / 86400:,.0f} a second |")
    for name, size in cost.sizes.items():
        each = size / cost.hours
        lines.append(f"| {name}, bytes | {each:,.0f} | {each * hours / 1e12:,.2f} TB |")
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--height", type=int, default=720)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--fps", type=float, default=5.0)
    parser.add_argument("--hours", type=float, default=1e6)
    parser.add_argument("--days", type=float, default=30.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = enlarge(arguments.clip, arguments.height, folder / "clip.mp4")
        video = repeat(clip, 60 * arguments.minutes, folder / "long.mp4")
        cost = measure(video, arguments.fps, folder)
        size = video.stat().st_size
    length = f"{cost.hours * 60:.1f} minutes, {size / cost.hours / 1e9:.2f} GB an hour"
    print(f"{arguments.clip.name}, {arguments.height}p H.264: {length}")
    print(f"{arguments.fps:g} samples a second; {platform.processor() or platform.machine()}, {platform.platform()}\n")
    print(table(cost, arguments.hours, arguments.days))
    print(f"\ncomposing takes {1000 * cost.seconds['compose']:.1f} ms a video of this length")


if __name__ == "__main__":
    main()
