"""The commands that turn results into a study: study and agree."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from fervid.cli.options import Command, Quiet

commands = typer.Typer()


@commands.command(cls=Command, rich_help_panel="Use results")
def study(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="The study file. Example: study.toml")],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Folder for the tables; --check needs none. Default: none. Example: --out study"
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Check all files and print what would be computed; write nothing.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Compute a study: windows around events, changes from baseline, groups and conditions."""
    from fervid.cli.annotate_and_report import show_notes
    from fervid.cli.progress import ProgressDisplay
    from fervid.errors import UsageError
    from fervid.studies.study import check_study, run_study

    if check:
        print(check_study(study))
        return
    if out is None:
        raise UsageError("`out` must name a folder, unless `check` is given")
    with ProgressDisplay(quiet, "recordings") as display:
        done = run_study(study, out, display)
    show_notes(done.notes)
    if not quiet:
        print(f"{len(done.files)} files: {out}", file=sys.stderr)
