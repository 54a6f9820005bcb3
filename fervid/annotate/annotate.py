"""Annotated videos: each analysed video again, with its results drawn on every frame."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fervid.annotate.overlay import STYLES, Overlay, Style
from fervid.annotate.yuv_canvas import Canvas, matrix_code
from fervid.errors import BadResults, EncodingFailed, UnreadableVideo, UsageError, batch_exit_code
from fervid.files.atomic import writing
from fervid.files.discover import ANNOTATED, Source, refuse_overwriting
from fervid.files.fingerprint import fingerprint
from fervid.files.locks import locked_temporarily
from fervid.files.names import files_for
from fervid.results.correct_video import lacks_faces
from fervid.results.face_timelines import FaceTimelines, SampledSizes
from fervid.results.find_videos import Videos, find_videos, is_unchanged
from fervid.results.mesh_table import has_meshes
from fervid.results.reader import Results, read_results
from fervid.results.schema import ANALYSED
from fervid.settings import OpenOptions
from fervid.timeline.interpolation import FaceTimeline
from fervid.types import PictureShape, Progress, ProgressCallback, ignore_progress
from fervid.version import __version__
from fervid.video.audio import AudioRemuxer
from fervid.video.reader import VideoReader
from fervid.video.timestamps import ClosedJumps
from fervid.video.unrecorded import refuse_other_pictures
from fervid.video.writer import EncoderSettings, VideoWriter, read_comment

PRESET, CRF, THREADS = "fast", 20, 2
"""Settings of the x264 encoder: good quality at a speed that keeps up with decoding."""

LOCK = ".fervid-annotate.lock"
"""Lock file in a folder of annotated videos. It exists while a call writes there."""

BLUR_MARGIN = 0.1
"""Seconds, added to one sampling step, for which a face is blurred before its first sample and after its last."""

ROWS_AT_ONCE = 256
"""Rows of the manifest that are converted together."""


@dataclass(frozen=True)
class AnnotatedVideo:
    """The outcome for one video.

    Attributes:
        video: Name of the video in the tables.
        status: ``written``, ``unchanged`` (an earlier call wrote the same file), ``skipped`` or ``failed``.
        path: The annotated file, if there is one.
        message: Why the video was skipped or failed, or what went wrong without stopping the work.
    """

    video: str
    status: str
    path: Path | None = None
    message: str | None = None

    def __str__(self) -> str:
        return f"{self.status}: {self.path or self.video}{f': {self.message}' if self.message else ''}"


@dataclass(frozen=True)
class AnnotateReport:
    """The outcome for every video, in the order of the results.

    Attributes:
        videos: The outcomes.
        notes: What a user should know about the results, as sentences.
    """

    videos: tuple[AnnotatedVideo, ...]
    notes: tuple[str, ...] = ()

    def count(self, status: str) -> int:
        """Count the videos with one status.

        Args:
            status: See AnnotatedVideo.status.

        Returns:
            The number of videos that ended with ``status``.
        """
        return sum(video.status == status for video in self.videos)

    @property
    def exit_code(self) -> int:
        """0 if nothing failed, 3 if some videos failed, 4 if all did. Skipped videos do not count."""
        return batch_exit_code(self.count("failed"), len(self.videos) - self.count("skipped"))


def annotate(
    results: str | os.PathLike[str] | Results,
    videos: Videos,
    out: str | os.PathLike[str],
    style: str = "full",
    blur: bool = False,
    on_progress: ProgressCallback = ignore_progress,
    fingerprint: Callable[[Path], str] = fingerprint,
) -> AnnotateReport:
    """Write ``<name>.annotated.mp4`` into a folder for every analysed video of some results.

    A file that an earlier call made from the same rows is left alone. If a video cannot be read or encoded,
    the others are still written.

    Args:
        results: What ``analyze`` wrote, or its tables.
        videos: The folder that holds the videos, or the file of each video name. None: the folders that were
            analysed. A file must still have the content that was analysed.
        out: Folder for the annotated videos.
        style: ``full`` draws boxes, labels, bars and timelines; ``minimal`` draws boxes and labels only; ``head`` also
            the axes of the head and, if the meshes were kept and faces are not blurred, the outlines of the face.
        blur: Make the faces of the results unrecognisable.
        on_progress: Called after each frame and after each video. The unit is seconds of video; ``outcome`` is
            an AnnotatedVideo when a video is finished.
        fingerprint: Computes the fingerprint of a file. Replace it to reuse fingerprints that you have.

    Returns:
        The outcome for every video.

    Raises:
        UsageError: The arguments cannot be used together, or the output would overwrite a video.
        BadResults: ``results`` was not written by fervid.
        OutputLocked: Another call writes into ``out``.
        OutputError: The output cannot be written.
    """
    tables = results if isinstance(results, Results) else read_results(results)
    if style not in STYLES:
        raise UsageError(f"`style` must be {' or '.join(STYLES)}, not {style!r}")
    if style == "head" and len(tables.summary) and not _are_measured(tables):
        raise UsageError("`style` head needs the head's pose, which these results lack; analyse with `measures`")
    if blur:
        _require_whole_videos(tables)
    analysed = tables.videos[tables.videos["status"].isin(ANALYSED)]
    found = find_videos(tables, tables.videos["video"], videos, fingerprint)
    targets = prepare(analysed["video"].tolist(), found.paths, Path(out))
    options = OpenOptions.of(tables.metadata) if tables.metadata else None
    path = None if isinstance(results, Results) else Path(results)
    meshes = path if style == "head" and not blur and path is not None and has_meshes(path) else None
    job = _Job(FaceTimelines(tables, not blur, meshes), style, blur, fingerprint, found.missing_message, options)
    with locked_temporarily(Path(out) / LOCK):
        return AnnotateReport(job.run_all(tables, found.paths, targets, on_progress), tables.notes)


def prepare(names: Iterable[str], sources: Mapping[str, Path], folder: Path) -> dict[str, Path]:
    """Make the output folder and choose the file to write for each video.

    Args:
        names: Names of the videos in the tables.
        sources: The file of each video, by name.
        folder: Folder for the annotated videos.

    Returns:
        Video name → file to write.

    Raises:
        UsageError: A file to write is one of ``sources``, and ``annotate`` did not write it.
        OutputError: The folder cannot be made.
    """
    targets = files_for(names, folder, ANNOTATED)
    inputs = [Source(path, name, name) for name, path in sources.items() if not _is_annotated(path)]
    refuse_overwriting(inputs, targets.values())
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return targets


def _are_measured(tables: Results) -> bool:
    """Whether any face was measured. A head that is turned far has a mouth, but no angles."""
    return bool(tables.summary[["mean_head_yaw", "mean_mouth_open"]].notna().to_numpy().any())


def _require_whole_videos(results: Results) -> None:
    """Refuse `blur` if the tables may lack faces, since these would stay visible."""
    if not results.is_intact:
        raise UsageError(f"`blur` needs results as fervid wrote them: {'; '.join(results.notes)}")
    scan = results.metadata.get("settings", {}).get("scan")
    if scan is None:
        raise UsageError(
            "`blur` needs results with sampling metadata: "
            "Parquet, unmodified CSV output of analyze, or a merge of these"
        )
    if scan.get("start") or scan.get("end") is not None:
        raise UsageError("`blur` needs results of whole videos; these were analysed with `start` or `end`")


@dataclass(frozen=True)
class _Job:
    """What is the same for all videos of one call."""

    faces: FaceTimelines
    style: str
    blur: bool
    fingerprint: Callable[[Path], str]
    missing_message: str
    options: OpenOptions | None

    def run_all(
        self, tables: Results, sources: Mapping[str, Path], targets: Mapping[str, Path], on_progress: ProgressCallback
    ) -> tuple[AnnotatedVideo, ...]:
        """Annotate every video that has a target. Returns the outcome of each row of the manifest."""
        names, durations = tables.videos["video"], np.nan_to_num(tables.videos["duration"].to_numpy(np.float64))
        lengths = np.where(names.isin(targets.keys()), durations, 0.0).tolist()
        total, done = sum(lengths), 0.0
        outcomes = []
        for row, length in zip(_rows(tables.videos), lengths, strict=True):
            name, before = row["video"], done

            def on_frame(progress: Progress, before: float = before) -> None:
                on_progress(replace(progress, done=before + progress.done, total=total))

            outcome = self.run(row, sources.get(name), targets.get(name), on_frame)
            done += length
            outcomes.append(outcome)
            on_progress(Progress("annotate", done, total, "seconds", str(outcome), outcome))
        return tuple(outcomes)

    def run(
        self, row: Mapping[str, Any], source: Path | None, target: Path | None, on_progress: ProgressCallback
    ) -> AnnotatedVideo:
        """Annotate the video of one manifest row. ``target`` is None if the video was not analysed."""
        name, message = row["video"], row["message"]
        if target is None:
            if row.get("error") == BadResults.__name__:  # it was analysed, but its rows here are wrong
                return AnnotatedVideo(name, "failed", message=message)
            reason = f"it could not be analysed: {message}" if row["status"] == "failed" else message
            return AnnotatedVideo(name, "skipped", message=reason)
        if source is None:
            return AnnotatedVideo(name, "failed", message=self.missing_message)
        try:
            if not is_unchanged(source, row, self.fingerprint):
                return AnnotatedVideo(name, "failed", message="the file has changed since it was analysed")
            if self.options is None:
                refuse_other_pictures(source, (int(row["width"]), int(row["height"])), int(row["rotation"]))
            faces, sizes = self.faces.of(row["video_id"]), self.faces.sizes(row["video_id"])
            if self.blur and (lack := _what_is_open(row, faces, sizes)):
                return AnnotatedVideo(name, "failed", message=lack)
            margin = self.faces.step + BLUR_MARGIN if self.blur else None
            comment = _comment(f"{row['video_id']} {self.style} {margin} {self.options}", row["video_id"], faces, sizes)
            if target.exists() and read_comment(target) == comment:
                return AnnotatedVideo(name, "unchanged", target)
            with writing(target.parent):
                target.parent.mkdir(parents=True, exist_ok=True)
            drawing = Drawing(STYLES[self.style], margin, comment)
            notes = annotate_video(source, target, faces, sizes, drawing, on_progress, self.options)
        except (UnreadableVideo, EncodingFailed) as error:
            return AnnotatedVideo(name, "failed", message=str(error))
        return AnnotatedVideo(name, "written", target, "; ".join(notes) or None)


def _rows(videos: pd.DataFrame) -> Iterator[dict[Any, Any]]:
    """The rows of the manifest. Not all are converted at once, because a row as a mapping takes kilobytes."""
    for start in range(0, len(videos), ROWS_AT_ONCE):
        yield from videos.iloc[start : start + ROWS_AT_ONCE].to_dict("records")


def _what_is_open(row: Mapping[str, Any], faces: Sequence[FaceTimeline], sizes: SampledSizes) -> str | None:
    """Why the tables do not tell where all faces of a video are, although its manifest row says what was found."""
    if (len(faces), len(sizes.times)) != (row.get("faces"), row.get("frames_sampled")):
        return "the tables lack rows, so a face might stay visible"
    if lacks_faces(row["message"]):
        return "a correction excluded faces, which would stay visible; blur with the results of the analysis"
    return None


def _is_annotated(path: Path) -> bool:
    """Whether ``annotate`` wrote this file, so that it may be replaced."""
    return path.name.endswith(ANNOTATED) and (read_comment(path) or "").startswith("fervid ")


def _comment(made_with: str, video_id: str, faces: Iterable[FaceTimeline], sizes: SampledSizes) -> str:
    """The comment stored in an annotated file. Two files have the same comment only if the same was drawn."""
    digest = hashlib.sha256(made_with.encode())
    for face in faces:
        digest.update(f"{face.face_id} {face.trust} {face.held_until} {len(face.times)} {face.owner}".encode())
        for values in (face.times, face.boxes, face.smoothed, face.gap_follows, face.angles, face.outlines):
            digest.update(b"" if values is None else np.ascontiguousarray(values).tobytes())
    if len(np.unique(sizes.sizes, axis=0)) > 1:
        digest.update(sizes.sizes.tobytes())
    return f"fervid {__version__}; video {video_id}; drawing {digest.hexdigest()[:32]}"


@dataclass(frozen=True)
class Drawing:
    """How faces are drawn into a video.

    Attributes:
        style: See ``annotate``.
        blur_margin: Blur each face, and begin and end this many seconds before its first and after its last sample.
            None: no blur.
        comment: Stored in the file as its comment.
    """

    style: Style = "full"
    blur_margin: float | None = None
    comment: str | None = None


def annotate_video(
    source: Path,
    target: Path,
    faces: list[FaceTimeline],
    sizes: SampledSizes,
    drawing: Drawing = Drawing(),
    on_progress: ProgressCallback = ignore_progress,
    options: OpenOptions | None = None,
) -> list[str]:
    """Draw faces on every frame of one video.

    If the picture changes size, all frames are scaled to one canvas and get bars where their shape differs. If faces
    are blurred, a frame whose size or orientation is that of no sample beside it is blurred whole, because its faces
    are unknown.

    Args:
        source: The video.
        target: The MP4 file to write; it appears when it is complete.
        faces: The faces to draw.
        sizes: The sizes of the sampled frames.
        drawing: How they are drawn.
        on_progress: Called after each frame with the seconds of video written.
        options: How the video was opened when it was analysed; None: with the defaults.

    Returns:
        Problems that did not stop the work, as sentences.

    Raises:
        UnreadableVideo: No frame can be decoded.
        OutputError: The file cannot be written or encoded.
    """
    with (
        VideoReader(source, fps=0, threads=THREADS, options=options) as reader,
        AudioRemuxer(source, reader.origin, jumps := ClosedJumps(reader.jumps, reader.moved)) as audio,
    ):
        width, height = sizes.canvas((reader.info.width, reader.info.height))
        faces, code = sizes.on_canvas(faces, (width, height)), matrix_code(reader.colour[0], height)
        first, time, duration = None, 0.0, reader.info.duration
        blur = None if drawing.blur_margin is None else _Blur(faces, sizes, drawing.blur_margin)
        end = max([duration or 0.0, *(float(face.times[-1]) for face in faces)])
        overlay = Overlay(faces, width, height, end, code, drawing.style)
        encoder = EncoderSettings(CRF, PRESET, THREADS, colour=reader.colour)
        with VideoWriter(target, width, height, encoder, audio, drawing.comment) as writer:
            for time, planes, shape in reader.planes((width, height)):
                canvas = Canvas(planes, code)
                if blur is not None:
                    blur.apply(canvas, time, shape)
                overlay.draw(canvas, time)
                writer.write_planes(planes, time - jumps.gap(time))
                first = time if first is None else first
                on_progress(Progress("annotate", time - first, duration, "seconds"))
            if first is None:
                raise UnreadableVideo("no frame can be decoded")
            writer.hold(min(reader.end_time, max(duration or reader.end_time, time)) - jumps.gap(time))
        notes = [*audio.notes, *(f"{jump}; the annotated video goes on at once" for jump in jumps.closed)]
        return [*notes, *(blur.notes if blur else ())]


class _Blur:
    """Blurs the faces of one video in its frames, which must come in order of time.

    Args:
        faces: The faces, in pixels of the canvas.
        sizes: The sizes of the sampled frames.
        margin: See ``Drawing.blur_margin``.
    """

    def __init__(self, faces: list[FaceTimeline], sizes: SampledSizes, margin: float) -> None:
        self._faces, self._sizes, self._margin = faces, sizes, margin
        self._sampled: PictureShape | None = None
        self._unknown = 0

    def apply(self, canvas: Canvas, time: float, shape: PictureShape) -> None:
        """Blur the faces of one frame, or all of it if no sample tells where they are.

        Args:
            canvas: The frame; changed in place.
            time: Its time in seconds.
            shape: Its shape.
        """
        if self._sizes.samples(time):
            self._sampled = shape
        last = self._sampled
        turned = last is not None and last.shown == shape.shown and last.layout != shape.layout
        if turned or not self._sizes.include(time, shape.shown, self._margin):
            self._unknown += 1
            canvas.hide(0, 0, canvas.width, canvas.height)
            return
        for box in (face.blur_box(time, self._margin) for face in self._faces):
            if box is not None:
                canvas.hide(*box)

    @property
    def notes(self) -> list[str]:
        """What the user should know, as sentences."""
        if not self._unknown:
            return []
        return [f"{self._unknown} frames between samples have another size or orientation and are blurred whole"]
