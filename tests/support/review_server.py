"""A running review server: in a thread of this process, or in a process of its own."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from fervid.review.app import make_app
from fervid.review.session import Session
from tests.support.paths import ROOT
from tests.support.processes import wait_for

TOKEN = "token-of-the-tests"


@dataclass(frozen=True)
class Answer:
    """What the server answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def values(self) -> Any:
        """The answer as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Served:
    """A running server."""

    port: int
    token: str = TOKEN

    @property
    def address(self) -> str:
        """The first page."""
        return f"http://127.0.0.1:{self.port}/{self.token}/"

    def ask(self, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """Send a request for a path that begins with a slash; ``_`` in the names of headers stands for ``-``."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("GET" if body is None else "POST", path, body, named)
        answer = connection.getresponse()
        found = Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        connection.close()
        return found

    def get(self, path: str, **headers: str) -> Answer:
        """Ask for a path behind the token."""
        return self.ask(f"/{self.token}/{path}", None, **headers)

    def change(self, number: int, action: str, version: str, **cells: str) -> Answer:
        """Change the corrections of a video."""
        body = json.dumps(cells).encode()
        return self.ask(f"/{self.token}/api/video/{number}/{action}", body, If_Match=f'"{version}"')

    def version(self, number: int) -> str:
        """The version of the corrections of a video."""
        return str(self.get(f"api/video/{number}").values["version"])


@contextlib.contextmanager
def reviewing(
    results: Path,
    videos: Path | None = None,
    corrections: Path | None = None,
    cache: Path | None = None,
    moments: Path | None = None,
) -> Iterator[Served]:
    """Serve results from a thread of this process."""
    session = Session(results, videos, corrections or results.with_suffix(".corrections.csv"), cache, moments)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        app = make_app(session, TOKEN)
        config = uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            wait_for(lambda: server.started, "the server did not start")
            yield Served(listening.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join()
            session.close()


@contextlib.contextmanager
def review_process(folder: Path, *arguments: str | Path) -> Iterator[tuple[Served, subprocess.Popen[bytes]]]:
    """Run ``fervid review`` in a process of its own; ``folder`` gets what it prints."""
    printed = folder / "printed.txt"
    line = [sys.executable, "-m", "fervid", "review", *map(str, arguments), "--no-browser"]
    with printed.open("wb") as file:
        process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=file, stderr=file, cwd=ROOT)
    try:
        wait_for(lambda: "Ctrl-C" in printed.read_text() or process.poll() is not None, "no address was printed")
        words = printed.read_text().split()
        assert words[0] == "review:", printed.read_text()
        _, _, host, token, _ = words[1].split("/")
        yield Served(int(host.partition(":")[2]), token), process
    finally:
        process.kill()
        process.wait()
