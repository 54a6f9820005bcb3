"""Reports in the browser of ``tests.support.browser``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.browser import Page, open_page


@contextlib.contextmanager
def opened(path: Path, **options: Any) -> Iterator[Page]:
    """Open the page, and check that it logs nothing and requests nothing but itself."""
    with open_page(path, **options) as page:
        yield page
        page.wait(0.2)
        assert page.console == []
        assert [url for url in page.requests if not url.startswith("data:")] == [path.resolve().as_uri()]


def open_all(page: Page) -> None:
    """Open every video and bring every chart into view once."""
    page.evaluate("document.documentElement.style.scrollBehavior = 'auto'")
    page.evaluate("document.getElementById('toggle')?.click()")
    page.evaluate(
        """(async () => { for (const chart of document.querySelectorAll('.chart')) {
            chart.scrollIntoView({block: 'center'});
            for (let turn = 0; turn < 300 && !chart.querySelector('canvas'); turn++)
                await new Promise(done => setTimeout(done, 50));
        } })()"""
    )
