"""Headless Chromium for tests, controlled through its debugging pipe without a library.

::

    with open_page(path_or_url, size=(390, 844), dark=True) as page:
        page.evaluate("document.title")             # any JavaScript expression; promises are awaited
        page.console                                # what the page logged or threw, as "error: message"
        page.requests                               # every address that the page asked for, its own first
        page.screenshot(tmp_path / "phone.png")     # full=True takes the page down to its end

``dump_dom`` and ``screenshot`` do one thing with one page. All of them skip the test, with the reason, where
no browser is found. The pages of a process are loaded into one tab of one browser.
"""

from __future__ import annotations

import atexit
import base64
import contextlib
import itertools
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-features=BackForwardCache",
    "--no-first-run",
    "--hide-scrollbars",
    "--mute-audio",
    "--autoplay-policy=no-user-gesture-required",
    "--allow-file-access-from-files",
    "--remote-debugging-pipe",
)

Size = tuple[int, int]


def find_browser() -> str:
    """The path of a Chromium or Chrome, FERVID_BROWSER first; skips the test where there is none."""
    for name in (os.environ.get("FERVID_BROWSER", ""), *NAMES):
        found = shutil.which(name) if name else None
        if found:
            return found
    pytest.skip("needs Chromium or Chrome (Debian: apt-get install chromium; or name it in FERVID_BROWSER)")


class Browser:
    """A running Chromium, and the messages that it sends. ``session`` is that of its tab, once there is one."""

    def __init__(self) -> None:
        program = find_browser()
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        to_browser, from_browser = os.pipe(), os.pipe()
        # the browser reads commands from descriptor 3 and answers on 4
        redirect = 'exec 3<&"$1" 4>&"$2"; shift 2; exec "$@"'
        ends = (to_browser[0], from_browser[1])
        folder = f"--user-data-dir={self._profile.name}"
        self._process = subprocess.Popen(
            ["/bin/bash", "-c", redirect, "browser", *map(str, ends), program, *FLAGS, folder],
            pass_fds=ends,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for descriptor in ends:
            os.close(descriptor)
        self._commands, self._answers = to_browser[1], from_browser[0]
        self._numbers = itertools.count(1)
        self._unread = b""
        self.session: str | None = None

    def send(self, method: str, parameters: dict[str, Any]) -> int:
        """Send a command, and return the number that its answer will have."""
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self.session is not None:
            message["sessionId"] = self.session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._commands, data) :]
        return number

    def read(self, seconds: float) -> list[dict[str, Any]]:
        """The messages that have arrived, after waiting for at most ``seconds``."""
        if not select.select([self._answers], [], [], seconds)[0]:
            return []
        block = os.read(self._answers, 1 << 20)
        assert block, "the browser ended"
        *messages, self._unread = (self._unread + block).split(b"\0")
        return [json.loads(text) for text in messages]

    def close(self) -> None:
        """End the browser."""
        os.close(self._commands)  # the browser ends when its command pipe is closed
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._answers)
        self._profile.cleanup()


_running: list[Browser] = []
"""The browser of this process, while there is one."""


def _browser() -> Browser:
    if not _running:
        _running.append(Browser())
    return _running[0]


@atexit.register
def _close_browser() -> None:
    while _running:
        _running.pop().close()


class Page:
    """One loaded page. Made by ``open_page``."""

    def __init__(self, browser: Browser, timeout: float) -> None:
        self._browser, self._timeout = browser, timeout
        self._events: list[dict[str, Any]] = []
        self.console: list[str] = []
        self.requests: list[str] = []

    def load(self, url: str, size: Size, dark: bool, mobile: bool) -> None:
        """Open ``url`` in a window of ``size`` and wait for its load event."""
        if self._browser.session is None:
            tab = self.call("Target.createTarget", url="about:blank")["targetId"]
            self._browser.session = self.call("Target.attachToTarget", targetId=tab, flatten=True)["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                self.call(f"{domain}.enable")
        width, height = size
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)
        self.call("Emulation.setTouchEmulationEnabled", enabled=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self._navigate(url)

    def leave(self) -> None:
        """Empty the tab, so that the next page gets no message of this one."""
        self._navigate("about:blank")

    def _navigate(self, url: str) -> None:
        self.call("Page.navigate", url=url)
        self._until(lambda message: message.get("method") == "Page.loadEventFired", f"loading {url}")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command of the DevTools protocol and return its result; AssertionError where it is refused."""
        number = self._browser.send(method, parameters)
        answer = self._until(lambda message: message.get("id") == number, method)
        assert "error" not in answer, f"{method}: {answer.get('error')}"
        result: dict[str, Any] = answer["result"]
        return result

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, awaited where it is a promise; AssertionError where it throws."""
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def screenshot(self, path: Path, full: bool = False) -> Path:
        """Write a PNG of the window, or of the whole page."""
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=full)
        path.write_bytes(base64.b64decode(shot["data"]))
        return path

    def wait(self, seconds: float) -> None:
        """Let the page run, and collect its log messages and requests."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._read(left)

    def _until(self, wanted: Any, what: str) -> dict[str, Any]:
        end = time.monotonic() + self._timeout
        while True:
            for position, message in enumerate(self._events):
                if wanted(message):
                    return self._events.pop(position)
            left = end - time.monotonic()
            assert left > 0, f"the browser did not answer within {self._timeout:.0f} s: {what}"
            self._read(left)

    def _read(self, seconds: float) -> None:
        """Read messages of the browser, waiting for at most ``seconds``."""
        for message in self._browser.read(seconds):
            if not self._note(message.get("method", ""), message.get("params", {})):
                self._events.append(message)

    def _note(self, method: str, values: dict[str, Any]) -> bool:
        """Store a message about the console or the network, and return whether it was one."""
        if method == "Network.requestWillBeSent":
            self.requests.append(values["request"]["url"])
        elif method == "Runtime.consoleAPICalled":
            words = [str(part.get("value", part.get("description", ""))) for part in values["args"]]
            self.console.append(f"{values['type']}: {' '.join(words)}")
        elif method == "Runtime.exceptionThrown":
            details = values["exceptionDetails"]
            self.console.append(f"error: {details.get('exception', {}).get('description', details['text'])}")
        elif method == "Log.entryAdded":
            self.console.append(f"{values['entry']['level']}: {values['entry']['text']}")
        else:
            return method != "" and method != "Page.loadEventFired"
        return True


@contextlib.contextmanager
def open_page(
    address: str | Path, size: Size = (1280, 800), dark: bool = False, mobile: bool = False, timeout: float = 120.0
) -> Iterator[Page]:
    """Load a page. ``address``: a local file, or any URL. ``size`` in CSS pixels.

    ``mobile`` honours the viewport tag as a phone does. A browser that has failed is replaced for the next page.
    """
    url = Path(address).resolve().as_uri() if isinstance(address, Path) else address
    page = Page(_browser(), timeout)
    try:
        page.load(url, size, dark, mobile)
        yield page
        page.leave()
    except BaseException:
        _close_browser()
        raise


def dump_dom(address: str | Path, expression: str = "null") -> str:
    """The page's HTML after it has loaded and ``expression`` (awaited where it is a promise) is done."""
    with open_page(address) as page:
        page.evaluate(expression)
        return str(page.evaluate("document.documentElement.outerHTML"))


def screenshot(
    address: str | Path, path: Path, size: Size = (1280, 800), dark: bool = False, full: bool = False
) -> Path:
    """A PNG of a page; below 600 pixels of width as a phone shows it."""
    with open_page(address, size, dark, mobile=size[0] < 600) as page:
        return page.screenshot(path, full)
