"""``plot_timeline``, and the display of results in a notebook."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot
from matplotlib.colors import to_hex

import fervid
from fervid.colors import EMOTION_COLORS, rgb
from fervid.errors import UsageError
from fervid.results.reader import Results, read_results
from fervid.types import EMOTIONS
from tests.support.corrected import NAME, write_people
from tests.support.synthetic_results import MadeFace, MadeVideo, leading_emotions, write_results

matplotlib.use("Agg")

GAPPY = MadeFace([*range(10), *range(14, 40)], leading_emotions(("happy", 20), ("sad", 16)))
SHORT = MadeFace(range(5), leading_emotions(("fear", 5)))


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    pyplot.close("all")


@pytest.fixture
def results(tmp_path: Path) -> Results:
    videos = [MadeVideo("a.mp4", [SHORT, GAPPY]), MadeVideo("<b>.mp4", [SHORT])]
    return read_results(write_results(tmp_path / "r.parquet", videos))


def test_draws_every_emotion_raw_and_smoothed_in_its_colour(results: Results) -> None:
    ax = fervid.plot_timeline(results, "a.mp4", 1)
    assert [to_hex(line.get_color()) for line in ax.get_lines()] == [c for c in EMOTION_COLORS.values() for _ in "rs"]
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == list(EMOTIONS)
    raw, smoothed = ax.get_lines()[2 * EMOTIONS.index("happy") :][:2]
    assert raw.get_linewidth() < smoothed.get_linewidth()
    rows = results.timeline[(results.timeline["video"] == "a.mp4") & (results.timeline["face_id"] == 1)]
    y = np.asarray(smoothed.get_ydata(), float)
    np.testing.assert_allclose(y[~np.isnan(y)], rows["happy_smooth"])


def test_no_line_crosses_a_gap(results: Results) -> None:
    ax = fervid.plot_timeline(results, "a.mp4", 1)
    for line in ax.get_lines():
        x, y = np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)
        (hole,) = np.flatnonzero(np.isnan(y))
        assert 9 * 0.2 < x[hole] < 14 * 0.2
        assert (np.diff(x) > 0).all()
    assert ax.get_xlim() == pytest.approx((0, 49 * 0.2)), "the axis is the video's, not the face's"


def test_draws_the_episodes(results: Results) -> None:
    ax = fervid.plot_timeline(results, "a.mp4", 1)
    bars = []
    for collection in ax.collections:
        (color,) = np.unique(np.asarray(collection.get_facecolor()), axis=0)
        for path in collection.get_paths():
            x = np.asarray(path.vertices)[:, 0]
            bars.append((x.min(), x.max(), to_hex(tuple(color))))
    happy, sad = EMOTION_COLORS["happy"], EMOTION_COLORS["sad"]
    assert [bar[2] for bar in bars] == [happy, sad]
    assert bars[0][:2] == pytest.approx((0, 24 * 0.2))
    assert bars[1][:2] == pytest.approx((24 * 0.2, 40 * 0.2))


def test_uses_the_given_axes_and_by_default_the_face_with_most_samples(results: Results) -> None:
    _, (left, right) = pyplot.subplots(1, 2)
    assert fervid.plot_timeline(results, "a.mp4", ax=right) is right
    assert right.get_title() == "a.mp4, face 1"
    assert not left.get_lines()


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return read_results(write_people(tmp_path_factory.mktemp("people")))


@pytest.mark.parametrize("person", [0, NAME])
def test_a_person_is_drawn_with_all_faces(people: Results, person: int | str) -> None:
    ax = fervid.plot_timeline(people, "a.mp4", person=person)
    assert ax.get_title() == f"a.mp4, {NAME}"
    rows = people.timeline.query("video == 'a.mp4' and person == 0").sort_values("time")
    assert rows["face_id"].nunique() == 2
    line = ax.get_lines()[2 * EMOTIONS.index("happy") + 1]
    np.testing.assert_allclose(np.asarray(line.get_xdata(), float), rows["time"])
    np.testing.assert_allclose(np.asarray(line.get_ydata(), float), rows["happy_smooth"])
    of_person = people.episodes[(people.episodes["video"] == "a.mp4") & people.episodes["face_id"].isin([0, 2])]
    assert sum(len(bars.get_paths()) for bars in ax.collections) == len(of_person) > 2


def test_faces_of_a_person_that_are_seen_at_once_are_both_drawn(people: Results) -> None:
    ax = fervid.plot_timeline(people, "b.mp4", person=0)
    assert ax.get_title() == "b.mp4, person 0"
    rows = people.timeline.query("video == 'b.mp4' and person == 0")
    x, y = (np.asarray(values, float) for values in ax.get_lines()[1].get_data())
    assert np.isfinite(y).sum() == len(rows) == 100
    (back,) = np.flatnonzero(np.diff(x) < 0)
    assert np.isnan(y[back + 1]), "no line leads from one face to the other"


def test_errors_about_persons_list_them(people: Results) -> None:
    with pytest.raises(UsageError, match=r"no person 7 in a\.mp4; there are: 0, 1"):
        fervid.plot_timeline(people, "a.mp4", person=7)
    with pytest.raises(UsageError, match=r"no participant Ben in b\.mp4; there are: none"):
        fervid.plot_timeline(people, "b.mp4", person="Ben")
    with pytest.raises(UsageError, match="give one of them"):
        fervid.plot_timeline(people, "a.mp4", 0, person=0)


def test_errors_list_the_videos_and_faces(results: Results) -> None:
    with pytest.raises(UsageError, match=r"2 videos; name one of them, such as a\.mp4"):
        fervid.plot_timeline(results)
    with pytest.raises(UsageError, match=r"no such video in the results: c\.mp4"):
        fervid.plot_timeline(results, "c.mp4")
    with pytest.raises(UsageError, match=r"no face 7 in a\.mp4; its faces: 0, 1"):
        fervid.plot_timeline(results, "a.mp4", 7)


def test_a_face_seen_once_is_a_point(tmp_path: Path) -> None:
    once = MadeFace([3], leading_emotions(("angry", 1)))
    ax = fervid.plot_timeline(read_results(write_results(tmp_path / "r.parquet", [MadeVideo("a.mp4", [once])])))
    assert {line.get_marker() for line in ax.get_lines()} == {"."}


def test_importing_fervid_loads_no_matplotlib() -> None:
    code = "import sys, fervid; dir(fervid); print({'matplotlib', 'pandas', 'tensorflow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_results_have_a_notebook_display(results: Results) -> None:
    assert repr(results) == "<fervid results: 2 videos (0 failed), 3 faces, 105 rows>"
    html = results._repr_html_()
    assert "2 videos (0 failed), 3 faces" in html
    assert "&lt;b&gt;.mp4" in html
    assert "<b>" not in html


def test_colours_are_distinct_and_visible_on_light_and_dark() -> None:
    assert tuple(EMOTION_COLORS) == EMOTIONS
    values = {name: np.array(rgb(color)) / 255 for name, color in EMOTION_COLORS.items()}
    linear = {name: np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4) for name, v in values.items()}
    # colour vision without the long or the middle wavelengths: Viénot, Brettel, Mollon (1999)
    protan = np.array([[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]])
    deutan = np.array([[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]])
    for matrix in (np.eye(3), protan, deutan):
        seen = {name: np.cbrt(np.clip(matrix @ v, 0, 1)) for name, v in linear.items()}
        for index, first in enumerate(EMOTIONS):
            for second in EMOTIONS[index + 1 :]:
                assert np.abs(seen[first] - seen[second]).max() > 0.07, (first, second)
    for name, v in linear.items():
        luminance = v @ [0.2126, 0.7152, 0.0722]
        assert 1.05 / (luminance + 0.05) > 2, name
        assert (luminance + 0.05) / 0.06 > 2.5, name


def test_measures_are_lanes_below_with_their_events(tmp_path: Path) -> None:
    face = MadeFace(range(50), leading_emotions(("happy", 50)))
    results = read_results(write_results(tmp_path / "r.parquet", [MadeVideo("a.mp4", [face])]))
    timeline = results.timeline.assign(eyes_open=np.where(np.arange(50) == 20, 0.05, 0.3).astype(np.float32))
    blink = results.episodes.iloc[:1].assign(kind="blink", emotion=None, onset=4.0, apex=4.0, offset=4.2, duration=0.2)
    results = replace(results, timeline=timeline, episodes=pd.concat([results.episodes, blink]))
    axes = fervid.plot_timeline(results, measures=("eyes_open", "valence"))
    _, eyes, valence = axes.figure.axes
    np.testing.assert_allclose(np.asarray(eyes.lines[0].get_ydata(), float), timeline["eyes_open"])
    assert len(eyes.patches) == 1
    assert len(valence.patches) == 0
    with pytest.raises(UsageError, match="`measures` must be of valence, head_yaw"):
        fervid.plot_timeline(results, measures=("joy",))
    with pytest.raises(UsageError, match="leave out `ax`"):
        fervid.plot_timeline(results, measures=("eyes_open",), ax=axes)
