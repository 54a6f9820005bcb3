"""The report in a browser: no errors, layout, numbers under the cursor, printing. Skipped without a browser."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fervid.faces.thumbnail import SIDE
from fervid.report.report import write_report
from tests.support.browser import Page
from tests.support.command import command
from tests.support.corrected import NAME, write_people
from tests.support.paths import SAMPLES
from tests.support.report_page import SEE, open_all, opened
from tests.support.synthetic_results import (
    EVIL,
    GAPPY,
    NASTY,
    SHORT,
    MadeFace,
    MadeVideo,
    write_made_report,
    write_results,
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a few synthetic videos."""
    return write_made_report(tmp_path_factory.mktemp("made"))


PIXELS = """(canvas => {
    const copy = document.createElement('canvas');
    [copy.width, copy.height] = [canvas.width, canvas.height];
    const pen = copy.getContext('2d', {willReadFrequently: true});
    pen.drawImage(canvas, 0, 0);
    return pen.getImageData(0, 0, copy.width, copy.height).data; })"""

INKED = f"""(async () => {{
    const shares = [];
    for (const canvas of document.querySelectorAll('.lane:not(.unprinted) .lane-canvas')) {{
        await {SEE}(canvas);
        const data = {PIXELS}(canvas), counts = new Map();
        for (let at = 0; at < data.length; at += 4) {{
            const color = data[at] << 16 | data[at + 1] << 8 | data[at + 2];
            counts.set(color, (counts.get(color) ?? 0) + 1);
        }}
        shares.push(1 - Math.max(...counts.values()) / (data.length / 4));
    }}
    return shares; }})()"""
"""The share of each lane's pixels that have another colour than most."""

LIGHT = f"""(() => {{
    const data = {PIXELS}(document.querySelector('.lane-canvas'));
    let count = 0;
    for (let at = 0; at < data.length; at += 4) if (Math.min(data[at], data[at + 1], data[at + 2]) > 235) count++;
    return count / (data.length / 4); }})()"""
"""The share of the pixels of the first lane that are nearly white."""


HIDDEN = """[...document.querySelectorAll('main *, header *')].filter(node => !node.closest('[hidden], .unseen, thead')
    && node.checkVisibility() && (node.getBoundingClientRect().right > innerWidth + 1
    || (getComputedStyle(node).overflowX !== 'visible' && !node.matches('canvas, img')
        && node.scrollWidth > node.clientWidth + 1)))
    .map(node => `${node.tagName} ${node.className}`)"""
"""Elements that reach beyond the window, or hide a part of what they hold."""


DESKTOP, PHONE, SMALL = (1280, 900), (390, 844), (320, 600)


@pytest.mark.parametrize(
    ("size", "dark"),
    [
        pytest.param(DESKTOP, False, id="desktop-light"),
        pytest.param(SMALL, True, id="small-dark"),
        pytest.param(DESKTOP, True, id="desktop-dark", marks=pytest.mark.slow),
        pytest.param(PHONE, False, id="phone-light", marks=pytest.mark.slow),
        pytest.param(PHONE, True, id="phone-dark", marks=pytest.mark.slow),
        pytest.param(SMALL, False, id="small-light", marks=pytest.mark.slow),
    ],
)
def test_fits_every_screen_and_draws_every_chart(made: Path, size: tuple[int, int], dark: bool) -> None:
    with opened(made, size=size, dark=dark, mobile=size[0] < 600) as page:
        open_all(page)
        assert page.evaluate("document.querySelectorAll('.lane-canvas').length") == 3
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        assert page.evaluate(HIDDEN) == []
        shade = page.evaluate("getComputedStyle(document.body).backgroundColor")
        levels = [int(level) for level in re.findall(r"\d+", shade)[:3]]
        assert max(levels) < 60 if dark else min(levels) > 200
        assert all(0.01 < share < 0.9 for share in page.evaluate(INKED))


def test_harmful_names_are_shown_as_text(made: Path) -> None:
    with opened(made) as page:
        page.evaluate("window.alert = () => { document.title = 'harmed'; }")
        open_all(page)
        assert page.evaluate("document.title") != "harmed"
        names = page.evaluate("[...document.querySelectorAll('.name')].map(node => node.innerText)")
        assert names == [EVIL, "nothing.mp4", NASTY + "2"]
        assert page.evaluate("document.querySelectorAll('script').length") == 2
        assert page.evaluate("document.querySelectorAll('main b b, main img').length") == 0


@pytest.mark.parametrize("width", [1400, pytest.param(390, marks=pytest.mark.slow)])
def test_persons_are_named_as_text_and_linked(tmp_path: Path, width: int) -> None:
    path = write_report(write_people(tmp_path), tmp_path / "r.html", thumbnails=False).path
    with opened(path, size=(width, 900), mobile=width < 600) as page:
        page.evaluate("document.querySelectorAll('.video').forEach(video => { video.open = false; })")
        page.evaluate("document.querySelector('.persons a').click()")
        page.wait(0.2)
        assert page.evaluate("[...document.querySelectorAll('.video')].map(video => video.open)") == [True, False]
        open_all(page)
        heads = page.evaluate("[...document.querySelectorAll('.who h3 bdi:first-child')].map(node => node.innerText)")
        assert heads[0] == NAME
        assert "faces 0 and 2 · " in page.evaluate("document.querySelector('.who .facts').innerText")
        assert page.evaluate("document.querySelectorAll('main b b, main td b, main h3 b, main i i').length") == 0
        assert page.evaluate("document.querySelectorAll('.lane-canvas').length") == 5
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(HIDDEN) == []
        label = page.evaluate("document.querySelector('.lane-canvas').getAttribute('aria-label')")
        assert label.startswith(f"Timeline of {NAME}. Mostly ")


def move(page: Page, x: float, y: float, **options: Any) -> None:
    page.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y, **options)


GUTTER = 30
"""Pixels to the left of the lines of a lane."""


def plot_area(page: Page, number: int = 0) -> tuple[float, float, float, float]:
    """Left, top, width and height of the lines of a lane, which is scrolled into view."""
    left, top, width, height = page.evaluate(
        f"""{SEE}(document.querySelectorAll('.lane-canvas')[{number}]).then(canvas => {{
            const box = canvas.getBoundingClientRect(); return [box.left, box.top, box.width, box.height]; }})"""
    )
    return left + GUTTER, top, width - GUTTER, height


def tip(page: Page) -> str:
    page.wait(0.2)
    return str(page.evaluate("(node => node.hidden ? '' : node.innerText)(document.querySelector('.tip'))"))


def cursor(page: Page) -> float:
    """The time of the cursor of the first video, in seconds."""
    return float(page.evaluate("document.querySelector('.axis').getAttribute('aria-valuenow')"))


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.call("Input.dispatchKeyEvent", type="keyDown", key=key)


def test_hovering_shows_the_numbers(made: Path) -> None:
    with opened(made) as page:
        open_all(page)
        left, top, width, height = plot_area(page)
        step, middle = width / 10.0, top + height / 2  # pixels a second: the video lasts 10 s
        move(page, left + 0.6 * step, middle)
        words = tip(page).split()
        assert words[0] == "0:00.60"
        assert words[words.index("happy") + 1] == ".80"
        for second in (1.95, 2.3, 2.65):
            move(page, left + second * step, middle)
            time, *said = tip(page).split()
            assert float(time.removeprefix("0:")) == pytest.approx(second, abs=0.02)
            assert said == ["not", "found"]


def test_a_click_or_a_drag_moves_the_cursor_and_the_wheel_zooms(made: Path) -> None:
    with opened(made) as page:
        open_all(page)
        left, top, width, height = plot_area(page)
        step, middle = width / 10.0, top + height / 2
        page.call("Input.dispatchMouseEvent", type="mousePressed", x=left + 5 * step, y=middle, button="left")
        assert cursor(page) == pytest.approx(5, abs=0.02)
        for second in (6, 7, 8):
            move(page, left + second * step, middle, button="left", buttons=1)
        page.call("Input.dispatchMouseEvent", type="mouseReleased", x=left + 8 * step, y=middle, button="left")
        assert cursor(page) == pytest.approx(8, abs=0.02)
        assert page.evaluate("document.querySelector('.rows .lane').matches('.chosen')")
        wheel = {"deltaX": 0, "deltaY": -400, "modifiers": 2}
        page.call("Input.dispatchMouseEvent", type="mouseWheel", x=left + 5 * step, y=middle, **wheel)
        page.wait(0.2)
        move(page, left + 2, middle)
        first = seconds_of(tip(page))
        assert 2 < first < 4.5, "what is under the mouse stays, the ends leave"
        page.evaluate(
            "[...document.querySelectorAll('.zoom button')].find(one => one.innerText === 'whole video').click()"
        )
        page.wait(0.2)
        move(page, left + 1, middle)
        assert seconds_of(tip(page)) == 0


def test_two_fingers_zoom_and_one_moves_the_cursor(made: Path) -> None:
    def touch(kind: str, *places: float) -> None:
        points = [{"x": left + place * width, "y": top + height / 2, "id": i} for i, place in enumerate(places)]
        page.call("Input.dispatchTouchEvent", type=kind, touchPoints=points)

    with opened(made, size=(390, 844), mobile=True) as page:
        page.call("Emulation.setTouchEmulationEnabled", enabled=True, maxTouchPoints=2)
        open_all(page)
        left, top, width, height = plot_area(page)
        touch("touchStart", 0.25)
        touch("touchEnd")
        assert cursor(page) == pytest.approx(2.5, abs=0.1)
        touch("touchStart", 0.4, 0.6)
        for spread in (0.12, 0.16, 0.2, 0.3, 0.4):
            touch("touchMove", 0.5 - spread, 0.5 + spread)
        touch("touchEnd")
        assert cursor(page) == pytest.approx(2.5, abs=0.1), "a pinch does not move the cursor"
        touch("touchStart", 0.01)
        touch("touchEnd")
        assert 3 < cursor(page) < 4.8, "the middle of the video stays, its ends leave the lane"


def test_a_lane_can_be_read_with_the_keyboard(made: Path) -> None:
    with opened(made) as page:
        open_all(page)
        plot_area(page)
        page.evaluate("document.querySelector('.lane-canvas').focus()")
        press(page, "Home", "ArrowRight", "ArrowRight")
        assert tip(page).split()[0] == "0:00.40"
        assert page.evaluate("document.querySelector('.timeline [aria-live]').textContent") == "0:00.4: happy .80"
        press(page, "n")
        assert cursor(page) == pytest.approx(4.8), "the next episode"
        press(page, "p")
        assert cursor(page) == 0
        label = page.evaluate("document.querySelector('.lane-canvas').getAttribute('aria-label')")
        assert "happy from 0:00.0 to 0:04.8" in label
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_emotions_and_raw_values_can_be_hidden_and_shown_in_lanes(made: Path) -> None:
    drawn = """(() => { const canvas = document.querySelector('.lane-canvas');
        return canvas.toDataURL() + canvas.height; })()"""
    with opened(made) as page:
        open_all(page)
        plot_area(page)
        images = [page.evaluate(drawn)]
        for button in ("#raw", "#lanes", ".key[data-emotion='happy']"):
            page.evaluate(f"document.querySelector({json.dumps(button)}).click()")
            page.wait(0.2)
            images.append(page.evaluate(drawn))
        states = page.evaluate("[...document.querySelectorAll('header [aria-pressed]')].map(b => b.ariaPressed)")
    assert len(set(images)) == len(images)
    assert states.count("false") == 2


def test_the_filter_finds_videos_by_name(tmp_path: Path) -> None:
    videos = [MadeVideo(f"clip {number}.mp4", [SHORT]) for number in range(12)]
    path = write_report(write_results(tmp_path / "r.parquet", videos), tmp_path / "r.html", thumbnails=False).path
    typed = "(box => { box.value = %s; box.dispatchEvent(new Event('input')); })(document.getElementById('search'))"
    left = "[...document.querySelectorAll('.video:not([hidden]) .name')].map(node => node.innerText)"
    with opened(path) as page:
        page.evaluate(typed % json.dumps("CLIP 1"))
        assert page.evaluate(left) == ["clip 1.mp4", "clip 10.mp4", "clip 11.mp4"]
        page.evaluate(typed % json.dumps("nowhere"))
        assert page.evaluate(left) == []
        assert page.evaluate("!document.getElementById('nothing').hidden")


@pytest.mark.parametrize(
    "dark", [pytest.param(False, id="light", marks=pytest.mark.slow), pytest.param(True, id="dark")]
)
def test_printing_opens_everything_on_white(made: Path, dark: bool) -> None:
    with opened(made, dark=dark) as page:
        page.evaluate("document.querySelectorAll('.video').forEach(video => { video.open = false; })")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert page.evaluate("document.querySelectorAll('.video:not([open])').length") == 0
        shares = page.evaluate(INKED)
        assert len(shares) == 3
        assert all(0.01 < share < 0.9 for share in shares)
        assert page.evaluate(LIGHT) > 0.5
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert page.evaluate("document.querySelectorAll('.video[open]').length") == 0


@pytest.mark.slow
def test_a_very_large_video_does_not_stop_the_others_from_being_printed(tmp_path: Path) -> None:
    videos = [MadeVideo("crowd.mp4", [SHORT] * 160), MadeVideo("a.mp4", [SHORT]), MadeVideo("empty.mp4")]
    path = write_report(write_results(tmp_path / "r.parquet", [videos[1], videos[0], *videos[2:]]), tmp_path / "r.html")
    with opened(path.path) as page:
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert page.evaluate("document.querySelectorAll('.video[open]').length") == 3
        assert page.evaluate("document.querySelectorAll('.rows .lane:not(.unprinted)').length") == 150
        assert page.evaluate("document.getElementById('unprinted').textContent").startswith("11 more faces")


def seconds_of(tip: str) -> float:
    """The time at the start of a tip, in seconds."""
    minutes, seconds = tip.split()[0].split(":")
    return 60 * int(minutes) + float(seconds)


def test_a_long_video_is_drawn_as_means_until_zoomed_in(tmp_path: Path) -> None:
    random_values = np.random.default_rng(0).dirichlet(np.ones(7), 8_000).astype(np.float32)
    videos = [MadeVideo("long.mp4", [MadeFace(range(8_000), random_values)], count=8_000)]
    made = write_report(write_results(tmp_path / "r.parquet", videos), tmp_path / "r.html", thumbnails=False).path
    with opened(made) as page:
        open_all(page)
        (far,) = page.evaluate(INKED)
        assert far < 0.5  # nearly all, were every sample drawn
        left, top, width, height = plot_area(page)
        move(page, left + width / 2, top + height / 2)
        assert seconds_of(tip(page)) == pytest.approx(800, abs=1600 / width)
        for _ in range(6):
            page.evaluate("document.querySelector('.axis-row .zoom button').click()")
        page.wait(0.3)
        move(page, left + 2, top + height / 2)
        first = seconds_of(tip(page))
        move(page, left + width - 2, top + height / 2)
        assert seconds_of(tip(page)) - first == pytest.approx(1600 / 2**6, abs=0.5)


def test_a_table_of_episodes_is_built_when_it_is_opened(made: Path) -> None:
    with opened(made) as page:
        open_all(page)
        assert page.evaluate("document.querySelectorAll('.episodes').length") > 0
        assert page.evaluate("document.querySelectorAll('.episodes td').length") == 0
        page.evaluate("document.querySelector('.episodes').open = true")
        page.wait(0.2)
        assert page.evaluate("document.querySelectorAll('.episodes[open] tbody tr').length") == 2


@pytest.mark.slow
def test_many_videos_open_one_by_one(tmp_path: Path) -> None:
    videos = [MadeVideo(f"{number:03}.mp4", [SHORT, GAPPY]) for number in range(80)]
    path = write_report(write_results(tmp_path / "r.parquet", videos), tmp_path / "r.html", thumbnails=False).path
    with opened(path) as page:
        assert page.evaluate("document.querySelectorAll('.rows .lane').length") == 2, "only the first is built"
        page.evaluate("document.querySelectorAll('.video')[60].querySelector('summary').click()")
        page.wait(0.2)
        assert page.evaluate("document.querySelectorAll('.rows .lane').length") == 4
        count = "document.querySelectorAll('.strip[data-drawn]').length"
        page.evaluate(
            f"""(async () => {{ for (let turn = 0; turn < 300 && !{count}; turn++)
                await new Promise(done => setTimeout(done, 50)); }})()"""
        )
        drawn = page.evaluate(count)
        assert 0 < drawn < 40, "strips are drawn when they come into view"


@pytest.mark.usefixtures("replayed_scans")
def test_analyze_writes_a_report_with_faces(tmp_path: Path) -> None:
    page_path = tmp_path / "r.html"
    results = tmp_path / "r.parquet"
    done = command("analyze", SAMPLES / "cut.mp4", "--out", results, "--fps", "2", "--report", page_path)
    assert done.returncode == 0, done.stderr
    with opened(page_path) as page:
        open_all(page)
        faces = page.evaluate("[...document.querySelectorAll('.who img')].map(image => image.naturalWidth)")
    assert faces == [SIDE, SIDE]
