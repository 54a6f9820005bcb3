"""The peer ``fer`` in an environment of its own, run on the frames that fervid samples."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fervid.video.reader import VideoReader
from tests.benchmarks.throughput_clips import Clip

VERSION = "25.10.3"

PACKAGES = (f"fer=={VERSION}", "opencv-contrib-python<5", "setuptools<81", "moviepy==1.0.3")
"""With newer ones of the latter three it does not run: it uses a module that they have dropped."""

DETECTORS = ("mtcnn", "haar")

SCRIPT = Path(__file__).with_name("throughput_peer.py")


@dataclass(frozen=True)
class PeerRun:
    """What the peer took with so many processes, and how many frames and faces it saw."""

    processes: int
    seconds: float
    frames: int
    faces: int


def environment(folder: Path) -> Path:
    """The interpreter of an environment in ``folder`` that holds the peer; made and filled where it is missing."""
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    ready = folder / "ready"
    if not ready.exists():
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
        ready.touch()
    return python


def versions(python: Path) -> str:
    """What the peer runs on."""
    code = "from importlib.metadata import version as v; print(*(f'{n} {v(n)}' for n in {names}), sep=', ')"
    names = ("fer", "facenet-pytorch", "torch", "opencv-contrib-python", "tensorflow")
    return subprocess.run(
        [python, "-c", code.replace("{names}", repr(names))], check=True, capture_output=True, text=True
    ).stdout.strip()


def sampled(path: Path, fps: float) -> list[int]:
    """Indices of the frames that fervid samples."""
    with VideoReader(path, fps=fps) as reader:
        return [frame.index for frame in reader.frames() if frame.sampled]


def run(python: Path, clips: Sequence[Clip], indices: Sequence[list[int]], detector: str, processes: int) -> PeerRun:
    """Let the peer analyse those frames of the clips; ``detector``: ``mtcnn`` or ``haar``."""
    job = {
        "files": [str(clip.path) for clip in clips],
        "indices": list(indices),
        "detector": detector,
        "processes": processes,
    }
    done = subprocess.run([python, SCRIPT], input=json.dumps(job), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the peer failed: {done.stderr.strip()[-2000:]}")
    answer = json.loads(done.stdout.strip().splitlines()[-1])
    found = PeerRun(processes, answer["seconds"], answer["frames"], answer["faces"])
    assert found.frames == sum(map(len, indices)), f"the peer read {found.frames} frames"
    return found
