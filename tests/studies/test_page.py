"""The page of a study in Chromium: its charts, what they say, and how it looks on paper, in the dark and on a phone."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fervid.studies.page_data import _Bounds, _range
from fervid.studies.study import Study
from fervid.studies.study import study as run_study
from tests.support.browser import Page
from tests.support.made_study import EVENTS, forty, write_study, written_quickly
from tests.support.report_page import opened

SETTINGS = '[baseline]\nevent = "rest"\n[statistics]\ngroup = "group"\n'

pytestmark = pytest.mark.xdist_group("study page")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("page")
    people = forty(5.0)[:7]
    people[2] = replace(people[2], name="Zoë </script><b>", hidden=((30.0, 50.0),))
    with written_quickly(figures=False):
        run_study(write_study(home, people, SETTINGS), home / "out")
    return home / "out"


@pytest.fixture(scope="module")
def data(folder: Path) -> Any:
    text = (folder / "study.html").read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def ready(page: Page) -> None:
    for _ in range(200):
        if page.evaluate("document.body.dataset.ready === 'yes'"):
            return
        page.wait(0.05)
    raise AssertionError("the page did not get ready")


def inked(page: Page, selector: str, number: int = 0) -> int:
    """How many different colours a canvas shows, after it was scrolled into view."""
    page.evaluate(f"document.querySelectorAll('{selector}')[{number}].scrollIntoView({{block: 'center'}})")
    page.wait(0.4)
    return int(
        page.evaluate(
            f"""(() => {{ const canvas = document.querySelectorAll('{selector}')[{number}];
            const shown = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
            return new Set(new Uint32Array(shown.buffer)).size; }})()"""
        )
    )


def test_the_charts_are_the_tables(folder: Path, data: Any) -> None:
    import pandas as pd

    course = pd.read_csv(folder / "course.csv", keep_default_na=False, na_values=[""])
    assert [one["name"] for one in data["conditions"]] == ["joke", "story"]
    assert [(one["name"], one["participants"]) for one in data["course"]["groups"]] == [("all", 7), ("a", 4), ("b", 3)]
    (happy,) = [one for chart in data["course"]["charts"] for one in chart["measures"] if one["name"] == "happy"]
    for place, group in enumerate(("all", "a", "b")):
        for number, condition in enumerate(("joke", "story")):
            rows = course[
                (course["group"] == group) & (course["trial_type"] == condition) & (course["measure"] == "happy")
            ]
            for name in ("mean", "low", "high"):
                wanted = pytest.approx(rows[name].astype(float).tolist(), abs=1e-4, nan_ok=True)
                assert [np.nan if one is None else one for one in happy["groups"][place][name][number]] == wanted
            assert data["course"]["times"] == pytest.approx(rows["time"].tolist(), abs=1e-4)
    assert len(happy["people"]) == 7
    assert len(data["map"]["rows"]) == 7
    hidden = next(one for one in data["map"]["rows"] if one["participant"].startswith("Zo"))
    assert hidden["observed"] == pytest.approx(1 - 20 / 92, abs=0.02)
    assert len(hidden["events"]) == len(EVENTS) + 1  # the baseline too
    assert hidden["shares"][round(40 / 92 * 100)] == 0


def test_the_charts_are_drawn_and_answer_to_the_pointer_and_to_the_legend(folder: Path) -> None:
    with opened(folder / "study.html") as page:
        ready(page)
        lanes = ".chart .lane-canvas"
        assert page.evaluate(f"document.querySelectorAll('{lanes}').length") == 8
        names = page.evaluate("[...document.querySelectorAll('.chart .lane-name')].map((one) => one.textContent)")
        assert names[3] == "happy"
        before = inked(page, lanes, 3)
        assert before > 30
        point = """(() => {{ const box = document.querySelectorAll('{0}')[{1}].getBoundingClientRect();
            return {{x: box.left + {2} * box.width, y: box.top + box.height / 2}}; }})()"""
        at = page.evaluate(point.format(lanes, 3, 0.9))
        page.call("Input.dispatchMouseEvent", type="mouseMoved", **at)
        page.wait(0.2)
        tip = str(page.evaluate("document.querySelector('.chart .tip').innerText"))
        assert "joke" in tip
        assert re.search(r"\.6\d", tip)
        page.evaluate("document.getElementById('people').click()")
        assert inked(page, lanes, 3) < before
        page.evaluate("document.querySelector('.key').click()")
        assert page.evaluate("document.querySelector('.key').getAttribute('aria-pressed')") == "false"
        page.evaluate("document.getElementById('group').value = '1'")
        page.evaluate("document.getElementById('group').dispatchEvent(new Event('change'))")
        assert inked(page, lanes, 3) > 5


def test_the_map_shows_who_was_observed_and_says_what_is_under_the_pointer(folder: Path) -> None:
    with opened(folder / "study.html") as page:
        ready(page)
        heads = page.evaluate("[...document.querySelectorAll('.map .lane-name')].map((one) => one.textContent)")
        assert heads[:2] == ["Zoë </script><b>78 % observed", "p0091 % observed"]
        assert inked(page, ".map .lane-canvas", 0) > 3
        box = page.evaluate(
            """(() => { const box = document.querySelector('.map .lane-canvas').getBoundingClientRect();
            return {x: box.left + box.width * 22 / 92, y: box.top + 9}; })()"""
        )
        page.call("Input.dispatchMouseEvent", type="mouseMoved", **box)
        page.wait(0.2)
        said = str(page.evaluate("document.getElementById('says').textContent"))
        assert "observed for 100 % of this step" in said
        assert "joke from 0:20.0 to 0:28.0" in said


@pytest.mark.parametrize("options", [{"dark": True}, {"size": (390, 844)}])
def test_it_fits_a_phone_and_the_dark(folder: Path, options: dict[str, Any]) -> None:
    with opened(folder / "study.html", **options) as page:
        ready(page)
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide == 0
        assert inked(page, ".chart .lane-canvas", 3) > 30
        back = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (back == "rgb(17, 19, 22)") == ("dark" in options)


def test_it_prints_every_lane(folder: Path) -> None:
    with opened(folder / "study.html", dark=True) as page:
        ready(page)
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        drawn = page.evaluate("[...document.querySelectorAll('.lane-canvas')].map((one) => one.width)")
        assert set(drawn) == {1320}
        assert len(drawn) == 8 + 7
        page.evaluate("dispatchEvent(new Event('afterprint'))")


def test_a_study_without_courses_has_a_page_too(tmp_path: Path) -> None:
    done: Study = run_study(
        write_study(tmp_path, forty(5.0)[:2], "[windows]\naround = []\nwhole = false\nbins = 30\n"), tmp_path / "out"
    )
    assert not done.tables.course["mean"].notna().any()
    with opened(tmp_path / "out" / "study.html") as page:
        ready(page)
        assert page.evaluate("document.querySelectorAll('.chart').length") == 0
        assert page.evaluate("document.querySelectorAll('.map .lane').length") == 3


@pytest.mark.parametrize(
    ("values", "intervals", "bounds", "expected"),
    [
        ([0.02, 0.63], [0.0, 0.7], _Bounds((0.0, 0.05), 0.0, 1.0), (0, 0.8)),
        ([0.9, 0.97], [-7.0, 8.0], _Bounds((0.0, 0.05), 0.0, 1.0), (0, 1)),
        ([-20.0, 30.0], [], _Bounds(), (-20, 30)),
        ([4.0], [4.0], _Bounds(), (3.9998, 4.0002)),
        ([-0.01, 0.02], [], _Bounds((-0.1, 0.1), -1.0, 1.0), (-0.1, 0.1)),
    ],
)
def test_ranges_are_round_and_hold_the_values(
    values: list[float], intervals: list[float], bounds: _Bounds, expected: tuple[float, float]
) -> None:
    low, high = _range([np.array(values)], [np.array(intervals)], bounds)
    assert low <= min(values)
    assert high >= max(values)
    assert low < high
    assert (low, high) == pytest.approx(expected)
