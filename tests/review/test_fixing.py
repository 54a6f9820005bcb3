"""Corrections made in Chromium, and what the pages do with hostile results."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fervid.api import analyze
from fervid.results.correct import correct
from fervid.results.corrections import read_corrections
from fervid.results.face_timelines import FaceTimelines
from fervid.results.live import LiveResults
from fervid.results.reader import read_results
from fervid.review.view import describe_video
from fervid.types import TWO_PEOPLE, Doubt
from tests.support.comparison import assert_identical
from tests.support.corrected import HEADER, without_record, write_corrections
from tests.support.made_tracks import MadeClip, MadePerson, write_tracks
from tests.support.paths import SAMPLES
from tests.support.review_page import ReviewPage, review_page
from tests.support.review_server import Served, reviewing
from tests.support.synthetic_results import EVERYTHING, write_results

SWAPPED = MadeClip(
    [MadePerson(1, [range(50)], 0, 0), MadePerson(2, [range(50)], 1, 1)],
    doubts=(Doubt(0, 10.0, 10.4, TWO_PEOPLE),),
)
CLIPS = {
    "a.mp4": MadeClip([MadePerson(1, [range(100)], 0, 0), MadePerson(2, [range(100)], 1, 1)], doubts=SWAPPED.doubts),
    "b.mp4": MadeClip([MadePerson(4, [range(40), range(60, 80)], 0, 0)], cuts=(9.0,)),
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tracks(tmp_path_factory.mktemp("fixing") / "r.parquet", CLIPS)


@pytest.fixture
def served(results: Path, tmp_path: Path) -> Iterator[Served]:
    with reviewing(results, corrections=tmp_path / "c.csv", cache=tmp_path / "cache") as server:
        yield server


def act(page: ReviewPage, button: str, count: int, **fields: str) -> None:
    """Fill in fields of the panel, push a button, and wait until the video has so many corrections."""
    for name, value in fields.items():
        page.value(f"document.getElementById('{name}').value = {json.dumps(value)}")
    page.push(button)
    page.wait_until(f"document.querySelectorAll('#history li').length === {count}")


def choose(page: ReviewPage, face: int, time: float, duration: float = 20.0) -> None:
    """Choose the face of a lane by clicking it at a time."""
    names = "[...document.querySelectorAll('.lane-name')]"
    lane = page.value(f"{names}.findIndex((one) => one.dataset.faces.split(' ').includes('{face}'))")
    page.seek(time, duration, ".lane-canvas", int(lane))
    page.wait_until(f"document.querySelector('#fix h2').textContent === 'Face {face}'")


def test_a_swap_is_repaired_undone_and_redone(served: Served, results: Path, tmp_path: Path) -> None:
    """Both faces are split and joined crosswise, and both persons named; the page is reloaded in between."""
    with review_page(served, "") as page:
        first = str(page.value("document.querySelector('#moments a').getAttribute('href')"))
    with review_page(served, first) as page:
        assert page.value("document.querySelector('#fix h2').textContent") == "Face 0"
        page.wait_until("document.getElementById('split').textContent === 'Split at 0:10.00'")
        act(page, "split", 1)
        choose(page, 1, 10.0)
        act(page, "split", 2)
        choose(page, 0, 5.0)
        act(page, "save-join", 3, other="3")
        choose(page, 1, 5.0)
        act(page, "save-join", 4, other="2")
        act(page, "save-name", 5, name="Ben")
        choose(page, 0, 5.0)
        act(page, "save-name", 6, name="Ann")
        assert not page.page.console
    with review_page(served, "video/0") as page:
        assert page.value("document.querySelectorAll('#history li').length") == 6
        assert page.value("[...document.querySelectorAll('.lane-name')].map((one) => one.textContent)") == [
            "Ann",
            "Ben",
        ]
        page.press("z", modifiers=2)
        page.wait_until("document.querySelectorAll('#history li').length === 5")
        assert len(read_corrections(tmp_path / "c.csv")) == 5
        act(page, "redo", 6)
    correct(results, tmp_path / "c.csv", tmp_path / "done.parquet")
    true = write_tracks(tmp_path / "true.parquet", CLIPS)
    assert [one.action for one in read_corrections(tmp_path / "c.csv")] == [
        "split",
        "split",
        "join",
        "join",
        "name",
        "name",
    ]
    done, before = read_results(tmp_path / "done.parquet"), read_results(true)
    for face, other in ((0, 1), (1, 0)):
        rows = done.timeline[(done.timeline["video"] == "a.mp4") & (done.timeline["face_id"] == face)]
        early, late = (
            before.timeline[(before.timeline["video"] == "a.mp4") & (before.timeline["face_id"] == one)]
            for one in (face, other)
        )
        expected = np.concatenate([early["happy"][early["time"] < 10 - 1e-6], late["happy"][late["time"] >= 10 - 1e-6]])
        np.testing.assert_array_equal(rows["happy"], expected)


def test_a_person_is_named_again_by_any_of_its_faces(served: Served, results: Path, tmp_path: Path) -> None:
    with review_page(served, "video/0#face=0&t=8") as page:
        act(page, "split", 1)
        act(page, "save-name", 2, name="Ann")
        choose(page, 2, 14.0)
        act(page, "save-name", 3, name="Bo")
        assert page.value("document.querySelector('.lane-name').textContent").startswith("Bo")
        lines = [(one.action, one.face_id, one.value) for one in read_corrections(tmp_path / "c.csv")]
        assert lines == [("split", 0, ""), ("name", 0, "Ann"), ("name", 0, "Bo")]
    # redo is there again when the server was stopped and started
    with review_page(served, "video/0") as page:
        act(page, "undo", 2)
    with (
        reviewing(results, corrections=tmp_path / "c.csv", cache=tmp_path / "cache") as again,
        review_page(again, "video/0") as page,
    ):
        act(page, "redo", 3)
        assert page.value("document.querySelector('.lane-name').textContent").startswith("Bo")


def test_every_action_of_the_panel_writes_its_line(served: Served, tmp_path: Path) -> None:
    with review_page(served, "video/0#face=1&t=4") as page:
        act(page, "save-role", 1, role="interviewer")
        act(page, "save-person", 2, person="new")
        page.push("from-here")
        page.seek(6.0, 20.0)
        page.wait_until("document.getElementById('clock').textContent.startsWith('0:06.000')")
        page.push("to-here")
        act(page, "save-exclude", 3, reason='hand, "left"')
        page.push("save-join")
        page.wait_until("document.querySelector('#fix [role=alert]')")
        assert "both seen at" in page.value("document.querySelector('#fix [role=alert]').textContent")
    lines = [(one.face_id, one.action, one.start, one.end, one.value) for one in read_corrections(tmp_path / "c.csv")]
    assert lines == [
        (1, "role", None, None, "interviewer"),
        (1, "person", None, None, "new"),
        (1, "exclude", 4.0, 6.0, 'hand, "left"'),
    ]


def test_a_window_with_an_older_state_says_so_and_shows_the_new_one(served: Served, tmp_path: Path) -> None:
    with review_page(served, "video/0#face=0") as page:
        assert served.change(0, "name", served.version(0), face_id="1", value="Eve").status == 200
        page.value("document.getElementById('name').value = 'Ann'")
        page.push("save-name")
        page.wait_until("document.querySelector('#fix [role=alert]')")
        page.wait_until("document.querySelectorAll('#history li').length === 1")
        assert "Not saved" in page.value("document.querySelector('#fix [role=alert]').textContent")
        act(page, "save-name", 2, name="Ann")
    assert [one.value for one in read_corrections(tmp_path / "c.csv")] == ["Eve", "Ann"]


def test_keys_move_between_moments_episodes_and_cuts(served: Served) -> None:
    with review_page(served, "video/1") as page:
        for kind in ("cuts", "episodes"):
            page.value(f"document.getElementById('kind').value = '{kind}'")
            page.press("Home")
            page.press("n")
            told = served.get("api/video/1").values
            onsets = sorted(one["onset"] for one in told["episodes"])
            expected = 9.0 if kind == "cuts" else next(time for time in onsets if time > 0)
            shown = page.value("document.querySelector('.axis').getAttribute('aria-valuenow')")
            assert float(shown) == pytest.approx(expected, abs=0.2)
        page.press("n")
        page.press("p")
        assert "1 of" in page.value("document.getElementById('here').textContent")


def test_boxes_are_interpolated_as_in_annotated_videos(served: Served, results: Path) -> None:
    """Also in gaps, before the first and after the last sample, and at samples."""
    timelines = FaceTimelines(read_results(results)).of(served_id(results, "b.mp4"))
    times = [-0.1, 0.0, 0.05, 0.1, 1.999, 7.8, 7.9, 9.5, 12.0, 12.05, 15.8, 15.9, 16.1, 30.0]
    with review_page(served, "video/1") as page:
        found = page.value(
            f"""(async () => {{ const {{ Face }} = await import("../assets/faces.js");
            const told = await (await fetch("../api/video/1")).json();
            return told.faces.map((one) => {json.dumps(times)}.map((time) => new Face(one, 7).at(time))); }})()"""
        )
    for timeline, states in zip(timelines, found, strict=True):
        for time, state in zip(times, states, strict=True):
            expected = timeline.at(time)
            assert (state is None) == (expected is None), time
            if expected is not None:
                assert state["box"] == pytest.approx(expected.box, abs=0.02)
                assert state["smooth"] == pytest.approx(expected.probabilities.tolist(), abs=2e-4)
                assert state["leading"] == expected.emotion


def served_id(results: Path, name: str) -> str:
    videos = read_results(results).videos
    return str(videos.loc[videos["video"] == name, "video_id"].iloc[0])


@pytest.mark.parametrize(("width", "dark"), [(1400, False), pytest.param(390, True, marks=pytest.mark.slow)])
def test_hostile_names_run_no_script_and_nothing_leaves_the_page(tmp_path: Path, width: int, dark: bool) -> None:
    results = write_results(tmp_path / "r.parquet", EVERYTHING)
    with reviewing(results, cache=tmp_path / "cache") as server:
        for path in ("", "video/0#face=0", "video/1", "video/4"):
            with review_page(server, path, (width, 844), dark) as page:
                page.value("window.alert = () => { window.harmed = true; }")
                page.page.wait(0.2)
                assert page.value("window.harmed") is None
                assert page.value("document.querySelectorAll('img, iframe, object').length") == 0
                assert page.value("document.documentElement.scrollWidth") <= width
                assert page.page.console == []
                own = (server.address, "data:", "blob:")
                assert all(address.startswith(own) for address in page.page.requests)


def test_lines_of_the_file_are_as_people_write_them(served: Served, tmp_path: Path) -> None:
    with review_page(served, "video/0#face=0&t=2.1") as page:
        act(page, "split", 1)
    assert (tmp_path / "c.csv").read_text() == f"{HEADER}\na.mp4,0,split,2.000,,\n"


def test_the_record_of_corrections_is_what_forbids_correcting_again(results: Path, tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text(f"{HEADER}\na.mp4,0,name,,,Ann\n")
    correct(results, tmp_path / "c.csv", tmp_path / "done.parquet")
    with (
        reviewing(tmp_path / "done.parquet", cache=tmp_path / "cache") as server,
        review_page(server, "video/0#face=0") as page,
    ):
        assert "corrected already" in page.value("document.getElementById('fix').textContent")
        assert page.value("document.querySelectorAll('#fix form').length") == 0
    without_record(tmp_path / "done.parquet")
    with reviewing(tmp_path / "done.parquet", corrections=tmp_path / "d.csv", cache=tmp_path / "cache") as server:
        assert server.get("api/video/0").values["refusal"] == ""


@pytest.mark.slow
def test_a_made_swap_of_a_real_clip_is_repaired(shared_media: Path, tmp_path: Path) -> None:
    """The tables of the true identities, those of ``correct``, and those of the server are the same."""
    name = "composite_cross.mp4"
    analyze(shared_media / name, tmp_path / "r.parquet", workers=1)
    faces = read_results(tmp_path / "r.parquet").summary
    long = faces[faces["last_seen"] - faces["first_seen"] > 6].sort_values("face_id")
    (one, two), largest = long["face_id"].tolist(), int(faces["face_id"].max())
    apart = [f"{name},{one},split,5.0,,", f"{name},{two},split,5.0,,"]
    swap = [f"{name},{one},join,,,{largest + 2}", f"{name},{two},join,,,{largest + 1}"]
    namings = [f"{name},{one},name,,,Ann", f"{name},{two},name,,,Ben"]
    correct(tmp_path / "r.parquet", write_corrections(tmp_path / "swap.csv", *apart, *swap), tmp_path / "wrong.parquet")
    without_record(tmp_path / "wrong.parquet")
    with reviewing(tmp_path / "wrong.parquet", shared_media, tmp_path / "c.csv", tmp_path / "cache") as served:
        duration = served.get("api/video/0").values["duration"]
        with review_page(served, f"video/0#face={one}&t=5.0") as page:
            page.settle(125)
            act(page, "split", 1)
            choose(page, two, 5.02, duration)
            act(page, "split", 2)
            act(page, "save-join", 3, other=str(largest + 1))
            choose(page, one, 2.0, duration)
            act(page, "save-join", 4, other=str(largest + 2))
            act(page, "save-name", 5, name="Ann")
            choose(page, two, 2.0, duration)
            act(page, "save-name", 6, name="Ben")
        with review_page(served, "video/0") as page:
            page.press("z", modifiers=2)
            page.wait_until("document.querySelectorAll('#history li').length === 5")
            act(page, "redo", 6)
        shown = served.get("api/video/0").values
    correct(tmp_path / "wrong.parquet", tmp_path / "c.csv", tmp_path / "repaired.parquet")
    correct(tmp_path / "r.parquet", write_corrections(tmp_path / "names.csv", *namings), tmp_path / "right.parquet")
    repaired = read_results(tmp_path / "repaired.parquet")
    assert_identical(repaired, read_results(tmp_path / "right.parquet"))
    live = LiveResults(tmp_path / "wrong.parquet").corrected(name, read_corrections(tmp_path / "c.csv"))
    assert_identical(live, repaired)
    kept = ("lanes", "faces", "episodes", "moments", "cuts", "trust")
    assert {key: shown[key] for key in kept} == {key: describe_video(repaired)[key] for key in kept}


DRAG = """((face, person) => {
  const from = document.querySelector(`.people button[data-face="${face}"]`), transfer = new DataTransfer();
  const to = [...document.querySelectorAll(".people")].find((one) => one.textContent.includes(person));
  const send = (target, name) => target.dispatchEvent(new DragEvent(name, {
    dataTransfer: transfer, bubbles: true, cancelable: true }));
  send(from, "dragstart");
  send(to, "dragover");
  send(to, "drop");
})(%d, "%s")"""


@pytest.mark.slow
def test_a_face_is_dragged_out_of_the_contact_sheet(tmp_path: Path) -> None:
    analyze(SAMPLES / "crossing.mp4", tmp_path / "r.parquet", workers=1)
    server = reviewing(tmp_path / "r.parquet", corrections=tmp_path / "c.csv", cache=tmp_path / "cache")
    with server as served, review_page(served, "video/0") as page:
        page.push("load-sheet")
        page.wait_until("document.querySelectorAll('.people img').length === 8")
        page.wait_until("[...document.querySelectorAll('.people img')].every((one) => one.naturalWidth === 112)")
        page.value(DRAG % (0, "a person of its own"))
        page.wait_until("document.querySelectorAll('#history li').length === 1")
        page.wait_until("[...document.querySelectorAll('.people h3')].some((one) => one.textContent === 'person 2')")
        page.value(DRAG % (0, "person 1"))
        page.wait_until("document.querySelector('#fix [role=alert]')")
        assert "would be faces 0 and 1" in page.value("document.querySelector('#fix [role=alert]').textContent")
    assert [(one.face_id, one.action, one.value) for one in read_corrections(tmp_path / "c.csv")] == [
        (0, "person", "new")
    ]
