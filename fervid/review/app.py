"""The pages and answers of the review server."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from fervid.charts.page_templates import SHARED_ASSETS
from fervid.errors import BadCorrections, FervidError, OutputError, OutputLocked, UnreadableVideo, printable
from fervid.results.edit_corrections import CorrectionsConflict
from fervid.review.guard import Guard
from fervid.review.session import Session, UnknownVideo

ASSETS = Path(__file__).parent / "assets"

TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
"""Media types of the files of the pages."""

MAX_BODY = 65536
"""Largest number of bytes of a request that changes something."""

STATUS: dict[type[FervidError], int] = {
    UnknownVideo: 404,
    UnreadableVideo: 404,
    CorrectionsConflict: 409,
    BadCorrections: 422,
    OutputLocked: 503,
    OutputError: 507,
}
"""Error → HTTP status."""


def make_app(session: Session, token: str) -> ASGIApp:
    """Build the server as an ASGI application.

    Args:
        session: The results to show.
        token: The first part of the path of every address.

    Returns:
        The application.
    """
    routes = [
        Route("/", _page("index.html")),
        Route("/video/{number:int}", _page("video.html")),
        Route("/assets/{name}", _asset),
        Route("/api/overview", _answer(lambda _: session.overview())),
        Route("/api/video/{number:int}", _answer(lambda request: session.video(request.path_params["number"]))),
        Route("/api/video/{number:int}/source", _answer(lambda request: _source(session, request))),
        Route("/api/video/{number:int}/sheet", _answer(lambda request: session.sheet(request.path_params["number"]))),
        Route("/api/video/{number:int}/{action}", _change(session), methods=["POST"]),
        Route("/media/{number:int}", _media(session.file)),
        Route("/media/{number:int}/proxy", _media(session.proxy)),
    ]
    app = Starlette(
        routes=[Mount(f"/{token}", routes=routes)],
        exception_handlers={FervidError: _failed},  # type: ignore[dict-item]
    )
    return Guard(app, token)


def _failed(_: Request, error: FervidError) -> Response:
    status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), 500)
    return _json({"error": printable(str(error))}, status)


def _json(values: Any, status: int = 200) -> Response:
    return Response(json.dumps(_finite(values), allow_nan=False), status, media_type="application/json")


def _finite(values: Any) -> Any:
    """The same values without numbers that JSON does not have."""
    if isinstance(values, float):
        return values if math.isfinite(values) else None
    if isinstance(values, dict):
        return {name: _finite(value) for name, value in values.items()}
    return [_finite(value) for value in values] if isinstance(values, list) else values


def _page(name: str) -> Callable[[Request], Response]:
    def page(_: Request) -> Response:
        return FileResponse(ASSETS / name, media_type="text/html")

    return page


def _asset(request: Request) -> Response:
    """A file of the pages. The route accepts no slash, so the name cannot lead to another folder."""
    for folder in (ASSETS, SHARED_ASSETS):
        path = folder / request.path_params["name"]
        if path.parent == folder and path.suffix in TYPES and path.is_file():
            return FileResponse(path, media_type=TYPES[path.suffix])
    return PlainTextResponse("not found", 404)


def _answer(values: Callable[[Request], Any]) -> Callable[[Request], Response]:
    """An endpoint in a thread of its own that answers with JSON."""

    def endpoint(request: Request) -> Response:
        return _json(values(request))

    return endpoint


def _change(session: Session) -> Callable[[Request], Any]:
    async def change(request: Request) -> Response:
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > MAX_BODY:
                return _json({"error": "the request is too long"}, 413)
        version = request.headers.get("if-match", "").strip('"')
        try:
            cells = json.loads(body or b"{}")
        except ValueError:
            cells = None
        if not isinstance(cells, dict) or not all(isinstance(value, str) for value in cells.values()) or not version:
            return _json({"error": "the request must hold the cells as JSON, and the version in If-Match"}, 400)
        number, action = request.path_params["number"], request.path_params["action"]
        return _json(await run_in_threadpool(session.change, number, action, cells, version))

    return change


def _source(session: Session, request: Request) -> Any:
    """Where the page finds the video. That it cannot be shown is an answer too: the page works without it."""
    try:
        return session.source(request.path_params["number"], request.query_params.get("proxy") == "1")
    except UnreadableVideo as error:
        return {"state": "failed", "error": printable(str(error)).replace("`videos`", "`--videos`")}


def _media(find: Callable[[int], Path]) -> Callable[[Request], Response]:
    """A video, in ranges if the browser asks for them."""

    def media(request: Request) -> Response:
        path = find(request.path_params["number"])
        return FileResponse(path, media_type="video/webm" if path.suffix.lower() == ".webm" else "video/mp4")

    return media
