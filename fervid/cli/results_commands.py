"""The commands that work on results: merge, annotate, report and export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fervid.cli.messages import say
from fervid.cli.options import Command, LogJson, Out, Quiet, Results, Videos

commands = typer.Typer()


@commands.command(cls=Command, rich_help_panel="Use results")
def merge(
    results: Annotated[
        list[Path],
        typer.Argument(metavar="RESULTS", help="What fervid analyze wrote. Example: shard-1.parquet shard-2.parquet"),
    ],
    out: Out,
    log_json: LogJson = False,
) -> None:
    """Join several results into one, such as the results of shards."""
    from fervid.cli.annotate_and_report import show_notes
    from fervid.results.merge import merge as join

    done = join(results, out)
    show_notes(done.notes)
    videos = f"{done.videos} video{'' if done.videos == 1 else 's'}"
    skipped = "a copy or skipped" if done.skipped == 1 else "copies or skipped"
    say(f"{videos}{f', {done.skipped} of them {skipped}' if done.skipped else ''}: {out}")
    for path in done.unknown:
        say(f"{path} has no provenance metadata, so the merged results have none either")


@commands.command(cls=Command, rich_help_panel="Use results")
def correct(
    results: Results,
    corrections: Annotated[
        list[Path],
        typer.Option(
            metavar="FILE",
            help="Table of corrections; several apply in their order. Example: --corrections corrections.csv",
        ),
    ],
    out: Out,
    log_json: LogJson = False,
) -> None:
    """Repair faces and name persons, and compute the tables anew."""
    from fervid.cli.annotate_and_report import show_notes
    from fervid.results.correct import correct as apply

    done = apply(results, corrections, out)
    show_notes(done.notes)
    lines = f"{done.corrections} correction{'' if done.corrections == 1 else 's'}"
    say(f"{lines} in {done.videos} video{'' if done.videos == 1 else 's'}: {out}")


@commands.command(cls=Command, rich_help_panel="Use results")
def annotate(
    results: Results,
    out: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Folder for the annotated videos. Example: --out annotated")
    ],
    videos: Videos = None,
    style: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="full; minimal: boxes and labels; head: also the head's axes. Example: --style minimal",
        ),
    ] = "full",
    blur: Annotated[bool, typer.Option("--blur", help="Make all faces unrecognisable.")] = False,
    quiet: Quiet = False,
    log_json: LogJson = False,
) -> None:
    """Draw boxes, labels and timelines over the videos."""
    from fervid.annotate.annotate import annotate as write
    from fervid.cli.annotate_and_report import AnnotationDisplay, show_annotated, show_notes

    with AnnotationDisplay(quiet) as display:
        done = write(results, videos, out, style, blur, display)
    if quiet:
        show_notes(done.notes)
    else:
        show_annotated(done, out)
    raise typer.Exit(done.exit_code)


@commands.command(cls=Command, rich_help_panel="Use results")
def report(
    results: Results,
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="The page to write, ending in .html. Example: --out report.html")
    ],
    videos: Videos = None,
    thumbnails: Annotated[bool, typer.Option(help="Show an image of each face. Without, open no video.")] = True,
    frames: Annotated[bool, typer.Option(help="Store small frames of the videos, which a click shows.")] = True,
    quiet: Quiet = False,
    log_json: LogJson = False,
) -> None:
    """Write results as one HTML page: an overview, and a timeline of every face."""
    from fervid.cli.annotate_and_report import show_report
    from fervid.cli.progress import ProgressDisplay
    from fervid.report.report import write_report

    with ProgressDisplay(quiet, "faces") as display:
        written = write_report(results, out, videos, thumbnails, display, frames=frames)
    show_report(written, quiet)


@commands.command(cls=Command, rich_help_panel="Use results")
def export(
    results: Results,
    to: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Format: elan, textgrid, boris, bids, excel, pyfeat, openface or csv. Example: --to elan",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            metavar="PATH",
            help="A file; a folder for bids, and for elan, textgrid and openface with several videos. Example: "
            "--out elan",
        ),
    ],
    values: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Probabilities to write: raw or smooth. Default: raw for pyfeat and openface, both for bids, excel "
            "and csv. Example: --values smooth",
        ),
    ] = None,
    videos: Videos = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files of ELAN, Praat, BORIS, BIDS and Excel that exist.")
    ] = False,
    log_json: LogJson = False,
) -> None:
    """Write results as files that other tools read."""
    from fervid.cli.annotate_and_report import show_notes
    from fervid.export.export import export as write

    done = write(results, to, out, values, videos, overwrite)
    show_notes(done.notes)
    say(f"{len(done.files)} file{'' if len(done.files) == 1 else 's'}: {out}")
