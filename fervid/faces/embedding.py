"""Face embeddings: vectors whose cosine similarity says how likely two faces are the same person."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fervid.faces.alignment import align
from fervid.runtime.onnx_editing import with_inputs, with_plain_activations
from fervid.runtime.onnx_session import open_session
from fervid.runtime.opencv import cv2
from fervid.runtime.weights import ShippedFile
from fervid.types import ByteArray, Face, FloatArray

SFACE = ShippedFile("sface.onnx", "fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee")
ALIGNED_SIDE = 112
"""Side of the network's input in pixels."""


def aligned_face(image: ByteArray, face: Face) -> ByteArray:
    """Align a face as the embedder needs it.

    Args:
        image: (h, w, 3) uint8, blue-green-red.
        face: The face, in pixels of the image.

    Returns:
        (112, 112, 3) uint8, blue-green-red.
    """
    return align(image, face, ALIGNED_SIDE)


class FaceEmbedder:
    """SFace (Zhong et al., 2021) on one CPU thread, with the MobileFaceNet weights of OpenCV's model zoo."""

    name = "sface"
    sha256 = SFACE.sha256

    def __init__(self, path: Path | None = None) -> None:
        graph = with_plain_activations(with_inputs(SFACE.read(path), ["data"]))
        # Only the weights are quantised. Computing in float is faster and changes cosines by less than 0.001.
        self._session = open_session(graph, session__disable_quant_qdq="1")

    def embed(self, image: ByteArray, face: Face) -> FloatArray:
        """Embed a face of an image.

        Args:
            image: (h, w, 3) uint8, blue-green-red.
            face: The face, in pixels of the image.

        Returns:
            (128,) float32 unit vector. Dot products are cosine similarities.
        """
        return self.embed_aligned(aligned_face(image, face))

    def embed_aligned(self, aligned: ByteArray) -> FloatArray:
        """Embed an aligned face.

        Args:
            aligned: (112, 112, 3) uint8, blue-green-red, from ``aligned_face``.

        Returns:
            (128,) float32 unit vector.
        """
        pixels = np.asarray(cv2.cvtColor(aligned, cv2.COLOR_BGR2RGB), np.float32).transpose(2, 0, 1)[None]
        vector = np.asarray(self._session.run(None, {"data": np.ascontiguousarray(pixels)})[0], np.float32).ravel()
        return vector / max(float(np.linalg.norm(vector)), 1e-6)


def describe_embedder() -> tuple[str, str]:
    """Name the embedder that a scan uses.

    Returns:
        Its name and the SHA-256 of its weights.
    """
    return FaceEmbedder.name, FaceEmbedder.sha256
