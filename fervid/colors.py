"""The colour of each emotion, in every image and chart.

The colours are those of Okabe and Ito (2008), which people with common forms of colour blindness can distinguish.
Yellow is left out because it is too faint on white; neutral is gray. All colours work on light and dark backgrounds.
"""

from __future__ import annotations

EMOTION_COLORS: dict[str, str] = {
    "angry": "#d55e00",
    "disgust": "#009e73",
    "fear": "#cc79a7",
    "happy": "#e69f00",
    "sad": "#0072b2",
    "surprise": "#56b4e9",
    "neutral": "#8c8c8c",
}
"""Emotion → ``#rrggbb``, in the order of the tables."""


def rgb(color: str) -> tuple[int, int, int]:
    """Split a colour into its channels.

    Args:
        color: ``#rrggbb``.

    Returns:
        (red, green, blue), each from 0 to 255.
    """
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)
