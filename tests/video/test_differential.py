"""Every frame of made videos; see tests/video/differential.py. In every run a part, nightly three hundred more."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from tests.video.differential import FORMATS, differences, recipe

EVERYDAY = range(2 * sum(len(codecs) for codecs in FORMATS.values()))


@pytest.mark.parametrize("seed", [*EVERYDAY, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(100, 400))])
def test_every_frame_has_its_number_time_size_and_orientation(tmp_path: Path, seed: int) -> None:
    made = recipe(seed)
    if made.codec not in av.codecs_available:
        pytest.skip(f"needs an FFmpeg with {made.codec}")
    wrong, _ = differences(made, tmp_path / f"clip.{made.container}")
    assert not wrong, f"{made}: {wrong[0]} ({len(wrong)} in all)"
