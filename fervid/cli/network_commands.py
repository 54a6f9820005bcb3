"""The commands around the emotion network: classify, train and evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fervid.cli.messages import answer, say
from fervid.cli.options import BatchSize, Command, Data, Device, Json, LogJson, MinFace, Model, NoMeasures
from fervid.settings import AnalyzeSettings
from fervid.settings_io import from_mapping, override, read_toml

TRAINING = "Training (overrides the recipe)"


commands = typer.Typer()


@commands.command(cls=Command, rich_help_panel="Images and models")
def classify(
    images: Annotated[
        list[str],
        typer.Argument(metavar="IMAGES", help="Image files, folders or glob patterns. Example: photos"),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="CSV to write, one row per face. Example: --out faces.csv")],
    detect: Annotated[bool, typer.Option(help="Find faces. --no-detect takes each image as a ready face crop.")] = True,
    min_face: MinFace = 20.0,
    no_measures: NoMeasures = False,
    model: Model = None,
    device: Device = "auto",
    batch_size: BatchSize = 256,
    log_json: LogJson = False,
) -> None:
    """Classify the faces of still images."""
    values = {
        "min_face": min_face,
        "measures": not no_measures,
        "device": device,
        "batch_size": batch_size,
        "model": model,
    }
    settings = override(AnalyzeSettings(), values)
    from fervid.images import classify_images

    report = classify_images(images, out, settings.scan, settings.run, detect)
    for name, note in report.notes:
        say(f"{name}: {note}")
    for name, reason in report.failed:
        say(f"failed: {name}: {reason}", level="warning")
    say(f"{report.images} images, {report.faces} faces, {len(report.failed)} failed: {out}")
    raise typer.Exit(report.exit_code)


@commands.command(cls=Command, rich_help_panel="Images and models")
def train(
    data: Data,
    out: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="Weights to write, ending in .keras; the .onnx file and the sidecar are written beside them. "
            "Example: --out my.keras",
        ),
    ],
    recipe: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="TOML file with training settings. Default: none. Example: --recipe shipped.toml"
        ),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder for checkpoints and metrics. Default: OUT without .keras. Example: --run runs/first",
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Use only N images, for a trial. Default: all. Example: --limit 1000"),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Number of epochs; the learning rate falls to zero over them. Default: 100. Example: --epochs 30",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Images per step. Default: 128. Example: --batch-size 256",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    optimizer: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="adamw, adam, or sgd with Nesterov momentum. Default: adamw. Example: --optimizer sgd",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            metavar="RATE",
            help="Highest learning rate of the schedule. Default: 0.002. Example: --learning-rate 0.001",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    balance: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="How classes are balanced: none, sampler (draws rare classes more often) or weights (gives them "
            "larger weights in the loss). Default: none. Example: --balance sampler",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    votes: Annotated[
        float | None,
        typer.Option(
            metavar="WEIGHT",
            help="Weight of the loss on FER+ votes; 0 turns it off. Default: 0.5. Example: --votes 1",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    mixed_precision: Annotated[
        bool | None,
        typer.Option(help="Compute in bfloat16. Default: on.", rich_help_panel=TRAINING),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Random seed. Default: 0. Example: --seed 1",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    log_json: LogJson = False,
) -> None:
    """Train the emotion network. The same command again continues an interrupted training."""
    from fervid.cli.progress import ProgressDisplay
    from fervid.errors import UsageError
    from fervid.faces.crop import FER2013_GEOMETRY
    from fervid.training.dataset import read, sample
    from fervid.training.recipe import TrainSettings
    from fervid.training.train import train as fit

    if out.suffix != ".keras":
        raise UsageError(f"`out` must end in .keras: {out}")
    given = {
        "epochs": epochs, "batch_size": batch_size, "optimizer": optimizer, "learning_rate": learning_rate,
        "balance": balance, "votes": votes, "mixed_precision": mixed_precision, "seed": seed,
    }  # fmt: skip
    values = {key.replace("-", "_"): value for key, value in (read_toml(recipe) if recipe else {}).items()}
    values |= {key: value for key, value in given.items() if value is not None}
    settings = from_mapping(TrainSettings, values, str(recipe or "options"))
    images = read(data, "Training")
    if limit:
        images = sample(images, limit, settings.seed)
    with ProgressDisplay() as show:
        result = fit(images, out, FER2013_GEOMETRY, settings, run, show)
    say(f"{out}: epoch {result.epoch}, temperature {result.temperature:.3f}")


@commands.command(cls=Command, rich_help_panel="Images and models")
def evaluate(
    data: Data,
    model: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Weights (.onnx or .keras), with their sidecar beside them. Default: the weights that fervid ships. "
            "Example: --model my.keras",
        ),
    ] = None,
    split: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Images to use: the name of a split, all, or held-out (the images of the split Training that these "
            "weights were not trained on). Example: --split PrivateTest",
        ),
    ] = "PublicTest",
    json: Json = False,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder for the confusion matrix (CSV, PNG) and the reliability plot. Default: none. Example: "
            "--out evaluation",
        ),
    ] = None,
    log_json: LogJson = False,
) -> None:
    """Measure the emotion network on labelled images."""
    from fervid.emotions.classifier import load_classifier
    from fervid.training.dataset import read
    from fervid.training.evaluate import evaluate as measure
    from fervid.training.evaluate import held_out
    from fervid.training.evaluation_report import format_evaluation, write_evaluation

    loaded = load_classifier(model)
    images = read(data, {"all": None, "held-out": "Training"}.get(split, split))
    if split == "held-out":
        images = held_out(loaded.sidecar, images)
    evaluation = measure(loaded, images)
    if out is not None:
        write_evaluation(evaluation, out)
    answer(*format_evaluation(evaluation, as_json=json).split("\n"))
