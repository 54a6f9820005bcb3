"""Make the sample clips of this folder: ``python -m sample_videos.make_samples [OUT_DIR]``.

The people are two portraits in the public domain, taken from Python packages that contain them:

* Eileen Collins, NASA photograph (NASA Great Images database, "no known copyright restrictions, released into
  the public domain"): ``skimage.data.astronaut()`` of scikit-image.
* Grace Hopper, official US Navy photograph, a work of the United States federal government:
  ``grace_hopper.jpg`` among the sample data of matplotlib.

Nothing is random: the same versions of the libraries draw the same frames at the same times. The encoder's output may
differ a little from run to run, so the files may differ in some bytes. The script needs the extra ``samples``:
``pip install fervid[samples]``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from matplotlib.cbook import get_sample_data
from skimage.data import astronaut

from fervid.types import ByteArray, FloatArray
from fervid.video.writer import EncoderSettings, VideoWriter
from tests.support.clips import Tone

FPS = 25
CRF = 24
CUT = 3.0
"""Time in seconds at which cut.mp4 changes to the other person."""
GAP_BEGIN, GAP = 2.5, 0.7
"""variable_rate.mp4 has no frame for ``GAP`` seconds after its first frame at or after ``GAP_BEGIN``."""

Point = tuple[float, float]

# fmt: off
COLLINS_OUTLINE = (
    (201, 23), (185, 38), (163, 51), (154, 64), (157, 104), (170, 116), (174, 128), (182, 132), (182, 147),
    (153, 151), (131, 167), (121, 183), (122, 205), (110, 206), (65, 246), (40, 294), (35, 320), (40, 344),
    (33, 345), (30, 350), (24, 393), (20, 398), (26, 484), (39, 511), (511, 511), (511, 491), (506, 490),
    (500, 478), (493, 477), (493, 468), (501, 463), (501, 455), (495, 452), (493, 421), (478, 384), (455, 361),
    (418, 345), (401, 345), (394, 353), (362, 352), (356, 302), (346, 275), (319, 243), (303, 233), (298, 217),
    (284, 197), (257, 174), (257, 164), (268, 138), (290, 117), (300, 92), (296, 58), (288, 43), (276, 31),
    (251, 19), (227, 16),
)
HOPPER_OUTLINE = (
    (249, 23), (218, 31), (212, 43), (197, 49), (181, 64), (176, 85), (162, 91), (153, 108), (149, 135),
    (148, 180), (156, 183), (155, 211), (160, 235), (161, 255), (160, 272), (170, 284), (188, 292), (197, 298),
    (203, 308), (197, 321), (187, 337), (158, 351), (80, 370), (53, 383), (41, 410), (31, 440), (24, 480),
    (11, 599), (500, 599), (505, 520), (506, 460), (502, 425), (494, 396), (471, 380), (359, 338), (341, 326),
    (345, 278), (361, 262), (369, 210), (374, 201), (374, 188), (369, 183), (371, 134), (369, 100), (365, 89),
    (353, 86), (348, 71), (335, 56), (313, 44), (299, 41), (281, 27),
)
# fmt: on
"""Outlines of the people as (x, y) in pixels of the portraits."""

COLLINS_FACE, HOPPER_FACE = (225.0, 117.0), (266.0, 217.0)
"""Centres of the faces as (x, y) in pixels of the portraits."""


@dataclass(frozen=True)
class Clip:
    """One clip. ``draw`` gives the frame as shown at a time, (height, width, 3) uint8 blue-green-red.

    ``rotation`` is the display rotation in degrees clockwise, 0 or 90; ``tone`` in hertz, 0 for silence.
    """

    name: str
    width: int
    height: int
    times: list[float]
    draw: Callable[[float], ByteArray]
    rotation: int = 0
    tone: float = 0.0


@dataclass(frozen=True, eq=False)
class Figure:
    """A person cut out of a portrait and scaled.

    ``colour`` (h, w, 3) float32, multiplied by ``alpha`` (h, w, 1) float32 in [0, 1]; ``shadow`` (h, w, 1)
    float32 is what the figure leaves of the light behind it; ``face`` is the centre of the face, (x, y).
    """

    colour: FloatArray
    alpha: FloatArray
    shadow: FloatArray
    face: Point


@lru_cache(maxsize=1)
def collins() -> ByteArray:
    """Portrait of Eileen Collins, (512, 512, 3) uint8 blue-green-red."""
    read: Callable[[], ByteArray] = astronaut
    return np.ascontiguousarray(read()[:, :, ::-1])


@lru_cache(maxsize=1)
def hopper() -> ByteArray:
    """Portrait of Grace Hopper, (600, 512, 3) uint8 blue-green-red."""
    path = str(get_sample_data("grace_hopper.jpg", asfileobj=False))
    image = cv2.imread(path)
    if image is None:
        raise FileNotFoundError(f"cannot read {path}; reinstall matplotlib")
    return np.asarray(image, np.uint8)


@lru_cache(maxsize=2)
def wall(width: int, height: int) -> FloatArray:
    """A neutral wall with a soft texture: (height, width, 3) float32 blue-green-red."""
    random = np.random.default_rng(7)
    texture = np.zeros((height, width), np.float32)
    for cell, strength in ((80, 9.0), (24, 5.0), (6, 2.5)):
        grid = random.standard_normal((height // cell + 2, width // cell + 2)).astype(np.float32)
        texture += strength * np.asarray(cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)
    light = np.linspace(12, -12, width, dtype=np.float32)[None] + np.linspace(8, -14, height, dtype=np.float32)[:, None]
    colour = np.array((158, 166, 170), np.float32)
    return np.asarray(np.clip(colour + (texture + light)[:, :, None], 0, 255), np.float32)


def cut_out(portrait: ByteArray, outline: tuple[Point, ...], face: Point, scale: float) -> Figure:
    """Cut out the part of a portrait inside ``outline``, with a soft edge. It is never enlarged."""
    margin = 48  # space for the shadow
    portrait = np.asarray(cv2.copyMakeBorder(portrait, *(margin,) * 4, borderType=cv2.BORDER_REPLICATE), np.uint8)
    mask = np.zeros(portrait.shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.array(outline, np.int32) + margin], (255,))
    soft = np.asarray(cv2.GaussianBlur(mask, (0, 0), 1.2), np.float32)[:, :, None] / 255
    size = (round(portrait.shape[1] * scale), round(portrait.shape[0] * scale))
    layers = np.concatenate([portrait.astype(np.float32) * soft, soft], axis=2)
    small = np.asarray(cv2.resize(layers, size, interpolation=cv2.INTER_AREA), np.float32)
    alpha = np.ascontiguousarray(small[:, :, 3:])
    shade = np.asarray(cv2.GaussianBlur(alpha, (0, 0), 9), np.float32)[:, :, None]
    centre = ((face[0] + margin) * scale, (face[1] + margin) * scale)
    return Figure(np.ascontiguousarray(small[:, :, :3]), alpha, 1 - 0.35 * shade, centre)


def place(scene: FloatArray, figure: Figure, face: Point) -> FloatArray:
    """Draw ``figure`` in front of ``scene`` (h, w, 3), with the centre of its face at ``face`` (x, y)."""
    size = (scene.shape[1], scene.shape[0])
    x, y = face[0] - figure.face[0], face[1] - figure.face[1]

    def moved(layer: FloatArray, right: float, outside: float) -> FloatArray:
        shift = np.array([[1, 0, x + right], [0, 1, y]], np.float32)
        warped = np.asarray(cv2.warpAffine(layer, shift, size, borderValue=(outside,) * 3), np.float32)
        return warped.reshape(size[1], size[0], -1)

    lit = scene * moved(figure.shadow, 8, 1)
    return np.asarray(lit * (1 - moved(figure.alpha, 0, 0)) + moved(figure.colour, 0, 0), np.float32)


def view(portrait: ByteArray, width: int, height: int, centre: Point, zoom: float, roll: float = 0.0) -> FloatArray:
    """The portrait around ``centre`` (x, y), enlarged and rotated by ``roll`` degrees: (height, width, 3) float32."""
    matrix = cv2.getRotationMatrix2D(centre, roll, zoom)
    matrix[:, 2] += np.array((width / 2 - centre[0], height / 2 - centre[1]))
    shown = cv2.warpAffine(portrait, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(shown, np.float32)


def develop(scene: FloatArray, time: float) -> ByteArray:
    """Turn a scene into a uint8 frame, under light that varies a little."""
    light = 1 + 0.03 * np.sin(2 * np.pi * time / 3.1)
    return np.asarray(np.clip(np.rint(scene * light), 0, 255), np.uint8)


def ease(time: float, begin: float, end: float) -> float:
    """0 before ``begin``, 1 after ``end``, with a smooth transition between them."""
    share = min(1.0, max(0.0, (time - begin) / (end - begin)))
    return share * share * (3 - 2 * share)


def step_height(x: float) -> float:
    """Lift of a walking person's head in pixels when the face is at ``x``: a step every 45 pixels."""
    return 3 * abs(float(np.sin(np.pi * x / 45)))


def steady(seconds: float) -> list[float]:
    """Times of frames at a constant rate."""
    return [index / FPS for index in range(round(seconds * FPS))]


def pan_zoom() -> Clip:
    """Collins, while the camera zooms in from the full portrait to her face."""
    width, height = 480, 360

    def draw(time: float) -> ByteArray:
        share = ease(time, 0.0, 6.0)
        centre = (254 - 26 * share, 192 - 68 * share)
        return develop(view(collins(), width, height, centre, 0.97 + 0.75 * share), time)

    return Clip("pan_zoom.mp4", width, height, steady(6.0), draw, tone=220.0)


def crossing() -> Clip:
    """Collins walks right, Hopper walks left and passes in front of her."""
    width, height = 640, 360
    behind = cut_out(collins(), COLLINS_OUTLINE, COLLINS_FACE, 0.8)
    before = cut_out(hopper(), HOPPER_OUTLINE, HOPPER_FACE, 0.56)

    def draw(time: float) -> ByteArray:
        share = ease(time, 0.8, 4.0)
        right, left = 140 + 340 * share, 500 - 350 * share
        scene = place(wall(width, height), behind, (right, 132 - step_height(right)))
        return develop(place(scene, before, (left, 152 - step_height(left + 20))), time)

    return Clip("crossing.mp4", width, height, steady(5.0), draw)


def leaving() -> Clip:
    """Collins walks out of the frame to the right, and returns."""
    width, height = 480, 360
    figure = cut_out(collins(), COLLINS_OUTLINE, COLLINS_FACE, 0.85)

    def draw(time: float) -> ByteArray:
        x = 220 + 450 * (ease(time, 1.2, 3.2) - ease(time, 4.2, 6.2))
        return develop(place(wall(width, height), figure, (x, 140 - step_height(x))), time)

    return Clip("leaving.mp4", width, height, steady(7.2), draw)


def cut() -> Clip:
    """Collins, then after a cut Hopper, with her face in the same place."""
    width, height = 480, 360

    def draw(time: float) -> ByteArray:
        drift = 5 * float(np.sin(2 * np.pi * time / 4))
        if time < CUT:
            return develop(view(collins(), width, height, (225 + drift, 128), 1.6), time)
        return develop(view(hopper(), width, height, (264 - drift, 215 + drift / 2), 0.97), time)

    return Clip("cut.mp4", width, height, steady(6.0), draw)


def variable_rate() -> Clip:
    """Hopper, recorded by a camera whose frames last 25 to 65 ms and that stalls once."""
    width, height = 480, 360
    times, now, stalled = [], 0.0, False
    while now < 6.0:
        times.append(round(now, 3))
        pause = 0.045 + 0.02 * float(np.sin(0.9 * len(times)))
        if now >= GAP_BEGIN and not stalled:
            pause, stalled = GAP, True
        now += pause

    def draw(time: float) -> ByteArray:
        centre = (256 + 34 * float(np.sin(2 * np.pi * time / 5)), 222 + 6 * float(np.sin(2 * np.pi * time / 3)))
        return develop(view(hopper(), width, height, centre, 1.12), time)

    return Clip("variable_rate.mp4", width, height, times, draw)


def rotated() -> Clip:
    """Hopper, recorded upright by a hand-held phone that stores its frames sideways."""
    width, height = 360, 480

    def draw(time: float) -> ByteArray:
        sway = float(np.sin(2 * np.pi * time / 3.5))
        centre = (262 + 10 * sway, 262 + 8 * float(np.sin(2 * np.pi * time / 2.3)))
        return develop(view(hopper(), width, height, centre, 1.02, roll=2.5 * sway), time)

    return Clip("rotated.mp4", width, height, steady(5.0), draw, rotation=90)


def write(clip: Clip, folder: Path) -> Path:
    """Encode a clip.

    Args:
        clip: The clip.
        folder: Folder for the file.

    Returns:
        Path of the file.

    Raises:
        OutputError: The file cannot be written.
    """
    path = folder / clip.name
    width, height = (clip.height, clip.width) if clip.rotation else (clip.width, clip.height)
    encoder = EncoderSettings(crf=CRF, rotation=clip.rotation)
    with VideoWriter(path, width, height, encoder, Tone(clip.tone) if clip.tone else None) as writer:
        for time in clip.times:
            image = clip.draw(time)
            if clip.rotation:
                image = np.asarray(cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE), np.uint8)
            writer.write(image, time)
    return path


CLIPS = (pan_zoom, crossing, leaving, cut, variable_rate, rotated)


def main() -> None:
    """Write every clip."""
    parser = argparse.ArgumentParser(description="Make fervid's sample clips.")
    parser.add_argument(
        "folder",
        nargs="?",
        type=Path,
        default=Path(__file__).parent,
        help="output folder (default: the folder of this script)",
    )
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for clip in CLIPS:
        path = write(clip(), folder)
        print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
