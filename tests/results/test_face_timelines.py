"""The faces of each video as timelines, of results with many videos."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fervid.results.face_timelines import FaceTimelines
from fervid.results.reader import Results, read_results
from tests.support.corrected import write_people
from tests.support.synthetic_results import MadeFace, MadeVideo, wandering, write_results

COUNT = 400
"""Videos of the larger results."""


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Results:
    videos = [MadeVideo(f"{number}.mp4", [MadeFace([0], wandering(1, number))], 1) for number in range(COUNT)]
    return read_results(write_results(tmp_path_factory.mktemp("many") / "r.parquet", videos))


def test_the_timelines_of_many_videos_take_little_memory(many: Results) -> None:
    """A frame for each video takes 15 kB, which was 300 MB for 20,000 videos."""
    FaceTimelines(many)  # what is made once
    tracemalloc.start()
    try:
        timelines = FaceTimelines(many)
        size = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert size < 2000 * COUNT
    for number in (0, COUNT - 1):
        (face,) = timelines.of(many.videos["video_id"][number])
        assert face.smoothed == pytest.approx(wandering(1, number), abs=1e-6)


def test_rows_of_a_video_need_not_lie_together(tmp_path: Path) -> None:
    results = read_results(write_people(tmp_path))
    order = np.random.default_rng(0).permutation(len(results.timeline))
    mixed = replace(results, timeline=results.timeline.iloc[order], summary=results.summary[::-1])
    for video_id in results.videos["video_id"]:
        found, expected = FaceTimelines(mixed).of(video_id), FaceTimelines(results).of(video_id)
        assert [(face.face_id, face.name, face.trust) for face in found] == [
            (face.face_id, face.name, face.trust) for face in expected
        ]
        for one, other in zip(found, expected, strict=True):
            assert np.array_equal(one.times, other.times)
            assert np.array_equal(one.boxes, other.boxes)
        assert np.array_equal(FaceTimelines(mixed).sizes(video_id).times, FaceTimelines(results).sizes(video_id).times)


def test_an_unknown_video_has_no_faces_and_no_sizes(tmp_path: Path) -> None:
    timelines = FaceTimelines(read_results(write_people(tmp_path)))
    assert timelines.of("unknown") == []
    sizes = timelines.sizes("unknown")
    assert (sizes.times.shape, sizes.sizes.shape) == ((0,), (0, 2))
