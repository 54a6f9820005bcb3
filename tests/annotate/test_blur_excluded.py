"""`--blur` writes no video of which a correction excluded a face: the tables do not say where that face is.

Members: a face that is excluded for a time, and wholly; the last face; two faces; with and without a reason; the
results merged; results of other corrections.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import fervid
from fervid.annotate.annotate import annotate
from fervid.results.merge import merge
from tests.support.corrected import write_corrections
from tests.support.paths import SAMPLES
from tests.support.replay import replaying

OPEN = "a correction excluded faces, which would stay visible; blur with the results of the analysis"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of a clip of two people."""
    root = tmp_path_factory.mktemp("whole")
    with replaying():
        fervid.analyze([SAMPLES / "crossing.mp4"], root / "r.parquet", fps=2, device="cpu")
    return root / "r.parquet"


@pytest.mark.parametrize(
    "lines",
    [
        ["crossing.mp4,0,exclude,1,2,a hand"],
        ["crossing.mp4,1,exclude,,,"],
        ["crossing.mp4,0,exclude,,,", "crossing.mp4,1,exclude,,,a poster; in the hall"],
    ],
)
@pytest.mark.parametrize("merged", [False, True])
def test_a_video_with_an_excluded_face_is_not_blurred(
    whole: Path, tmp_path: Path, lines: list[str], merged: bool
) -> None:
    results = tmp_path / "c.parquet"
    fervid.correct(whole, write_corrections(tmp_path / "c.csv", *lines), results)
    if merged:
        merge([results], results := tmp_path / "m.parquet")
    found = annotate(results, SAMPLES, tmp_path / "out", blur=True)
    assert [(one.status, one.message) for one in found.videos] == [("failed", OPEN)]
    assert found.exit_code == 4
    assert list((tmp_path / "out").glob("*.mp4")) == []


def test_other_corrections_do_not_matter(whole: Path, tmp_path: Path) -> None:
    lines = ["crossing.mp4,0,split,2,,", "crossing.mp4,0,name,,,Ann"]
    fervid.correct(whole, write_corrections(tmp_path / "c.csv", *lines), tmp_path / "c.parquet")
    assert annotate(tmp_path / "c.parquet", SAMPLES, tmp_path / "out", blur=True).exit_code == 0
