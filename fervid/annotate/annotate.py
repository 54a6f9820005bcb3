"""Table → annotated videos: each source again, with what is known of its faces drawn over every frame."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fervid.annotate.face_timelines import KnownFaces
from fervid.annotate.overlay import STYLES, Overlay, Style
from fervid.annotate.yuv_canvas import Canvas, matrix_code
from fervid.errors import EncodingFailed, UnreadableVideo, UsageError, batch_exit_code
from fervid.files.atomic import writing
from fervid.files.discover import ANNOTATED, Source, refuse_overwriting
from fervid.files.fingerprint import fingerprint
from fervid.files.names import files_for
from fervid.results.reader import Results, read_results
from fervid.results.schema import ANALYSED
from fervid.timeline.interpolation import FaceTimeline
from fervid.version import __version__
from fervid.video.audio import AudioRemuxer
from fervid.video.reader import VideoReader
from fervid.video.writer import EncoderSettings, VideoWriter, read_comment

PRESET, CRF, THREADS = "fast", 20, 2
"""How x264 encodes: a good picture, without being what takes the time."""

BLUR_REACH = 0.1
"""Faces stay blurred for a sampling step and this long, in seconds, before their first and after their last sample."""


@dataclass(frozen=True)
class AnnotatedVideo:
    """What became of one video. ``status``: written, unchanged, skipped or failed; ``path`` where it lies then."""

    video: str
    status: str
    path: Path | None = None
    message: str | None = None


@dataclass(frozen=True)
class AnnotateReport:
    """What became of every video of the results, in their order."""

    videos: tuple[AnnotatedVideo, ...]

    def count(self, status: str) -> int:
        """How many videos ended with that status."""
        return sum(video.status == status for video in self.videos)

    @property
    def exit_code(self) -> int:
        """0 when nothing failed, 3 when some videos failed, 4 when all did; what is skipped does not count."""
        return batch_exit_code(self.count("failed"), len(self.videos) - self.count("skipped"))


def annotate(
    results: str | os.PathLike[str] | Results,
    sources: Mapping[str, Path],
    out: str | os.PathLike[str],
    style: str = "full",
    blur: bool = False,
    listener: Callable[[AnnotatedVideo], object] = lambda video: None,
    progress: Callable[[float], object] = lambda seconds: None,
) -> AnnotateReport:
    """Write ``<name>.annotated.mp4`` into the folder ``out`` for every analysed video of ``results``.

    ``sources``: where each video of the tables lies; the file must still be the one that was analysed. With
    ``blur`` the faces that the table knows are made unrecognisable. A file that an earlier call made of the
    same rows is left as it is. ``listener`` is called with each video that is done, ``progress`` with the
    seconds of video written since the last call. A video that cannot be read costs nothing but itself.
    Raises UsageError, BadResults and OutputError.
    """
    found = results if isinstance(results, Results) else read_results(results)
    if style not in STYLES:
        raise UsageError(f"--style must be {' or '.join(STYLES)}, not {style!r}")
    if blur:
        _refuse_part(found)
    analysed = found.videos[found.videos["status"].isin(ANALYSED)]
    targets = prepare(analysed["video"].tolist(), sources, Path(out))
    faces = KnownFaces(found)
    done = []
    for row in found.videos.to_dict("records"):
        done.append(_one(row, faces, sources.get(row["video"]), targets.get(row["video"]), style, blur, progress))
        listener(done[-1])
    return AnnotateReport(tuple(done))


def prepare(names: Iterable[str], sources: Mapping[str, Path], folder: Path) -> dict[str, Path]:
    """Make the folder and choose the file to write for each video name.

    Raises UsageError where that would overwrite a source that is not itself such a file, and OutputError.
    """
    targets = files_for(names, folder, ANNOTATED)
    inputs = [Source(path, name, name) for name, path in sources.items() if not _made_here(path)]
    refuse_overwriting(inputs, targets.values())
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return targets


def _refuse_part(results: Results) -> None:
    """Faces outside the span that was analysed are unknown, and would be seen."""
    scan = results.metadata.get("settings", {}).get("scan")
    if scan is None:
        raise UsageError(
            "--blur needs results that say how videos were sampled: Parquet, or CSV as analyze left it, "
            "and what was merged of such"
        )
    if scan.get("start") or scan.get("end") is not None:
        raise UsageError("--blur needs results of whole videos; these were analysed with --start or --end")


def _one(
    row: Mapping[str, Any],
    faces: KnownFaces,
    source: Path | None,
    target: Path | None,
    style: str,
    blur: bool,
    progress: Callable[[float], object],
) -> AnnotatedVideo:
    """Annotate the video of one row of the manifest, or say why not or why not again."""
    name, message = row["video"], row["message"]
    if target is None:
        why = f"it could not be analysed: {message}" if row["status"] == "failed" else message
        return AnnotatedVideo(name, "skipped", message=why)
    if source is None:
        return AnnotatedVideo(name, "failed", message="no such file under --videos")
    try:
        if fingerprint(source) != row["video_id"]:
            return AnnotatedVideo(name, "failed", message="the file has changed since it was analysed")
        courses = faces.of(row["video_id"])
        comment = _comment(row["video_id"], courses, faces.step, style, blur)
        if target.exists() and read_comment(target) == comment:
            return AnnotatedVideo(name, "unchanged", target)
        with writing(target.parent):
            target.parent.mkdir(parents=True, exist_ok=True)
        notes = annotate_video(source, target, courses, STYLES[style], blur, faces.step, progress, comment)
    except (UnreadableVideo, EncodingFailed) as error:
        return AnnotatedVideo(name, "failed", message=str(error))
    return AnnotatedVideo(name, "written", target, "; ".join(notes) or None)


def _made_here(path: Path) -> bool:
    """Whether a file was written by an earlier call, and may be replaced."""
    return path.name.endswith(ANNOTATED) and (read_comment(path) or "").startswith("fervid ")


def _comment(video_id: str, courses: Iterable[FaceTimeline], step: float, style: str, blur: bool) -> str:
    """What an annotated file says of itself: the same for two files only where they were made of the same."""
    digest = hashlib.sha256(f"{video_id} {step} {style} {blur}".encode())
    for course in courses:
        digest.update(f"{course.face_id} {course.trust} {course.max_gap} {course.held} {len(course.times)}".encode())
        for values in (course.times, course.boxes, course.smoothed):
            digest.update(np.ascontiguousarray(values).tobytes())
    return f"fervid {__version__}; video {video_id}; drawing {digest.hexdigest()[:32]}"


def annotate_video(
    source: Path,
    target: Path,
    courses: list[FaceTimeline],
    style: Style = "full",
    blur: bool = False,
    step: float = 0.2,
    progress: Callable[[float], object] = lambda seconds: None,
    comment: str | None = None,
) -> list[str]:
    """Draw ``courses`` over every frame of one video; ``step``: seconds between its samples; ``comment``: what
    the file says of itself.

    Returns what went wrong without ending the work, in words. Raises UnreadableVideo and OutputError.
    """
    with VideoReader(source, fps=0, threads=THREADS) as reader, AudioRemuxer(source, reader.origin) as audio:
        pictures = reader.planes()
        time, planes = next(pictures, (0.0, None))
        if planes is None:
            raise UnreadableVideo("no frame can be decoded")
        height, width = planes.shape[0] * 2 // 3, planes.shape[1]
        code = matrix_code(reader.colour[0], height)
        end = max([reader.info.duration or 0.0, *(float(course.times[-1]) for course in courses)])
        overlay = Overlay(courses, width, height, end, code, style)
        with VideoWriter(
            target, width, height, EncoderSettings(CRF, PRESET, THREADS, colour=reader.colour), audio, comment
        ) as writer:
            while planes is not None:
                canvas = Canvas(planes, code)
                if blur:
                    for box in (course.cover(time, step + BLUR_REACH) for course in courses):
                        if box is not None:
                            canvas.hide(*box)
                overlay.draw(canvas, time)
                writer.write_planes(planes, time)
                before = time
                time, planes = next(pictures, (time, None))
                progress(time - before)
            writer.hold(min(reader.end_time, max(reader.info.duration or reader.end_time, time)))
        return audio.notes
