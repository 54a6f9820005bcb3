"""Runs the package ``fer`` for the throughput benchmark, in its own environment. It imports nothing of fervid.

Reads a JSON object from standard input: ``files``, ``indices`` (the frames to analyse, per file), ``detector``
(``mtcnn`` or ``haar``) and ``processes``. Files are read with OpenCV's VideoCapture, as in the package; frames that are
not needed are skipped without conversion. Everything is loaded and has processed a frame before the clock starts. A
single process may use all cores through its libraries. Of several processes, each uses one thread and takes every n-th
file. Prints ``seconds``, ``frames`` and ``faces``.
"""

from __future__ import annotations

import importlib
import json
import multiprocessing
import sys
import time
from typing import Any


def frames(path: str, indices: list[int]) -> Any:
    """The frames at ``indices``, blue-green-red."""
    cv2: Any = importlib.import_module("cv2")
    capture, wanted = cv2.VideoCapture(path), iter(indices)
    following, index = next(wanted, None), 0
    while following is not None and capture.grab():
        if index == following:
            found, image = capture.retrieve()
            if found:
                yield image
            following = next(wanted, None)
        index += 1
    capture.release()


def prepare(detector: str, alone: bool) -> Any:
    """The detector of ``fer``. Unless it runs ``alone``, it uses one thread."""
    if detector == "mtcnn":  # import before TensorFlow; PyTorch crashes if it is loaded later
        importlib.import_module("torch._dynamo")
        importlib.import_module("facenet_pytorch")
    if not alone:
        importlib.import_module("cv2").setNumThreads(1)
        if detector == "mtcnn":
            importlib.import_module("torch").set_num_threads(1)
    return importlib.import_module("fer.fer").FER(mtcnn=detector == "mtcnn")


def analyse(job: dict[str, Any], number: int, line: Any) -> None:
    """Process every n-th file after a start signal. Sends a ready signal, then (start, end, frames, faces)."""
    analyser = prepare(job["detector"], job["processes"] == 1)
    files = list(zip(job["files"], job["indices"], strict=True))[number :: job["processes"]]
    for path, indices in files[:1]:
        for image in frames(path, indices[:2]):
            analyser.detect_emotions(image)
    line.send("ready")
    line.recv()
    begun, count, faces = time.monotonic(), 0, 0
    for path, indices in files:
        for image in frames(path, indices):
            count += 1
            faces += len(analyser.detect_emotions(image))
    line.send((begun, time.monotonic(), count, faces))


def main() -> None:
    """Print the result on standard output. If a process dies, exit with an error code."""
    job = json.load(sys.stdin)
    context = multiprocessing.get_context("spawn")
    lines = []
    for number in range(job["processes"]):
        ours, theirs = context.Pipe()
        context.Process(target=analyse, args=(job, number, theirs), daemon=True).start()
        theirs.close()  # so that the pipe closes when the process ends
        lines.append(ours)
    try:
        for line in lines:
            line.recv()
        for line in lines:
            line.send("begin")
        found = [line.recv() for line in lines]
    except (EOFError, BrokenPipeError):
        sys.exit("a process of the peer died")
    begun, ended, count, faces = zip(*found, strict=True)
    print("\n" + json.dumps({"seconds": max(ended) - min(begun), "frames": sum(count), "faces": sum(faces)}))


if __name__ == "__main__":
    main()
