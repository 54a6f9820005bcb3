"""How far the measures of an eye can be trusted when it is small, on the clips of ../shared/measures.

    python -m tests.benchmarks.small_eyes [--clips blink_d6.mp4 ...]

Every second frame is shrunk and compressed as JPEG (quality 85), so that the nearer eye has a given number of pixels
between its corners. Openness and gaze are compared with those of the frame at full size: mean absolute difference, as a
multiple of the standard deviation at full size, and mean difference of the openness. The boxes of the faces are those
that were found at full size.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from contextlib import ExitStack
from unittest.mock import patch

import av
import cv2
import numpy as np

from fervid.faces import measures, mesh
from fervid.faces.boxes import scale_face
from fervid.faces.detectors import load_detector
from fervid.types import ByteArray, Face
from tests.benchmarks.measures_real import MEASURES

LENGTHS = (5, 6, 7, 8, 10, 12, 15, 20, 30)
"""Pixels between the corners of the eye."""
COLUMNS = ("eyes_open", "gaze_x", "gaze_y")


def shrunk(image: ByteArray, factor: float) -> ByteArray:
    """A smaller copy of an image, compressed and read again."""
    size = (round(image.shape[1] * factor), round(image.shape[0] * factor))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    written = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
    return np.asarray(cv2.imdecode(written, cv2.IMREAD_COLOR), np.uint8)


def frames_of(name: str) -> list[tuple[ByteArray, Face]]:
    """Every second frame of a clip that shows a face, with its highest face."""
    detector, found = load_detector(), []
    with av.open(str(MEASURES / "clips" / name)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            image = np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
            faces = detector.detect(image) if index % 2 == 0 else []
            if faces:
                found.append((image, max(faces, key=lambda face: face.height)))
    return found


def table(name: str, lengths: Sequence[int]) -> None:
    """Print the table of one clip."""
    mesher = mesh.FaceMesher()

    def measured(factor: float) -> tuple[np.ndarray, list[float]]:
        values, eyes = [], []
        for image, face in pictures:
            shown = image if factor == 1 else shrunk(image, factor)
            (found,) = mesher.find(shown, [scale_face(face, factor)])
            one = measures.measure(found)
            values.append([getattr(one, column) for column in COLUMNS])
            corners = (mesh.RIGHT_EYE, mesh.LEFT_EYE)[found.nearer]
            eyes.append(math.dist(*found.points[list(corners), :2].tolist()))
        return np.array(values), eyes

    pictures = frames_of(name)
    full, eyes = measured(1.0)
    length, spread = float(np.median(eyes)), np.nanstd(full, axis=0)
    print(f"\n{name}, {len(pictures)} frames, eye of {length:.0f} pixels\n")
    print(f"| eye, pixels | {' | '.join(COLUMNS)} | mean difference of eyes_open |\n|---|---|---|---|---|")
    for wanted in (one for one in lengths if one < length):
        off = measured(wanted / length)[0] - full
        errors = np.nanmean(np.abs(off), axis=0) / spread
        print(f"| {wanted} | {' | '.join(f'{one:.2f}' for one in errors)} | {np.nanmean(off[:, 0]):+.3f} |", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--clips", nargs="+")
    asked = parser.parse_args().clips
    with ExitStack() as stack:
        for module in (mesh, measures):
            stack.enter_context(patch.object(module, "MIN_EYE", 1.0))
        for name in asked or sorted(path.name for path in (MEASURES / "clips").iterdir()):
            table(name, LENGTHS)


if __name__ == "__main__":
    main()
