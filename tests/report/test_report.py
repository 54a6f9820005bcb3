"""The report: its texts, the values that it draws, and that it needs no other file."""

from __future__ import annotations

import base64
import importlib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fervid.errors import InputNotFound, OutputError, UsageError
from fervid.faces.detectors import create_detector
from fervid.faces.thumbnail import SIDE, WantedFace, cut_out
from fervid.report import page_content
from fervid.report.page import percent
from fervid.report.report import write_report
from fervid.report.series import MAX_ROWS, MIN_ROWS, ChartSeries, chart_series, encode, share_rows
from fervid.results.reader import read_results
from fervid.settings import ScanSettings
from fervid.timeline.time_format import clock, duration_text
from fervid.types import EMOTIONS
from fervid.video.reader import VideoReader
from fervid.video.wanted_frames import read_ranges
from fervid.video.writer import EncoderSettings
from tests.support.clips import at_rate, write_clip
from tests.support.command import command
from tests.support.corrected import NAME, ROLE, write_people
from tests.support.paths import SAMPLES
from tests.support.report_page import make_thumbnails, pictures_of, values_of
from tests.support.synthetic_results import (
    EVIL,
    GAPPY,
    NASTY,
    SHORT,
    MadeFace,
    MadeVideo,
    wandering,
    write_made_report,
    write_results,
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a few synthetic videos."""
    return write_made_report(tmp_path_factory.mktemp("made"))


# the drawn values of a face


def decode(values: dict[str, Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Decode times and values like the script of the page; NaN in gaps."""
    times = np.frombuffer(base64.b64decode(values["t"]), "<f4")
    steps = np.frombuffer(base64.b64decode(values["v"]), np.uint8).reshape(-1, values["n"]).T.astype(float)
    return times, np.where(steps == 255, np.nan, steps / 254)


def test_a_short_timeline_is_drawn_in_full() -> None:
    sampled = np.arange(50, dtype=np.float64) * 0.2
    values = wandering(50)
    drawn = chart_series(sampled, values, sampled, 1.0)
    assert drawn.thinned == 1
    assert drawn.seen == ((0.0, float(sampled[-1])),)
    times, shown = decode(encode(drawn))
    np.testing.assert_allclose(times, sampled, atol=1e-6)
    np.testing.assert_allclose(shown, values, atol=0.5 / 254 + 1e-6)


def test_missed_samples_and_long_steps_are_gaps_and_slow_sampling_is_not() -> None:
    sampled = np.array([0, 0.2, 0.4, 0.6, 0.8, 3.0, 3.2])
    times = np.delete(sampled, 2)
    drawn = chart_series(times, wandering(6), sampled, threshold=1.0)
    assert drawn.seen == ((0.0, 0.2), (0.6, 0.8), (3.0, 3.2))
    holes = np.isnan(drawn.values).all(axis=1)
    np.testing.assert_allclose(drawn.times[holes], [0.4, 1.9])
    assert (np.diff(drawn.times) > 0).all()
    slow = np.arange(5, dtype=np.float64) * 10.0
    assert chart_series(slow, wandering(5), slow, threshold=15.0).seen == ((0.0, 40.0),)


@given(st.integers(1, 400), st.integers(4, 120), st.integers(0, 5), st.data())
def test_thinning_keeps_the_peaks_and_the_order_of_time(count: int, limit: int, seed: int, data: st.DataObject) -> None:
    sampled = np.arange(count, dtype=np.float64) * 0.2
    keep = data.draw(st.lists(st.booleans(), min_size=count, max_size=count).map(np.array))
    keep[0] = True
    times, values = sampled[keep], wandering(int(keep.sum()), seed)
    drawn: ChartSeries = chart_series(times, values, sampled, 1.0, limit)
    assert (np.diff(drawn.times) > 0).all()
    np.testing.assert_array_equal(np.nanmax(drawn.values, axis=0), values.max(axis=0))
    np.testing.assert_array_equal(np.nanmin(drawn.values, axis=0), values.min(axis=0))
    assert (drawn.thinned == 1) == (len(times) <= limit)
    if drawn.thinned == 1:
        assert (~np.isnan(drawn.values[:, 0])).sum() == len(times)
    else:
        assert len(drawn.times) <= 2.5 * limit + 6
    assert drawn.seen[0][0] == times[0]
    assert drawn.seen[-1][1] == times[-1]


@given(st.lists(st.integers(1, 50_000), max_size=60), st.integers(100, 100_000))
def test_the_rows_of_all_faces_stay_within_the_total(counts: list[int], total: int) -> None:
    limit = share_rows(counts, total)
    assert limit >= MIN_ROWS
    if limit > MIN_ROWS:
        assert sum(min(count, limit) for count in counts) <= max(total, MIN_ROWS * len(counts))
    if sum(counts) <= total:
        assert all(count <= limit for count in counts)


def test_an_hour_at_5_fps_stays_far_below_6_mb_and_is_not_thinned(tmp_path: Path) -> None:
    count = 18_000
    videos = [MadeVideo("hour.mp4", [MadeFace(range(count), wandering(count, seed)) for seed in (0, 1)], count=count)]
    written = write_report(write_results(tmp_path / "r.parquet", videos), tmp_path / "r.html", thumbnails=False)
    assert written.size == written.path.stat().st_size < 2_000_000
    (video,) = values_of(written.path.read_text())["videos"]
    assert [(face["n"], face["thinned"]) for face in video["faces"]] == [(count, 1)] * 2


@pytest.mark.slow
def test_a_batch_too_large_to_draw_in_full_is_thinned_and_the_page_says_so(tmp_path: Path) -> None:
    count = MAX_ROWS // 2 + 5_000
    face = MadeFace(range(count), wandering(count))
    videos = [MadeVideo(f"{name}.mp4", [face], count=count) for name in "ab"]
    written = write_report(write_results(tmp_path / "r.parquet", videos), tmp_path / "r.html", thumbnails=False)
    text = written.path.read_text()
    faces = [face for video in values_of(text)["videos"] for face in video["faces"]]
    assert sum(face["n"] for face in faces) <= 1.01 * MAX_ROWS
    assert all(face["thinned"] > 1 for face in faces)
    assert "Long timelines are thinned" in text
    _, shown = decode(faces[0])
    np.testing.assert_allclose(shown[:, 0].max(), face.probabilities[:, 0].max(), atol=1 / 254)


# pictures


def test_a_thumbnail_shows_the_face() -> None:
    path, detector = SAMPLES / "cut.mp4", create_detector(ScanSettings())
    wanted = []
    with VideoReader(path, fps=0.25) as reader:  # one frame before the cut, one after it
        for number, frame in enumerate(frame for frame in reader.frames() if frame.sampled):
            (face,) = detector.detect(frame.image)
            wanted.append(WantedFace(number, frame.index, frame.time, face.box))
    thumbnails = make_thumbnails(path, wanted)
    assert sorted(thumbnails) == [0, 1]
    for uri in thumbnails.values():
        head, data = uri.split(",")
        assert head == "data:image/jpeg;base64"
        image = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
        assert image is not None
        assert image.shape == (SIDE, SIDE, 3)
        assert len(data) < 12_000
        (face,) = detector.detect(np.asarray(image, np.uint8))
        assert abs(face.x + face.width / 2 - SIDE / 2) < 0.1 * SIDE
    assert len(set(thumbnails.values())) == len(thumbnails)


@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".avi"])
def test_a_thumbnail_from_late_in_a_video_shows_the_right_frame(
    ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module("fervid.video.wanted_frames")
    monkeypatch.setattr(module, "SEEK_SECONDS", 1.0)
    path = write_clip(tmp_path / f"video{ending}", [number / 10 for number in range(200)])
    wanted = [WantedFace(face, frame, frame / 10, (10, 10, 40, 40)) for face, frame in enumerate([5, 150, 152, 199])]
    starts = [start for start, _ in read_ranges(path, wanted)]
    assert [start and start.index for start in starts] == ([None] if ending == ".avi" else [None, 150, 199])
    found = make_thumbnails(path, wanted)
    monkeypatch.setattr(module, "SEEK_SECONDS", 1e9)
    assert found == make_thumbnails(path, wanted)
    assert len(set(found.values())) == 4


def test_a_video_whose_frame_times_differ_from_the_container_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "video.mp4", range(60))
    wanted = [WantedFace(0, 50, 51.0, (10, 10, 40, 40))]
    assert read_ranges(path, wanted) == [(None, wanted)]


@pytest.mark.parametrize("side", [10.0, 40.0, 400.0])
@pytest.mark.parametrize("corner", [(-1 / 3, -1 / 3), (2 / 3, 2 / 3), (0.2, 0.1)])
def test_a_box_across_the_border_of_the_frame_can_be_cut_out(side: float, corner: tuple[float, float]) -> None:
    image = np.full((300, 500, 3), 90, np.uint8)
    x, y = corner[0] * (side if corner[0] < 0 else 500), corner[1] * (side if corner[1] < 0 else 300)
    cut = cut_out(image, (x, y, side, side))
    assert cut.shape == (SIDE, SIDE, 3)
    assert np.ptp(cut) <= 1


def test_a_changed_or_missing_video_has_no_thumbnails(tmp_path: Path) -> None:
    results = write_results(tmp_path / "r.parquet", [MadeVideo("cut.mp4", [GAPPY]), MadeVideo("gone.mp4", [GAPPY])])
    written = write_report(results, tmp_path / "r.html", videos=SAMPLES)
    assert written.missing == (("cut.mp4", "changed since the analysis"), ("gone.mp4", f"not found in {SAMPLES}"))
    assert write_report(results, tmp_path / "r.html", thumbnails=False).missing == ()


@pytest.mark.parametrize("changed", [False, True])
def test_thumbnails_come_only_from_the_analysed_content(tmp_path: Path, changed: bool) -> None:
    results = write_results(tmp_path / "r.parquet", [MadeVideo("clip.mp4", [GAPPY])])
    (analysed,) = read_results(results).videos["video_id"]
    write_clip(tmp_path / "clip.mp4", at_rate(25, 200), 640, 360, EncoderSettings(preset="ultrafast"))
    contents = {tmp_path / "clip.mp4": "another content" if changed else analysed}
    written = write_report(results, tmp_path / "r.html", videos=tmp_path, fingerprint=contents.__getitem__)
    pictures = pictures_of(written.path.read_text())
    if changed:
        assert written.missing == (("clip.mp4", "changed since the analysis"),)
        assert pictures == {"missing": "changed since the analysis"}
    else:
        assert written.missing == ()
        assert pictures["thumbs"]["0"].startswith("data:image/jpeg;base64,")
        assert pictures["file"] == "clip.mp4"


# texts of the page


class Text(HTMLParser):
    """Collects the tags and the texts of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def words(page: str) -> list[str]:
    """The texts of a page."""
    parser = Text()
    parser.feed(page)
    return parser.words


def test_names_are_text_and_never_markup(made: Path) -> None:
    text = made.read_text(encoding="utf-8")
    page = Text()
    page.feed(text)
    assert [attrs.get("id") for tag, attrs in page.tags if tag == "script"] == ["data", None]
    assert not [attrs for tag, attrs in page.tags if tag == "img" or any(name.startswith("on") for name in attrs)]
    assert EVIL in page.words
    assert NASTY in page.words
    assert text.count("alert(1)</script>") == 0
    names = [video["name"] for video in values_of(text)["videos"]]
    assert names == [EVIL, "nothing.mp4", NASTY + "2"]


def test_the_page_refers_to_no_other_file(made: Path) -> None:
    page = Text()
    page.feed(made.read_text(encoding="utf-8"))
    links = [value for _, attrs in page.tags for name, value in attrs.items() if name in ("src", "href")]
    assert links
    assert all(link is not None and link.startswith(("#", "data:")) for link in links)
    (policy,) = (a["content"] or "" for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert "http" not in policy


def test_the_page_shows_failures_and_provenance(made: Path) -> None:
    page = Text()
    page.feed(made.read_text(encoding="utf-8"))
    words = " ".join(" ".join(page.words).split())
    assert "Emotion timelines of 5 videos" in words
    assert "2 with faces, 1 without, 1 skipped, 1 failed" in words
    assert f"cannot read {NASTY}" in words
    assert f"same content as {EVIL}" in words
    assert "truncated: <b>the rest</b> is gone" in words
    assert "ab" * 32 in words
    assert "timeline.smooth" in words
    covered = (5 + 36 - 5 + 50) / (50 + 10 + 50)
    assert percent(covered) in words


def test_shares_are_those_of_the_summary(made: Path) -> None:
    video = values_of(made.read_text())["videos"][0]
    happy, sad = EMOTIONS.index("happy"), EMOTIONS.index("sad")
    face = video["faces"][0]
    assert face["shares"][happy] == pytest.approx(20 / 36, abs=1e-4)
    assert [episode[0] for episode in face["episodes"]] == [happy, sad]
    assert face["seen"] == [[0.0, 1.8], [2.8, 7.8]]
    assert [face["trust"] for face in video["faces"]] == ["ok", "seen for only 0.8 s"]
    assert video["doubtful"] == 1


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Results with persons, and their page."""
    results = write_people(tmp_path_factory.mktemp("people"))
    return results, write_report(results, results.with_suffix(".html"), thumbnails=False).path.read_text()


def test_a_person_has_one_chart_with_the_statistics_of_the_persons_table(people: tuple[Path, str]) -> None:
    tables, (first, second) = read_results(people[0]), values_of(people[1])["videos"]
    assert [(face["name"], face["ids"]) for face in first["faces"]] == [
        (NAME, [0, 2]),
        ("person 1", [1]),
        ("face 3", [3]),
    ]
    person = tables.persons.query("video == 'a.mp4' and person == 0").iloc[0]
    face = first["faces"][0]
    assert (face["samples"], face["role"], face["trust"]) == (100, ROLE, person["trust"])
    assert face["shares"] == pytest.approx([person[f"share_{name}"] for name in EMOTIONS], abs=1e-4)
    assert face["n"] == 100
    assert face["seen"] == [[0.0, 20.0]]
    episodes = tables.episodes.query("video == 'a.mp4' and face_id in [0, 2]")
    assert sorted(one[1] for one in face["episodes"]) == sorted(episodes["onset"].round(3))
    assert [one[1] for one in face["episodes"]] == sorted(one[1] for one in face["episodes"])
    assert [(face["name"], face["ids"], face["n"]) for face in second["faces"]] == [
        ("person 0", [0], 50),
        ("person 0, face 1", [1], 50),
    ]


def test_the_overview_lists_persons_with_links_to_their_videos(people: tuple[Path, str]) -> None:
    page = Text()
    page.feed(people[1])
    assert NAME in page.words
    assert ROLE in page.words
    assert "<b>&amp;" not in people[1]
    assert "<i>guest" not in people[1]
    links = [attrs["href"] for tag, attrs in page.tags if tag == "a" and str(attrs["href"]).startswith("#video-")]
    assert links == ["#video-0", "#video-0", "#video-1"]
    assert {"video-0", "video-1"} <= {attrs.get("id") for tag, attrs in page.tags if tag == "details"}
    assert "6 without a warning; 3 persons" in " ".join(" ".join(page.words).split())


def test_a_long_list_of_persons_is_cut(
    people: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(page_content, "MAX_PERSONS", 2)
    page = write_report(people[0], tmp_path / "r.html", thumbnails=False).path.read_text()
    assert page.count('href="#video-') == 2
    assert "The first 2 of 3 persons." in page


def test_faces_without_a_chart_are_counted_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_content, "MAX_FACES", 1)
    results = write_results(tmp_path / "r.parquet", [MadeVideo("a.mp4", [GAPPY, SHORT]), MadeVideo("b.mp4", [SHORT])])
    page = write_report(results, tmp_path / "r.html", thumbnails=False).path.read_text()
    first, second = values_of(page)["videos"]
    assert [(video["count"], len(video["faces"]), video["doubtful"]) for video in (first, second)] == [
        (2, 1, 1),
        (1, 0, 1),
    ]
    badges = [word for word in words(page) if word in ("no face", "1 face", "2 faces", "⚠ 1 with low trust")]
    assert badges == ["2 faces", "⚠ 1 with low trust", "1 face", "⚠ 1 with low trust"]


def test_only_the_analysed_part_counts(tmp_path: Path) -> None:
    """A video of 10 s of which 2 s were sampled, and one sample of a video of unknown length."""
    one, ten = (MadeFace(range(count), wandering(count)) for count in (1, 10))
    videos = [MadeVideo("a.mp4", [ten], count=10, rest=8.0), MadeVideo("b.mp4", [one], count=1, timed=False)]
    page = write_report(
        write_results(tmp_path / "r.parquet", videos), tmp_path / "r.html", thumbnails=False
    ).path.read_text()
    first, second = values_of(page)["videos"]
    assert first["analysed"] == pytest.approx(2.0)
    assert (second["start"], second["end"]) == (0.0, 1.0)
    text = " ".join(" ".join(words(page)).split())
    assert "video analysed 3.0 s 11 frames sampled" in text
    assert "2.0 s of 10.0 s · 640 × 360 · h264 · 10 samples" in text
    assert "1.0 s analysed · 640 × 360 · h264 · 1 sample 1 face" in text


@pytest.mark.parametrize("form", ["r.csv", "r"])
def test_every_form_of_results_makes_the_same_page(form: str, tmp_path: Path) -> None:
    videos = [MadeVideo("a.mp4", [GAPPY, SHORT]), MadeVideo("b.mp4", count=4)]
    pages = []
    for name in ("p.parquet", form):
        path = write_report(write_results(tmp_path / name, videos), tmp_path / "r.html", thumbnails=False).path
        pages.append(values_of(path.read_text()))
    assert pages[0] == pages[1]


def test_results_without_any_face_make_a_page(tmp_path: Path) -> None:
    videos = [MadeVideo("x.mp4", status="failed", error="UnreadableVideo", message="empty file")]
    written = write_report(write_results(tmp_path / "r.parquet", videos), tmp_path / "r.html")
    assert "empty file" in written.path.read_text()


def test_refusals(tmp_path: Path) -> None:
    results = write_results(tmp_path / "r.parquet", [MadeVideo("a.mp4", [GAPPY])])
    with pytest.raises(UsageError, match=r"must end in \.html"):
        write_report(results, results)
    with pytest.raises(InputNotFound):
        write_report(tmp_path / "none.parquet", tmp_path / "r.html")
    with pytest.raises(InputNotFound, match="no such folder"):
        write_report(results, tmp_path / "r.html", videos=tmp_path / "none")
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(OutputError):
        write_report(results, tmp_path / "folder.html", thumbnails=False)
    assert not list(tmp_path.glob(".*.partial*"))


def test_lengths_and_shares_in_words() -> None:
    assert [clock(s) for s in (0, 9.96, 75.25, 3600.1)] == ["0:00", "0:09", "1:15", "1:00:00"]
    assert [duration_text(s) for s in (4.2, 167, 3600)] == ["4.2 s", "2 min 47 s", "1 h 0 min"]
    assert [percent(s) for s in (0, 0.001, 0.5, 0.999, 1)] == ["0 %", "< 1 %", "50 %", "> 99 %", "100 %"]


# from the command line


def test_the_command_writes_the_page_and_reports_missing_thumbnails(tmp_path: Path) -> None:
    results = write_results(tmp_path / "r.parquet", [MadeVideo("gone.mp4", [GAPPY])])
    done = command("report", results, "--out", tmp_path / "new" / "r.html")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "new" / "r.html").is_file()
    assert "not found in the working directory; --videos names" in done.stderr
    assert "gone.mp4" in done.stderr
    quiet = command("report", results, "--out", tmp_path / "r.html", "--no-thumbnails", "--quiet")
    assert (quiet.returncode, quiet.stderr, quiet.stdout) == (0, "", "")
    refused = command("report", results, "--out", results)
    assert refused.returncode == 2
    assert len(refused.stderr.splitlines()) == 1


def test_analyze_refuses_a_bad_report_path_before_it_begins(tmp_path: Path) -> None:
    out = tmp_path / "r.parquet"
    done = command("analyze", SAMPLES / "cut.mp4", "--out", out, "--report", tmp_path / "r.pdf")
    assert done.returncode == 2
    assert "must end in .html" in done.stderr
    assert not out.exists()
