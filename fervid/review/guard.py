"""Who may ask the review server: only pages that it served itself, at an address that holds its token."""

from __future__ import annotations

import secrets

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOCAL_NAMES = ("127.0.0.1", "localhost")
"""Names of this machine that a browser may have asked for. Any port is accepted, because an ssh tunnel has its own."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content security policy of every answer: nothing but files of this server, and no inline script."""

HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Headers of every answer. The address holds the token, so it is never sent as a referrer."""


class Guard:
    """An ASGI application that passes on only what may be answered.

    Another site that the browser visits can send requests to this server. It does not know the token; the check of the
    host name stops a site that lets its own name point to this machine (DNS rebinding), and the check of the origin
    stops all others.

    Args:
        app: The application to protect.
        token: The first part of the path of every request.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; see the ASGI specification.

        Args:
            scope: The request.
            receive: Reads its body.
            send: Sends the answer.
        """
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        refused = self._refused(scope)
        await (refused or self._app)(scope, receive, send_with_headers)

    def _refused(self, scope: Scope) -> PlainTextResponse | None:
        headers = Headers(scope=scope)
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or (hosts[0].rpartition(":")[0] not in LOCAL_NAMES and hosts[0] not in LOCAL_NAMES):
            return PlainTextResponse("this server answers only at 127.0.0.1 and localhost", 403)
        if any(origin != f"http://{hosts[0]}" for origin in origins):
            return PlainTextResponse("another site may not use this server", 403)
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return PlainTextResponse("another site may not use this server", 403)
        given = scope["path"].split("/")[1] if "/" in scope["path"] else ""
        if not secrets.compare_digest(given.encode("utf-8", "replace"), self._token.encode()):
            return PlainTextResponse("open the address that fervid review printed", 403)
        return None
