"""The page of one video in a browser: waiting, clicking, and the picture that it shows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from fervid.types import ByteArray
from tests.support.browser import Page, Size, open_page
from tests.support.review_server import Served

READY = """new Promise((done, failed) => {
  const begin = performance.now();
  const look = () => {
    if (%s) done(true);
    else if (performance.now() - begin > 100000) failed(new Error("it did not happen"));
    else setTimeout(look, 20);
  };
  look();
})"""

PICTURE = """(() => {
  const video = document.getElementById("player"), canvas = document.createElement("canvas");
  canvas.width = %d; canvas.height = %d;
  const paper = canvas.getContext("2d");
  paper.imageSmoothingQuality = "high";
  paper.drawImage(video, 0, 0, canvas.width, canvas.height);
  return Array.from(paper.getImageData(0, 0, canvas.width, canvas.height).data);
})()"""


class ReviewPage:
    """A page of the review server."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def wait_until(self, condition: str) -> None:
        """Wait for a JavaScript condition."""
        self.page.evaluate(READY % condition)

    def click(self, x: float, y: float) -> None:
        """Press and release the left button of the mouse at a place of the window."""
        where = {"x": x, "y": y, "button": "left", "buttons": 1, "clickCount": 1}
        for kind in ("mousePressed", "mouseReleased"):
            self.page.call("Input.dispatchMouseEvent", type=kind, **where)

    def press(self, key: str, modifiers: int = 0) -> None:
        """Press and release a key. ``modifiers``: 2 is Ctrl, 8 is Shift."""
        text = {"text": key} if len(key) == 1 and not modifiers & 2 else {}
        for kind in ("keyDown", "keyUp"):
            named = {
                "key": key,
                "modifiers": modifiers,
                "windowsVirtualKeyCode": ord(key.upper()) if len(key) == 1 else 0,
            }
            self.page.call("Input.dispatchKeyEvent", type=kind, **named, **(text if kind == "keyDown" else {}))

    def push(self, element: str) -> None:
        """Click the element with this id."""
        self.page.evaluate(f"document.getElementById('{element}').click()")

    def place(self, selector: str, number: int = 0) -> dict[str, float]:
        """Where an element is in the window, after it was scrolled into it."""
        found: dict[str, float] = self.page.evaluate(
            f"""(() => {{ const found = document.querySelectorAll("{selector}")[{number}];
            found.scrollIntoView({{block: "center"}}); const box = found.getBoundingClientRect();
            return {{left: box.left, top: box.top, width: box.width, height: box.height}}; }})()"""
        )
        return found

    def seek(self, time: float, duration: float, selector: str = "#timeline .axis", number: int = 0) -> None:
        """Click a timeline that shows the whole video at a time."""
        box = self.place(selector, number)
        self.click(box["left"] + time / duration * box["width"], box["top"] + box["height"] / 2)

    @property
    def frame(self) -> int:
        """The number of the frame at which the cursor is."""
        return int(str(self.page.evaluate("document.getElementById('clock').textContent")).rpartition(" ")[2])

    def picture(self, width: int, height: int) -> ByteArray:
        """The picture that the video element shows, scaled: (height, width, 3) uint8, red-green-blue."""
        values: list[int] = self.page.evaluate(PICTURE % (width, height))
        return np.array(values, np.uint8).reshape(height, width, 4)[..., :3]

    def settle(self, frame: int) -> None:
        """Wait until the cursor is at a frame, and the video has ended seeking."""
        at_frame = f"document.getElementById('clock').textContent.endsWith('frame {frame}')"
        self.wait_until(f"!document.getElementById('player').seeking && {at_frame}")

    def value(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        return self.page.evaluate(expression)


@contextlib.contextmanager
def review_page(served: Served, path: str, size: Size = (1400, 1000), dark: bool = False) -> Iterator[ReviewPage]:
    """Open a page of the server, and wait until it is complete and the video can be played."""
    with open_page(served.address + path, size, dark, mobile=size[0] < 600) as page:
        opened = ReviewPage(page)
        opened.wait_until("document.body.dataset.ready")
        if path.startswith("video/"):
            opened.wait_until(
                "document.getElementById('waiting').textContent || document.getElementById('player').readyState >= 2"
            )
        yield opened
