"""Runs the package ``fer`` in its own environment on the frames that fervid samples."""

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
"""It needs old versions of the other three packages, because it uses a module that newer ones have removed."""

DETECTORS = ("mtcnn", "haar")

SCRIPT = Path(__file__).with_name("fer_script.py")


@dataclass(frozen=True)
class PeerRun:
    """Seconds that ``fer`` took with a number of processes, and the frames and faces that it counted."""

    processes: int
    seconds: float
    frames: int
    faces: int


def environment(folder: Path) -> Path:
    """The Python interpreter of the environment of ``fer`` in ``folder``. It is created if it is missing."""
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    ready = folder / "ready"
    if not ready.exists():
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
        ready.touch()
    return python


def versions(python: Path) -> str:
    """Versions of the packages that ``fer`` uses."""
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
    """Run ``fer`` on these frames of the clips. ``detector``: ``mtcnn`` or ``haar``."""
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
