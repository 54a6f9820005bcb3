"""The commands that analyse videos: analyze and run."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from fervid.cli.messages import warn
from fervid.cli.option_names import as_options
from fervid.cli.options import (
    ANALYSIS,
    INPUT,
    OUTPUT,
    RUNNING,
    BatchSize,
    Command,
    Device,
    DryRun,
    LogJson,
    Metrics,
    MinFace,
    Model,
    NoMeasures,
    Out,
    Quiet,
)
from fervid.errors import FervidError
from fervid.settings import AnalyzeSettings, TimelineSettings
from fervid.settings_io import override, read_job

if TYPE_CHECKING:
    from fervid.batch.hooks import Hooks
    from fervid.batch.run_record import RunRecorder

SMOOTH = TimelineSettings().smooth


commands = typer.Typer()


@commands.command(cls=Command, rich_help_panel="Analyse videos")
def analyze(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATHS", help="Video files, folders or glob patterns. Example: videos 'more/*.mp4'"),
    ],
    out: Out,
    annotate: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Also write annotated videos into this folder, as fervid annotate does. Default: none. Example: "
            "--annotate annotated",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Also write an HTML report, as fervid report does. Default: none. Example: --report report.html",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Recompute everything, even if the output was made with other settings.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    metrics: Metrics = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="Skip files whose name matches this pattern. Can be repeated. Default: none. Example: "
            "--exclude '*_proxy.mp4'",
            rich_help_panel=INPUT,
        ),
    ] = None,
    follow_links: Annotated[
        bool,
        typer.Option(
            "--follow-links",
            help="Follow symbolic links that point outside the input folder.",
            rich_help_panel=INPUT,
        ),
    ] = False,
    settle: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            help="Skip files modified within the last N seconds; the next run takes them. Example: --settle 120",
            rich_help_panel=INPUT,
        ),
    ] = 0.0,
    shard: Annotated[
        str,
        typer.Option(
            metavar="I/N",
            help="Analyse only the I-th of N parts of the videos, to share the work among machines. Default: all. "
            "Example: --shard 2/4",
            rich_help_panel=INPUT,
        ),
    ] = "",
    fps: Annotated[
        float,
        typer.Option(
            metavar="N",
            help="Frames analysed per second of video; 0 analyses every frame. Example: --fps 10",
            rich_help_panel=ANALYSIS,
        ),
    ] = 5.0,
    start: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            help="Start the analysis at this time of each video. Example: --start 60",
            rich_help_panel=ANALYSIS,
        ),
    ] = 0.0,
    end: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="Stop the analysis at this time of each video. Default: the end of the video. Example: --end 120",
            rich_help_panel=ANALYSIS,
        ),
    ] = None,
    stream: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Analyse this video stream of each file, numbered from 0 as ffprobe numbers all streams. Default: the "
            "default video stream that is not a still picture. Example: --stream 1",
            rich_help_panel=ANALYSIS,
        ),
    ] = None,
    fps_in: Annotated[
        float | None,
        typer.Option(
            metavar="N",
            help="Frames per second of image sequences (patterns such as frame_%05d.png, numbered images of folders) "
            "and of bare streams that state no rate. Default: images are not analysed. Example: --fps-in 25",
            rich_help_panel=INPUT,
        ),
    ] = None,
    rotate: Annotated[
        int,
        typer.Option(
            metavar="DEGREES",
            help="Turn every frame clockwise: 90, 180 or 270. For recordings that play sideways or upside down. "
            "Example: --rotate 90",
            rich_help_panel=ANALYSIS,
        ),
    ] = 0,
    min_face: MinFace = 20.0,
    smooth: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            help="Width of the smoothing window; 0 turns smoothing off. Example: --smooth 0.5",
            rich_help_panel=ANALYSIS,
        ),
    ] = SMOOTH,
    detector: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Face detector: retinaface, centerface or yunet. Example: --detector yunet",
            rich_help_panel=ANALYSIS,
        ),
    ] = "retinaface",
    detector_weights: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Weights of the detector. Default: those of its package. Example: --detector-weights yunet.onnx",
            rich_help_panel=ANALYSIS,
        ),
    ] = None,
    adaptive: Annotated[
        bool,
        typer.Option(
            "--adaptive",
            help="Search only regions that may hold a face. Faster for steady cameras; retinaface only.",
            rich_help_panel=ANALYSIS,
        ),
    ] = False,
    no_gate: Annotated[
        bool,
        typer.Option(
            "--no-gate",
            help="Search for small faces everywhere, not only where a quick test says that one may be. Slower; "
            "retinaface only.",
            rich_help_panel=ANALYSIS,
        ),
    ] = False,
    follow_faces: Annotated[
        bool,
        typer.Option(
            "--follow-faces",
            help="Detect faces ten times a second, and follow them in between. Faster with --fps 0.",
            rich_help_panel=ANALYSIS,
        ),
    ] = False,
    seek_samples: Annotated[
        bool,
        typer.Option(
            "--seek-samples",
            help="Seek to each sample where that pays, such as with --fps 0.1. Faces are then not followed.",
            rich_help_panel=ANALYSIS,
        ),
    ] = False,
    no_measures: NoMeasures = False,
    mesh: Annotated[
        bool,
        typer.Option(
            "--mesh",
            help="Also write all points of each face's mesh, into results.mesh.parquet.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    model: Model = None,
    engine: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Where videos are scanned: local for this machine, ray for a Ray cluster. Example: --engine ray",
            rich_help_panel=RUNNING,
        ),
    ] = "local",
    address: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Ray cluster: host:port of its head, auto to find it, local to start one. Example: "
            "--address head:6379",
            rich_help_panel=RUNNING,
        ),
    ] = "auto",
    workers: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Number of scan processes; 0 starts one per core. Example: --workers 4",
            rich_help_panel=RUNNING,
        ),
    ] = 0,
    worker_memory: Annotated[
        float,
        typer.Option(
            metavar="GB",
            help="Memory that one scan process may use; 0 divides the machine's memory equally. Example: "
            "--worker-memory 4",
            rich_help_panel=RUNNING,
        ),
    ] = 0.0,
    device: Device = "auto",
    decoder: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Where videos are decoded: cpu, or nvdec for an NVIDIA GPU. Example: --decoder nvdec",
            rich_help_panel=RUNNING,
        ),
    ] = "cpu",
    batch_size: BatchSize = 256,
    timeout: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            help="Longest time that the scan of one video may take; 0 sets no limit. Example: --timeout 3600",
            rich_help_panel=RUNNING,
        ),
    ] = 0.0,
    retry_failed: Annotated[
        bool,
        typer.Option(
            "--retry-failed",
            help="Analyse videos again that failed in an earlier run.",
            rich_help_panel=RUNNING,
        ),
    ] = False,
    lock: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="How the output is locked: system, or soft for file systems without locks (flock). Example: "
            "--lock soft",
            rich_help_panel=RUNNING,
        ),
    ] = "system",
    dry_run: DryRun = False,
    quiet: Quiet = False,
    log_json: LogJson = False,
) -> None:
    """Analyse videos and write emotion timelines.

    A later run with the same output analyses only what is new or changed.
    """
    values = {
        "fps": fps, "start": start, "end": end, "stream": stream, "fps_in": fps_in,
        "rotate": rotate, "min_face": min_face, "smooth": smooth, "measures": not no_measures, "mesh": mesh,
        "detector": detector, "detector_weights": detector_weights, "adaptive": adaptive, "gate": not no_gate,
        "follow_faces": follow_faces, "seek_samples": seek_samples, "decoder": decoder,
        "exclude": exclude, "follow_links": follow_links, "settle": settle, "shard": shard,
        "engine": engine, "address": address, "device": device, "model": model, "workers": workers,
        "worker_memory": worker_memory, "batch_size": batch_size, "timeout": timeout,
        "retry_failed": retry_failed, "overwrite": overwrite, "lock": lock,
    }  # fmt: skip
    settings = override(AnalyzeSettings(), values)
    _run_batch(_Batch(paths, out, settings, annotate, report, metrics), dry_run, quiet, log_json)


@commands.command(cls=Command, rich_help_panel="Analyse videos")
def run(
    job: Annotated[
        Path,
        typer.Argument(metavar="JOB.toml", help="File with inputs, outputs and settings. Example: jobs/nightly.toml"),
    ],
    metrics: Metrics = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    log_json: LogJson = False,
) -> None:
    """Run a job file: fervid analyze with all inputs, outputs and settings written down."""
    from fervid.batch.hooks import Hooks

    described = read_job(job)
    named = (described.annotate, described.report, metrics or described.metrics)
    annotate, report, metrics = (Path(path) if path else None for path in named)
    hooks = Hooks(described.on_success, described.on_failure, job.absolute().parent)
    batch = _Batch(list(described.paths), Path(described.out), described.settings, annotate, report, metrics, hooks)
    _run_batch(batch, dry_run, quiet, log_json)


@dataclass(frozen=True)
class _Batch:
    """What to analyse, and what to write."""

    paths: list[str]
    out: Path
    settings: AnalyzeSettings
    annotate: Path | None
    report: Path | None
    metrics: Path | None = None
    hooks: Hooks | None = None


def _run_batch(batch: _Batch, dry_run: bool, quiet: bool, log_json: bool) -> NoReturn:
    """Analyse the videos, write what else is asked for, tell others how it ended, and end with the exit code."""
    from fervid.batch.plan import plan
    from fervid.batch.run_record import RunRecorder
    from fervid.cli.progress import show_plan

    if dry_run:
        show_plan(plan(batch.paths, batch.out, batch.settings))
        raise typer.Exit
    recorder = RunRecorder(batch.out, command=["fervid", *sys.argv[1:]])
    with _telling(batch, recorder):
        _analyze(batch, recorder, quiet, log_json)
    assert recorder.record is not None
    raise typer.Exit(recorder.record.exit_code)


@contextlib.contextmanager
def _telling(batch: _Batch, recorder: RunRecorder) -> Iterator[None]:
    """Write the metrics and run the command of the job when the block ends, however it ends."""
    from fervid.batch.metrics import check_metrics

    try:
        if batch.metrics:
            check_metrics(batch.metrics)
        yield
    except BaseException as error:
        _tell(batch, recorder, error)
        raise
    _tell(batch, recorder, None)


def _tell(batch: _Batch, recorder: RunRecorder, error: BaseException | None) -> None:
    """Write the metrics and run the command of the job. What goes wrong with them is a warning."""
    from fervid.batch.metrics import write_metrics

    record = recorder.end(error)
    if batch.metrics:
        try:
            write_metrics(batch.metrics, batch.out, record)
        except FervidError as failure:
            if str(failure) != record.message:
                warn(as_options(str(failure)))
    warning = batch.hooks.run(record.exit_code, batch.out, recorder.path) if batch.hooks else None
    if warning:
        warn(warning)


def _analyze(batch: _Batch, recorder: RunRecorder, quiet: bool, log_json: bool) -> None:
    """Analyse the videos, and write what else is asked for."""
    from fervid.api import analyze as analyze_videos
    from fervid.cli.annotate_and_report import AnnotationDisplay, StepsDisplay, show_annotated, show_report
    from fervid.cli.first_run import FirstRun
    from fervid.cli.progress import BatchDisplay, ProgressDisplay

    silent = quiet or log_json
    first = FirstRun.of(batch.paths, batch.out)
    display = BatchDisplay(batch.out, quiet, log_json, batch.settings.scan)
    others = {"report": ProgressDisplay(silent, "faces"), "annotate": AnnotationDisplay(silent)}
    with StepsDisplay({"analyze": display, **others}) as steps:
        recorder.on_progress = steps
        done = analyze_videos(
            batch.paths,
            batch.out,
            batch.settings,
            annotate=batch.annotate,
            report=batch.report,
            on_progress=recorder,
        )
    display.finish(done)
    if done.page:
        show_report(done.page, silent)
    if done.annotated and batch.annotate and not silent:
        show_annotated(done.annotated, batch.annotate)
    if first and not silent and done.count("ok"):
        first.show(batch.annotate, batch.report)
