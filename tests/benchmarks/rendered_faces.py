"""Faces turned by exactly known angles: a textured mesh, rendered by a perspective camera over real backgrounds.

The shape is the canonical face, made a little wider, higher or deeper for each head, with a rim around it that carries
hair, ears and neck. The texture is the image of a real face, fitted by the face mesh when the benchmark runs; nothing
of it is stored. A triangle is drawn where no nearer one hides it, and each pixel is looked up in the texture.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from scipy.spatial import ConvexHull, Delaunay

from fervid.faces.detectors import load_detector
from fervid.faces.mesh import FaceMesher
from fervid.faces.pose import CANONICAL_FILE, angles, rotation_of
from fervid.types import ByteArray, DoubleArray
from fervid.video.reader import VideoReader
from tests.benchmarks.composites import SHARED

SOURCES = (
    ("d9_vfr.mp4", 14.0),
    ("d13_rot90.mov", 0.0),
    ("d19_h264_longgop.mkv", 4.0),
    ("talking_d3.mp4", 3.5),
    ("emo7_neutral.mp4", 4.0),
    ("emo7_happy.mp4", 3.0),
    ("emo7_surprise.mp4", 0.5),
    ("emo7_disgust.mp4", 0.0),
    ("emo7_sadness.mp4", 3.5),
    ("face_noface_hevc_vfr.mov", 0.0),
)
"""Clip and time in seconds of the faces that give textures: people who look at the camera."""
BACKGROUNDS = (("no_face.mp4", 0.5), ("no_face.mp4", 3.0))
"""Clip and time of pictures without faces."""
FRONTAL = 6.0
"""A texture comes from a face with at most this many degrees of yaw and pitch."""
RIM = (1.08,)
"""How far the rings around the mesh lie from its middle, in distances of its edge."""
RIM_DEPTH = (0.35,)
"""How far the rings lie behind the edge, in distances of the outer corners of the eyes."""
SUPERSAMPLING = 2
AMBIENT = 0.4
"""Share of the light that comes from everywhere."""
FOCAL = 1.3
"""Focal length, in widths of the picture: a field of view of 42 degrees."""


@dataclass(frozen=True, eq=False)
class Texture:
    """The image of a real face, and where the points of the mesh are in it.

    Attributes:
        name: Where it comes from.
        image: (h, w, 3) uint8, blue-green-red.
        places: (n, 2) float64 x, y of the points of the mesh and of the rim.
    """

    name: str
    image: ByteArray
    places: DoubleArray


@dataclass(frozen=True)
class View:
    """How a head is shown.

    Attributes:
        yaw: Degrees by which the head is turned to its left, seen from the camera.
        pitch: Degrees upwards.
        roll: Degrees towards its right shoulder.
        width: Distance of the outer corners of the eyes in pixels, if the head looks at the camera.
        x: Middle of the head, in widths of the picture.
        y: Middle of the head, in heights of the picture.
        stretch: Factors of the head's width, height and depth.
        blur: Standard deviation of a blur in pixels.
        noise: Standard deviation of noise in levels of 0 to 255.
        brightness: Factor of the brightness.
    """

    yaw: float
    pitch: float
    roll: float
    width: float = 60.0
    x: float = 0.5
    y: float = 0.5
    stretch: tuple[float, float, float] = (1.0, 1.0, 1.0)
    blur: float = 0.0
    noise: float = 0.0
    brightness: float = 1.0


@lru_cache(maxsize=1)
def _shape() -> tuple[DoubleArray, npt.NDArray[np.int64], npt.NDArray[np.intp]]:
    """Points of the canonical face with its rim, the triangles between them, and the edge of the face."""
    points = np.asarray(json.loads(CANONICAL_FILE.read_text())["points"], np.float64)
    edge = ConvexHull(points[:, :2]).vertices
    middle = points[edge].mean(axis=0)
    rings = [
        middle + (points[edge] - middle) * (far, far, 0) + (0, 0, points[edge, 2].mean() - middle[2] - deep)
        for far, deep in zip(RIM, RIM_DEPTH, strict=True)
    ]
    whole = np.concatenate([points, *rings])
    return whole, Delaunay(whole[:, :2]).simplices.astype(np.int64), edge


def textures(sources: Sequence[tuple[str, float]] = SOURCES) -> list[Texture]:
    """Take textures from the clips.

    Args:
        sources: Clip and time in seconds of each.

    Returns:
        The textures. A face that is turned too far is left out.
    """
    detector, mesher = load_detector(), FaceMesher()
    _, _, edge = _shape()
    found = []
    for name, start in sources:
        image = frame_at(SHARED / name, start)
        faces = detector.detect(image)[:1]
        for mesh in mesher.find(image, faces):
            yaw, pitch, _ = angles(mesh.pose.rotation)
            if max(abs(yaw), abs(pitch)) > FRONTAL:
                continue
            points = mesh.points[:, :2].astype(np.float64)
            middle = points[edge].mean(axis=0)
            rings = [middle + (points[edge] - middle) * far for far in RIM]
            found.append(Texture(name, image, np.concatenate([points, *rings])))
    return found


def frame_at(path: Path, time: float) -> ByteArray:
    """Read the first frame of a video from a time on.

    Args:
        path: The video.
        time: Seconds.

    Returns:
        (h, w, 3) uint8, blue-green-red.
    """
    with VideoReader(path, fps=0, start=time) as reader:
        return next(frame.image for frame in reader.frames() if frame.sampled)


def render(texture: Texture, view: View, background: ByteArray, rng: np.random.Generator) -> ByteArray:
    """Draw a head over a background.

    Args:
        texture: What it looks like.
        view: How it is turned and where it is. Yaw and pitch are relative to the line from the camera to the head.
        background: (h, w, 3) uint8.
        rng: Source of the noise.

    Returns:
        (h, w, 3) uint8, blue-green-red.
    """
    height, width = background.shape[:2]
    shape, triangles, _ = _shape()
    places, depth = _projected(shape * view.stretch, view, width, height)
    places = places * SUPERSAMPLING
    size = width * SUPERSAMPLING, height * SUPERSAMPLING
    owner = _owners(places, depth, triangles, size)
    image, found = _prepared(texture, view.width)
    light = _relit(shape * view.stretch, triangles, rotation_of(view.yaw, view.pitch, view.roll))
    sampled, covered = _looked_up(image, found, light, places, triangles, owner)
    area = (width, height)
    drawn = cv2.resize(sampled, area, interpolation=cv2.INTER_AREA)
    share = cv2.resize(covered.astype(np.float32), area, interpolation=cv2.INTER_AREA)[:, :, None]
    mixed = background * (1 - share) + drawn * view.brightness
    if view.blur:
        mixed = cv2.GaussianBlur(mixed, (0, 0), view.blur)
    return np.asarray(np.clip(mixed + rng.normal(0, view.noise, mixed.shape), 0, 255), np.uint8)


def _projected(points: DoubleArray, view: View, width: int, height: int) -> tuple[DoubleArray, DoubleArray]:
    """Pixels of the points, (n, 2), and their distances from the camera, (n,)."""
    focal = FOCAL * width
    distance = focal / view.width
    right, down = (view.x - 0.5) * width / focal, (view.y - 0.5) * height / focal
    ray = np.array([right, -down, -1.0])  # x to the right, y up, z towards the camera
    ray /= np.linalg.norm(ray)
    across = np.cross([0.0, 1.0, 0.0], -ray)
    across /= np.linalg.norm(across)
    facing = np.column_stack([across, np.cross(-ray, across), -ray])
    turned = points @ (facing @ rotation_of(view.yaw, view.pitch, view.roll)).T + ray * distance
    far = -turned[:, 2]
    place = np.column_stack([width / 2 + focal * turned[:, 0] / far, height / 2 - focal * turned[:, 1] / far])
    return place, far


def _owners(
    places: DoubleArray, depth: DoubleArray, triangles: npt.NDArray[np.int64], size: tuple[int, int]
) -> npt.NDArray[np.int32]:
    """(h, w) the number of the nearest triangle at each pixel; -1 for none. Far triangles are drawn first."""
    corners = places[triangles]
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    facing = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
    front = facing * np.sign(np.median(facing)) > 1e-6
    canvas = np.full((size[1], size[0]), -1, np.int32)
    order = np.argsort(-depth[triangles].mean(axis=1))
    fixed = np.round(corners * 16).astype(np.int32)
    for number in order[front[order]].tolist():
        cv2.fillConvexPoly(canvas, fixed[number], number, cv2.LINE_8, 4)
    return canvas


def _prepared(texture: Texture, width: float) -> tuple[ByteArray, DoubleArray]:
    """The texture at about the size at which it is drawn, and the places in it."""
    right, left = texture.places[[33, 263]]
    factor = min(1.0, SUPERSAMPLING * width / float(np.linalg.norm(left - right)))
    image = cv2.resize(texture.image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    return np.asarray(image), texture.places * factor


def _looked_up(
    image: ByteArray,
    found: DoubleArray,
    light: DoubleArray,
    places: DoubleArray,
    triangles: npt.NDArray[np.int64],
    owner: npt.NDArray[np.int32],
) -> tuple[DoubleArray, npt.NDArray[np.bool_]]:
    """The colour of each pixel, black where no triangle is, and whether there is one."""
    ones = np.ones((len(triangles), 3, 1))
    corners = np.concatenate([places[triangles], ones], axis=2)
    flat = np.abs(np.linalg.det(corners)) < 1e-9
    corners[flat] = np.eye(3)
    wanted = np.column_stack([found, light])
    maps = np.linalg.solve(corners, wanted[triangles])  # x, y, 1 of a pixel to x, y of the texture, and light
    rows, columns = np.nonzero(owner >= 0)
    own = maps[owner[rows, columns]]
    pixels = np.column_stack([columns, rows, np.ones(len(rows))])
    targets = np.zeros((*owner.shape, 3), np.float32)
    targets[rows, columns] = np.einsum("pi,pij->pj", pixels, own)
    across, down, lit = (np.ascontiguousarray(targets[:, :, place]) for place in range(3))
    drawn = cv2.remap(image, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.minimum(drawn * lit[:, :, None].astype(np.float64), 255), owner >= 0


def _relit(points: DoubleArray, triangles: npt.NDArray[np.int64], rotation: DoubleArray) -> DoubleArray:
    """(n,) by how much brighter each point is when the head is turned and the light, beside the camera, is not."""
    first, second = (points[triangles[:, place]] - points[triangles[:, 0]] for place in (1, 2))
    across = np.cross(first, second)
    across *= np.sign(across[:, 2:])
    normals = np.zeros_like(points)
    for place in range(3):
        np.add.at(normals, triangles[:, place], across)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-9
    light = np.array([0.0, 0.35, 0.94])
    before, after = (AMBIENT + (1 - AMBIENT) * np.maximum(one @ light, 0) for one in (normals, normals @ rotation.T))
    return np.asarray(np.clip(after / before, 0.3, 1.5))


def backgrounds(size: tuple[int, int]) -> list[ByteArray]:
    """Read pictures without faces.

    Args:
        size: Width and height that they get.

    Returns:
        (h, w, 3) uint8 each, also mirrored.
    """
    read = [np.asarray(cv2.resize(frame_at(SHARED / name, time), size), np.uint8) for name, time in BACKGROUNDS]
    return [*read, *(np.ascontiguousarray(one[:, ::-1]) for one in read)]
