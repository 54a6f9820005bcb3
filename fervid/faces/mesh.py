"""The face mesh: 468 points of a face, and the lids and iris of both eyes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fervid.faces.roll import approximate_roll, roll_of
from fervid.runtime.onnx_editing import with_plain_activations
from fervid.runtime.onnx_session import open_session
from fervid.runtime.opencv import cv2
from fervid.runtime.weights import ShippedFile
from fervid.types import ByteArray, DoubleArray, Face, FloatArray

FACE_MESH = ShippedFile("face_mesh.onnx", "e22fcc85c61ea0aefee84889c8785dcfb1554d8d92fa3fed1bf9f47589699fc1")
IRIS = ShippedFile("iris.onnx", "cf828d4c6533a5a983bb4f3e86b3881eaeecb933fe9d8ad849a53b6dc0fa5ba4")

POINTS = 468
"""Points of the mesh, numbered as in MediaPipe's face mesh."""
MESH_SIDE, EYE_SIDE = 192, 64
"""Sides of the inputs of the two networks in pixels."""
MARGIN = 1.5
"""Side of the square that the mesh is looked for in, divided by the longer side of the face's box."""
EYE_MARGIN = 2.3
"""Side of the square around an eye, divided by the distance of its corners."""
RIGHT_EYE, LEFT_EYE = (33, 133), (263, 362)
"""Points of the outer and the inner corner of each eye. Right and left are the person's own."""
MIN_PRESENCE = 0.5
"""Faces of which the network is less sure are not measured."""
MIN_EYE = 6.0
"""Eyes with fewer pixels between their corners, in the image, are not measured."""
CLEARLY_LONGER = 1.15
"""The left eye counts as the nearer one if it is this many times as long in the image as the right one: from about 10
degrees of yaw. Otherwise the right one is taken, so that the eye does not change all the time in a frontal face."""
LIDS = 16
"""Points of an eye's contour: 9 on the lower lid from the outer to the inner corner, then 7 on the upper lid between
the corners, also from the outer side."""


@dataclass(frozen=True, eq=False)
class Mesh:
    """The mesh of one face, in pixels of the image.

    Attributes:
        points: (468, 3) float32 x, y and depth. Depth is in the same unit, and smaller nearer to the camera.
        presence: How sure the network is that it sees a face, 0 to 1.
        nearer: 0 if the right eye is the nearer one, so that it is seen better, 1 if it is the left eye.
        lids: (2, 16, 2) float32 x, y of the contour of the right and the left eye; see LIDS. NaN for an eye that was
            not looked at.
        irises: (2, 5, 2) float32 x, y of both irises: the middle, then four points of the edge; or NaN.
    """

    points: FloatArray
    presence: float
    nearer: int
    lids: FloatArray
    irises: FloatArray


class FaceMesher:
    """MediaPipe's face mesh (Kartynnik et al., 2019) and iris network (Ablavatski et al., 2020) on one CPU thread.

    Each face, and each eye, is computed alone. So the result does not depend on what else an image shows. A batch of
    several faces would take the same time.
    """

    def __init__(self) -> None:
        self._mesh, self._iris = (open_session(with_plain_activations(file.read())) for file in (FACE_MESH, IRIS))

    def find(self, image: ByteArray, faces: Sequence[Face], both_eyes: bool = False) -> list[Mesh]:
        """Find the meshes of faces.

        Args:
            image: (h, w, 3) uint8, blue-green-red.
            faces: Faces in pixels of the image.
            both_eyes: Look at both eyes, not only at the nearer one. An eye takes longer than the mesh.

        Returns:
            The mesh of each face.
        """
        return [self._find(image, face, both_eyes) for face in faces]

    def _find(self, image: ByteArray, face: Face, both_eyes: bool) -> Mesh:
        centre = (face.x + face.width / 2, face.y + face.height / 2)
        roll = roll_of(face)
        if roll is None:
            roll = approximate_roll(face)
        square = Square(centre[0], centre[1], MARGIN * max(face.width, face.height, 1.0), roll or 0.0)
        points, presence = self.points(image, square)
        corners = points[[RIGHT_EYE, LEFT_EYE], :2]
        lengths = [math.hypot(*(outer - inner)) for outer, inner in corners]
        nearer = int(lengths[1] > CLEARLY_LONGER * lengths[0])
        lids, irises = (np.full((2, count, 2), np.nan, np.float32) for count in (LIDS, 5))
        for eye in (0, 1):
            if (eye == nearer or both_eyes) and lengths[eye] >= MIN_EYE and presence >= MIN_PRESENCE:
                lids[eye], irises[eye] = self._eye(image, corners[eye], mirrored=eye == 1)
        return Mesh(points.astype(np.float32), presence, nearer, lids, irises)

    def points(self, image: ByteArray, square: Square) -> tuple[DoubleArray, float]:
        """Find the points of the face that a square shows upright.

        Args:
            image: (h, w, 3) uint8, blue-green-red.
            square: The square, in pixels of the image.

        Returns:
            (468, 3) float64, and the presence; see Mesh.
        """
        found, presence = self._mesh.run(None, {"image": planes(square.cut(image, MESH_SIDE))})
        points = found.reshape(POINTS, 3).astype(np.float64)
        points[:, :2] = square.to_image(points[:, :2], MESH_SIDE)
        points[:, 2] *= square.side / MESH_SIDE
        return points, 1 / (1 + math.exp(-min(max(float(presence[0, 0]), -50.0), 50.0)))

    def _eye(self, image: ByteArray, corners: DoubleArray, mirrored: bool) -> tuple[DoubleArray, DoubleArray]:
        """Lids and iris of an eye, given its outer and inner corner. The network knows eyes with the outer corner on
        the left."""
        outer, inner = corners
        across = outer - inner if mirrored else inner - outer
        middle, roll = (outer + inner) / 2, math.degrees(math.atan2(across[1], across[0]))
        square = Square(float(middle[0]), float(middle[1]), max(EYE_MARGIN * math.hypot(*across), 1.0), roll)
        cut = square.cut(image, EYE_SIDE)
        contour, iris = self._iris.run(None, {"image": planes(np.asarray(cv2.flip(cut, 1)) if mirrored else cut)})
        places = np.concatenate([contour.reshape(-1, 3)[:LIDS, :2], iris.reshape(-1, 3)[:, :2]]).astype(np.float64)
        if mirrored:
            places[:, 0] = EYE_SIDE - places[:, 0]
        placed = square.to_image(places, EYE_SIDE)
        return placed[:LIDS], placed[LIDS:]


def describe_mesher() -> str:
    """Name the weights of the face mesh.

    Returns:
        The SHA-256 of both networks, separated by a space.
    """
    return f"{FACE_MESH.sha256} {IRIS.sha256}"


@dataclass(frozen=True)
class Square:
    """A square in an image.

    Attributes:
        x: Column of its middle, in pixels of the image.
        y: Row of its middle.
        side: Its side in pixels.
        roll: Degrees by which it is turned clockwise.
    """

    x: float
    y: float
    side: float
    roll: float

    def cut(self, image: ByteArray, side: int) -> ByteArray:
        """Cut the square out and turn it upright. Outside the image its edge is repeated.

        Args:
            image: (h, w, 3) uint8.
            side: Side of the result in pixels.

        Returns:
            (side, side, 4) uint8: the three channels, and 255. OpenCV warps four channels in less than half of the time
            that three take.
        """
        wanted = math.floor(math.log2(max(self.side, 1.0) / side))
        halvings = max(0, min(wanted, min(image.shape[:2]).bit_length() - 1))
        unit = 2**halvings  # a warp alone would skip pixels; average them first
        left, top, right, bottom = self._surroundings(image.shape[1], image.shape[0], unit)
        part = image[top:bottom, left:right]
        for _ in range(halvings):
            half = (part.shape[1] // 2, part.shape[0] // 2)
            part = np.asarray(cv2.resize(part, half, interpolation=cv2.INTER_AREA), np.uint8)
        # from pixels of the result to pixels of the part, both counted from the middle of the first pixel
        cosine, sine = (one * self.side / side for one in _turn(self.roll))
        middle = side / 2 - 0.5
        x = (self.x - cosine * middle + sine * middle - left) / unit - 0.5
        y = (self.y - sine * middle - cosine * middle - top) / unit - 0.5
        matrix = np.array([(cosine / unit, -sine / unit, x), (sine / unit, cosine / unit, y)])
        four = cv2.cvtColor(part, cv2.COLOR_BGR2BGRA)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(cv2.warpAffine(four, matrix, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE))

    def _surroundings(self, width: int, height: int, unit: int) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of the part of an image around the square. Its sides are multiples of ``unit``,
        and it is never empty unless the image is smaller than that."""
        cosine, sine = _turn(self.roll)
        reach = self.side / 2 * (abs(cosine) + abs(sine))
        limits = []
        for middle, size in ((self.x, width // unit * unit), (self.y, height // unit * unit)):
            first = min(max(math.floor((middle - reach) / unit) * unit - unit, 0), size - unit)
            last = min(max(math.ceil((middle + reach) / unit) * unit + unit, first + unit), size)
            limits.append((first, last))
        (left, right), (top, bottom) = limits
        return left, top, right, bottom

    def to_image(self, places: npt.NDArray[np.floating], side: int) -> DoubleArray:
        """Find where points of the square are in the image.

        Args:
            places: (n, 2) x, y from the square's upper left corner, in a unit of which its side has ``side``.
            side: The number of units.

        Returns:
            (n, 2) float64 x, y in pixels of the image.
        """
        cosine, sine = (one * self.side / side for one in _turn(self.roll))
        turned = np.asarray(places, np.float64) - side / 2
        return np.asarray(turned @ np.array([(cosine, sine), (-sine, cosine)]) + (self.x, self.y))


def _turn(degrees: float) -> tuple[float, float]:
    """Cosine and sine of a rotation clockwise in an image."""
    return math.cos(math.radians(degrees)), math.sin(math.radians(degrees))


def planes(cut: ByteArray) -> FloatArray:
    """Arrange an image for the networks.

    Args:
        cut: (side, side, 4) uint8, blue, green, red and a channel that is left out.

    Returns:
        (1, 3, side, side) float32: blue, green and red from 0 to 255. The networks scale them.
    """
    side = len(cut)
    image = np.empty((1, 3, side, side), np.float32)
    for place, plane in enumerate(cv2.split(cut)[:3]):
        image[0, place] = plane
    return image
