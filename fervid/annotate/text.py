"""Small plates of text and bars, drawn once and kept: what an overlay is put together from. Needs Pillow."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib import resources

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fervid.annotate.yuv_canvas import Color
from fervid.types import ByteArray

INK: Color = (245, 245, 245)
FAINT: Color = (200, 200, 206)
WARNING: Color = (255, 200, 87)
GROUND = (16, 17, 22, 208)
"""Every text stands on this dark plate, so that it can be read over any picture."""

_FINER = 4
"""Shapes are drawn so many times larger and shrunk, for smooth edges."""

Font = ImageFont.FreeTypeFont
Word = tuple[str, Color, bool]
"""Text, colour, whether bold."""


@lru_cache(maxsize=64)
def font(size: int, bold: bool = False) -> Font:
    """DejaVu Sans, which matplotlib brings along, ``size`` pixels high."""
    name = f"mpl-data/fonts/ttf/DejaVuSans{'-Bold' if bold else ''}.ttf"
    with resources.as_file(resources.files("matplotlib") / name) as path:
        return ImageFont.truetype(str(path), size)


@lru_cache(maxsize=1024)
def text_width(text: str, size: int, bold: bool = False) -> int:
    """Pixels that a text takes."""
    return int(np.ceil(font(size, bold).getlength(text)))


def plate(width: int, height: int, radius: float, color: tuple[int, int, int, int] = GROUND) -> Image.Image:
    """An RGBA picture of a rectangle with round corners."""
    large = Image.new("L", (width * _FINER, height * _FINER), 0)
    corner = (width * _FINER - 1, height * _FINER - 1)
    ImageDraw.Draw(large).rounded_rectangle(((0, 0), corner), radius * _FINER, fill=color[3])
    image = Image.new("RGBA", (width, height), (*color[:3], 0))
    image.putalpha(large.resize((width, height), Image.Resampling.BOX))
    return image


def write(image: Image.Image, x: float, middle: float, word: Word, size: int) -> None:
    """Write on a picture, from ``x`` on, capitals centred on ``middle``."""
    text, color, bold = word
    ImageDraw.Draw(image).text((x, middle + 0.36 * size), text, (*color, 255), font(size, bold), anchor="ls")


def chip(text: str, color: Color, size: int, hollow: bool) -> Image.Image:
    """A small coloured plate with a number; ``hollow`` shows its rim only."""
    height = round(1.35 * size)
    width = max(height, text_width(text, size, bold=True) + round(0.7 * size))
    image = plate(width, height, 0.3 * size, (*color, 255))
    if hollow:
        rim = max(1, round(0.12 * size))
        inner = plate(width - 2 * rim, height - 2 * rim, 0.3 * size - rim, (*GROUND[:3], 255))
        image.alpha_composite(inner, (rim, rim))
    x = (width - text_width(text, size, bold=True)) / 2
    write(image, x, height / 2, (text, color if hollow else (0, 0, 0), True), size)
    return image


def tag(number: Image.Image, words: Sequence[Word], size: int, extra: int) -> Image.Image:
    """A plate with a chip, words after it, and ``extra`` free pixels at its end."""
    pad = round(0.22 * size)
    height = number.height + 2 * pad
    gap = round(0.45 * size)
    width = number.width + 2 * pad + sum(gap + text_width(text, size, bold) for text, _, bold in words)
    width += (gap if words else 0) + (extra + gap // 2 if extra else 0)
    image = plate(width, height, 0.4 * size)
    image.alpha_composite(number, (pad, pad))
    x = number.width + pad + gap
    for word in words:
        write(image, x, height / 2, word, size)
        x += text_width(word[0], size, word[2]) + gap
    return image


def pixels(image: Image.Image) -> ByteArray:
    """(h, w, 4) uint8."""
    return np.asarray(image, np.uint8)
