"""From an image to its faces with their crops: detect, drop small faces, crop, rate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from fervid.faces.crop import CropGeometry, crop_face
from fervid.faces.measures import FaceMeasures, measure
from fervid.faces.mesh import FaceMesher, Mesh
from fervid.faces.quality import face_quality
from fervid.runtime.opencv import cv2
from fervid.types import ByteArray, Face


@dataclass(frozen=True, eq=False)
class FoundFaces:
    """The faces of one image.

    Attributes:
        faces: The faces, best score first, in pixels of the image.
        crops: (48, 48) uint8 of each face.
        qualities: ``face_quality`` of each face, in [0, 1].
        meshes: The mesh of each face; empty if none was looked for.
        measures: What is measured of each face by its mesh; empty if none was looked for.
        gray: (h, w) uint8, the image in gray; None if it shows no face.
    """

    faces: list[Face] = field(default_factory=list)
    crops: list[ByteArray] = field(default_factory=list)
    qualities: list[float] = field(default_factory=list)
    meshes: list[Mesh] = field(default_factory=list)
    measures: list[FaceMeasures] = field(default_factory=list)
    gray: ByteArray | None = None


def find_faces(
    image: ByteArray,
    detect: Callable[[ByteArray], list[Face]],
    geometry: CropGeometry,
    min_face: float,
    mesher: FaceMesher | None = None,
) -> FoundFaces:
    """Detect the faces of an image, drop small ones, and crop, measure and rate the others.

    Args:
        image: (h, w, 3) uint8, blue-green-red.
        detect: Finds faces in ``image``, such as ``FaceDetector.detect``.
        geometry: Crop geometry of the classifier.
        min_face: Smallest allowed shorter side of a face box, in pixels.
        mesher: Finds the meshes of faces; None: faces are not measured.

    Returns:
        The faces, their crops, measures and qualities.
    """
    faces = [face for face in detect(image) if min(face.width, face.height) >= min_face]
    if not faces:
        return FoundFaces()
    height, width = image.shape[:2]
    gray = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)
    crops = [crop_face(gray, face, geometry) for face in faces]
    meshes = mesher.find(image, faces) if mesher else []
    measures = list(map(measure, meshes))
    known: list[FaceMeasures | None] = [*measures] or [None] * len(faces)
    each = zip(faces, crops, known, strict=True)
    qualities = [face_quality(face, crop, width, height, measured) for face, crop, measured in each]
    return FoundFaces(faces, crops, qualities, meshes, measures, gray)
