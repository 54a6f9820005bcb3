"""The rows of measures that report and review draw."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd

from fervid.charts.measure_rows import ROWS, described_rows, has_measures, shares, spans
from fervid.report.page_content import videos
from fervid.results.reader import Results, read_results
from fervid.review.view import describe_video
from tests.support.synthetic_results import MadeFace, MadeVideo, leading_emotions, write_results


def results(folder: Path) -> Results:
    face = MadeFace(range(20), leading_emotions(("happy", 20)))
    return read_results(write_results(folder / "r.parquet", [MadeVideo("a.mp4", [face], 20)]))


def measured(plain: Results) -> Results:
    """The same with measures and a blink."""
    known = dict.fromkeys(ROWS, 0.0) | {"eyes_open": 0.25, "head_yaw": 90.0}
    timeline = plain.timeline.assign(**{name: np.float32(value) for name, value in known.items()})
    timeline.loc[3, "eyes_open"] = np.nan
    blink = plain.episodes.iloc[:1].assign(kind="blink", emotion=None, onset=1.0, apex=1.1, offset=1.2)
    return dataclasses.replace(plain, timeline=timeline, episodes=pd.concat([plain.episodes, blink]))


def test_values_lie_between_the_ends_of_their_rows(tmp_path: Path) -> None:
    plain = results(tmp_path)
    assert not has_measures(plain.timeline)
    assert spans(plain.episodes) == {}
    found = measured(plain)
    assert has_measures(found.timeline)
    values = shares(found.timeline)
    np.testing.assert_allclose(values[0], [0.5, 0, 1, 0.5])
    assert np.isnan(values[3, 0])
    assert [row["name"] for row in described_rows()] == list(ROWS)
    ((key, own),) = spans(found.episodes).items()
    assert (key[1], own) == (0, [[0, 1.0, 1.2]])


def test_report_and_review_get_events_beside_the_episodes_of_emotions(tmp_path: Path) -> None:
    plain = results(tmp_path)
    found = measured(plain)
    ((face,),) = (video["faces"] for video in videos(found))
    assert face["spans"] == [[0, 1.0, 1.2]]
    assert len(face["episodes"]) == len(plain.episodes)
    told = describe_video(found)
    assert told["spans"] == [[0, 0, 1.0, 1.2]]
    assert len(told["episodes"]) == len(plain.episodes)
    assert told["faces"][0]["rows"][0][2:5] == [0.5, None, 0.5]
    assert describe_video(plain)["rows"] == []
