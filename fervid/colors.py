"""The one colour of each emotion, in every picture that fervid makes.

From the eight colours of Okabe and Ito (2008), which people with any of the common colour blindnesses tell
apart; their yellow is too faint on white and left out, neutral is gray. All are light enough for a dark
ground and dark enough for a light one.
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
    """``#rrggbb`` as (red, green, blue), 0 to 255."""
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)
