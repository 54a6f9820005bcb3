"""The face mesh: 468 points of a face, and the lids and iris of both eyes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from fervid.faces.pose import Pose, head_pose, is_known
from fervid.faces.roll import approximate_roll, roll_of
from fervid.runtime.onnx_editing import with_plain_activations
from fervid.runtime.onnx_session import open_session
from fervid.runtime.opencv import cv2
from fervid.runtime.weights import ShippedFile
from fervid.types import ByteArray, DoubleArray, Face, FloatArray

FACE_MESH = ShippedFile("face_mesh.onnx", "f6f30bf381110b80c56c7c9f01f3fd569a5777e9ddb1a26775520768b1359f66")
IRIS = ShippedFile("iris.onnx", "0830c97d85986178b7ebb26588b393fd05dd9f8cf55156e7f33997a7c7aa2e29")

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
MIN_EYE = 12.0
"""Eyes with fewer pixels between their corners, in the image, are not measured: their openness would be wrong by more
than a third of how much it varies, and gaze by more. Chosen on shrunk copies of clips: tests.benchmarks.small_eyes."""
CLEARLY_LONGER = 1.15
"""The left eye counts as the nearer one if it is this many times as long in the image as the right one: from about 10
degrees of yaw. Otherwise the right one is taken, so that the eye does not change all the time in a frontal face."""
TOGETHER = 4
"""Faces, or eyes, that are computed at a time."""
LIDS = 16
"""Points of an eye's contour: 9 on the lower lid from the outer to the inner corner, then 7 on the upper lid between
the corners, also from the outer side."""
IRIS_POINTS = 5
"""Points of an iris: its middle, then four of its edge."""


T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Mesh:
    """The mesh of one face, in pixels of the image.

    Attributes:
        points: (468, 3) float32 x, y and depth. Depth is in the same unit, and smaller nearer to the camera.
        presence: How sure the network is that it sees a face, 0 to 1.
        pose: How the head is turned.
        pose_known: Whether the pose can be right, which is asked of angles and eyes; see fervid.faces.pose.is_known.
        nearer: 0 if the right eye is the nearer one, so that it is seen better, 1 if it is the left eye.
        lids: (2, 16, 2) float32 x, y of the contour of the right and the left eye; see LIDS. NaN for an eye that was
            not looked at.
        irises: (2, 5, 2) float32 x, y of both irises: the middle, then four points of the edge; or NaN.
    """

    points: FloatArray
    presence: float
    pose: Pose
    pose_known: bool
    nearer: int
    lids: FloatArray
    irises: FloatArray


class FaceMesher:
    """MediaPipe's face mesh (Kartynnik et al., 2019) and iris network (Ablavatski et al., 2020) on one CPU thread.

    A few faces, or eyes, of an image are computed at a time, so that the weights are read less often. Each gets what it
    would get alone, bit for bit, so the result does not depend on what else an image shows.
    """

    def __init__(self) -> None:
        self._mesh, self._iris = (open_session(with_plain_activations(file.read())) for file in (FACE_MESH, IRIS))

    def find(self, image: ByteArray, faces: Sequence[Face], both_eyes: bool = False) -> list[Mesh]:
        """Find the meshes of faces.

        Args:
            image: (h, w, 3) uint8, blue-green-red.
            faces: Faces in pixels of the image.
            both_eyes: Look at both eyes, not only at the nearer one. An eye takes longer than the mesh. Eyes of heads
                whose pose is not known are not looked at.

        Returns:
            The mesh of each face.
        """
        found = self.points(image, list(map(_square_around, faces)))
        meshes = [_without_eyes(points, presence, face) for (points, presence), face in zip(found, faces, strict=True)]
        self._look_at(image, [eye for mesh in meshes for eye in _visible_eyes(mesh, both_eyes)])
        return meshes

    def points(self, image: ByteArray, squares: Sequence[Square]) -> list[tuple[DoubleArray, float]]:
        """Find the points of the faces that squares show upright.

        Args:
            image: (h, w, 3) uint8, blue-green-red.
            squares: The squares, in pixels of the image.

        Returns:
            For each square (468, 3) float64, and the presence; see Mesh.
        """
        found = []
        for some in _few(squares):
            outputs = self._mesh.run(None, {"image": planes([square.cut(image, MESH_SIDE) for square in some])})
            for square, values, (presence,) in zip(some, *outputs, strict=True):
                points = values.reshape(POINTS, 3).astype(np.float64)
                points[:, :2] = square.to_image(points[:, :2], MESH_SIDE)
                points[:, 2] *= square.side / MESH_SIDE
                found.append((points, 1 / (1 + math.exp(-min(max(float(presence), -50.0), 50.0)))))
        return found

    def _look_at(self, image: ByteArray, eyes: Sequence[_Eye]) -> None:
        """Find lids and iris of eyes, and note them in their meshes. The network knows eyes with the outer corner on
        the left, so left eyes are mirrored."""
        for some in _few(eyes):
            cuts = [eye.square.cut(image, EYE_SIDE) for eye in some]
            shown = [_mirrored(cut) if eye.side else cut for eye, cut in zip(some, cuts, strict=True)]
            (found,) = self._iris.run(None, {"image": planes(shown)})
            for eye, values in zip(some, found, strict=True):
                places = values.reshape(LIDS + IRIS_POINTS, 3)[:, :2].astype(np.float64)
                if eye.side:
                    places[:, 0] = EYE_SIDE - places[:, 0]
                placed = eye.square.to_image(places, EYE_SIDE)
                eye.mesh.lids[eye.side], eye.mesh.irises[eye.side] = placed[:LIDS], placed[LIDS:]


def _mirrored(cut: ByteArray) -> ByteArray:
    return np.asarray(cv2.flip(cut, 1), np.uint8)


def _few(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """The items, TOGETHER at a time."""
    for start in range(0, len(items), TOGETHER):
        yield items[start : start + TOGETHER]


def _square_around(face: Face) -> Square:
    """The square in which the mesh of a face is looked for."""
    roll = roll_of(face)
    if roll is None:
        roll = approximate_roll(face)
    side = MARGIN * max(face.width, face.height, 1.0)
    return Square(face.x + face.width / 2, face.y + face.height / 2, side, roll or 0.0)


def _without_eyes(points: DoubleArray, presence: float, face: Face) -> Mesh:
    """The mesh of a face whose eyes were not looked at."""
    kept = points.astype(np.float32)
    pose = head_pose(kept)
    known = is_known(pose, presence, face)
    lids, irises = (np.full((2, count, 2), np.nan, np.float32) for count in (LIDS, IRIS_POINTS))
    right, left = (math.dist(*kept[list(corners), :2].tolist()) for corners in (RIGHT_EYE, LEFT_EYE))
    return Mesh(kept, presence, pose, known, int(left > CLEARLY_LONGER * right), lids, irises)


@dataclass(frozen=True, eq=False)
class _Eye:
    """An eye that is looked at.

    ``mesh``: that of its face. ``side``: 0 for the right eye, 1 for the left one. ``square``: what the network sees.
    """

    mesh: Mesh
    side: int
    square: Square


def _visible_eyes(mesh: Mesh, both: bool) -> Iterator[_Eye]:
    """The eyes of a face that are large enough: both, or only the nearer one."""
    for side, corners in enumerate((RIGHT_EYE, LEFT_EYE)):
        outer, inner = mesh.points[list(corners), :2].astype(np.float64)
        across = outer - inner if side else inner - outer
        length = math.hypot(*across)
        if mesh.pose_known and (both or side == mesh.nearer) and length >= MIN_EYE:
            (x, y), roll = (outer + inner) / 2, math.degrees(math.atan2(across[1], across[0]))
            yield _Eye(mesh, side, Square(float(x), float(y), max(EYE_MARGIN * length, 1.0), roll))


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


def planes(cuts: Sequence[ByteArray]) -> FloatArray:
    """Arrange images for the networks.

    Args:
        cuts: (side, side, 4) uint8 each, blue, green, red and a channel that is left out. At least one.

    Returns:
        (n, 3, side, side) float32: blue, green and red from 0 to 255. The networks scale them.
    """
    images = np.empty((len(cuts), 3, *cuts[0].shape[:2]), np.float32)
    for image, cut in zip(images, cuts, strict=True):
        for place, plane in enumerate(cv2.split(cut)[:3]):
            image[place] = plane
    return images
