"""Synthetic videos with exact ground truth: real heads move on known paths over a drawn background.

Heads are cut out of clips with a soft ellipse. The detector's box on the isolated head is the ground truth, so that
ground truth and detector agree on what a box is. A face is *required* if at least ``VISIBLE`` of it can be seen.
Finding a less visible face is counted neither as right nor as wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np

from fervid.faces.detectors import FaceDetector, create_detector
from fervid.settings import ScanSettings
from fervid.types import Box, ByteArray, Face, FloatArray, Frame, PictureShape
from fervid.video.picture import THUMBNAIL_SIDE
from fervid.video.reader import VideoReader
from fervid.video.sampling import TIME_TOLERANCE
from tests.support.paths import ROOT

WIDTH, HEIGHT = 640, 360
VISIBLE = 0.6
"""Visible share from which a face is required."""
HINTED = 0.25
"""Visible share below which a face counts as absent."""
HEAD_HEIGHT = 150
"""Height in pixels of the face box in a cut-out head. Heads are shown at about this size or smaller."""
HEAD_SECONDS = 3.0
"""Length of the clip from which a head is taken."""

SHARED = ROOT.parent / "shared" / "media"
SOURCES = (
    ("talking_d3.mp4", 0.0),
    ("d19_h264_longgop.mkv", 0.0),
    ("d9_vfr.mp4", 0.0),
    ("wolfgang.mp4", 11.0),
    ("emo7_angry.mp4", 0.0),
    ("emo7_happy.mp4", 0.0),
    ("emo7_surprise.mp4", 0.0),
    ("emo7_fear.mp4", 0.0),
    ("emo7_neutral.mp4", 0.0),
    ("d13_rot90.mov", 0.0),
)
"""Clip and start time in seconds of each head."""
SAMPLES = (("pan_zoom.mp4", 2.0), ("variable_rate.mp4", 0.0))
"""The same if the shared clips are missing. These heads are also used mirrored and tinted."""

Key = tuple[float, float, float, float]
"""Time in seconds, and centre x, centre y and height of the face box in pixels."""
Span = tuple[float, float]


@dataclass(frozen=True, eq=False)
class Head:
    """A moving head: ``pictures`` (h, w, 3) uint8 at 25 per second, the face ``boxes`` in them, and one ``alpha``
    mask."""

    pictures: list[ByteArray]
    boxes: list[Box]
    alpha: FloatArray

    def at(self, time: float) -> int:
        """Index of the picture at ``time`` seconds. They play forwards and backwards in a loop."""
        last = len(self.pictures) - 1
        step = int(time * 25) % (2 * last)
        return step if step <= last else 2 * last - step


@dataclass(frozen=True)
class Actor:
    """A head on a path that is linear between ``keys``. It is shown from the first to the last key, or during
    ``spans``.

    ``depth``: (time, depth) steps; larger values are in front. ``tilt``: largest tilt in degrees, with a period of
    ``period`` seconds. ``counts``: whether a tracker should report the face.
    """

    head: int
    keys: tuple[Key, ...]
    spans: tuple[Span, ...] = ()
    depth: tuple[tuple[float, float], ...] = ((0.0, 0.0),)
    tilt: float = 0.0
    period: float = 4.0
    counts: bool = True

    def pose(self, time: float) -> Key | None:
        """(tilt in degrees, centre x, centre y, height) at ``time``; None where the head is not shown."""
        spans = self.spans or ((self.keys[0][0], self.keys[-1][0]),)
        if not any(begin <= time < end for begin, end in spans):
            return None
        columns = np.array(self.keys).T
        x, y, height = (float(np.interp(time, columns[0], column)) for column in columns[1:])
        return self.tilt * float(np.sin(2 * np.pi * time / self.period)), x, y, height

    def depth_at(self, time: float) -> float:
        """Depth at ``time``; the layer with the larger depth is in front."""
        return [depth for begin, depth in self.depth if begin <= max(time, self.depth[0][0])][-1]


@dataclass(frozen=True)
class Block:
    """A gray rectangle that hides what is behind it. ``keys``: times in seconds and centres."""

    keys: tuple[tuple[float, float, float], ...]
    width: float
    height: float
    gray: int = 70
    depth: float = 50.0
    spans: tuple[Span, ...] = ()

    def depth_at(self, time: float) -> float:
        """Depth at ``time``; the layer with the larger depth is in front."""
        return self.depth

    def corner(self, time: float) -> tuple[float, float] | None:
        """Left and top at ``time``; None where the block is not shown."""
        if self.spans and not any(begin <= time < end for begin, end in self.spans):
            return None
        columns = np.array(self.keys).T
        x, y = (float(np.interp(time, columns[0], column)) for column in columns[1:])
        return x - self.width / 2, y - self.height / 2


@dataclass(frozen=True)
class Shot:
    """A shot that ends at ``end`` seconds. ``camera``: (time, x, y) keys of the camera motion in pixels."""

    end: float
    layers: tuple[Actor | Block, ...]
    scenery: int = 0
    camera: tuple[tuple[float, float, float], ...] = ((0.0, 0.0, 0.0),)
    shake: float = 0.0

    def shift(self, time: float) -> tuple[float, float]:
        """Camera motion at ``time`` in pixels."""
        columns = np.array(self.camera).T
        x, y = (float(np.interp(time, columns[0], column)) for column in columns[1:])
        swing = self.shake * np.sin(np.array([11.3, 8.1]) * time + np.array([0.0, 1.0]))
        return x + float(swing[0]), y + float(swing[1])


@dataclass(frozen=True)
class Scene:
    """A video of several shots.

    ``times``: frame times in seconds. ``joins``: the transition after each shot but the last, ``cut``, ``dissolve`` or
    ``black``; the last two take ``fade`` seconds. ``flashes``: times at which a flash lights the scene.
    """

    name: str
    shots: tuple[Shot, ...]
    times: tuple[float, ...]
    joins: tuple[str, ...] = ()
    fade: float = 0.6
    flashes: tuple[Span, ...] = ()

    def cuts(self) -> list[Span]:
        """Start and end time of each transition."""
        half = [0.0 if join == "cut" else self.fade / 2 for join in self.joins]
        return [(shot.end - wide, shot.end + wide) for shot, wide in zip(self.shots, half, strict=False)]


@dataclass(frozen=True)
class Truth:
    """A face in a frame. ``actor``: (shot, layer). ``visible``: share of the face that can be seen."""

    actor: tuple[int, int]
    box: Box
    visible: float
    counts: bool = True


@lru_cache(maxsize=1)
def detector() -> FaceDetector:
    """fervid's default detector."""
    return create_detector(ScanSettings())


def source_clips() -> list[tuple[Path, float, bool]]:
    """Source of each head: clip, start time, and whether it is mirrored."""
    if SHARED.is_dir():
        return [(SHARED / name, begin, False) for name, begin in SOURCES]
    return [(ROOT / "sample_videos" / name, begin, mirrored) for mirrored in (False, True) for name, begin in SAMPLES]


@lru_cache(maxsize=16)
def load_head(number: int) -> Head:
    """Load a head. Numbers beyond the last head start again at the first."""
    clips = source_clips()
    path, begin, mirrored = clips[number % len(clips)]
    pictures: list[ByteArray] = []
    found: list[Face] = []
    with VideoReader(path, fps=25, start=begin, end=begin + HEAD_SECONDS) as reader:
        for frame in reader.frames():
            if not frame.sampled:
                continue
            image = np.ascontiguousarray(frame.image[:, ::-1]) if mirrored else frame.image
            image = np.asarray(image * (0.85, 1.0, 1.0), np.uint8) if mirrored else image
            faces = detector().detect(image)
            if faces:
                pictures.append(image)
                found.append(max(faces, key=lambda face: face.width * face.height))
    return _cut_out(pictures, found)


def _cut_out(pictures: list[ByteArray], faces: list[Face]) -> Head:
    """Cut the same window out of each picture, shrink it, and add a soft elliptical mask."""
    boxes = np.array([face.box for face in faces])
    x, y, width, height = np.median(boxes, axis=0)
    image_height, image_width = pictures[0].shape[:2]
    left, right = max(0, int(x - 0.3 * width)), min(image_width, int(x + 1.3 * width))
    top, bottom = max(0, int(y - 0.35 * height)), min(image_height, int(y + 1.22 * height))
    scale = min(1.0, HEAD_HEIGHT / height)
    size = (round((right - left) * scale), round((bottom - top) * scale))
    sx, sy = size[0] / (right - left), size[1] / (bottom - top)
    small = [cv2.resize(image[top:bottom, left:right], size, interpolation=cv2.INTER_AREA) for image in pictures]
    moved = [((bx - left) * sx, (by - top) * sy, bw * sx, bh * sy) for bx, by, bw, bh in boxes.tolist()]
    columns = (np.arange(size[0]) + 0.5) / size[0] * 2 - 1
    rows = (np.arange(size[1]) + 0.5) / size[1] * 2 - 1
    radius = (np.abs(columns[None]) ** 2.4 + np.abs(rows[:, None]) ** 2.4) ** (1 / 2.4)
    alpha = np.clip((0.98 - radius) / 0.08, 0, 1).astype(np.float32)
    return Head([np.asarray(image, np.uint8) for image in small], moved, alpha)


@lru_cache(maxsize=4096)
def _tilted(number: int, index: int, degrees: int) -> tuple[ByteArray, FloatArray, Box]:
    """A picture of a head rotated around its face, its mask, and the detector's box on the isolated head."""
    head = load_head(number)
    picture, box = head.pictures[index], head.boxes[index]
    if degrees == 0:
        return picture, head.alpha, box
    side = int(1.5 * max(picture.shape[:2]))
    centre = box[0] + box[2] / 2, box[1] + box[3] / 2
    matrix = np.asarray(cv2.getRotationMatrix2D(centre, degrees, 1.0))
    matrix[0, 2] += side / 2 - centre[0]
    matrix[1, 2] += side / 2 - centre[1]
    turned = np.asarray(cv2.warpAffine(picture, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE), np.uint8)
    alpha = np.asarray(cv2.warpAffine(head.alpha, matrix, (side, side)), np.float32)
    alone = turned * alpha[:, :, None] + 128 * (1 - alpha[:, :, None])
    faces = detector().detect(np.asarray(alone, np.uint8))
    if faces:
        return turned, alpha, faces[0].box
    return turned, alpha, (side / 2 - box[2] / 2, side / 2 - box[3] / 2, box[2], box[3])


@lru_cache(maxsize=8)
def scenery(number: int) -> FloatArray:
    """A background with large shapes and some texture: (HEIGHT + 400, WIDTH + 800, 3) float32."""
    random = np.random.default_rng(1000 + number)
    height, width = HEIGHT + 400, WIDTH + 800
    picture = np.zeros((height, width, 3), np.float32) + random.uniform(60, 170, 3).astype(np.float32)
    for cell, strength in ((200, 30.0), (60, 12.0), (9, 4.0)):
        grid = random.standard_normal((height // cell + 2, width // cell + 2, 3)).astype(np.float32)
        picture += strength * np.asarray(cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)
    for _ in range(14):
        left, top = random.integers(0, width), random.integers(0, height)
        right, bottom = left + random.integers(20, 160), top + random.integers(40, 300)
        picture[top:bottom, left:right] += np.asarray(random.uniform(-35, 35, 3), np.float32)
    return np.clip(picture, 5, 250)


class DrawnScene:
    """A scene drawn in memory: ``images`` (HEIGHT, WIDTH, 3) uint8 and the true ``faces`` of each frame."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        drawn = [draw(scene, time) for time in scene.times]
        self.images = [image for image, _ in drawn]
        self.faces = [faces for _, faces in drawn]

    def frames(self, fps: float) -> Iterator[Frame]:
        """The frames as ``VideoReader`` would give them, sampled at ``fps``; 0 samples all."""
        taken = set(sampled_frames(self.scene.times, fps))
        for index, (time, image) in enumerate(zip(self.scene.times, self.images, strict=True)):
            shape = PictureShape((image.shape[1], image.shape[0]))
            yield Frame(index, time, index in taken, _thumbnail(image), shape, lambda image=image: image)  # type: ignore[misc]


def sampled_frames(times: Sequence[float], fps: float) -> list[int]:
    """Indices of the frames that ``VideoReader`` samples: the first at or after each tick; with 0 all."""
    taken: list[int] = []
    tick = 0.0
    for index, time in enumerate(times):
        if time >= tick - TIME_TOLERANCE:
            taken.append(index)
            tick = (np.floor((time + TIME_TOLERANCE) * fps) + 1) / fps if fps > 0 else 0.0
    return taken


def _thumbnail(image: ByteArray) -> ByteArray:
    """A thumbnail like that of ``VideoReader``."""
    step = max(1, max(image.shape[:2]) // THUMBNAIL_SIDE)
    gray = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)
    return gray[step // 2 :: step, step // 2 :: step]


def draw(scene: Scene, time: float) -> tuple[ByteArray, list[Truth]]:
    """The frame at ``time``, (HEIGHT, WIDTH, 3) uint8 blue-green-red, and its faces."""
    shares = _shares(scene, time)
    canvas = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    truths: list[Truth] = []
    for number, share in shares:
        picture, faces = _draw_shot(scene.shots[number], number, time)
        canvas += share * picture
        truths += [replace(face, visible=face.visible * share) for face in faces]
    if any(begin <= time < end for begin, end in scene.flashes):
        canvas = 0.45 * canvas + 140
    noise = np.random.default_rng(round(time * 1000)).normal(0, 2.0, (HEIGHT, WIDTH, 1)).astype(np.float32)
    return np.asarray(np.clip(canvas + noise, 0, 255), np.uint8), truths


def _shares(scene: Scene, time: float) -> list[tuple[int, float]]:
    """The visible shots at ``time``, each with its share of the frame."""
    number = sum(time >= shot.end for shot in scene.shots[:-1])
    for before, (begin, end) in enumerate(scene.cuts()):
        if begin < time < end:
            done = (time - begin) / (end - begin)
            if scene.joins[before] == "dissolve":
                return [(before, 1 - done), (before + 1, done)]
            return [(number, abs(1 - 2 * done))]
    return [(number, 1.0)]


def _draw_shot(shot: Shot, number: int, time: float) -> tuple[FloatArray, list[Truth]]:
    x, y = shot.shift(time)
    view = np.array([[1, 0, -200 - x], [0, 1, -200 - y]], np.float32)
    canvas = np.asarray(cv2.warpAffine(scenery(shot.scenery), view, (WIDTH, HEIGHT)), np.float32)
    faces: list[Truth] = []
    masks: list[FloatArray] = []
    order = sorted(range(len(shot.layers)), key=lambda index: shot.layers[index].depth_at(time))
    for index in order:
        layer = shot.layers[index]
        placed = _place(layer, time, x, y)
        if placed is None:
            continue
        colour, alpha, box = placed
        canvas += alpha[:, :, None] * (colour - canvas)
        for mask in masks:
            mask *= 1 - alpha
        if box is not None and isinstance(layer, Actor):
            faces.append(Truth((number, index), box, 0.0, layer.counts))
            masks.append(_oval(box))
    areas = [np.pi / 4 * face.box[2] * face.box[3] for face in faces]
    visible = [min(1.0, float(mask.sum()) / area) for mask, area in zip(masks, areas, strict=True)]
    return canvas, [replace(face, visible=share) for face, share in zip(faces, visible, strict=True)]


def _place(layer: Actor | Block, time: float, x: float, y: float) -> tuple[FloatArray, FloatArray, Box | None] | None:
    """Colour (HEIGHT, WIDTH, 3), mask (HEIGHT, WIDTH) and face box of a layer, with the camera moved by (x, y)."""
    if isinstance(layer, Block):
        corner = layer.corner(time)
        if corner is None:
            return None
        block = np.full((round(layer.height), round(layer.width), 3), layer.gray, np.float32)
        return *_lay(block, np.ones(block.shape[:2], np.float32), corner[0] - x, corner[1] - y), None
    pose = layer.pose(time)
    if pose is None:
        return None
    tilt, cx, cy, tall = pose
    head = load_head(layer.head)
    index = head.at(time + layer.head)
    picture, alpha, box = _tilted(layer.head, index, round(tilt))
    # one scale for all pictures of a head, so that its size does not jitter with the detector's box
    scale = tall / float(np.median([height for *_, height in head.boxes]))
    size = max(2, round(picture.shape[1] * scale)), max(2, round(picture.shape[0] * scale))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = np.asarray(cv2.resize(picture, size, interpolation=way), np.float32)
    edge = np.asarray(cv2.resize(alpha, size, interpolation=way), np.float32)
    sx, sy = size[0] / picture.shape[1], size[1] / picture.shape[0]
    middle = np.median(np.array(head.boxes), axis=0) if not round(tilt) else np.array(box)
    left = cx - x - (middle[0] + middle[2] / 2) * sx
    top = cy - y - (middle[1] + middle[3] / 2) * sy
    return *_lay(small, edge, left, top), (left + box[0] * sx, top + box[1] * sy, box[2] * sx, box[3] * sy)


def _lay(colour: FloatArray, alpha: FloatArray, left: float, top: float) -> tuple[FloatArray, FloatArray]:
    """Place a patch on an empty canvas with subpixel precision."""
    move = np.array([[1, 0, left], [0, 1, top]], np.float32)
    size = (WIDTH, HEIGHT)
    moved = cv2.warpAffine(colour, move, size, borderMode=cv2.BORDER_CONSTANT)
    return np.asarray(moved, np.float32), np.asarray(cv2.warpAffine(alpha, move, size), np.float32)


def _oval(box: Box) -> FloatArray:
    """The ellipse inside a box as a mask (HEIGHT, WIDTH), 1 inside."""
    x, y, width, height = box
    columns = (np.arange(WIDTH) + 0.5 - x - width / 2) / (width / 2)
    rows = (np.arange(HEIGHT) + 0.5 - y - height / 2) / (height / 2)
    return np.asarray(columns[None] ** 2 + rows[:, None] ** 2 <= 1, np.float32)


def truth_ids(drawn: DrawnScene, max_gap: float) -> list[list[int]]:
    """The true track of each face of each frame; -1 for faces that are not required.

    A face that was absent for more than ``max_gap`` seconds returns as a new track, as in fervid.
    """
    numbers: dict[tuple[int, int], int] = {}
    last: dict[tuple[int, int], float] = {}
    result: list[list[int]] = []
    count = 0
    for time, faces in zip(drawn.scene.times, drawn.faces, strict=True):
        row = []
        for face in faces:
            if face.counts and face.visible >= HINTED:
                if face.actor not in last or time - last[face.actor] > max_gap + TIME_TOLERANCE:
                    numbers[face.actor] = count
                    count += 1
                last[face.actor] = time
            row.append(numbers[face.actor] if face.counts and face.visible >= VISIBLE else -1)
        result.append(row)
    return result


def crossings(drawn: DrawnScene) -> int:
    """Number of times that one face passes another: their horizontal order changes while their boxes overlap."""
    order: dict[tuple[tuple[int, int], tuple[int, int]], bool] = {}
    count = 0
    for faces in drawn.faces:
        for first, second in combinations(sorted(faces, key=lambda face: face.actor), 2):
            (x, y, width, height), (u, v, wide, high) = first.box, second.box
            if first.actor[0] != second.actor[0]:
                continue
            apart = x + width / 2 - u - wide / 2
            if x < u + wide and u < x + width and y < v + high and v < y + height:
                count += order.get((first.actor, second.actor), apart > 0) != (apart > 0)
            order[first.actor, second.actor] = apart > 0
    return count


def walk(path: str) -> tuple[Key, ...]:
    """Parse keys from text: "time x y height", separated by commas."""
    return tuple((t, x, y, height) for t, x, y, height in (map(float, key.split()) for key in path.split(",")))


def at_rate(rate: int, seconds: float) -> tuple[float, ...]:
    """Frame times at a constant rate."""
    return tuple(index / rate for index in range(round(rate * seconds)))


def dropped(times: Sequence[float], share: float, stalls: Sequence[Span], seed: int = 0) -> tuple[float, ...]:
    """Jitter times by a few milliseconds, and drop a ``share`` of them and all inside ``stalls``."""
    random = np.random.default_rng(seed)
    kept = [time for time in times if random.random() >= share and not any(b <= time < e for b, e in stalls)]
    return tuple(round(time + float(random.uniform(0, 0.012)), 4) for time in kept)
