"""The command that shows results in a browser."""

from __future__ import annotations

import os
import sys
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from fervid.cli.messages import say
from fervid.cli.options import Command, LogJson, Results, Videos
from fervid.cli.signals import Interrupted
from fervid.errors import MissingLibrary

commands = typer.Typer()


@commands.command(cls=Command, rich_help_panel="Use results")
def review(
    results: Results,
    videos: Videos = None,
    corrections: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The corrections file to read and change. Default: NAME.corrections.csv beside the results. Example: "
            "--corrections corrections.csv",
        ),
    ] = None,
    moments: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A table of moments to look at, such as the disagreements that agree writes. Default: none. Example: "
            "--moments agreement/disagreements.csv",
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder for copies of videos that browsers cannot play. Default: ~/.cache/fervid/review. Example: "
            "--cache /scratch/review",
        ),
    ] = None,
    port: Annotated[
        int, typer.Option(metavar="N", min=0, max=65535, help="Port; 0: any free one. Example: --port 8000")
    ] = 0,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")] = True,
    log_json: LogJson = False,
) -> None:
    """Look at the videos and their timelines in the browser, and correct faces."""
    try:
        from fervid.review.server import serve
    except ModuleNotFoundError as error:
        if error.name not in ("starlette", "uvicorn", "anyio", "h11"):
            raise
        raise MissingLibrary("reviewing needs a web server: pip install 'fervid[review]'") from error
    saved: list[Path] = []

    def started(address: str, target: Path) -> None:
        saved.append(target)
        say(f"review: {address}", f"corrections are saved in {target}", "end with Ctrl-C")
        if browser and _has_screen():
            webbrowser.open(address)

    try:
        serve(results, videos, corrections, port, cache, moments, started)
    except Interrupted:
        if not saved:
            raise
        say("stopped" + (f"; corrections: {saved[0]}" if saved[0].exists() else ""))


def _has_screen() -> bool:
    """Whether a browser can open a window. Without one, Python might start a browser in the terminal."""
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
