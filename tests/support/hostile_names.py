"""File names that are hard to handle."""

from __future__ import annotations

import os

NAMES = [
    "with space.mp4",
    'quote\'s "double".mp4',
    "new\nline.mp4",
    "-dash.mp4",
    "per%03d cent.mp4",
    "colon:name.mp4",
    "concat:a|b.mp4",
    "comma,semi;$HOME`x`.mp4",
    "ünïcödé 人.mp4",
    "*?[x].mp4",
    os.fsdecode(b"latin-\xfc\xff.mp4"),
]
