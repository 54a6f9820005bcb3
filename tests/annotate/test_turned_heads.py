"""Heads that are turned so far that their pose is not known were measured all the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fervid.annotate.annotate import annotate
from fervid.errors import UsageError
from fervid.results.reader import read_results
from tests.support.synthetic_results import MadeFace, MadeVideo, wandering, write_results


def test_heads_without_a_known_pose_are_not_refused(tmp_path: Path) -> None:
    made = write_results(tmp_path / "r.parquet", [MadeVideo("a.mp4", [MadeFace(range(50), wandering(50, 1))])])
    results = read_results(made)
    with pytest.raises(UsageError, match="head's pose"):
        annotate(results, None, tmp_path / "out", style="head")
    turned = replace(results, summary=results.summary.assign(mean_mouth_open=0.1))
    annotate(turned, None, tmp_path / "out", style="head")  # the video is missing, which ends nothing
