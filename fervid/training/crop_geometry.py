"""How FER2013 frames a face: the crop geometry, measured with a detector.

``python -m fervid.training.crop_geometry DATA...`` prints it for a data set.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from fervid.errors import BadDataset
from fervid.faces.crop import SIZE, CropGeometry
from fervid.faces.detectors import FaceDetector, create_detector
from fervid.runtime.opencv import cv2
from fervid.settings import ScanSettings
from fervid.types import ByteArray

ENLARGE = 4
MARGIN = 16
"""Pixels of repeated edge around an image, so that a box may reach over the frame as it does in video."""


def measure(images: ByteArray, detector: FaceDetector) -> CropGeometry:
    """The geometry that turns a detected box into the framing of ``images`` (n, 48, 48) uint8.

    The median over the images in which the detector finds a face, the largest where it finds several.
    Raises BadDataset where it finds none.
    """
    measured = []
    for image in images:
        large = cv2.resize(image, None, fx=ENLARGE, fy=ENLARGE, interpolation=cv2.INTER_CUBIC)
        pad = MARGIN * ENLARGE
        framed = cv2.copyMakeBorder(large, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
        faces = detector.detect(np.asarray(cv2.cvtColor(framed, cv2.COLOR_GRAY2BGR), np.uint8))
        if not faces:
            continue
        face = max(faces, key=lambda found: found.width * found.height)
        centre = [(face.x + face.width / 2) / ENLARGE - MARGIN, (face.y + face.height / 2) / ENLARGE - MARGIN]
        side = np.sqrt(face.width * face.height) / ENLARGE
        measured.append([SIZE / side, 0.5 - centre[0] / SIZE, 0.5 - centre[1] / SIZE])
    if not measured:
        raise BadDataset("the detector finds no face in these images")
    scale, shift_x, shift_y = np.median(measured, axis=0)
    return CropGeometry(float(scale), float(shift_x), float(shift_y))


if __name__ == "__main__":
    from fervid.training.dataset import read

    found = read([Path(argument) for argument in sys.argv[1:]], "Training").images
    chosen = np.random.default_rng(0).permutation(len(found))[:1500]
    print(measure(found[chosen], create_detector(ScanSettings())))
