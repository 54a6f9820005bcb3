"""The command line: parses, calls one library function, prints. Heavy imports stay inside the commands."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from fervid.config import AnalyzeSettings, RunSettings, ScanSettings, from_mapping
from fervid.errors import FervidError, OutputError
from fervid.version import __version__

if TYPE_CHECKING:
    from tqdm import tqdm

    from fervid.batch import BatchReport, VideoReport

app = typer.Typer(
    name="fervid",
    help="Turn folders of video into emotion timelines.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class _Interrupted(BaseException):
    """SIGINT or SIGTERM; not KeyboardInterrupt, which Typer would answer itself."""


def main() -> None:
    """Run the command line. Library errors become one line and an exit code here, and nowhere else."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        app()
    except FervidError as error:
        print(f"fervid: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:  # a disk that fills or a file that goes, where nobody expected it
        print(f"fervid: {error}", file=sys.stderr)
        sys.exit(OutputError.exit_code)
    except _Interrupted:
        print("fervid: interrupted; run the same command again", file=sys.stderr)
        sys.exit(130)


def _interrupt(number: int, _: object) -> None:
    """The first signal unwinds and cleans up; a second one ends at once."""
    signal.signal(number, signal.SIG_DFL)
    raise _Interrupted


def _version(wanted: bool) -> None:
    if wanted:
        print(f"fervid {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Turn folders of video into emotion timelines."""


@app.command()
def analyze(
    paths: Annotated[list[str], typer.Argument(metavar="PATHS...", help="Video files, folders or glob patterns.")],
    out: Annotated[Path, typer.Option(help="results.parquet, results.csv, or a folder.")],
    fps: Annotated[float, typer.Option(help="Samples per second; 0 takes every frame.")] = 5.0,
    start: Annotated[float, typer.Option(help="Begin at this second.")] = 0.0,
    end: Annotated[float | None, typer.Option(help="Stop at this second.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or gpu.")] = "auto",
    workers: Annotated[int, typer.Option(help="Scan processes; 0: one per core.")] = 0,
    batch_size: Annotated[int, typer.Option(help="Faces per classification batch.")] = 256,
    min_face: Annotated[float, typer.Option(help="Ignore faces smaller than this, in pixels.")] = 20.0,
    smooth: Annotated[float, typer.Option(help="Width of the smoothing window in seconds; 0: none.")] = 1.0,
    detector: Annotated[str, typer.Option(help="retinaface, centerface or yunet.")] = "retinaface",
    detector_weights: Annotated[
        str | None, typer.Option(help="The detector's file, where it comes from no package.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Emotion weights (.keras beside its sidecar).")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds one video may take to scan; 0: no limit.")] = 0.0,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing when all is well.")] = False,
) -> None:
    """Analyse videos and write emotion timelines."""
    settings = from_mapping(
        AnalyzeSettings,
        {
            "scan": {
                "fps": fps, "start": start, "end": end, "min_face": min_face,
                "detector": detector, "detector_weights": detector_weights,
            },
            "timeline": {"smooth": smooth},
            "run": {"device": device, "workers": workers, "batch_size": batch_size, "timeout": timeout, "model": model},
        },
        "options",
    )  # fmt: skip
    from fervid.batch import analyze as run

    with _Display(quiet) as display:
        report = run(paths, out, settings, listener=display.video, start=display.start)
    display.close(report, out)
    raise typer.Exit(report.exit_code)


class _Display:
    """Progress of a batch on stderr: a bar on a terminal, one line per failed file, a closing table."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._bar: tqdm[NoReturn] | None = None
        self._begun = time.monotonic()

    def __enter__(self) -> _Display:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def start(self, count: int) -> None:
        """The batch has ``count`` videos."""
        from tqdm import tqdm

        hidden = self._quiet or not sys.stderr.isatty()
        self._bar = tqdm(total=count, unit="video", disable=hidden, dynamic_ncols=True)

    def video(self, report: VideoReport) -> None:
        """One video is done."""
        assert self._bar is not None  # start() comes first
        self._bar.update()
        if report.status == "failed":
            self._bar.write(f"failed: {report.video}: {report.message}", file=sys.stderr)

    def close(self, report: BatchReport, out: Path) -> None:
        """The closing lines."""
        if self._quiet:
            return
        elapsed = max(time.monotonic() - self._begun, 1e-3)
        seconds = sum(video.duration for video in report.videos)
        faces = sum(video.faces for video in report.videos)
        rows = [("videos with faces", report.count("ok")), ("without a face", report.count("no_face"))]
        rows += [("copies skipped", report.count("skipped")), ("failed", report.count("failed")), ("faces", faces)]
        for label, value in rows:
            print(f"{label:>18}  {value}", file=sys.stderr)
        print(
            f"{'video analysed':>18}  {seconds:.1f} s in {elapsed:.1f} s ({seconds / elapsed:.1f} x)", file=sys.stderr
        )
        print(f"{'results':>18}  {out}", file=sys.stderr)


def _tell() -> Callable[[str], None]:
    from tqdm import tqdm

    return lambda message: tqdm.write(message, file=sys.stderr)


@app.command()
def classify(
    images: Annotated[list[str], typer.Argument(metavar="IMAGES...", help="Image files, folders or glob patterns.")],
    out: Annotated[Path, typer.Option(help="CSV to write, one row a face.")],
    detect: Annotated[bool, typer.Option(help="Find faces; --no-detect takes each image as a ready face crop.")] = True,
    min_face: Annotated[float, typer.Option(help="Ignore faces smaller than this, in pixels.")] = 20.0,
    device: Annotated[str, typer.Option(help="auto, cpu or gpu.")] = "auto",
    batch_size: Annotated[int, typer.Option(help="Faces per classification batch.")] = 256,
    model: Annotated[str | None, typer.Option(help="Emotion weights (.keras beside its sidecar).")] = None,
) -> None:
    """Classify the faces of still images."""
    scan = from_mapping(ScanSettings, {"min_face": min_face}, "options")
    run = from_mapping(RunSettings, {"device": device, "batch_size": batch_size, "model": model}, "options")
    from fervid.stills import classify_stills

    report = classify_stills(images, out, scan, run, detect)
    for name, reason in report.failed:
        print(f"failed: {name}: {reason}", file=sys.stderr)
    print(f"{report.images} images, {report.faces} faces, {len(report.failed)} failed: {out}", file=sys.stderr)
    raise typer.Exit(report.exit_code)


@app.command()
def train(
    data: Annotated[list[Path], typer.Option(help="fer2013.csv, a folder per class, or Parquet; may be repeated.")],
    out: Annotated[Path, typer.Option(help="Weights to write, ending in .keras; the sidecar goes beside.")],
    recipe: Annotated[Path | None, typer.Option(help="TOML file with training settings.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Length of the run and of its schedule.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images per step.")] = None,
    optimizer: Annotated[str | None, typer.Option(help="adamw, adam or sgd (Nesterov).")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak of the schedule.")] = None,
    balance: Annotated[str | None, typer.Option(help="none, sampler or weights: rare classes by 1/sqrt(n).")] = None,
    votes: Annotated[float | None, typer.Option(help="Weight of the loss on FER+ votes; 0: none.")] = None,
    mixed_precision: Annotated[bool | None, typer.Option(help="Compute in bfloat16.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random.")] = None,
    limit: Annotated[int | None, typer.Option(help="Use only so many images, for a trial.")] = None,
    run: Annotated[
        Path | None, typer.Option(help="Run folder with checkpoint and metrics; default: OUT without .keras.")
    ] = None,
) -> None:
    """Train the emotion CNN; the same command again goes on where it stopped."""
    from fervid.config import read_toml
    from fervid.crop import FER2013_GEOMETRY
    from fervid.errors import UsageError
    from fervid.training.dataset import read, sample
    from fervid.training.train import TrainSettings
    from fervid.training.train import train as fit

    if out.suffix != ".keras":
        raise UsageError(f"--out must end in .keras: {out}")
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
    result = fit(images, out, FER2013_GEOMETRY, settings, run, tell=_tell())
    print(f"{out}: epoch {result.epoch}, temperature {result.temperature:.3f}", file=sys.stderr)


@app.command()
def evaluate(
    data: Annotated[list[Path], typer.Option(help="fer2013.csv, a folder per class, or Parquet; may be repeated.")],
    model: Annotated[
        Path | None, typer.Option(help="Weights (.keras beside its sidecar); default: the shipped ones.")
    ] = None,
    split: Annotated[
        str, typer.Option(help="Split to measure on, where the data name one; all: every image.")
    ] = "PublicTest",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the confusion matrix (CSV, PNG) and the reliability plot.")
    ] = None,
) -> None:
    """Measure the emotion CNN on labelled images."""
    from fervid.model import load
    from fervid.training.dataset import read
    from fervid.training.evaluate import evaluate as measure
    from fervid.training.present import format_evaluation, write_evaluation

    images = read(data, None if split == "all" else split)
    evaluation = measure(load(model), images)
    if out is not None:
        write_evaluation(evaluation, out)
    print(format_evaluation(evaluation, as_json=json))


if __name__ == "__main__":
    main()
