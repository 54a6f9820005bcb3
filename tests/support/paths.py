"""Where the repository and its sample videos lie, and a time stamp that is safely in the past."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

SAMPLES = ROOT / "sample_videos"

LONG_AGO = 1_600_000_000
"""A modification time, in seconds since 1970. The resume store trusts a time stamp only if it is 2 seconds old."""
