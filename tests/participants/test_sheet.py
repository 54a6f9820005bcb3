"""The contact sheet without videos: what it shows of whom, and how it stays small and safe."""

from __future__ import annotations

import re

import pytest

from fervid.participants import sheet
from fervid.participants.gallery import Gallery
from fervid.participants.outcome import FoundPerson
from fervid.participants.sheet import FACES, Card, render

HOSTILE = "</style><script>alert(1)</script>\"'&"


def card(face: int, name: str | None, images: int = 8, note: str | None = None, video: str = "a.mp4") -> Card:
    found = FoundPerson(video, face, face, name, None if images == 0 else 0.612, 0.25, name or "Ann", images, note)
    return Card(found, tuple(f"data:image/jpeg;base64,{face}-{n}" for n in range(images)), 61.0)


def images_of(page: str) -> list[str]:
    return re.findall(r'<img src="data:image/jpeg;base64,([^"]*)"', page)


def test_every_participant_has_a_row_and_the_unknown_come_last() -> None:
    gallery = Gallery(["Ann", "Ben"], images={"Ann": ["data:image/jpeg;base64,photo"]})
    page = render(
        [card(0, None, note="below"), card(1, "Ann"), card(2, None, images=0, note="small")], gallery, "r", 0.5
    )
    assert re.findall(r"<h2>(?:<bdi>)?(\w+)", page) == ["Ann", "Ben", "Unknown"]
    assert images_of(page) == ["photo", "1-1", "1-3", "1-5", "1-7", "0-1", "0-3", "0-5", "0-7"]
    assert "1 of 3 persons have a name; the threshold is 0.5" in page
    assert "most like <bdi>Ann</bdi>, similarity 0.61, margin 0.25" in page
    assert "from 1 min 1 s" in page


def test_no_text_of_the_results_or_the_gallery_becomes_markup() -> None:
    gallery = Gallery([HOSTILE], images={HOSTILE: []})
    hostile = [card(0, HOSTILE, note=HOSTILE, video=HOSTILE), card(1, None, note=HOSTILE, video=HOSTILE)]
    for page in (render(hostile, gallery, HOSTILE, 0.5), render(hostile, None, HOSTILE, 0.5)):
        assert "<script" not in page
        assert page.count("</style>") == 1
        assert "default-src 'none'" in page.replace("&#39;", "'")


def test_a_sheet_of_many_shows_one_face_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheet, "MANY", 2)
    assert len(images_of(render([card(n, "P01") for n in range(2)], None, "r", 0.5))) == 2 * FACES
    assert images_of(render([card(n, "P01") for n in range(3)], None, "r", 0.5)) == ["0-4", "1-4", "2-4"]


def test_without_a_person_there_is_still_a_page() -> None:
    assert "0 of 0 persons are in a group" in render([], None, "r", 0.5)
