"""The functions of the Python API, with keyword arguments named like the options of the command line."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fervid.batch.report import BatchReport
from fervid.errors import ConfigError, UsageError
from fervid.products import AnnotatedVideos, ReportPage
from fervid.settings import AnalyzeSettings, DecoderName, DetectorName, Device, EngineName, LockKind
from fervid.settings_io import override
from fervid.types import ProgressCallback, ignore_progress

if TYPE_CHECKING:
    from fervid.annotate.annotate import AnnotateReport
    from fervid.batch.engines.base import Engine
    from fervid.emotions.classifier import EmotionClassifier
    from fervid.export.output_files import Exported
    from fervid.participants.outcome import Participants
    from fervid.pipeline import VideoResults
    from fervid.report.report import WrittenReport
    from fervid.results.correct import Corrected
    from fervid.results.merge import Merged
    from fervid.results.reader import Results


def analyze(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    settings: AnalyzeSettings | None = None,
    *,
    fps: float | None = None,
    start: float | None = None,
    end: float | None = None,
    stream: int | None = None,
    fps_in: float | None = None,
    rotate: int | None = None,
    min_face: float | None = None,
    detector: DetectorName | None = None,
    detector_weights: str | os.PathLike[str] | None = None,
    adaptive: bool | None = None,
    gate: bool | None = None,
    follow_faces: bool | None = None,
    seek_samples: bool | None = None,
    measures: bool | None = None,
    mesh: bool | None = None,
    decoder: DecoderName | None = None,
    smooth: float | None = None,
    exclude: Sequence[str] | None = None,
    follow_links: bool | None = None,
    settle: float | None = None,
    shard: str | None = None,
    engine: EngineName | Engine | None = None,
    address: str | None = None,
    device: Device | None = None,
    model: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    worker_memory: float | None = None,
    batch_size: int | None = None,
    timeout: float | None = None,
    retry_failed: bool | None = None,
    overwrite: bool | None = None,
    lock: LockKind | None = None,
    annotate: str | os.PathLike[str] | None = None,
    report: str | os.PathLike[str] | None = None,
    on_progress: ProgressCallback = ignore_progress,
) -> AnalyzeReport:
    """Analyse videos and write the result tables, as ``fervid analyze`` does.

    Videos are scanned in worker processes, so a script that calls this needs the usual
    ``if __name__ == "__main__":`` guard. What an earlier call with the same ``out`` and settings has finished is not
    computed again. If a video cannot be read, the others are still analysed; the report says why.

    Example:
        >>> report = fervid.analyze("sample_videos/cut.mp4", "cut.parquet", fps=2)
        >>> report.count("ok"), report.count("failed")
        (1, 0)

    Args:
        paths: A video file, folder or glob pattern, or several of them. Folders are searched recursively.
        out: ``results.parquet``, ``results.csv``, or a folder.
        settings: Settings to start from. The keywords below override them.
        fps: Frames analysed per second of video; 0 analyses every frame. Default 5.
        start: Time at which the analysis starts, in seconds. Default 0.
        end: Time at which the analysis stops, in seconds. Default: the end of the video.
        stream: Number of the video stream to analyse, as ffprobe counts all streams. Default: the default one.
        fps_in: Images per second of image sequences, such as ``frame_%05d.png`` or the numbered images of a folder.
        rotate: Degrees by which frames are turned clockwise, beyond the rotation that the file states: 0, 90, 180 or
            270. Default 0.
        min_face: Ignore faces whose shorter side is below this number of pixels. Default 20.
        detector: ``retinaface`` (default), ``centerface`` or ``yunet``.
        detector_weights: The detector's weights. Default: those of its package.
        adaptive: Run RetinaFace only on regions that may hold a face. Default False.
        gate: Run its part for small faces only where one may be. Default True.
        follow_faces: Detect faces ten times a second only, and follow them in between. Default False.
        seek_samples: Seek to each sample where that pays; every sample is then a shot of its own. Default False.
        measures: Measure head, eyes, mouth and gaze. Default True.
        mesh: Also write the mesh of each face into ``results.mesh.parquet``. Default False.
        decoder: ``cpu`` (default) or ``nvdec``.
        smooth: Width of the smoothing window in seconds; 0 turns smoothing off. Default 1.5.
        exclude: Skip files that match one of these patterns, such as ``["*_proxy.mp4"]``.
        follow_links: Follow symbolic links that point outside the input folder. Default False.
        settle: Skip files modified within this number of seconds. Default 0.
        shard: ``"i/n"`` analyses the i-th of n parts of the videos. Default: all.
        engine: ``local`` (default), ``ray``, or an Engine object.
        address: Address of the Ray cluster. Default ``auto``.
        device: ``auto`` (default), ``cpu`` or ``gpu``: where faces are classified.
        model: Weights of the emotion network. Default: those that fervid ships.
        workers: Number of scan processes; 0 starts one per core. Default 0.
        worker_memory: Memory per scan process in gigabytes; 0 divides the machine's memory equally. Default 0.
        batch_size: Number of faces classified at once. Default 256.
        timeout: Longest time that the scan of one video may take, in seconds; 0 sets no limit. Default 0.
        retry_failed: Analyse videos again that failed in an earlier run. Default False.
        overwrite: Recompute everything, even if settings changed. Default False.
        lock: ``system`` (default), or ``soft`` for file systems without locks.
        annotate: Also write annotated videos into this folder.
        report: Also write an HTML report to this file.
        on_progress: Called with a Progress for each finished video and each message.

    Returns:
        The outcome of each video, in the order of the inputs.

    Raises:
        UsageError: A setting or a path is wrong, or ``out`` was made with other settings.
        OutputLocked: Another run uses ``out``.
        OutputError: An output cannot be written.
        WorkerFailed: Worker processes cannot be started, or die again and again.
        MissingLibrary: A package is missing; the message says which.
    """
    from fervid.batch.run import analyze as run
    from fervid.batch.run_record import RunRecorder

    if not (engine is None or isinstance(engine, str) or callable(getattr(engine, "run", None))):
        raise ConfigError(f"`engine` must be local, ray or an Engine object, not {engine!r}")

    values: dict[str, Any] = {
        "fps": fps, "start": start, "end": end, "stream": stream, "fps_in": fps_in,
        "rotate": rotate, "min_face": min_face, "measures": measures, "mesh": mesh,
        "detector": detector, "detector_weights": detector_weights, "adaptive": adaptive, "gate": gate,
        "follow_faces": follow_faces, "seek_samples": seek_samples, "decoder": decoder,
        "smooth": smooth, "exclude": exclude, "follow_links": follow_links, "settle": settle, "shard": shard,
        "engine": engine if isinstance(engine, str) else None, "address": address, "device": device, "model": model,
        "workers": workers, "worker_memory": worker_memory, "batch_size": batch_size, "timeout": timeout,
        "retry_failed": retry_failed, "overwrite": overwrite, "lock": lock,
    }  # fmt: skip
    chosen = override(AnalyzeSettings() if settings is None else settings, values)
    page = None if report is None else ReportPage(Path(report), on_progress)
    videos = None if annotate is None else AnnotatedVideos(Path(annotate), on_progress)
    products = [product for product in (page, videos) if product is not None]
    scanner = None if isinstance(engine, str) else engine
    with RunRecorder.of(out, on_progress) as recorder:
        done = run(paths, out, chosen, recorder, scanner, products)
        made = AnalyzeReport(done.videos, videos.done if videos else None, page.done if page else None)
        recorder.complete(made)
    return made


@dataclass(frozen=True)
class AnalyzeReport(BatchReport):
    """The outcome of ``analyze`` for every input, and what was made from the results.

    Attributes:
        annotated: The outcome of annotating each video; None if annotated videos were not requested.
        page: The HTML report that was written; None if it was not requested.
    """

    annotated: AnnotateReport | None = None
    page: WrittenReport | None = None

    @property
    def exit_code(self) -> int:
        """Exit code of ``fervid analyze``: that of the analysis, or else that of the annotated videos."""
        return super().exit_code or (self.annotated.exit_code if self.annotated else 0)


def analyze_video(
    path: str | os.PathLike[str],
    settings: AnalyzeSettings | None = None,
    *,
    fps: float | None = None,
    start: float | None = None,
    end: float | None = None,
    stream: int | None = None,
    fps_in: float | None = None,
    rotate: int | None = None,
    min_face: float | None = None,
    detector: DetectorName | None = None,
    detector_weights: str | os.PathLike[str] | None = None,
    adaptive: bool | None = None,
    gate: bool | None = None,
    follow_faces: bool | None = None,
    seek_samples: bool | None = None,
    measures: bool | None = None,
    decoder: DecoderName | None = None,
    smooth: float | None = None,
    device: Device | None = None,
    model: str | os.PathLike[str] | None = None,
    batch_size: int | None = None,
    classifier: EmotionClassifier | None = None,
) -> VideoResults:
    """Analyse one video in this process and return its tables, without writing files.

    This suits notebooks and short videos. For many or long videos ``analyze`` is faster, because it uses all cores, and
    safer, because a file that crashes its decoder does not end the caller.

    Example:
        >>> video = fervid.analyze_video("sample_videos/cut.mp4", fps=2)
        >>> len(video.summary)
        2
        >>> video.info.width, video.message
        (480, None)

    Args:
        path: The video file.
        settings: Settings to start from. The keywords below override them. Settings of a batch have no effect.
        fps: Frames analysed per second of video; 0 analyses every frame. Default 5.
        start: Time at which the analysis starts, in seconds. Default 0.
        end: Time at which the analysis stops, in seconds. Default: the end of the video.
        stream: Number of the video stream to analyse, as ffprobe counts all streams. Default: the default one.
        fps_in: Images per second of image sequences, such as ``frame_%05d.png`` or the numbered images of a folder.
        rotate: Degrees by which frames are turned clockwise, beyond the rotation that the file states: 0, 90, 180 or
            270. Default 0.
        min_face: Ignore faces whose shorter side is below this number of pixels. Default 20.
        detector: ``retinaface`` (default), ``centerface`` or ``yunet``.
        detector_weights: The detector's weights. Default: those of its package.
        adaptive: Run RetinaFace only on regions that may hold a face. Default False.
        gate: Run its part for small faces only where one may be. Default True.
        follow_faces: Detect faces ten times a second only, and follow them in between. Default False.
        seek_samples: Seek to each sample where that pays; every sample is then a shot of its own. Default False.
        measures: Find the mesh of each face, and measure head, eyes, mouth and gaze. Default True.
        decoder: ``cpu`` (default) or ``nvdec``.
        smooth: Width of the smoothing window in seconds; 0 turns smoothing off. Default 1.5.
        device: ``auto`` (default), ``cpu`` or ``gpu``: where faces are classified.
        model: Weights of the emotion network. Default: those that fervid ships.
        batch_size: Number of faces classified at once. Default 256.
        classifier: What ``load_classifier`` returned, so that it is not loaded for every video. It replaces ``model``
            and ``device``.

    Returns:
        ``timeline``, ``episodes``, ``summary`` and ``videos`` as pandas frames, with the columns and values that
        ``analyze`` writes for the same file, and ``info``, ``notes``, ``message`` and ``metadata``.

    Raises:
        InputNotFound: The file does not exist.
        UnreadableVideo: The file cannot be decoded as video.
        ConfigError: A setting has a wrong value.
        BadWeights: Weights cannot be used.
        MissingLibrary: A package is missing; the message says which.
    """
    from fervid.pipeline import scan_and_classify

    values: dict[str, Any] = {
        "fps": fps, "start": start, "end": end, "stream": stream, "fps_in": fps_in,
        "rotate": rotate, "min_face": min_face, "measures": measures,
        "detector": detector, "detector_weights": detector_weights, "adaptive": adaptive, "gate": gate,
        "follow_faces": follow_faces, "seek_samples": seek_samples, "decoder": decoder,
        "smooth": smooth,
        "device": device, "model": model, "batch_size": batch_size,
    }  # fmt: skip
    return scan_and_classify(path, override(AnalyzeSettings() if settings is None else settings, values), classifier)


def annotate_videos(
    results: str | os.PathLike[str] | Results,
    out: str | os.PathLike[str],
    *,
    videos: str | os.PathLike[str] | None = None,
    style: Literal["full", "minimal", "head"] = "full",
    blur: bool = False,
    on_progress: ProgressCallback = ignore_progress,
) -> AnnotateReport:
    """Draw results over the videos they come from, as ``fervid annotate`` does.

    Example:
        >>> report = fervid.annotate_videos("results.parquet", "annotated", videos="sample_videos", blur=True)
        >>> report.count("written")
        2

    Args:
        results: What ``analyze`` wrote, or what ``read_results`` returned.
        out: Folder for ``<name>.annotated.mp4`` of each video.
        videos: Folder that holds the videos now. Default: where they were analysed.
        style: ``full``, or ``minimal`` for boxes and labels only, or ``head`` for these and the axes of the head.
        blur: Make all faces unrecognisable.
        on_progress: Called with a Progress in seconds of video; ``outcome`` is set when a video is finished.

    Returns:
        The outcome of each video.

    Raises:
        UsageError: A value is wrong, or an output would overwrite a video.
        BadResults: The tables were not written by fervid.
        OutputLocked: Another call writes into ``out``.
        OutputError: An output cannot be written.
    """
    from fervid.annotate.annotate import annotate as run

    return run(results, videos, out, style, blur, on_progress)


def write_report(
    results: str | os.PathLike[str] | Results,
    out: str | os.PathLike[str],
    *,
    videos: str | os.PathLike[str] | None = None,
    thumbnails: bool = True,
    frames: bool = True,
    on_progress: ProgressCallback = ignore_progress,
) -> WrittenReport:
    """Write results as one HTML page, as ``fervid report`` does.

    Example:
        >>> page = fervid.write_report("results.parquet", "report.html", videos="sample_videos")
        >>> page.path
        PosixPath('report.html')

    Args:
        results: What ``analyze`` wrote, or what ``read_results`` returned.
        out: The page to write, ending in ``.html``.
        videos: Folder that holds the videos now, for their pictures. Default: where they were analysed.
        thumbnails: Show an image of each face. False: open no video.
        frames: Store small frames of the videos, which a click on a timeline shows.
        on_progress: Called with a Progress for each video that is opened.

    Returns:
        Path and size of the page, and the videos that have no pictures.

    Raises:
        UsageError: ``out`` does not end in ``.html``.
        BadResults: The tables were not written by fervid.
        OutputError: The page cannot be written.
    """
    from fervid.report.report import write_report as run

    return run(results, out, videos, thumbnails, on_progress, frames=frames)


def export_results(
    results: str | os.PathLike[str] | Results,
    to: Literal["elan", "textgrid", "boris", "bids", "excel", "pyfeat", "openface", "csv"],
    out: str | os.PathLike[str],
    *,
    values: Literal["raw", "smooth"] | None = None,
    videos: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> Exported:
    """Write results as files that other tools read, as ``fervid export`` does.

    Example:
        >>> fervid.export_results("results.parquet", "elan", "elan").files
        (PosixPath('elan/cut.eaf'), PosixPath('elan/crossing.eaf'))

    Args:
        results: What ``analyze`` wrote, or what ``read_results`` returned.
        to: ``elan``, ``textgrid``, ``boris``, ``bids``, ``excel``, ``pyfeat``, ``openface`` or ``csv``.
        out: A file; for ``bids`` a folder, for ``elan``, ``textgrid`` and ``openface`` one if there are several
            videos.
        values: Probabilities to write: ``raw`` or ``smooth``. Default: ``raw`` for ``pyfeat`` and ``openface``, both
            for ``bids``, ``excel`` and ``csv``.
        videos: Folder that holds the videos now; ELAN and BORIS files then point there.
        overwrite: Replace files of ELAN, Praat, BORIS, BIDS and Excel that exist.

    Returns:
        The files written, and what the format cannot hold.

    Raises:
        MissingLibrary: ``excel`` needs the package openpyxl.
        UsageError: A value is wrong, or a file exists that must not be replaced.
        BadResults: The tables were not written by fervid.
        OutputLocked: Another call writes into the folder ``out``.
        OutputError: A file cannot be written.
    """
    from fervid.export.export import export as run

    return run(results, to, out, values, videos, overwrite)


def merge_results(results: Sequence[str | os.PathLike[str]], out: str | os.PathLike[str]) -> Merged:
    """Join several results into one, such as the results of shards, as ``fervid merge`` does.

    Example:
        >>> fervid.merge_results(["results.parquet"], "merged.parquet").videos
        2

    Args:
        results: What ``analyze`` wrote, in the order of the merged rows.
        out: ``merged.parquet``, ``merged.csv``, or a folder.

    Returns:
        How many videos were written, and which results have no metadata.

    Raises:
        UsageError: The results were made with different settings or weights, or ``out`` is one of them.
        InputNotFound: Some results do not exist.
        BadResults: The tables were not written by fervid.
        OutputError: ``out`` cannot be written.
    """
    from fervid.results.merge import merge as run

    if isinstance(results, (str, os.PathLike)):
        raise UsageError(f"`results` must be a list of paths, not {results!r}")
    return run(results, out)


def find_participants(
    results: str | os.PathLike[str] | Results,
    out: str | os.PathLike[str],
    *,
    videos: str | os.PathLike[str] | None = None,
    gallery: str | os.PathLike[str] | None = None,
    sheet: str | os.PathLike[str] | None = None,
    keep_embeddings: str | os.PathLike[str] | None = None,
    threshold: float | None = None,
    on_progress: ProgressCallback = ignore_progress,
) -> Participants:
    """Name the persons of results across videos, as ``fervid participants`` does.

    Args:
        results: What ``analyze`` wrote, or what ``read_results`` returned.
        out: The corrections file to write, ending in ``.csv``. ``correct`` applies it.
        videos: Folder that holds the videos now. Default: where they were analysed.
        gallery: Folder with a photo ``NAME.jpg`` or a folder of photos ``NAME`` for each person. Default: persons are
            grouped and called P01, P02 and so on.
        sheet: Also write a page (``.html``) with the faces of each participant.
        keep_embeddings: Also write the embeddings, which are biometric data, to this file (``.npz``).
        threshold: Lowest cosine similarity, between 0 and 1. Default 0.5.
        on_progress: Called with a Progress for each video.

    Returns:
        Who each person is, and the videos that could not be opened.

    Raises:
        UsageError: A value is wrong, no photo can be used, or a file to write is an input.
        BadResults: The tables were not written by fervid.
        OutputError: A file cannot be written.
    """
    from fervid.participants.find import Targets
    from fervid.participants.find import find_participants as run

    files = [None if path is None else Path(path) for path in (sheet, keep_embeddings)]
    return run(results, Targets(Path(out), *files), videos, gallery, threshold, on_progress)


def correct(
    results: str | os.PathLike[str],
    corrections: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
) -> Corrected:
    """Repair faces and name persons, and compute the tables anew, as ``fervid correct`` does.

    Smoothing, episodes, summaries, persons and trust are computed from the raw rows, so the tables are those that the
    analysis of such tracks would have given.

    Example:
        >>> lines = ["video,face_id,action,start,end,value", "cut.mp4,0,name,,,Ann"]
        >>> Path("names.csv").write_text("\\n".join(lines)) > 0
        True
        >>> fervid.correct("results.parquet", "names.csv", "corrected.parquet").corrections
        1

    Args:
        results: What ``analyze`` or ``merge_results`` wrote. It stays as it is.
        corrections: One or several corrections files, in the order in which they apply.
        out: ``corrected.parquet``, ``corrected.csv``, or a folder.

    Returns:
        The number of corrections and of the videos that they changed, and notes on the results that were read.

    Raises:
        InputNotFound: There are no such results, or no such corrections file.
        BadCorrections: A corrections file is wrong or does not fit the results. Nothing is written.
        BadResults: The results cannot be read, do not record their settings, or are corrected already.
        UsageError: ``out`` is one of the results, or the output of ``analyze``.
        OutputError: ``out`` cannot be written.
    """
    from fervid.results.correct import correct as run

    return run(results, corrections, out)
