"""The timeline component in a browser, on a page of its own: data as a study has them, and odd data."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fervid.charts.page_templates import TIMELINE_SCRIPTS, TIMELINE_STYLE, inlined
from tests.support.browser import Page, open_page

COLORS = """:root { --back: #ffffff; --front: #111111; --soft: #555555; --line: #dddddd; --panel: #f4f4f4;
--warn: #9a3412; --accent: #0a58ca; --chosen: #e3eefd; }"""


@contextmanager
def timeline_page(folder: Path, data: str, options: str = "{}") -> Iterator[Page]:
    """A page with one timeline, which is ``window.timeline``; ``data`` and ``options`` are JavaScript."""
    parts = inlined([TIMELINE_STYLE], TIMELINE_SCRIPTS)
    script, style = parts["script"], COLORS + parts["style"]
    made = f"""window.seeks = []; window.tools = {{ sampleAt, clock, contrast, visibleOn, textOn }};
        window.timeline = new Timeline(document.getElementById("here"), {data}, {options});
        timeline.addEventListener("seek", ({{ detail }}) => {{
            seeks.push(detail.time); timeline.setCursor(detail.time); }});"""
    page_path = folder / "page.html"
    page_path.write_text(
        f'<!doctype html><meta charset="utf-8"><style>{style}</style><div id="here"></div>'
        f'<script type="module">{script}\n{made}</script>',
        encoding="utf-8",
    )
    with open_page(page_path, size=(1000, 700)) as page:
        page.evaluate("""(async () => { for (let turn = 0; turn < 200; turn++) {
            if (window.timeline?.lanes.every((lane) => !lane.tracks.length || lane.canvas.width > 1)) return;
            await new Promise((done) => setTimeout(done, 20)); } })()""")
        yield page
        assert page.console == []


def test_joined_scripts_import_and_export_nothing() -> None:
    script = inlined([], TIMELINE_SCRIPTS)["script"]
    assert not re.findall(r"^(?:import|export)\b.*", script, flags=re.MULTILINE)
    names = re.findall(r"^(?:const|let|function\*?|class) (\w+)", script, flags=re.MULTILINE)
    assert len(names) == len(set(names))


COURSE = json.dumps(
    {
        "start": -2,
        "end": 8,
        "range": [-0.5, 0.5],
        "series": [{"name": "A", "color": "#d55e00"}, {"name": "B", "color": "#0072b2"}],
        "lanes": [
            {
                "name": "happy",
                "tracks": [
                    {
                        "id": "mean",
                        "times": [-2, 0, 2, 4, 6, 8],
                        "smooth": [[0, 0, 0.2, 0.3, 0.2, 0], [0, 0, -0.1, None, -0.1, 0]],
                        "low": [[-0.1, -0.1, 0.1, 0.2, 0.1, -0.1], [-0.1, -0.1, -0.2, None, -0.2, -0.1]],
                        "high": [[0.1, 0.1, 0.3, 0.4, 0.3, 0.1], [0.1, 0.1, 0, None, 0, 0.1]],
                    },
                    {"id": "p1", "times": [-2, 8], "smooth": [[0.4, 0.4], [None, None]], "faint": True},
                ],
            },
            {"name": "no participant", "tracks": []},
        ],
    }
)


def test_values_with_intervals_around_an_event(tmp_path: Path) -> None:
    options = "{ gutter: 40, height: 120, keys: true, tip: true, describe: (lane) => `Mean of ${lane.name}` }"
    with timeline_page(tmp_path, COURSE, options) as page:
        said: dict[str, Any] = page.evaluate("""(() => {
            const { lanes } = timeline, read = timeline.readAt(lanes[0], 2.1);
            return { id: read.track.id, row: read.row, order: read.order, none: timeline.readAt(lanes[1], 2),
                labels: [...document.querySelectorAll('.lane-canvas')].map((one) => one.ariaLabel) }; })()""")
        assert said == {
            "id": "mean", "row": 2, "order": [0, 1], "none": None,
            "labels": ["Mean of happy", "Mean of no participant"],
        }  # fmt: skip
        page.evaluate("document.querySelector('.lane-canvas').focus()")
        for key in ("Home", "ArrowRight", "ArrowRight", "End"):
            page.call("Input.dispatchKeyEvent", type="keyDown", key=key)
        assert page.evaluate("seeks") == [-2, 0, 2, 8]
        slider = "document.querySelector('.axis')"
        assert page.evaluate(f"[{slider}.ariaValueMin, {slider}.ariaValueNow]") == ["-2.000", "8.000"]
        assert page.evaluate("document.querySelector('.tip').innerText").split()[:4] == ["0:08.00", "A", ".00", "−.10"]
        colors = page.evaluate("""(() => { const canvas = document.querySelector('.lane-canvas');
            const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
            let orange = 0, pale = 0;
            for (let at = 0; at < data.length; at += 4) {
                const [red, green, blue] = data.slice(at, at + 3);
                if (red > 200 && green < 110 && blue < 20) orange++;
                else if (red > 230 && green > 200 && blue > 190 && blue < 225 && red > blue + 20) pale++;
            }
            return [orange, pale]; })()""")
        assert colors[0] > 200, "the line"
        assert colors[1] > 2000, "the band around it"


def test_samples_gaps_and_odd_tracks(tmp_path: Path) -> None:
    with timeline_page(tmp_path, "{ start: 0, end: 0, series: [], lanes: [] }") as page:
        at = "tools.sampleAt({ times: [1, 2, 5, 6], gaps: new Set([1]), until: 6.2 }, %s)"
        for time, row in {
            "0.5": -1,
            "0.5, 0.6": 0,
            "1.4": 0,
            "1.6": 1,
            "2": 1,
            "3": -1,
            "5": 2,
            "6.1": 3,
            "6.3": -1,
        }.items():
            assert page.evaluate(at % time) == row, time
        assert page.evaluate("[75.25, 3600, -2, 0, -0.001].map((time) => tools.clock(time, 1))") == [
            "1:15.3", "1:00:00.0", "−0:02.0", "0:00.0", "0:00.0",
        ]  # fmt: skip
        for back in ("#ffffff", "#191c20"):
            for color in ("#e69f00", "#56b4e9", "#0072b2", "#8c8c8c"):
                assert page.evaluate(f"tools.contrast(tools.visibleOn('{color}', '{back}'), '{back}')") >= 3
        assert page.evaluate("tools.visibleOn('red', '#ffffff')") == "red"


def test_more_than_100_lanes_are_shown_on_request_and_hostile_names_stay_text(tmp_path: Path) -> None:
    lane = {"name": "<img src=x onerror=alert(1)>", "tracks": [{"id": 0, "times": [1.0], "smooth": [[0.5]]}]}
    lanes = [{**lane, "tracks": [{**lane["tracks"][0], "id": number}]} for number in range(150)]  # type: ignore[dict-item]
    data = {"start": 0, "end": 5, "series": [{"name": "x", "color": "#d55e00"}], "lanes": lanes}
    with timeline_page(tmp_path, json.dumps(data)) as page:
        count = "document.querySelectorAll('.rows .lane').length"
        assert page.evaluate(count) == 100
        assert page.evaluate("document.querySelector('.more-lanes').innerText") == "show 50 more of 50 lanes"
        assert page.evaluate("timeline.print(120)") == 120
        assert page.evaluate("document.querySelectorAll('.rows .lane:not(.unprinted)').length") == 120
        page.evaluate("timeline.endPrint()")
        page.evaluate("document.querySelector('.more-lanes').click()")
        assert page.evaluate(count) == 150
        assert page.evaluate("document.querySelectorAll('img').length") == 0


@pytest.mark.parametrize("text", ['import { a, b } from "./x.js";\n', 'export { a } from "./x.js";\n', "export "])
def test_only_imports_and_exports_are_removed(tmp_path: Path, text: str) -> None:
    module = tmp_path / "x.js"
    module.write_text(f"{text}const value = 'export const x';\n")
    assert inlined([], [module])["script"] == "const value = 'export const x';"


MEASURES = json.dumps(
    {
        "start": 0,
        "end": 10,
        "series": [{"name": "A", "color": "#d55e00"}],
        "rows": [{"name": "eyes_open", "range": [0, 0.5]}, {"name": "head_yaw", "range": [-60, 60]}],
        "lanes": [
            {
                "name": "one",
                "tracks": [{"id": 1, "times": [0, 2, 4, 6, 8], "smooth": [[0.1] * 5],
                            "rows": [[0.6, 0.6, 0.1, None, 0.6], [0.5, 0.75, 0.5, 0.5, 0.5]]}],
                "spans": [{"row": 0, "start": 3, "end": 5}],
            },
            {"name": "not measured", "tracks": [{"id": 2, "times": [0, 8], "smooth": [[0.1, 0.1]]}]},
        ],
    }
)  # fmt: skip


def test_rows_of_measures_are_drawn_on_request_with_their_events(tmp_path: Path) -> None:
    warm = """(() => { const { canvas } = timeline.lanes[0], { width, height } = canvas, found = [];
        const paper = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
        paper.drawImage(canvas, 0, 0);
        const { data } = paper.getImageData(0, 0, width, height);
        for (let at = 0; at < data.length; at += 4)
            if (data[at] - data[at + 2] > 25 && data[at + 1] > 120) found.push(at / 4 % width / width * 10);
        return [found.length, Math.min(...found), Math.max(...found)]; })()"""
    with timeline_page(tmp_path, MEASURES, "{ tip: true }") as page:
        before = page.evaluate("timeline.places.height")
        page.evaluate("(timeline.hidden.add('A'), timeline.draw())")
        assert page.evaluate(warm)[0] == 0
        page.evaluate("(timeline.measures = true, timeline.draw())")
        assert page.evaluate("timeline.places.height") > before + 50
        count, first, last = page.evaluate(warm)
        assert count > 100
        assert (first, last) == (pytest.approx(3, abs=0.1), pytest.approx(5, abs=0.1))
        page.evaluate("""timeline.lanes[0].canvas.dispatchEvent(new PointerEvent("pointermove",
            { clientX: timeline.axis.getBoundingClientRect().left + 0.2 * timeline.axis.clientWidth }))""")
        assert "eyes_open.30" in page.evaluate("timeline.tip.textContent")
        assert "head_yaw30°" in page.evaluate("timeline.tip.textContent")
