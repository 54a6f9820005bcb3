"""Further columns of the timeline, and episodes of other kinds, in made tables that have them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fervid.studies.baselines import BaselineSums, add_baseline
from fervid.studies.catalog import Recording
from fervid.studies.compute import Computed, without_empty_measures
from fervid.studies.plan import Plan, make_plan
from fervid.studies.series import SampleRules, Series, all_measures, build_series, measure_values
from fervid.studies.settings import BaselineSettings, StudySettings
from fervid.studies.tables import build_tables
from fervid.studies.window_store import WindowBlock, WindowStore
from fervid.studies.windows import Window, event_courses, window_values
from fervid.timeline.events import EVENT_KINDS
from fervid.types import EMOTIONS, MEASURES, DoubleArray
from tests.support.made_study import MadeParticipant, write_study

STEP = 1 / 25


def made_timeline(times: DoubleArray, **columns: object) -> pd.DataFrame:
    rows = {"video_id": "a", "time": times, "face_id": 0, "face_quality": 0.8}
    rows |= dict.fromkeys(EMOTIONS, 0.02) | {"happy": 0.5, "sad": 0.3, "neutral": 0.1}
    rows |= {f"{name}_smooth": rows[name] for name in EMOTIONS}
    return pd.DataFrame(rows | columns)


def made_episodes(*rows: tuple[str, str | None, float, float]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["kind", "emotion", "onset", "offset"]).assign(face_id=0)
    return table.assign(emotion=pd.Categorical(table["emotion"], EMOTIONS))


def made_series(timeline: pd.DataFrame, episodes: pd.DataFrame, *measures: str) -> Series:
    tables = {
        "timeline": timeline,
        "episodes": episodes,
        "summary": pd.DataFrame({"face_id": [0], "trust": ["ok"]}),
    }
    recording = Recording(Path("r"), "a.mp4", "a", 20.0, "", {"Ann": frozenset({0})})
    return build_series("Ann", frozenset({0}), recording, tables, SampleRules(measures or all_measures()))


def figures(one: Series, measure: str, start: float, end: float) -> dict[str, float]:
    values = window_values(one, [Window("event", start, end, start)])
    column = one.measures.index(measure)
    found = {name: float(numbers[0, column]) for name, numbers in values.figures.items()}
    return found | {"seconds": float(values.seconds[0, column]), "coverage": float(values.coverage[0, column])}


def test_every_measure_is_listed_once() -> None:
    assert all_measures() == (*EMOTIONS, "valence", *MEASURES, *EVENT_KINDS)
    assert "confidence" not in all_measures()


def test_a_measure_of_the_timeline_has_means_and_areas_in_its_unit() -> None:
    times = np.arange(500, dtype=np.float64) * STEP
    yaw = np.where(times < 10, -20.0, 30.0).astype(np.float32)
    pitch = np.where((times > 4) & (times < 6), np.nan, 5.0)
    one = made_series(made_timeline(times, head_yaw=yaw, head_pitch=pitch), made_episodes())
    found = figures(one, "head_yaw", 8.0, 12.0)
    assert found["mean"] == pytest.approx(5.0, abs=0.6)
    assert found["area"] == pytest.approx(2 * 30 - 2 * 20, abs=2)
    assert found["maximum"] == 30
    assert np.isnan([found[name] for name in ("share_leading", "episodes", "latency")]).all()
    found = figures(one, "head_pitch", 3.0, 7.0)  # not measured for half of the time
    assert (found["mean"], found["maximum"]) == (5, 5)
    assert found["coverage"] == pytest.approx(0.5, abs=0.02)
    assert np.isnan(figures(one, "smile", 3.0, 7.0)["mean"])
    courses = event_courses(one, np.array([10.0]), np.array([-1.0, 0.0, 1.0]))
    assert courses[0, :, one.measures.index("head_yaw")] == pytest.approx([-20, 30], abs=1.1)
    sums = BaselineSums(len(one.measures))
    add_baseline(sums, one, [(0.0, 5.0)], BaselineSettings(start=0, end=5))
    assert sums.mean[one.measures.index("head_yaw")] == pytest.approx(-20)


def test_events_of_the_face_have_numbers_rates_latencies_and_their_share_of_time() -> None:
    times = np.arange(500, dtype=np.float64) * STEP
    timeline = made_timeline(times, eyes_open=0.3, mouth_open=0.1, head_pitch=0.0, head_yaw=0.0)
    episodes = made_episodes(
        ("blink", None, 2.0, 2.2), ("blink", None, 6.5, 6.7), ("blink", None, 9.0, 9.3), ("speaking", None, 4.0, 8.0),
        ("emotion", "happy", 5.0, 7.0), ("blink", None, 15.0, 15.2),
    )  # fmt: skip
    one = made_series(timeline, episodes)
    found = figures(one, "blink", 6.0, 12.0)
    assert [found["episodes"], found["episodes_per_minute"]] == pytest.approx([2, 20])
    assert found["latency"] == pytest.approx(0.5)
    assert found["area"] == pytest.approx(0.5, abs=1e-6)  # seconds in which the eyes are shut
    assert found["mean"] == pytest.approx(0.5 / 6, abs=1e-6)
    assert np.isnan([found["maximum"], found["share_leading"]]).all()
    assert figures(one, "speaking", 6.0, 12.0)["mean"] == pytest.approx(2 / 6, abs=1e-6)
    assert figures(one, "happy", 4.0, 8.0)["episodes"] == 1
    none = figures(one, "nod", 0.0, 20.0)
    assert (none["episodes"], none["mean"]) == (0, 0)
    one = made_series(timeline.drop(columns="head_yaw"), episodes)
    unknown = figures(one, "shake", 0.0, 20.0)
    assert unknown["seconds"] == 0
    assert np.isnan([unknown["episodes"], unknown["mean"], unknown["episodes_per_minute"]]).all()


def test_at_few_samples_a_second_nothing_is_known_about_blinks() -> None:
    times = np.arange(100, dtype=np.float64) * 0.2
    one = made_series(made_timeline(times, eyes_open=0.3, mouth_open=0.1), made_episodes())
    assert np.isnan(figures(one, "blink", 0.0, 20.0)["episodes"])
    assert figures(one, "speaking", 0.0, 20.0)["episodes"] == 0
    fast = np.arange(300, dtype=np.float64) / (30000 / 1001 / 2)  # every second of 29.97 frames a second
    one = made_series(made_timeline(fast, eyes_open=0.3), made_episodes())
    assert figures(one, "blink", 0.0, 18.0)["episodes"] == 0


def test_overlapping_events_count_once_in_time() -> None:
    times = np.arange(500, dtype=np.float64) * STEP
    episodes = made_episodes(("speaking", None, 2.0, 6.0), ("speaking", None, 3.0, 4.0), ("speaking", None, 5.0, 7.0))
    one = made_series(made_timeline(times, mouth_open=0.2), episodes)
    found = figures(one, "speaking", 0.0, 10.0)
    assert found["area"] == pytest.approx(5.0, abs=1e-6)
    assert found["episodes"] == 3


def test_valence_is_that_of_the_timeline_or_computed() -> None:
    times = np.arange(4, dtype=np.float64) * STEP
    rows = made_timeline(times, valence=np.array([0.7, np.nan, -0.2, 0.1], np.float32))
    assert measure_values(rows, ("valence",), "smooth")[:, 0] == pytest.approx([0.7, 0.2, -0.2, 0.1])
    assert measure_values(rows, ("valence",), "raw")[:, 0] == pytest.approx(0.2)  # 0.5 - 0.3
    assert measure_values(rows.drop(columns="valence"), ("valence",), "smooth")[:, 0] == pytest.approx(0.2)


def block(plan: Plan, timeline: pd.DataFrame, episodes: pd.DataFrame, measures: tuple[str, ...]) -> Computed:
    """What a study computes of one participant with one event from 2 to 6 s."""
    one = made_series(timeline, episodes, *measures)
    windows = (Window("event", 2.0, 6.0, 2.0, 0, "joke"),)
    store = WindowStore(len(plan.measures))
    store.add(WindowBlock("Ann", plan.recordings[0], windows, window_values(one, windows)))
    return Computed(store)


def test_the_tables_of_a_study_hold_what_was_measured_and_nothing_else(tmp_path: Path) -> None:
    write_study(tmp_path, [MadeParticipant("Ann", "a", 1.0, 0.0)])
    inputs = [str(tmp_path / name) for name in ("results.parquet", "participants.tsv", "events.csv")]
    times = np.arange(500, dtype=np.float64) * STEP
    timeline = made_timeline(times, eyes_open=0.3, head_roll=4.0)
    episodes = made_episodes(("blink", None, 3.0, 3.2))
    plan = make_plan(StudySettings((inputs[0],), inputs[1], (inputs[2],)))
    plan, computed = without_empty_measures(plan, block(plan, timeline, episodes, plan.measures))
    assert plan.measures == (*EMOTIONS, "valence", "head_roll", "eyes_open", "blink")
    rows = build_tables(plan, computed).windows.set_index("measure")
    assert rows.loc["head_roll", "mean"] == pytest.approx(4)
    assert rows.loc["blink", ["episodes", "episodes_per_minute"]].tolist() == [1, 15]
    named = make_plan(StudySettings((inputs[0],), inputs[1], (inputs[2],), measures=("happy", "smile", "shake")))
    named, computed = without_empty_measures(named, block(named, timeline, episodes, named.measures))
    assert named.measures == ("happy", "smile", "shake")
    assert any(note.startswith("no value of smile, shake: ") for note in computed.notes)
