"""Peak memory of the main process and of a worker, by length of the video.

A clip is repeated to each length without encoding it again, and analysed by the command line. The peaks are those that
Linux reports (VmHWM).

    python -m tests.benchmarks.memory CLIP [--minutes 5 --minutes 60] [--fps 5]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import av

from tests.benchmarks.throughput_runs import peaks as all_peaks


def repeat(clip: Path, seconds: float, out: Path) -> Path:
    """Repeat the video stream of ``clip`` until it is at least ``seconds`` long."""
    with av.open(str(clip)) as source, av.open(str(out), "w") as target:
        stream = source.streams.video[0]
        copy: Any = target.add_stream_from_template(stream)
        packets = [(packet.pts, packet.dts, packet.duration, bytes(packet), packet.is_keyframe)
                   for packet in source.demux(stream) if packet.dts is not None and packet.pts is not None]  # fmt: skip
        base = stream.time_base
        assert base is not None
        length = max(pts + (duration or 0) for pts, _, duration, _, _ in packets) - min(dts for _, dts, *_ in packets)
        for turn in range(int(seconds / (length * base)) + 1):
            for pts, dts, duration, data, key in packets:
                packet = av.Packet(data)
                packet.stream, packet.time_base, packet.is_keyframe = copy, base, key
                packet.pts, packet.dts, packet.duration = pts + turn * length, dts + turn * length, duration or 0
                target.mux(packet)
    return out


def peaks(line: list[str]) -> tuple[float, float]:
    """Run a command; return the peak memory of its main process and of its largest other process, in MB."""
    _, found = all_peaks(line)
    return (
        max(peak.megabytes for peak in found if peak.role == "main"),
        max(peak.megabytes for peak in found if peak.role != "main"),
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--minutes", type=float, action="append")
    parser.add_argument("--fps", type=float, default=5.0)
    arguments = parser.parse_args()
    print("| minutes of video | main process, MB | worker, MB |\n|---|---|---|")
    for minutes in arguments.minutes or [5.0, 60.0]:
        with tempfile.TemporaryDirectory() as folder:
            video = repeat(arguments.clip, 60 * minutes, Path(folder) / "long.mp4")
            out = str(Path(folder) / "r.parquet")
            line = [sys.executable, "-m", "fervid", "analyze", str(video), "--out", out, "--workers", "1"]
            main_peak, worker_peak = peaks([*line, "--fps", str(arguments.fps)])
        print(f"| {minutes:g} | {main_peak:.0f} | {worker_peak:.0f} |", flush=True)


if __name__ == "__main__":
    main()
