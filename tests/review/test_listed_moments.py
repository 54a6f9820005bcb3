"""Moments of a file, such as the disagreements that ``agree`` writes, on the first page and in the video."""

from __future__ import annotations

from pathlib import Path

import pytest

from fervid.errors import BadStudy, InputNotFound
from fervid.results.correct import correct
from fervid.results.reader import read_results
from fervid.review.moments import listed_moments
from fervid.studies.agree import agree
from tests.support.command import command
from tests.support.made_tracks import MadeClip, MadePerson, write_tracks
from tests.support.review_page import review_page
from tests.support.review_server import reviewing

CLIPS = {
    "a.mp4": MadeClip([MadePerson(1, [range(100)], 0, 0), MadePerson(2, [range(100)], 1, 1)]),
    "b.mp4": MadeClip([MadePerson(4, [range(40), range(60, 80)], 0, 0)], cuts=(9.0,)),
}
NAMES = "video,face_id,action,start,end,value\na.mp4,0,name,,,Ann\na.mp4,1,name,,,Ben\nb.mp4,0,name,,,Ann\n"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("listed")
    raw = write_tracks(folder / "raw.parquet", CLIPS)
    (folder / "names.csv").write_text(NAMES)
    correct(raw, folder / "names.csv", folder / "r.parquet")
    return folder / "r.parquet"


@pytest.fixture(scope="module")
def disagreements(results: Path) -> Path:
    """What a coder sees otherwise: second by second another emotion."""
    emotions = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    lines = [f"{video},{name},{second},1,{emotions[(second + shift) % 7]}"
             for video, name, shift, end in (("a", "Ann", 0, 19), ("a", "Ben", 3, 19), ("b", "Ann", 5, 15))
             for second in range(end)]  # fmt: skip
    coding = results.parent / "coded.csv"
    coding.write_text("\n".join(["video,participant_id,onset,duration,trial_type", *lines]) + "\n")
    agree(results, coding, results.parent / "agreement")
    return results.parent / "agreement" / "disagreements.csv"


def test_the_disagreements_are_listed_with_their_faces(results: Path, disagreements: Path) -> None:
    with reviewing(results, moments=disagreements) as served:
        lists = served.get("api/overview").values["lists"]
        assert [one["title"] for one in lists] == ["disagreements.csv", "doubtful moments"]
        found = lists[0]["moments"]
        lengths = [round(one["end"] - one["start"], 3) for one in found]
        assert len(found) > 20
        assert lengths == sorted(lengths, reverse=True)
        people = {(one["video"], one["reason"].split(":")[0]): one["face"] for one in found}
        assert people["a.mp4", "Ann"] == 0
        assert people["a.mp4", "Ben"] == 1
        assert "(first), " in found[0]["reason"]
        assert found[0]["reason"].endswith("(second)")
        inside = served.get("api/video/1").values["moments"]
        assert {one["face"] for one in inside} == {0}
        assert len([one for one in found if one["video"] == "b.mp4"]) == len(inside)


def test_the_first_page_filters_them_and_links_to_the_video_at_that_time(results: Path, disagreements: Path) -> None:
    with reviewing(results, moments=disagreements) as served:
        with review_page(served, "") as page:
            rows = "document.querySelectorAll('#moments tbody tr').length"
            every = int(page.value(rows))
            page.value("document.getElementById('filter').value = 'ben:'")
            page.value("document.getElementById('filter').dispatchEvent(new Event('input'))")
            assert 0 < int(page.value(rows)) < every
            assert page.value(
                "[...document.querySelectorAll('#moments tbody tr')].every((one) => one.innerText.includes('Ben'))"
            )
            link = str(page.value("document.querySelector('#moments a').getAttribute('href')"))
            assert link.startswith("video/0#t=")
            assert link.endswith("&face=1")
            page.value("document.getElementById('list').value = '1'")
            page.value("document.getElementById('list').dispatchEvent(new Event('change'))")
            assert page.value(rows) == 0
            assert not page.page.console
        start = float(link.split("t=")[1].split("&")[0])
        with review_page(served, link) as page:
            assert page.value("document.querySelector('#fix h2').textContent") == "Face 1"
            page.wait_until(
                f"Math.abs(Number(document.querySelector('.axis').getAttribute('aria-valuenow')) - {start}) < 0.3"
            )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("video;start\nc.mp4;1\n", "line 2, column video: 'c.mp4' is not in the results"),
        ("video;start\n*.mp4;1\n", "line 2, column video: '*.mp4' fits 2 videos"),
        ("video;start\na;x\n", "line 2, column start: 'x' is not a number of seconds"),
        ("video;start;end\na;2;1\n", "line 2, column end: a moment starts at 0 s or later, and ends after its start"),
        ("video;start;face_id\na;2;7\n", "line 2, column face_id: 'a' has no face '7'"),
        ("video;end\na;2\n", "line 1: no column start; the columns are video, end"),
        ("video;start\n", "line 2: the table has no rows"),
    ],
)
def test_a_wrong_table_is_refused_with_its_place(results: Path, tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "moments.csv"
    path.write_text(text)
    tables = read_results(results)
    with pytest.raises(BadStudy) as caught:
        listed_moments(path, tables.videos["video"].tolist(), tables.summary)
    assert message in str(caught.value)


def test_a_table_of_ones_own_needs_a_video_and_a_start(results: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("video\tstart\treason\na\t1,5\tlaughs\nb\t3,0\t\nb.mp4\t500\tlate\n")
    tables = read_results(results)
    found = listed_moments(path, tables.videos["video"].tolist(), tables.summary)
    assert [(one.video, one.start, one.end, one.reason) for one in found] == [
        ("a.mp4", 1.5, 1.5, "laughs"),
        ("b.mp4", 3.0, 3.0, "mine.csv"),
        ("b.mp4", 500.0, 500.0, "late"),
    ]
    assert [one.face_id for one in found] == [None, 0, None]  # two faces are seen then; one; none
    with pytest.raises(InputNotFound):
        listed_moments(tmp_path / "none.csv", [], tables.summary)
    done = command("review", results, "--moments", tmp_path / "none.csv", "--no-browser")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
