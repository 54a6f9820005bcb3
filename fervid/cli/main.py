"""The command line: parses, calls one library function, prints. Heavy imports stay inside the commands."""

from __future__ import annotations

import multiprocessing.util
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable
from json import dumps
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from fervid.emotions.background_loader import LOADER
from fervid.errors import FervidError, OutputError, printable
from fervid.settings import AnalyzeSettings, RunSettings, ScanSettings, TimelineSettings
from fervid.settings_io import from_mapping
from fervid.version import __version__

SMOOTH = TimelineSettings().smooth

REPEAT = 0.05
"""Seconds after which a signal comes again that was ignored."""

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
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, _interrupt)
    sys.unraisablehook = _unraisable
    while (unused := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass  # a daemon may have closed these, and the next file opened would take what is printed
    os.close(unused)
    # a descriptor of its own: where TensorFlow loads for a GPU, in a thread, the usual one is turned off
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace")
    try:
        app()
    except FervidError as error:
        _end(str(error), error.exit_code)
    except OSError as error:  # a disk that fills or a file that goes, where nobody expected it
        _end(str(error), OutputError.exit_code)
    except _Interrupted:
        anew = ", without --overwrite," if "--overwrite" in sys.argv else ""
        _end(f"interrupted; run the same command again{anew} to go on", 130)


def as_options(message: str) -> str:
    """The message with each setting that it names in backticks as an option of the command line."""
    return re.sub(r"`([a-z_]+)`", lambda match: "--" + match[1].replace("_", "-"), message)


def _end(message: str, exit_code: int) -> NoReturn:
    """The last line of a command that could not be carried out, and its exit code."""
    message = as_options(message)
    if "--log-json" in sys.argv:
        event = {"time": round(time.time(), 3), "event": "error", "message": message, "exit_code": exit_code}
        print(dumps(event), file=sys.stderr)
    else:
        print(f"fervid: {printable(message)}", file=sys.stderr)
    children = multiprocessing.active_children()
    if children or any(thread.name == LOADER for thread in threading.enumerate()):
        # Python would wait for ever: for workers of a pool that was interrupted while it began, or for a lock
        # that the abandoned thread in which the model is loading holds
        for child in children:
            child.kill()
        multiprocessing.util._run_finalizers()  # type: ignore[attr-defined]  # gives semaphores back
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
        os._exit(exit_code)
    sys.exit(exit_code)


def _interrupt(number: int, _: object) -> None:
    """The first signal unwinds and cleans up; a second one ends at once."""
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, signal.SIG_DFL)
    raise _Interrupted


def _unraisable(ignored: sys.UnraisableHookArgs) -> None:
    """A signal may arrive in a callback of the interpreter, which ignores whatever is raised there: it comes again."""
    if issubclass(ignored.exc_type, _Interrupted):
        signal.setitimer(signal.ITIMER_REAL, REPEAT)
    else:
        sys.__unraisablehook__(ignored)


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
    engine: Annotated[str, typer.Option(help="local, or ray: the nodes of a Ray cluster.")] = "local",
    address: Annotated[str, typer.Option(help="Ray cluster: host:port, auto or local.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu or gpu.")] = "auto",
    workers: Annotated[int, typer.Option(help="Scan processes; 0: one per core.")] = 0,
    worker_memory: Annotated[float, typer.Option(help="GB a scan process may use; 0: an equal share.")] = 0.0,
    batch_size: Annotated[int, typer.Option(help="Faces per classification batch.")] = 256,
    min_face: Annotated[float, typer.Option(help="Ignore faces smaller than this, in pixels.")] = 20.0,
    smooth: Annotated[float, typer.Option(help="Width of the smoothing window in seconds; 0: none.")] = SMOOTH,
    detector: Annotated[str, typer.Option(help="retinaface, centerface or yunet.")] = "retinaface",
    detector_weights: Annotated[
        str | None, typer.Option(help="The detector's file, instead of the one from its package.")
    ] = None,
    adaptive: Annotated[bool, typer.Option("--adaptive", help="Look for faces only where one may be.")] = False,
    decoder: Annotated[str, typer.Option(help="cpu or nvdec.")] = "cpu",
    model: Annotated[str | None, typer.Option(help="Emotion weights (.keras beside its sidecar).")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds one video may take to scan; 0: no limit.")] = 0.0,
    exclude: Annotated[list[str] | None, typer.Option(help="Leave out names like this; may be repeated.")] = None,
    follow_links: Annotated[
        bool, typer.Option("--follow-links", help="Take links that lead out of their folder.")
    ] = False,
    settle: Annotated[float, typer.Option(help="Leave files changed less than so many seconds ago.")] = 0.0,
    shard: Annotated[str, typer.Option(help="i/n: only the i-th of n parts of the videos.")] = "",
    annotate: Annotated[
        Path | None, typer.Option(help="Also write annotated videos into this folder, as fervid annotate does.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Also write an HTML report, as fervid report does.")] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try again what failed before.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Do everything anew.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing when all is well.")] = False,
    log_json: Annotated[bool, typer.Option("--log-json", help="Messages as JSON, one object a line.")] = False,
) -> None:
    """Analyse videos and write emotion timelines; what an earlier run has done is not done again."""
    settings = from_mapping(
        AnalyzeSettings,
        {
            "scan": {
                "fps": fps, "start": start, "end": end, "min_face": min_face,
                "detector": detector, "detector_weights": detector_weights, "adaptive": adaptive, "decoder": decoder,
            },
            "timeline": {"smooth": smooth},
            "inputs": {"exclude": exclude or [], "follow_links": follow_links, "settle": settle, "shard": shard},
            "run": {
                "engine": engine, "address": address,
                "device": device, "workers": workers, "worker_memory": worker_memory, "batch_size": batch_size,
                "timeout": timeout, "model": model, "retry_failed": retry_failed, "overwrite": overwrite,
            },
        },
        "options",
    )  # fmt: skip
    _carry_out(paths, out, settings, annotate, report, dry_run, quiet, log_json)


def _carry_out(
    paths: list[str],
    out: Path,
    settings: AnalyzeSettings,
    annotate: Path | None,
    report: Path | None,
    dry_run: bool,
    quiet: bool,
    log_json: bool,
) -> NoReturn:
    """Analyse, then annotate and report as asked; ends with the exit code."""
    from fervid.batch.plan import plan
    from fervid.batch.run import analyze as run
    from fervid.cli.products import AnnotatedVideos, ReportPage
    from fervid.cli.progress import BatchDisplay, show_plan

    if dry_run:
        show_plan(plan(paths, out, settings))
        raise typer.Exit
    pages = [] if report is None else [ReportPage(report, quiet or log_json)]
    films = [] if annotate is None else [AnnotatedVideos(annotate, quiet or log_json)]
    with BatchDisplay(out, quiet, log_json, settings.scan) as listener:
        done = run(paths, out, settings, listener, products=[*pages, *films])
    raise typer.Exit(done.exit_code or max((film.exit_code for film in films), default=0))


@app.command()
def run(
    job: Annotated[Path, typer.Argument(metavar="JOB.toml", help="Job file; see jobs/nightly.toml.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing when all is well.")] = False,
    log_json: Annotated[bool, typer.Option("--log-json", help="Messages as JSON, one object a line.")] = False,
) -> None:
    """Carry out a job file: fervid analyze with everything written down."""
    from fervid.settings_io import read_job

    described = read_job(job)
    annotate, report = (Path(path) if path else None for path in (described.annotate, described.report))
    paths, out = list(described.paths), Path(described.out)
    _carry_out(paths, out, described.settings, annotate, report, dry_run, quiet, log_json)


@app.command()
def merge(
    results: Annotated[list[Path], typer.Argument(metavar="RESULTS...", help="What fervid analyze wrote.")],
    out: Annotated[Path, typer.Option(help="results.parquet, results.csv, or a folder.")],
) -> None:
    """Join several results into one, such as those of shards."""
    from fervid.results.merge import merge as join

    done = join(results, out)
    print(f"{done.videos} videos, {done.skipped} of them copies or passed over: {out}", file=sys.stderr)
    for path in done.unknown:
        print(f"{path} does not say how it was made, so the merged results do not either", file=sys.stderr)


@app.command()
def info(json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """Versions, devices, codecs and weights, for bug reports."""
    from fervid.cli.info import as_text, gather

    print(dumps(gather(), indent=2) if json else as_text(gather()))


@app.command()
def annotate(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="What fervid analyze wrote.")],
    out: Annotated[Path, typer.Option(help="Folder for the annotated videos.")],
    videos: Annotated[
        Path | None, typer.Option(help="The folder that was analysed; default: the working directory.")
    ] = None,
    style: Annotated[str, typer.Option(help="full, or minimal: boxes and labels only.")] = "full",
    blur: Annotated[bool, typer.Option("--blur", help="Make the faces unrecognisable.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing when all is well.")] = False,
) -> None:
    """Draw results over the videos they come from: boxes, labels and timelines."""
    from fervid.cli.products import write_videos
    from fervid.files.locate import locate
    from fervid.results.reader import read_results

    sources = locate(read_results(results).videos["video"], videos)
    raise typer.Exit(write_videos(results, out, sources, style, blur, quiet))


@app.command()
def report(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="What fervid analyze wrote.")],
    out: Annotated[Path, typer.Option(help="The page to write, ending in .html.")],
    videos: Annotated[Path | None, typer.Option(help="The analysed folder, for pictures of the faces.")] = None,
    thumbnails: Annotated[bool, typer.Option(help="Show a picture of each face.")] = True,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing when all is well.")] = False,
) -> None:
    """Write results as one HTML page: an overview, and a timeline of every face."""
    from fervid.cli.products import write_report

    write_report(results, out, videos, thumbnails, quiet)


@app.command()
def export(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="What fervid analyze wrote.")],
    to: Annotated[str, typer.Option(help="elan, pyfeat, openface or csv.")],
    out: Annotated[Path, typer.Option(help="A file; for elan and openface a folder where there are several videos.")],
    values: Annotated[str | None, typer.Option(help="Probabilities to write: raw or smooth.")] = None,
    videos: Annotated[Path | None, typer.Option(help="The analysed folder; ELAN files then point there.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace ELAN files that are already there.")] = False,
) -> None:
    """Write results as files that other tools read."""
    from fervid.export.formats import export as write

    done = write(results, to, out, values, videos, overwrite)
    for note in done.notes:
        print(note, file=sys.stderr)
    print(f"{len(done.files)} file{'' if len(done.files) == 1 else 's'}: {out}", file=sys.stderr)


def _notify() -> Callable[[str], None]:
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
    from fervid.images import classify_images

    report = classify_images(images, out, scan, run, detect)
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
    limit: Annotated[int | None, typer.Option(min=1, help="Use only so many images, for a trial.")] = None,
    run: Annotated[
        Path | None, typer.Option(help="Run folder with checkpoint and metrics; default: OUT without .keras.")
    ] = None,
) -> None:
    """Train the emotion CNN; the same command again goes on where it stopped."""
    from fervid.errors import UsageError
    from fervid.faces.crop import FER2013_GEOMETRY
    from fervid.settings_io import read_toml
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
    result = fit(images, out, FER2013_GEOMETRY, settings, run, notify=_notify())
    print(f"{out}: epoch {result.epoch}, temperature {result.temperature:.3f}", file=sys.stderr)


@app.command()
def evaluate(
    data: Annotated[list[Path], typer.Option(help="fer2013.csv, a folder per class, or Parquet; may be repeated.")],
    model: Annotated[
        Path | None, typer.Option(help="Weights (.keras beside its sidecar); default: the shipped ones.")
    ] = None,
    split: Annotated[
        str,
        typer.Option(
            help="Split to measure on, where the data name one; all: every image; held-out: what the weights' own "
            "training held out of Training."
        ),
    ] = "PublicTest",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the confusion matrix (CSV, PNG) and the reliability plot.")
    ] = None,
) -> None:
    """Measure the emotion CNN on labelled images."""
    from fervid.emotions.classifier import load_classifier
    from fervid.training.dataset import read
    from fervid.training.evaluate import evaluate as measure
    from fervid.training.evaluate import held_out
    from fervid.training.report import format_evaluation, write_evaluation

    loaded = load_classifier(model)
    images = read(data, {"all": None, "held-out": "Training"}.get(split, split))
    if split == "held-out":
        images = held_out(loaded.sidecar, images)
    evaluation = measure(loaded, images)
    if out is not None:
        write_evaluation(evaluation, out)
    print(format_evaluation(evaluation, as_json=json))
