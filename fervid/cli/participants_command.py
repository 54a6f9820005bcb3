"""The command that names persons across videos."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fervid.cli.messages import say
from fervid.cli.options import Command, LogJson, Quiet, Results, Videos

if TYPE_CHECKING:
    from fervid.participants.outcome import Participants

commands = typer.Typer()

SHOWN = 20
"""Largest number of unknown persons that are listed."""


@commands.command(cls=Command, rich_help_panel="Use results")
def participants(
    results: Results,
    out: Annotated[
        Path,
        typer.Option(metavar="FILE", help="The corrections file to write. Example: --out participants.csv"),
    ],
    videos: Videos = None,
    gallery: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="A photo NAME.jpg, or a folder of photos NAME, for each person. Default: persons are grouped and "
            "called P01, P02 ... Example: --gallery photos",
        ),
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Also write a page with the faces of each participant, to check them. Default: none. "
            "Example: --sheet people.html",
        ),
    ] = None,
    keep_embeddings: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Also write the face embeddings, which are biometric data. Default: none. "
            "Example: --keep-embeddings people.npz",
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="Lowest cosine similarity of a person and a name, between 0 and 1. Default: 0.5. Example: "
            "--threshold 0.6",
        ),
    ] = None,
    quiet: Quiet = False,
    log_json: LogJson = False,
) -> None:
    """Name the persons of all videos from photos, or group them."""
    from fervid.cli.progress import ProgressDisplay
    from fervid.participants.find import Targets, find_participants

    with ProgressDisplay(quiet, "faces") as display:
        done = find_participants(results, Targets(out, sheet, keep_embeddings), videos, gallery, threshold, display)
    _show(done, results, quiet)
    raise typer.Exit(done.exit_code)


def _show(done: Participants, results: Path, quiet: bool) -> None:
    """Print the notes, who is unknown, and what to do next."""
    from fervid.cli.annotate_and_report import show_notes

    show_notes(done.notes)
    if quiet or done.exit_code == 4:
        return
    unknown = [one for one in done.persons if one.participant is None]
    lines = []
    for one in unknown[:SHOWN]:
        who = f"face {one.face_id}" if one.person is None else f"person {one.person} (face {one.face_id})"
        nearest = "" if one.nearest is None else f"most like {one.nearest}, {one.similarity:.2f}: "
        lines.append(f"unknown: {one.video}, {who}: {nearest}{one.note}")
    if len(unknown) > SHOWN:
        lines.append(f"unknown: {len(unknown) - SHOWN} more")
    lines += [
        f"check: {one.video}, face {one.face_id}, {one.participant}: {one.note}"
        for one in done.persons
        if one.participant is not None and one.note
    ]
    show_notes(lines)
    named = [one for one in done.persons if one.participant is not None]
    names = len({one.participant for one in named})
    counts = f"{len(named)} of {len(done.persons)} persons named, {names} participant{'' if names == 1 else 's'}"
    say(f"{counts}: {done.path}")
    before, path = shlex.quote(str(results)), shlex.quote(str(done.path))
    if done.is_continued:
        before = "ANALYSIS --corrections EARLIER"  # `correct` refuses results that are corrected
    say(f"next: fervid correct {before} --corrections {path} --out NEW")
