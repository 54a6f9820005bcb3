"""Errors of yaw, pitch and roll, on rendered faces and on rotated copies of real ones.

    python -m tests.benchmarks.measures_rendered [--count 600] [--seed 1]

Rendered faces (see tests.benchmarks.rendered_faces): ``yaw`` turns them by up to 40 degrees to the side and by up to 10
degrees about the other two axes, ``pitch`` the same up and down, ``all`` by up to 40 degrees about all three. Sizes,
places, shapes, blur, noise and brightness vary. The limits of the project were chosen on the first half of the
textures, so the second half is what counts.

Rotated faces: 50 frames of the clips and stills, turned about the middle of the face by a random angle of up to 180
degrees. The error is the difference of the roll from that of the frame as it is, plus the angle.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from fervid.faces.detect_and_crop import FoundFaces, find_faces
from fervid.faces.crop import FER2013_GEOMETRY
from fervid.faces.detectors import FaceDetector, load_detector
from fervid.faces.measures import measure
from fervid.faces.mesh import FaceMesher
from fervid.faces.turned_faces import TurnedFaceDetector
from fervid.settings import ScanSettings
from fervid.types import ByteArray, DoubleArray, Face
from fervid.video.reader import VideoReader
from tests.benchmarks.composites import SHARED
from tests.benchmarks.rendered_faces import View, backgrounds, render, textures

SIZE = (640, 360)
TURNS = {"yaw": (40, 10, 10), "pitch": (10, 40, 10), "all": (40, 40, 40)}
"""Largest yaw, pitch and roll of each set in degrees."""
ANGLES = ("head_yaw", "head_pitch", "head_roll")
ROTATED = 50


@dataclass(frozen=True, eq=False)
class Errors:
    """Errors of one set, in degrees.

    Attributes:
        found: (n, 3) yaw, pitch and roll, measured minus true.
        missed: Number of faces that the detector did not find.
    """

    found: DoubleArray
    missed: int

    def __str__(self) -> str:
        sizes = np.abs(self.found)
        parts = [
            f"{name.removeprefix('head_'):>5} median {np.median(sizes[:, place]):4.1f}"
            f" 95th percentile {np.percentile(sizes[:, place], 95):4.1f} mean {self.found[:, place].mean():+5.1f}"
            for place, name in enumerate(ANGLES)
        ]
        return f"n {len(self.found):4d} (not found: {self.missed})  " + "  ".join(parts)


def rendered_errors(kind: str, half: int, count: int, seed: int) -> Errors:
    """Measure rendered faces.

    Args:
        kind: One of TURNS.
        half: 0 for the first half of the textures, 1 for the second.
        count: Number of faces.
        seed: Of the views.

    Returns:
        The errors.
    """
    heads = textures()
    heads = heads[: len(heads) // 2] if half == 0 else heads[len(heads) // 2 :]
    behind, rng = backgrounds(SIZE), np.random.default_rng([seed, half, list(TURNS).index(kind)])
    detector, mesher = load_detector(), FaceMesher()
    errors, missed = [], 0
    for number in range(count):
        turn = rng.uniform(-1, 1, 3) * TURNS[kind]
        view = View(
            *turn.tolist(),
            width=float(rng.uniform(30, 100)),
            x=float(rng.uniform(0.3, 0.7)),
            y=float(rng.uniform(0.4, 0.6)),
            stretch=tuple(rng.uniform(0.93, 1.07, 3).tolist()),
            blur=float(rng.uniform(0, 1)),
            noise=float(rng.uniform(0, 4)),
            brightness=float(rng.uniform(0.6, 1.1)),
        )
        image = render(heads[number % len(heads)], view, behind[number % len(behind)], rng)
        faces = detector.detect(image)[:1]
        if not faces:
            missed += 1
            continue
        found = measure(mesher.find(image, faces)[0])
        errors.append([getattr(found, name) for name in ANGLES] - turn)
    return Errors(np.array(errors), missed)


def rotated_errors(seed: int) -> Errors:
    """Measure the roll of rotated copies of real faces.

    Args:
        seed: Of the angles.

    Returns:
        The errors. Those of yaw and pitch are the differences from the frame as it is.
    """
    detector, mesher, rng = load_detector(), FaceMesher(), np.random.default_rng(seed)
    errors, missed = [], 0
    for image, face in upright_faces(ROTATED):
        angle = float(rng.uniform(-180, 180))
        before = measure(mesher.find(image, [face])[0])
        turned = _turned(image, face, angle)
        faces = _found_turned(detector, turned)
        if not faces:
            missed += 1
            continue
        after = measure(mesher.find(turned, faces[:1])[0])
        differences = [getattr(after, name) - getattr(before, name) for name in ANGLES]
        differences[2] = (differences[2] + angle + 180) % 360 - 180
        errors.append(differences)
    return Errors(np.array(errors), missed)
