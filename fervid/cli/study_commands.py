"""The commands that turn results into a study: study and agree."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fervid.cli.messages import answer, say
from fervid.cli.options import Command, LogJson, Quiet

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
    log_json: LogJson = False,
) -> None:
    """Compute a study: windows around events, changes from baseline, groups and conditions."""
    from fervid.cli.annotate_and_report import show_notes
    from fervid.cli.progress import ProgressDisplay
    from fervid.errors import UsageError
    from fervid.studies.study import check_study
    from fervid.studies.study import study as run_study

    if check:
        answer(*check_study(study).splitlines())
        return
    if out is None:
        raise UsageError("`out` must name a folder, unless `check` is given")
    with ProgressDisplay(quiet, "recordings") as display:
        done = run_study(study, out, display)
    show_notes(done.notes)
    if not quiet:
        say(f"{len(done.files)} files: {out}")


@commands.command(cls=Command, rich_help_panel="Use results")
def agree(
    results: Annotated[
        Path,
        typer.Argument(metavar="RESULTS", help="Results, or the coding of a first coder. Example: results.parquet"),
    ],
    coding: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="The coding to compare with (.csv, .tsv, .eaf, .boris, .TextGrid), or other results. Example: "
            "--coding coded.eaf",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Also write the tables there. Default: none. Example: --out agreement"),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LABEL=EMOTION",
            help="What a label of the coder is called in fervid. Can be repeated. Default: the same. Example: --label "
            "joy=happy",
        ),
    ] = None,
    tier: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Tier to read from ELAN and Praat. Can be repeated. Default: all. Example: --tier emotion",
        ),
    ] = None,
    rest: Annotated[
        str,
        typer.Option(
            metavar="EMOTION",
            help="The emotion of time that a coder left blank, or none to leave it out. Example: --rest none",
        ),
    ] = "neutral",
    log_json: LogJson = False,
) -> None:
    """Compare results with human coders, two coders, or two results."""
    from fervid.cli.annotate_and_report import show_notes
    from fervid.studies.agree import agree as compare

    found = compare(results, coding, out, tuple(label or ()), rest, tuple(tier or ()))
    show_notes(found.notes)
    answer(*found.text().splitlines())
    if found.files:
        say(f"{len(found.files)} files: {out}")
