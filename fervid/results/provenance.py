"""The provenance of a result: versions, detector, embedder and weights."""

from __future__ import annotations

from fervid.emotions.sidecar import Sidecar
from fervid.faces.detectors import describe_detector
from fervid.faces.embedding import describe_embedder
from fervid.faces.mesh import describe_mesher
from fervid.results.schema import SCHEMA_VERSION
from fervid.settings import ScanSettings
from fervid.version import __version__


def made_with(settings: ScanSettings, sidecar: Sidecar) -> dict[str, str]:
    """Describe the software and the weights of an analysis.

    Args:
        settings: They name the detector and its weights, and say whether faces are measured.
        sidecar: The sidecar of the emotion network.

    Returns:
        Versions, names and SHA-256 hashes, as in the metadata of results.

    Raises:
        BadWeights: The detector's weights are damaged.
        MissingLibrary: The detector's package is not installed.
    """
    detector, detector_sha256 = describe_detector(settings)
    embedder, embedder_sha256 = describe_embedder()
    return {
        "schema_version": str(SCHEMA_VERSION),
        "version": __version__,
        "weights_sha256": sidecar.weights_sha256,
        "onnx_sha256": sidecar.onnx_sha256,
        "detector": detector,
        "detector_sha256": detector_sha256,
        "embedder": embedder,
        "embedder_sha256": embedder_sha256,
        **({"mesh_sha256": describe_mesher()} if settings.measures else {}),
    }
