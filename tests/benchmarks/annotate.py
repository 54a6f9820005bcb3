"""Cost of annotating a video, relative to decoding and encoding it again with the same x264 settings.

All variants run in turns in one process. The table shows the median round. Annotating includes the fingerprint check
and the copying of the audio. Ratios are of wall-clock time; those in brackets are of processor time over all threads.

    fervid analyze VIDEOS --out r.parquet
    python -m tests.benchmarks.annotate r.parquet VIDEOS [NAME...]
"""

from __future__ import annotations

import dataclasses
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from fervid.annotate.annotate import CRF, PRESET, THREADS, annotate
from fervid.files.locate import locate
from fervid.results.reader import Results, read_results
from fervid.video.audio import AudioRemuxer
from fervid.video.reader import VideoReader
from fervid.video.writer import EncoderSettings, VideoWriter

ROUNDS = 3


def encode_again(source: Path, target: Path) -> int:
    """Decode and encode a video without drawing; return the number of frames."""
    count = 0
    with VideoReader(source, fps=0, threads=THREADS) as reader, AudioRemuxer(source, reader.origin) as audio:
        width, height = reader.info.width, reader.info.height
        with VideoWriter(target, width, height, EncoderSettings(CRF, PRESET, THREADS), audio) as writer:
            for moment, planes, _ in reader.planes():
                writer.write_planes(planes, moment)
                count += 1
    return count


def encode_plainly(source: Path, target: Path) -> int:
    """The same with only PyAV, without conversion of the frames and without audio."""
    count = 0
    with av.open(str(source)) as reading, av.open(str(target), "w") as writing:
        stream = reading.streams.video[0]
        stream.thread_type, stream.codec_context.thread_count = "AUTO", THREADS
        out = writing.add_stream("libx264", rate=30, options={"preset": PRESET, "crf": str(CRF), "g": "120", "bf": "0"})
        out.width, out.height, out.pix_fmt = stream.width, stream.height, "yuv420p"
        out.codec_context.thread_count = THREADS
        out.codec_context.time_base = out.time_base = stream.time_base or Fraction(1, 90000)
        for frame in reading.decode(stream):
            frame.pict_type = 0
            writing.mux(out.encode(frame))
            count += 1
        writing.mux(out.encode(None))
    return count


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Wall-clock and processor time of a call, in seconds."""
    started, used = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - started, time.process_time() - used


def measure(results: Results, name: str, source: Path) -> tuple[int, list[tuple[float, float]]]:
    """Number of frames, and both times of PyAV alone, fervid without drawing, minimal, full, and full with blur."""
    only = dataclasses.replace(results, videos=results.videos[results.videos["video"] == name])
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "plain.mp4"
        works: list[Callable[[], object]] = [
            lambda: encode_plainly(source, target),
            lambda: encode_again(source, target),
            lambda: annotate(only, {name: source}, folder, "minimal"),
            lambda: annotate(only, {name: source}, folder, "full"),
            lambda: annotate(only, {name: source}, folder, "full", blur=True),
        ]
        frames = encode_again(source, target)
        rounds = [[seconds(work) for work in works] for _ in range(ROUNDS)]
    return frames, [tuple(times) for times in np.median(rounds, axis=0).tolist()]


def main() -> None:
    """Print frames per second of PyAV alone, and the cost of the others as a ratio to it."""
    results, root = read_results(sys.argv[1]), Path(sys.argv[2])
    names = sys.argv[3:] or results.videos.loc[results.videos["status"] == "ok", "video"].tolist()
    print(
        f"{platform.machine()}, Python {platform.python_version()}, PyAV {av.__version__}, x264 {PRESET}, crf {CRF}\n"
    )
    print("| clip | size | frames | decode and encode, frames/s | nothing drawn | minimal | full | full, --blur |")
    print("|---|---|---|---|---|---|---|---|")
    for name, source in locate(names, root).items():
        size = "x".join(f"{results.videos.set_index('video').loc[name, side]:.0f}" for side in ("width", "height"))
        frames, ((plain, used), *others) = measure(results, name, source)
        ratios = " | ".join(f"{wall / plain:.2f} ({cpu / used:.2f})" for wall, cpu in others)
        print(f"| {name} | {size} | {frames} | {frames / plain:.0f} | {ratios} |", flush=True)


if __name__ == "__main__":
    main()
