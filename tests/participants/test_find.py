"""Participants from end to end: sample videos, photos, the corrections file, what ``correct`` makes of it, the page."""

from __future__ import annotations

import csv
import os
import shutil
import stat
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import fervid
from fervid.errors import InputNotFound, UsageError
from fervid.participants import find
from fervid.participants.keep_embeddings import write_embeddings
from fervid.participants.outcome import FoundPerson
from fervid.results.corrections import read_corrections
from fervid.video.reader import VideoReader
from tests.support.browser import open_page
from tests.support.command import command
from tests.support.corrected import write_corrections
from tests.support.paths import SAMPLES
from tests.support.replay import replaying

pytestmark = pytest.mark.xdist_group("participants")

ANN, BEN = 'Ann <b>&"Lee"', "=Ben"
"""The two people of the sample videos, with names that must be escaped."""

WHO = {("crossing.mp4", 0): ANN, ("crossing.mp4", 1): BEN, ("cut.mp4", 0): BEN, ("cut.mp4", 1): ANN}
"""Who the persons are, seen by eye."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sample videos, their results, and a gallery of the two people."""
    folder = tmp_path_factory.mktemp("participants")
    (folder / "videos").mkdir()
    for name in ("crossing.mp4", "cut.mp4"):
        shutil.copy(SAMPLES / name, folder / "videos" / name)
    with replaying():
        fervid.analyze(folder / "videos", folder / "r.parquet", fps=2, device="cpu")
    (folder / "gallery").mkdir()
    for name, clip in ((ANN, "variable_rate.mp4"), (BEN, "pan_zoom.mp4")):
        with VideoReader(SAMPLES / clip, fps=0) as reader:
            image = next(reader.frames()).image
        assert cv2.imwrite(str(folder / "gallery" / f"{name}.png"), image)
    return folder


def found_in(path: Path) -> dict[tuple[str, int], str]:
    return {(one.video, one.face_id): one.value for one in read_corrections(path)}


def test_persons_are_named_after_photos_and_the_names_can_be_applied(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "p.csv"
    done = fervid.find_participants(folder / "r.parquet", out, videos=folder / "videos", gallery=folder / "gallery")
    assert (done.exit_code, done.failed, done.notes, done.videos) == (0, (), (), 2)
    assert {(one.video, one.face_id): one.participant for one in done.persons} == WHO
    assert found_in(out) == WHO
    for one in done.persons:
        assert one.similarity is not None
        assert one.similarity > 0.6
        assert one.margin is not None
        assert one.margin > 0.3
        assert one.faces > 2
    with out.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    similarities = [one.similarity for one in done.persons]
    assert [float(row["similarity"]) for row in rows] == pytest.approx(similarities, abs=1e-3)
    fervid.correct(folder / "r.parquet", out, tmp_path / "named.parquet")
    results = fervid.read_results(tmp_path / "named.parquet")
    named = results.timeline.dropna(subset=["face_id"])
    assert dict(zip(zip(named["video"], named["face_id"], strict=True), named["participant"], strict=True)) == WHO
    assert set(results.persons["participant"]) == {ANN, BEN}
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("p")] == ["p.csv"]


def test_without_a_gallery_persons_are_grouped(folder: Path, tmp_path: Path) -> None:
    results = fervid.read_results(folder / "r.parquet")
    done = fervid.find_participants(results, tmp_path / "p.csv", videos=folder / "videos")
    groups = {ANN: "P01", BEN: "P02"}
    assert found_in(tmp_path / "p.csv") == {key: groups[name] for key, name in WHO.items()}
    assert done.exit_code == 0


@pytest.mark.slow
def test_strangers_stay_unknown(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "g").mkdir()
    shutil.copy(folder / "gallery" / f"{ANN}.png", tmp_path / "g" / "Ann.png")
    done = command(
        "participants", folder / "r.parquet", "--videos", folder / "videos", "--gallery", tmp_path / "g",
        "--out", tmp_path / "p.csv",
    )  # fmt: skip
    assert done.returncode == 0
    assert found_in(tmp_path / "p.csv") == {key: "Ann" for key, name in WHO.items() if name == ANN}
    assert "2 of 4 persons named, 1 participant: " in done.stderr
    assert done.stderr.count("unknown: ") == 2
    assert "unknown: cut.mp4, person 0 (face 0): most like Ann, 0." in done.stderr
    assert f"fervid correct {folder / 'r.parquet'} --corrections {tmp_path / 'p.csv'} --out NEW" in done.stderr
    strict = fervid.find_participants(
        folder / "r.parquet", tmp_path / "p.csv", videos=folder / "videos", gallery=tmp_path / "g", threshold=0.999
    )
    assert [one.note for one in strict.persons] == ["below the threshold 0.999"] * 4
    assert found_in(tmp_path / "p.csv") == {}
    assert (
        command(
            "correct", folder / "r.parquet", "--corrections", tmp_path / "p.csv", "--out", tmp_path / "n.csv"
        ).returncode
        == 0
    )


def test_two_photos_of_one_person_under_two_names_give_no_name(folder: Path, tmp_path: Path) -> None:
    for name in ("Ann", "Eve"):
        (tmp_path / "g" / name).mkdir(parents=True)
        shutil.copy(folder / "gallery" / f"{ANN}.png", tmp_path / "g" / name / "1.png")
    out = tmp_path / "p.csv"
    done = fervid.find_participants(folder / "r.parquet", out, videos=folder / "videos", gallery=tmp_path / "g")
    assert found_in(out) == {}
    assert done.notes == ("the photos of Ann and Eve look like one person (similarity 1.00)",)
    alike = [one for one in done.persons if one.similarity is not None and one.similarity > 0.6]
    assert len(alike) == 2
    for one in alike:
        assert one.note == f"Eve is nearly as similar ({one.similarity:.2f})"


# videos that cannot be opened


@pytest.fixture
def damaged(folder: Path, tmp_path: Path) -> Path:
    """The videos, one of which has changed."""
    shutil.copytree(folder / "videos", tmp_path / "videos")
    shutil.copy(SAMPLES / "leaving.mp4", tmp_path / "videos" / "cut.mp4")
    return tmp_path / "videos"


def test_a_video_that_changed_fails_and_the_others_are_named(folder: Path, damaged: Path, tmp_path: Path) -> None:
    out = tmp_path / "p.csv"
    done = command(
        "participants", folder / "r.parquet", "--videos", damaged, "--out", out, "--sheet", tmp_path / "s.html"
    )
    assert done.returncode == 3
    assert "failed: cut.mp4: changed since the analysis" in done.stderr
    assert {video for video, _ in found_in(out)} == {"crossing.mp4"}
    assert "cut.mp4" not in (tmp_path / "s.html").read_text(encoding="utf-8")


def test_if_no_video_can_be_opened_nothing_is_written(folder: Path, damaged: Path, tmp_path: Path) -> None:
    (damaged / "crossing.mp4").unlink()
    out = tmp_path / "p.csv"
    out.write_text("mine")
    done = command(
        "participants", folder / "r.parquet", "--videos", damaged, "--out", out, "--sheet", tmp_path / "s.html"
    )
    assert done.returncode == 4
    assert f"failed: crossing.mp4: not found in {damaged}" in done.stderr
    assert out.read_text() == "mine"
    assert not (tmp_path / "s.html").exists()


def test_results_without_a_face_give_an_empty_file(tmp_path: Path) -> None:
    from tests.support.made_tracks import MadeClip, write_tracks

    results = write_tracks(tmp_path / "r.parquet", {"a.mp4": MadeClip([])})
    done = fervid.find_participants(results, tmp_path / "p.csv", videos=tmp_path)
    assert (done.exit_code, done.persons) == (0, ())
    assert read_corrections(tmp_path / "p.csv") == []


# corrected results


def test_groups_of_corrected_results_can_always_be_applied(folder: Path, tmp_path: Path) -> None:
    lines = ["crossing.mp4,0,name,,,Ann", "cut.mp4,0,name,,,Ann"]  # two people, by mistake
    names, out = write_corrections(tmp_path / "names.csv", *lines), tmp_path / "p.csv"
    fervid.correct(folder / "r.parquet", names, tmp_path / "c.parquet")
    done = command("participants", tmp_path / "c.parquet", "--videos", folder / "videos", "--out", out)
    assert done.returncode == 0
    assert "person 0 (face 0), seen at the same time, is Ann by a correction" in done.stderr
    assert f"next: fervid correct ANALYSIS --corrections EARLIER --corrections {out} --out NEW" in done.stderr
    fervid.correct(folder / "r.parquet", [names, out], tmp_path / "named.parquet")


@pytest.mark.slow
def test_persons_that_have_names_keep_them(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "first.csv").write_text("video,face_id,action,start,end,value\ncut.mp4,1,name,,,Eve\n")
    fervid.correct(folder / "r.parquet", tmp_path / "first.csv", tmp_path / "first.parquet")
    out = tmp_path / "p.csv"
    done = fervid.find_participants(tmp_path / "first.parquet", out, videos=folder / "videos")
    assert found_in(out) == {("crossing.mp4", 0): "Eve", ("crossing.mp4", 1): "P01", ("cut.mp4", 0): "P01"}
    assert "first the files that corrected them" in done.notes[0]
    fervid.correct(folder / "r.parquet", [tmp_path / "first.csv", out], tmp_path / "both.parquet")
    assert set(fervid.read_results(tmp_path / "both.parquet").persons["participant"]) == {"Eve", "P01"}
    gallery = folder / "gallery"
    photos = fervid.find_participants(tmp_path / "first.parquet", out, videos=folder / "videos", gallery=gallery)
    assert {one.participant for one in photos.persons if (one.video, one.face_id) == ("cut.mp4", 1)} == {"Eve"}
    assert ("cut.mp4", 1) not in found_in(out)
    assert len(found_in(out)) == 3


# wrong usage


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"out": "p.txt"}, "`out` must end in .csv"),
        ({"sheet": "s.pdf"}, "`sheet` must end in .html"),
        ({"keep_embeddings": "e.csv"}, "`keep_embeddings` must end in .npz"),
        ({"threshold": 0.0}, "`threshold` must be between 0 and 1"),
        ({"threshold": 1.0}, "`threshold` must be between 0 and 1"),
        ({"threshold": float("nan")}, "`threshold` must be between 0 and 1"),
        ({"out": "r.persons.csv"}, "would overwrite the input"),
        ({"gallery": "nowhere"}, "no such gallery"),
        ({"videos": "nowhere"}, "no such folder"),
    ],
)
def test_wrong_arguments_write_nothing(folder: Path, tmp_path: Path, arguments: dict[str, Any], reason: str) -> None:
    for path in folder.glob("r.*"):
        shutil.copy(path, tmp_path / path.name)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    paths = {name: tmp_path / value if isinstance(value, str) else value for name, value in arguments.items()}
    values: dict[str, Any] = {"out": tmp_path / "p.csv", "videos": folder / "videos", **paths}
    with pytest.raises(UsageError, match=reason) as caught:
        fervid.find_participants(tmp_path / "r.parquet", values.pop("out"), **values)
    assert isinstance(caught.value, InputNotFound) == (reason.startswith("no such"))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_command_ends_with_2_if_it_is_used_wrongly(folder: Path, tmp_path: Path) -> None:
    done = command("participants", folder / "r.parquet", "--out", tmp_path / "p.csv", "--threshold", "7")
    assert (done.returncode, done.stderr) == (2, "fervid: --threshold must be between 0 and 1, not 7.0\n")


def test_two_outputs_in_one_file_are_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "e.npz").symlink_to(tmp_path / "p.csv")
    targets = find.Targets(tmp_path / "p.csv", None, tmp_path / "e.npz")
    with pytest.raises(UsageError, match="the files to write must differ"):
        find.find_participants(folder / "r.parquet", targets, folder / "videos")


# the contact sheet


def test_the_sheet_shows_faces_names_and_similarities_and_nothing_else_runs(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "gallery", tmp_path / "g")
    shutil.move(tmp_path / "g" / f"{BEN}.png", tmp_path / "g" / "<script>document.title = 1<!--.png")
    page = tmp_path / "s.html"
    done = fervid.find_participants(
        folder / "r.parquet", tmp_path / "p.csv", videos=folder / "videos", gallery=tmp_path / "g", sheet=page,
        threshold=0.6,
    )  # fmt: skip
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text
    assert ANN not in text
    for size, dark in (((390, 844), True), ((1400, 900), False)):
        with open_page(page, size=size, dark=dark) as shown:
            assert shown.evaluate("document.documentElement.scrollWidth <= innerWidth")
            assert shown.evaluate("[...document.querySelectorAll('h2 bdi')].map(e => e.textContent)") == [
                "<script>document.title = 1<!--", ANN,
            ]  # fmt: skip
            faces = shown.evaluate("[...document.images].map(e => e.naturalWidth)")
            assert faces == [112] * len(faces)
            shares = [min(one.faces, 4) for one in done.persons]
            assert len(faces) == 2 + sum(shares)
            similar = shown.evaluate("document.body.innerText")
            for one in done.persons:
                assert f"similarity {one.similarity:.2f}, margin {one.margin:.2f}" in similar
            assert shown.console == []
            assert [url for url in shown.requests if not url.startswith("data:")] == [page.as_uri()]


# embeddings


def test_embeddings_are_kept_only_if_asked_for_and_for_this_user_only(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "e.npz"
    path.write_bytes(b"")
    path.chmod(0o666)
    done = fervid.find_participants(
        folder / "r.parquet", tmp_path / "p.csv", videos=folder / "videos", gallery=folder / "gallery",
        keep_embeddings=path,
    )  # fmt: skip
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    with np.load(path, allow_pickle=False) as kept:
        assert [(v, f) for v, f in zip(kept["video"], kept["face_id"], strict=True)] == list(WHO)
        assert kept["person"].tolist() == [one.person for one in done.persons]
        assert kept["participant"].tolist() == list(WHO.values())
        assert kept["name"].tolist() == sorted([ANN, BEN])
        products = kept["embedding"] @ kept["name_embedding"].T
        assert kept["embedding"].dtype == np.float32
    assert products.max(axis=1) == pytest.approx([one.similarity for one in done.persons], abs=1e-3)


def test_a_person_without_an_embedding_is_left_out(tmp_path: Path) -> None:
    persons = [FoundPerson("a.mp4", None, n, None, None, None, None, 0) for n in range(2)]
    write_embeddings(tmp_path / "e.npz", persons, [None, np.ones(128, np.float32)], None)
    with np.load(tmp_path / "e.npz", allow_pickle=False) as kept:
        assert (kept["face_id"].tolist(), kept["person"].tolist()) == ([1], [-1])
    write_embeddings(tmp_path / "e.npz", [], [], None)
    with np.load(tmp_path / "e.npz", allow_pickle=False) as kept:
        assert kept["embedding"].shape == (0, 128)


# faces that lie on their side, as the scan finds them


@pytest.mark.slow
def test_faces_of_a_video_on_its_side_are_found_again(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "v").mkdir()
    shutil.copy(SAMPLES / "cut.mp4", tmp_path / "v" / "cut.mp4")
    with replaying():
        fervid.analyze(tmp_path / "v", tmp_path / "r.parquet", fps=2, device="cpu", rotate=90)
    out = tmp_path / "p.csv"
    done = fervid.find_participants(tmp_path / "r.parquet", out, videos=tmp_path / "v", gallery=folder / "gallery")
    assert [one.participant for one in done.persons] == [BEN, ANN]
    assert done.notes == ()
