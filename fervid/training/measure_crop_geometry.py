"""The crop geometry of FER2013: where its images frame a face, measured with a face detector.

``python -m fervid.training.measure_crop_geometry DATA...`` prints it for a data set.
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
"""Factor by which images are enlarged before detection."""

MARGIN = 16
"""Pixels of repeated edge around an image, so that a box can extend beyond the image as in video."""

SAMPLE = 1500
"""Number of images that are measured."""


def measure(images: ByteArray, detector: FaceDetector) -> CropGeometry:
    """Measure the geometry that turns a detected box into the framing of images.

    It is the median over the images in which a face is found. In an image with several faces the largest counts.

    Args:
        images: Gray face images (n, 48, 48) uint8.
        detector: The face detector.

    Returns:
        The crop geometry.

    Raises:
        BadDataset: No image has a detectable face.
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
        raise BadDataset("no face was detected in these images")
    scale, shift_x, shift_y = np.median(measured, axis=0)
    return CropGeometry(float(scale), float(shift_x), float(shift_y))


if __name__ == "__main__":
    from fervid.training.dataset import read

    images = read([Path(argument) for argument in sys.argv[1:]], "Training").images
    chosen = np.random.default_rng(0).permutation(len(images))[:SAMPLE]
    print(measure(images[chosen], create_detector(ScanSettings())))
