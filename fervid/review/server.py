"""Running the review server on this machine."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable
from pathlib import Path

import uvicorn

from fervid.errors import UsageError
from fervid.review.app import make_app
from fervid.review.session import Session

ADDRESS = "127.0.0.1"
"""The only network address at which the server answers: this machine itself."""

GRACE = 1
"""Seconds for which open requests may go on when the server ends."""


def corrections_beside(results: Path) -> Path:
    """Choose where corrections are saved by default.

    Args:
        results: The results.

    Returns:
        ``NAME.corrections.csv`` beside them.
    """
    return results.with_suffix(".corrections.csv")


def serve(
    results: Path,
    videos: Path | None,
    corrections: Path | None,
    port: int,
    cache: Path | None,
    moments: Path | None,
    on_start: Callable[[str, Path], object],
) -> None:
    """Serve the review pages until the process is interrupted.

    Args:
        results: What ``analyze`` wrote.
        videos: The folder that holds the videos; None: those that were analysed.
        corrections: The corrections file; None: beside the results.
        port: The port; 0: any free one.
        cache: Folder for copies of videos that browsers cannot play; None: in the user's folder for caches.
        moments: A table of moments to look at; None: only the doubtful ones.
        on_start: Called with the address of the first page and the corrections file when the server answers.

    Raises:
        InputNotFound: There are no such results, no folder ``videos``, or no file ``moments``.
        BadResults: The results cannot be read.
        BadCorrections: The corrections file cannot be read.
        BadStudy: The table of moments is wrong.
        UsageError: The port cannot be used.
    """
    target = corrections or corrections_beside(results)
    session = Session(results, videos, target, cache, moments)
    token = secrets.token_urlsafe(24)
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((ADDRESS, port))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UsageError(
                f"`port` {port} cannot be used: {reason}; choose another, or 0 for any free one"
            ) from error
        listening.listen()
        config = uvicorn.Config(
            make_app(session, token),
            log_level="error",
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=GRACE,
        )
        on_start(f"http://{ADDRESS}:{listening.getsockname()[1]}/{token}/", target)
        try:
            uvicorn.Server(config).run(sockets=[listening])
        finally:
            session.close()
