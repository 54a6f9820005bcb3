"""Options that several commands share, and the groups in which the help shows them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

OUTPUT, INPUT, ANALYSIS, RUNNING, MESSAGES = "Output", "Input", "Analysis", "Running", "Messages"
"""Groups of options in the help."""


class Command(TyperCommand):
    """A command whose help shows no type for options without a value."""

    def get_params(self, ctx: Any) -> list[Any]:
        """See TyperCommand.get_params."""
        return _without_types_of_flags(super().get_params(ctx))


class Group(TyperGroup):
    """A group of commands whose help shows no type for options without a value."""

    def get_params(self, ctx: Any) -> list[Any]:
        """See TyperGroup.get_params."""
        return _without_types_of_flags(super().get_params(ctx))


def _without_types_of_flags(parameters: list[Any]) -> list[Any]:
    for parameter in parameters:
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
    return parameters


Results = Annotated[Path, typer.Argument(metavar="RESULTS", help="What fervid analyze wrote. Example: results.parquet")]

Out = Annotated[
    Path,
    typer.Option(
        metavar="PATH",
        help="results.parquet, results.csv, or a folder. Example: --out results.parquet",
        rich_help_panel=OUTPUT,
    ),
]

Videos = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Folder that holds the videos. Only needed if they were moved since they were analysed. Default: the "
        "folder that was analysed. Example: --videos /mnt/videos",
    ),
]

MinFace = Annotated[
    float,
    typer.Option(
        metavar="PIXELS",
        help="Ignore faces whose shorter side is below this. Example: --min-face 40",
        rich_help_panel=ANALYSIS,
    ),
]

NoMeasures = Annotated[
    bool,
    typer.Option(
        "--no-measures",
        help="Do not measure head, eyes, mouth and gaze, which saves time.",
        rich_help_panel=ANALYSIS,
    ),
]

Model = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Weights of the emotion network (.onnx or .keras), with their sidecar beside them. Default: the weights "
        "that fervid ships. Example: --model my.keras",
        rich_help_panel=ANALYSIS,
    ),
]

Device = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Where faces are classified: auto, cpu or gpu. auto uses a GPU if TensorFlow finds one. Example: "
        "--device cpu",
        rich_help_panel=RUNNING,
    ),
]

BatchSize = Annotated[
    int,
    typer.Option(
        metavar="N", help="Number of faces classified at once. Example: --batch-size 64", rich_help_panel=RUNNING
    ),
]

DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Print what would be done with each video, and do nothing.",
        rich_help_panel=MESSAGES,
    ),
]

Quiet = Annotated[
    bool,
    typer.Option("--quiet", help="Print only errors and failures.", rich_help_panel=MESSAGES),
]

LogJson = Annotated[
    bool,
    typer.Option("--log-json", help="Print messages as JSON, one object per line.", rich_help_panel=MESSAGES),
]
"""``messages.is_json`` looks for it, so commands that print no bar need not do anything with it."""

Metrics = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Also write metrics of this run for Prometheus, ending in .prom. Default: none. Example: --metrics "
        "fervid.prom",
        rich_help_panel=OUTPUT,
    ),
]

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

Data = Annotated[
    list[Path],
    typer.Option(
        metavar="PATH",
        help="Labelled images: fer2013.csv, a folder with one folder per class, or Parquet. Can be repeated. Example: "
        "--data fer2013.csv",
    ),
]
