"""Whether clips keep their emotions if turned: each is analysed upright and turned by 90, 180 and 270 degrees.

    python -m tests.benchmarks.turned_clips CLIP... [--fps 2]

A turned copy counts as right if the video's largest mean emotion is the same and no mean probability differs by more
than 0.1, or if it is marked: ``trust`` is not ok, or the message says that it should be turned.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import fervid
from fervid.pipeline import VideoResults
from fervid.types import EMOTIONS


def means(results: VideoResults) -> np.ndarray[tuple[int], np.dtype[np.float64]] | None:
    """(7,) mean smoothed probabilities of all rows with a face; None without a face."""
    rows = results.timeline.dropna(subset="face_id")
    return rows[[f"{name}_smooth" for name in EMOTIONS]].to_numpy(np.float64).mean(axis=0) if len(rows) else None


def main() -> None:
    """Print each turned copy and how many are right."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--fps", type=float, default=2.0)
    asked = parser.parse_args()
    classifier = fervid.load_classifier()
    kept = marked = count = 0
    for clip in asked.clips:
        upright = means(fervid.analyze_video(clip, fps=asked.fps, classifier=classifier))
        if upright is None:
            continue
        for degrees in (90, 180, 270):
            results = fervid.analyze_video(clip, fps=asked.fps, rotate=degrees, classifier=classifier)
            found = means(results)
            same = found is not None and found.argmax() == upright.argmax() and np.abs(found - upright).max() <= 0.1
            told = results.videos["trust"].iloc[0] != "ok" or "analyse again" in str(results.message)
            count, kept, marked = count + 1, kept + same, marked + (told and not same)
            largest = np.nan if found is None else np.abs(found - upright).max()
            print(
                f"{clip.name} {degrees}: {'same' if same else 'differs'} ({largest:.2f}){', marked' * told}", flush=True
            )
    print(f"{kept} of {count} keep their emotions, {marked} of the others are marked")


if __name__ == "__main__":
    main()
