"""Reports: their pictures, and their pages in the browser of ``tests.support.browser``."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fervid.faces.thumbnail import WantedFace
from fervid.report.pictures import FrameEncoder, decode_pictures
from fervid.settings import OpenOptions
from tests.support.browser import Page, open_page


def make_thumbnails(path: Path, wanted: Sequence[WantedFace], options: OpenOptions | None = None) -> dict[int, str]:
    """The images of faces that a report shows of a video."""
    return decode_pictures(path, wanted, (), FrameEncoder(0, 0), options)[0]


def values_of(text: str) -> Any:
    """The values that a page passes to its script."""
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, flags=re.DOTALL)
    return json.loads(found)


def pictures_of(text: str, place: int = 0) -> Any:
    """The pictures of a video in a page."""
    (found,) = re.findall(rf'<script type="application/json" id="pictures-{place}">(.*?)</script>', text, re.DOTALL)
    return json.loads(found)


@contextlib.contextmanager
def opened(path: Path, **options: Any) -> Iterator[Page]:
    """Open the page, and check that it logs nothing and requests nothing but itself and videos on this computer."""
    with open_page(path, **options) as page:
        yield page
        page.wait(0.2)
        assert page.console == []
        own, *others = [url for url in page.requests if not url.startswith("data:")]
        assert own == path.resolve().as_uri()
        assert all(url.startswith("file:///") for url in others)


SEE = """(async (canvas) => {
    canvas.scrollIntoView({block: 'center'});
    for (let turn = 0; turn < 300 && canvas.width < 2; turn++) await new Promise(done => setTimeout(done, 20));
    return canvas; })"""
"""Brings a canvas into view, and waits until it is drawn."""


def open_all(page: Page) -> None:
    """Open every video and bring every lane into view once."""
    page.evaluate("document.documentElement.style.scrollBehavior = 'auto'")
    page.evaluate("document.getElementById('toggle')?.click()")
    page.wait(0.1)
    page.evaluate(
        f"(async () => {{ for (const one of document.querySelectorAll('.lane-canvas')) await {SEE}(one); }})()"
    )
