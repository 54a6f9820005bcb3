"""Small images of text on a dark background, from which an overlay is composed. Uses Pillow."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib import resources

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fervid.annotate.yuv_canvas import Color
from fervid.types import ByteArray

INK: Color = (245, 245, 245)
"""Main text."""
FAINT: Color = (200, 200, 206)
"""Secondary text."""
WARNING: Color = (255, 200, 87)
"""Text about low trust."""
BACKGROUND = (16, 17, 22, 208)
"""Background behind all text (RGBA), so that it is readable on any frame."""

_OVERSAMPLING = 4
"""Shapes are drawn this many times larger and shrunk, for smooth edges."""

Font = ImageFont.FreeTypeFont
Word = tuple[str, Color, bool]
"""Text, colour, whether bold."""


@lru_cache(maxsize=64)
def font(size: int, bold: bool = False) -> Font:
    """Load DejaVu Sans, which matplotlib includes.

    Args:
        size: Font size in pixels.
        bold: Whether to load the bold font.

    Returns:
        The font.
    """
    name = f"mpl-data/fonts/ttf/DejaVuSans{'-Bold' if bold else ''}.ttf"
    with resources.as_file(resources.files("matplotlib") / name) as path:
        return ImageFont.truetype(str(path), size)


@lru_cache(maxsize=1024)
def text_width(text: str, size: int, bold: bool = False) -> int:
    """Measure a text.

    Args:
        text: The text.
        size: Font size in pixels.
        bold: Whether it is bold.

    Returns:
        Its width in pixels.
    """
    return int(np.ceil(font(size, bold).getlength(text)))


def plate(width: int, height: int, radius: float, color: tuple[int, int, int, int] = BACKGROUND) -> Image.Image:
    """Draw a rectangle with rounded corners.

    Args:
        width: Width in pixels.
        height: Height in pixels.
        radius: Radius of the corners in pixels.
        color: RGBA.

    Returns:
        An RGBA image.
    """
    large = Image.new("L", (width * _OVERSAMPLING, height * _OVERSAMPLING), 0)
    corner = (width * _OVERSAMPLING - 1, height * _OVERSAMPLING - 1)
    ImageDraw.Draw(large).rounded_rectangle(((0, 0), corner), radius * _OVERSAMPLING, fill=color[3])
    image = Image.new("RGBA", (width, height), (*color[:3], 0))
    image.putalpha(large.resize((width, height), Image.Resampling.BOX))
    return image


def write(image: Image.Image, x: float, middle: float, word: Word, size: int) -> None:
    """Write a word on an image.

    Args:
        image: RGBA image; changed in place.
        x: Left edge of the text in pixels.
        middle: Vertical centre of capital letters in pixels.
        word: Text, colour, and whether it is bold.
        size: Font size in pixels.
    """
    text, color, bold = word
    ImageDraw.Draw(image).text((x, middle + 0.36 * size), text, (*color, 255), font(size, bold), anchor="ls")


def chip(text: str, color: Color, size: int, hollow: bool) -> Image.Image:
    """Draw a small coloured rectangle with a number in it.

    Args:
        text: The number.
        color: Colour of the rectangle.
        size: Font size in pixels.
        hollow: Draw only the outline in ``color``.

    Returns:
        An RGBA image.
    """
    height = round(1.35 * size)
    width = max(height, text_width(text, size, bold=True) + round(0.7 * size))
    image = plate(width, height, 0.3 * size, (*color, 255))
    if hollow:
        rim = max(1, round(0.12 * size))
        inner = plate(width - 2 * rim, height - 2 * rim, 0.3 * size - rim, (*BACKGROUND[:3], 255))
        image.alpha_composite(inner, (rim, rim))
    x = (width - text_width(text, size, bold=True)) / 2
    write(image, x, height / 2, (text, color if hollow else (0, 0, 0), True), size)
    return image


def label(number: Image.Image, words: Sequence[Word], size: int, extra: int) -> Image.Image:
    """Draw a label: a number and words.

    Args:
        number: Image of the number, as ``chip`` draws it.
        words: The words after it.
        size: Font size in pixels.
        extra: Pixels left free at the end.

    Returns:
        An RGBA image.
    """
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
    """Convert an RGBA image to an array.

    Args:
        image: The image.

    Returns:
        (h, w, 4) uint8.
    """
    return np.asarray(image, np.uint8)
