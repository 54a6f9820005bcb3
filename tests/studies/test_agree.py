"""Agreement: published examples, and codings with known differences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fervid.errors import BadStudy, OutputError, UsageError
from fervid.studies.agree import agree
from fervid.studies.agreement import (
    cohen_kappa,
    coincidences,
    krippendorff_alpha,
    matched_episodes,
    precision_recall,
)
from fervid.types import EMOTIONS
from tests.support.command import command
from tests.support.synthetic_results import MadeFace, MadeVideo, leading_emotions, write_results


def codes(*coders: str) -> Any:
    """Rows of letters or digits; ``*`` where a coder gave no value."""
    values = sorted(set("".join(coders)) - {"*", " "})
    return np.array([[-1 if one == "*" else values.index(one) for one in coder.replace(" ", "")] for coder in coders])


def test_kappa_of_cohen_1960() -> None:
    """Cohen (1960), "A coefficient of agreement for nominal scales", table 2 (page 45; N = 200): kappa .492."""
    table = np.array([[88.0, 14, 18], [10, 40, 10], [2, 6, 12]])
    assert float(cohen_kappa(table)) == pytest.approx(0.492, abs=5e-4)
    assert float(cohen_kappa(table / 200)) == pytest.approx(0.492, abs=5e-4)


@pytest.mark.parametrize(
    ("coders", "alpha"),
    [
        (("0100000010", "1110010000"), 0.095),
        (("aabbdcccedda", "babbbcccedddd"[:12]), 0.692),
        (("12332141 2***", "12332241 25*3", "*3332342 251*", "12332441 251*"), 0.743),
        (("*****3412113 3*3", "1*213343**** ***", "**21344*2113 3*4"), 0.691),
    ],
    ids=["A: two values", "B: nominal", "C: several coders with missing values", "Wikipedia"],
)
def test_alpha_of_krippendorff_2011(coders: tuple[str, ...], alpha: float) -> None:
    """Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", sections A, B and C (nominal).

    C has four observers and twelve units. The last one is the "computational example" of Wikipedia's article, with
    three coders and fifteen units. The package krippendorff 0.9.0, which is GPL and so not used here, gives .0952,
    .6920, .7434 and .6914.
    """
    found = codes(*coders)
    pairs = coincidences(found, int(found.max()) + 1)
    assert float(krippendorff_alpha(pairs)) == pytest.approx(alpha, abs=5e-4)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=60))
def test_alpha_of_a_table_is_that_of_its_codes(pairs: list[tuple[int, int]]) -> None:
    both = np.array(pairs).T
    table = np.zeros((4, 4))
    np.add.at(table, (both[0], both[1]), 1)
    one = krippendorff_alpha(coincidences(both, 4))
    other = krippendorff_alpha(table + table.T)
    assert np.isnan(one) == np.isnan(other)
    assert np.isnan(one) or float(one) == pytest.approx(float(other))
    assert np.isnan(cohen_kappa(table)) or -1 <= cohen_kappa(table) <= 1 + 1e-12


def test_episodes_match_once_and_only_if_they_share_half_of_the_shorter_one() -> None:
    assert matched_episodes([(0, 10)], [(1, 2), (3, 4)]) == 1
    assert matched_episodes([(0, 2), (5, 6)], [(1, 3), (5.6, 7)]) == 1
    assert matched_episodes([(0, 2), (4, 6)], [(1, 5)]) == 1
    assert matched_episodes([], [(0, 1)]) == 0
    assert matched_episodes([(1, 1)], [(1, 1)]) == 1


def test_precision_and_recall_of_nothing_are_unknown() -> None:
    assert precision_recall(2, 4, 8) == pytest.approx((0.5, 0.25, 1 / 3))
    assert all(np.isnan(value) for value in precision_recall(0, 0, 0))
    assert precision_recall(0, 0, 5)[1:] == (0, 0)


# codings

TRUTH = [("happy", 2.0, 5.0), ("sad", 6.0, 8.0)]
"""What the first video shows; all else is neutral."""


def write_coding(path: Path, spans: dict[str, list[tuple[str, float, float]]]) -> Path:
    lines = [f"{video},{start},{end - start},{label}" for video, own in spans.items() for label, start, end in own]
    path.write_text("\n".join(["video,onset,duration,trial_type", *lines]) + "\n")
    return path


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six videos of 10 s at 25 samples a second, coded as TRUTH says."""
    periods = (("neutral", 50), ("happy", 75), ("neutral", 25), ("sad", 50), ("neutral", 50))
    face = MadeFace(range(250), leading_emotions(*periods))
    videos = [MadeVideo(f"v{number}.mp4", [face], count=250, step=0.04) for number in range(6)]
    return write_results(tmp_path_factory.mktemp("agree") / "results.parquet", videos)


def test_equal_codings_agree_fully(results: Path, tmp_path: Path) -> None:
    coding = write_coding(tmp_path / "coding.csv", {f"v{number}": TRUTH for number in range(6)})
    for one, other in ((results, coding), (coding, coding), (results, results), (coding, results)):
        found = agree(one, other)
        assert found.overall["value"].tolist() == pytest.approx([1, 1, 1], abs=0.03)
        emotions = found.emotions.set_index("emotion")
        assert emotions.loc[["happy", "sad"], ["f1", "kappa"]].to_numpy() == pytest.approx(1, abs=0.04)
        assert len(found.disagreements) == 0
    exact = agree(coding, coding)
    assert exact.overall["value"].tolist() == [1, pytest.approx(1), pytest.approx(1)]


def test_shuffled_codings_agree_by_chance_only(tmp_path: Path) -> None:
    random = np.random.default_rng(6)
    paths = []
    for name in ("one", "other"):
        spans = {
            f"v{number}": [(EMOTIONS[random.integers(7)], float(second), second + 1.0) for second in range(60)]
            for number in range(20)
        }
        paths.append(write_coding(tmp_path / f"{name}.csv", spans))
    found = agree(paths[0], paths[1]).overall.set_index("figure")
    for name in ("kappa", "alpha"):
        assert abs(found.loc[name, "value"]) < 0.05
        assert found.loc[name, "low"] < 0.03
        assert found.loc[name, "high"] > -0.03


def test_the_figures_are_those_computed_by_hand(results: Path, tmp_path: Path) -> None:
    coded = [("happy", 3.0, 6.0), ("sad", 6.0, 8.0), ("happy", 9.0, 9.5)]
    coding = write_coding(tmp_path / "coding.csv", {f"v{number}.mp4": coded for number in range(6)})
    found = agree(results, coding, tmp_path / "out")
    happy = found.emotions.set_index("emotion").loc["happy"]
    # per video: found 2 to 5 s, coded 3 to 6 and 9 to 9.5 s, both 3 to 5 s
    assert happy[["seconds_first", "seconds_second"]].to_numpy() == pytest.approx([18, 21], abs=1.3)
    assert happy["precision"] == pytest.approx(2 / 3, abs=0.03)
    assert happy["recall"] == pytest.approx(2 / 3.5, abs=0.03)
    assert happy["f1"] == pytest.approx(4 / 6.5, abs=0.03)
    assert happy[["episodes_first", "episodes_second", "episodes_matched"]].tolist() == [6, 12, 6]
    assert (happy["episode_precision"], happy["episode_recall"]) == (1, 0.5)
    agreed = found.overall.set_index("figure").loc["agreement"]
    assert agreed["value"] == pytest.approx(0.75, abs=0.02)
    assert agreed["low"] <= agreed["value"] <= agreed["high"]
    first = found.disagreements.iloc[0]
    assert (first["first"], first["second"]) in {("happy", "neutral"), ("neutral", "happy")}
    assert first["seconds"] == pytest.approx(1, abs=0.11)
    assert found.disagreements["seconds"].is_monotonic_decreasing
    table = pd.read_csv(tmp_path / "out" / "agreement.csv")
    assert table["emotion"].tolist() == [*EMOTIONS, "all"]
    assert table["kappa"].iloc[-1] == pytest.approx(found.overall["value"].iloc[1])
    assert pd.read_csv(tmp_path / "out" / "confusion.csv")["happy"].sum() == pytest.approx(21, abs=1.3)


def test_blank_time_is_neutral_or_left_out(results: Path, tmp_path: Path) -> None:
    coding = write_coding(tmp_path / "coding.csv", {"v0": [("happy", 2.0, 5.0)]})
    assert agree(results, coding).overall["seconds"].iloc[0] == pytest.approx(10, abs=0.11)
    neutral = agree(results, coding).emotions.set_index("emotion").loc["neutral"]
    assert neutral[["episodes_first", "episodes_matched", "episode_f1"]].isna().all()
    both = agree(results, results).emotions.set_index("emotion").loc["neutral"]
    assert (both["episodes_matched"], both["episode_f1"]) == (18, 1)
    assert agree(results, coding, rest="none").overall["seconds"].iloc[0] == pytest.approx(3, abs=0.11)
    found = agree(results, coding)
    assert any("5 videos or participants were coded by one side only: v1.mp4" in note for note in found.notes)
    assert np.isnan(found.overall["low"]).all()


def test_tiers_that_name_no_participant_are_one_coding(results: Path, tmp_path: Path) -> None:
    text = 'File type = "ooTextFile"\nObject class = "TextGrid"\n\n0\n10\n<exists>\n2\n'
    text += '"IntervalTier"\n"joys"\n0\n10\n1\n2\n5\n"Joy"\n"IntervalTier"\n"others"\n0\n10\n1\n6\n8\n"sad"\n'
    (tmp_path / "v0.TextGrid").write_text(text)
    found = agree(results, tmp_path / "v0.TextGrid", labels=["joy=happy"])
    assert found.overall["value"].tolist() == pytest.approx([1, 1, 1], abs=0.05)
    found = agree(results, tmp_path / "v0.TextGrid", labels=["joy=happy"], tiers=["joys"])
    assert found.overall["value"].iloc[0] == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize(
    ("label", "arguments", "message"),
    [
        ("joy", {}, "line 2: 'joy' is no emotion; `label` gives its name, such as joy="),
        ("happy", {"labels": ["joy"]}, "`label` must be such as joy=happy"),
        ("happy", {"labels": ["joy=joyful"]}, "`label` must be such as joy=happy"),
        ("happy", {"rest": "nothing"}, "`rest` must be none or one of"),
    ],
)
def test_wrong_labels_are_refused(
    results: Path, tmp_path: Path, label: str, arguments: dict[str, Any], message: str
) -> None:
    coding = write_coding(tmp_path / "coding.csv", {"v0": [(label, 2.0, 5.0)]})
    with pytest.raises(UsageError) as caught:
        agree(results, coding, **arguments)
    assert message in str(caught.value)


def test_codings_without_a_common_video_are_refused(results: Path, tmp_path: Path) -> None:
    coding = write_coding(tmp_path / "coding.csv", {"other": TRUTH})
    with pytest.raises(BadStudy, match=r"no video and participant was coded by both sides: v0\.mp4"):
        agree(results, coding)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.docx").touch()
    with pytest.raises(OutputError, match=r"thesis\.docx"):
        agree(results, coding, tmp_path / "mine")


def test_the_command_prints_the_figures(results: Path, tmp_path: Path) -> None:
    coding = write_coding(tmp_path / "coding.csv", {f"v{number}": [("joy", 2.0, 5.0)] for number in range(6)})
    done = command("agree", results, "--coding", coding, "--label", "joy=happy", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "kappa" in done.stdout
    assert "happy" in done.stdout
    assert "3 files" in done.stderr
    assert command("agree", results, "--coding", tmp_path / "none.csv").returncode == 2
