"""From an image to its faces with their crops: detect, drop small faces, crop, rate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from fervid.faces.covered import CoverDetector
from fervid.faces.crop import CropGeometry, crop_face
from fervid.faces.measures import FaceMeasures, measure
from fervid.faces.mesh import FaceMesher, Mesh
from fervid.faces.quality import face_quality
from fervid.runtime.opencv import cv2
from fervid.types import ByteArray, Face


@dataclass(frozen=True)
class FaceNetworks:
    """The networks that measure faces.

    Attributes:
        mesher: Finds meshes.
        cover: Sees whether a face is covered.
    """

    mesher: FaceMesher = field(default_factory=FaceMesher)
    cover: CoverDetector = field(default_factory=CoverDetector)


@dataclass(frozen=True, eq=False)
class FoundFaces:
    """The faces of one image.

    Attributes:
        faces: The faces, best score first, in pixels of the image.
        crops: (48, 48) uint8 of each face.
        qualities: ``face_quality`` of each face, in [0, 1].
        meshes: The mesh of each face; empty if none was looked for.
        measures: What is measured of each face by its mesh; empty if none was looked for.
        covered: How likely it is that something covers each face, 0 to 1; empty if it was not looked for.
        gray: (h, w) uint8, the image in gray; None if it shows no face.
    """

    faces: list[Face] = field(default_factory=list)
    crops: list[ByteArray] = field(default_factory=list)
    qualities: list[float] = field(default_factory=list)
    meshes: list[Mesh] = field(default_factory=list)
    measures: list[FaceMeasures] = field(default_factory=list)
    covered: list[float] = field(default_factory=list)
    gray: ByteArray | None = None


def find_faces(
    image: ByteArray,
    detect: Callable[[ByteArray], list[Face]],
    geometry: CropGeometry,
    min_face: float,
    networks: FaceNetworks | None = None,
    both_eyes: bool = False,
) -> FoundFaces:
    """Detect the faces of an image, drop small ones, and crop, measure and rate the others.

    Args:
        image: (h, w, 3) uint8, blue-green-red.
        detect: Finds faces in ``image``, such as ``FaceDetector.detect``.
        geometry: Crop geometry of the classifier.
        min_face: Smallest allowed shorter side of a face box, in pixels.
        networks: Measure the faces; None: they are not measured.
        both_eyes: Look at both eyes, not only at the nearer one.

    Returns:
        The faces, their crops, measures and qualities.
    """
    faces = [face for face in detect(image) if min(face.width, face.height) >= min_face]
    if not faces:
        return FoundFaces()
    height, width = image.shape[:2]
    gray = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)
    crops = [crop_face(gray, face, geometry) for face in faces]
    if networks is None:
        rated = [face_quality(face, crop, width, height) for face, crop in zip(faces, crops, strict=True)]
        return FoundFaces(faces, crops, rated, gray=gray)
    meshes = networks.mesher.find(image, faces, both_eyes)
    measures, covered = list(map(measure, meshes)), list(map(networks.cover.covered, crops))
    each = zip(faces, crops, measures, covered, strict=True)
    rated = [face_quality(face, crop, width, height, one, hidden) for face, crop, one, hidden in each]
    return FoundFaces(faces, crops, rated, meshes, measures, covered, gray)
