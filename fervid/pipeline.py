"""Analysing one video in memory, and the steps of the pipeline for use in your own code."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from fervid.emotions.batching import Batcher
from fervid.emotions.classifier import EmotionClassifier, load_classifier
from fervid.emotions.sidecar import SHIPPED, read_sidecar
from fervid.errors import InputNotFound, UnreadableVideo, UsageError
from fervid.faces.array_checks import check_image
from fervid.faces.crop import SIZE, CropGeometry, crop_face
from fervid.files.discover import shown_name
from fervid.files.fingerprint import content_size, fingerprint
from fervid.files.sequences import exists
from fervid.results.in_memory import results_of_video
from fervid.results.provenance import made_with
from fervid.results.reader import Results
from fervid.results.rows import result_rows
from fervid.runtime.opencv import cv2
from fervid.scan.scan import reader_notes, scan_video
from fervid.settings import AnalyzeSettings, DecoderName, ScanSettings, convert
from fervid.settings_io import to_mapping
from fervid.types import EMOTIONS, ByteArray, Face, FloatArray, Frame, VideoInfo
from fervid.video.reader import VideoReader


@dataclass(frozen=True, eq=False, kw_only=True)
class VideoResults(Results):
    """The results of one video, in memory.

    It has the tables of ``Results`` (``timeline``, ``episodes``, ``summary``, and ``videos`` with one row), so
    ``plot_timeline`` draws it.

    Attributes:
        info: Size, rotation, codec and duration of the video.
        notes: What went wrong without ending the analysis, such as damaged frames. Empty if all went well.
    """

    info: VideoInfo
    notes: tuple[str, ...] = ()

    @property
    def message(self) -> str | None:
        """The notes as one line, as in the ``message`` column of the manifest; None if there are none."""
        return "; ".join(self.notes) or None


def scan_and_classify(
    path: str | os.PathLike[str], settings: AnalyzeSettings, classifier: EmotionClassifier | None = None
) -> VideoResults:
    """Analyse one video in this process and return its tables.

    Args:
        path: The video file.
        settings: All settings. ``inputs`` and the parts of ``run`` that concern a batch have no effect.
        classifier: A loaded classifier, to save loading it for every video; None loads the one of the settings.

    Returns:
        The tables, with the values that ``analyze`` writes for the same file and settings.

    Raises:
        InputNotFound: The file does not exist.
        UnreadableVideo: The file cannot be decoded.
        ConfigError: ``classifier`` is no EmotionClassifier.
        BadWeights: The weights of the detector or the classifier cannot be used.
        MissingLibrary: The package of the detector is not installed.
    """
    if classifier is not None:
        classifier = convert(EmotionClassifier, classifier, "`classifier`")
    source = Path(path)
    with _naming(source):
        size, video_id = content_size(source), fingerprint(source)
    if classifier is None:
        classifier = load_classifier(settings.run.model, settings.run.device)
    threads = cv2.getNumThreads()
    try:
        with _naming(source), tempfile.TemporaryDirectory(prefix="fervid-") as folder:
            crops = Path(folder) / "crops"
            scan = scan_video(source, video_id, settings.scan, classifier.sidecar.geometry, crops)
            probabilities = _probabilities(classifier, scan.crops, settings.run.batch_size)
            timeline, rows = result_rows(scan, probabilities, settings.timeline, size)
    finally:
        cv2.setNumThreads(threads)  # scan_video sets it to 1 for the whole process
    tables = results_of_video(shown_name(source.name), timeline, rows, _metadata(settings, classifier))
    return VideoResults(**(vars(tables) | {"notes": tuple(scan.notes)}), info=scan.info)


@contextlib.contextmanager
def _naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Check that a file exists, and name it in the error if it cannot be read."""
    if not exists(Path(path)):
        raise InputNotFound(f"no such file: {path}")
    if os.path.isdir(path):
        raise UnreadableVideo(f"{path}: a folder, not a video")
    try:
        yield
    except UnreadableVideo as error:
        raise UnreadableVideo(f"{path}: {error}") from error


def _probabilities(classifier: EmotionClassifier, crops: Any, batch_size: int) -> FloatArray:
    batcher: Batcher[int] = Batcher(classifier, batch_size)
    done = [*batcher.add(0, crops), *batcher.flush()]
    return np.concatenate([np.zeros((0, len(EMOTIONS)), np.float32), *(video.probabilities for video in done)])


def _metadata(settings: AnalyzeSettings, classifier: EmotionClassifier) -> dict[str, Any]:
    as_read = json.loads(json.dumps(to_mapping(settings)))  # tuples become lists, as in metadata read from a file
    return {**made_with(settings.scan, classifier.sidecar), "settings": as_read}


class Video:
    """A video file from which frames are read. Made by ``open_video``; a context manager.

    Attributes:
        info: Size, rotation, codec and duration, as shown by a player.
        notes: What went wrong in the frames that were read so far, such as damaged packets.
    """

    def __init__(self, path: str | os.PathLike[str], settings: ScanSettings) -> None:
        self._path, self._settings = path, settings
        self._readers: set[VideoReader] = set()
        self._closed = False
        self.notes: list[str] = []
        with _naming(path), VideoReader(path, options=settings.open_options) as reader:
            self.info: VideoInfo = reader.info

    def __enter__(self) -> Video:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the file."""
        self._closed = True
        for reader in list(self._readers):
            reader.close()
        self._readers.clear()

    def frames(self, fps: float = 5.0, start: float = 0.0, end: float | None = None) -> Iterator[Frame]:
        """Read sampled frames in the order of time. May be called again, for the same or other frames.

        Args:
            fps: Frames per second of video: at each multiple of 1/fps after ``start``, the first frame at or after it,
                and no frame twice. 0 takes every frame.
            start: Time of the first frame, in seconds.
            end: Time of the last frame, in seconds; None reads to the end.

        Yields:
            Frames. ``frame.image`` is (height, width, 3) uint8, blue-green-red, with rotation and pixel shape applied;
            it is decoded when it is first used. ``frame.time`` is the presentation time in seconds.

        Raises:
            ConfigError: A value is out of range.
            UnreadableVideo: The video cannot be decoded any further.
            UsageError: The video is closed.
        """
        settings = dataclasses.replace(self._settings, fps=fps, start=start, end=end)
        if self._closed:
            raise UsageError("the video is closed")
        return self._sampled(settings)

    def _sampled(self, settings: ScanSettings) -> Iterator[Frame]:
        with _naming(self._path):
            reader = VideoReader(
                self._path, fps=settings.fps, start=settings.start, end=settings.end, options=settings.open_options
            )
        self._readers.add(reader)
        try:
            with reader:
                for frame in reader.frames():
                    if frame.sampled:
                        yield frame
                    if self._closed:
                        raise UsageError("the video is closed")
                self.notes = reader_notes(reader, settings)
        finally:
            self._readers.discard(reader)


def open_video(
    path: str | os.PathLike[str],
    decoder: DecoderName = "cpu",
    stream: int | None = None,
    fps_in: float | None = None,
    rotate: int = 0,
) -> Video:
    """Open a video file to read its frames.

    Example:
        >>> detector = fervid.load_detector()
        >>> with fervid.open_video("sample_videos/cut.mp4") as video:
        ...     for frame in video.frames(fps=1):
        ...         faces = detector.detect(frame.image)
        >>> len(faces), faces[0].score > 0.65
        (1, True)

    Args:
        path: The video file.
        decoder: ``cpu``, or ``nvdec`` to decode on an NVIDIA GPU where possible.
        stream: Number of the video stream to read, as ffprobe counts all streams from 0. None takes the default one.
        fps_in: Images per second, if ``path`` is an image sequence such as ``frame_%05d.png``.
        rotate: Degrees by which frames are turned clockwise, beyond the rotation that the file states: 0, 90, 180 or
            270.

    Returns:
        The open video; use it in a ``with`` statement. Its ``info`` describes it, its ``frames`` method reads it.

    Raises:
        InputNotFound: The file does not exist.
        UnreadableVideo: The file cannot be decoded.
        ConfigError: ``decoder`` or ``rotate`` is not one of the choices, or another value is out of range.
    """
    return Video(path, ScanSettings(decoder=decoder, stream=stream, fps_in=fps_in, rotate=rotate))


@cache
def _shipped_geometry() -> CropGeometry:
    return read_sidecar(SHIPPED).geometry


def crop_faces(image: ByteArray, faces: Sequence[Face], geometry: CropGeometry | None = None) -> ByteArray:
    """Cut detected faces out of an image, as the emotion classifier expects them.

    Example:
        >>> with fervid.open_video("sample_videos/cut.mp4") as video:
        ...     frame = next(video.frames())
        >>> faces = fervid.load_detector().detect(frame.image)
        >>> crops = fervid.crop_faces(frame.image, faces)
        >>> fervid.load_classifier().probabilities(crops).shape
        (1, 7)

    Args:
        image: (height, width, 3) uint8, blue-green-red, such as ``frame.image``.
        faces: Faces as a detector returns them for this image.
        geometry: How a crop lies around a face's box; None uses that of the weights that fervid ships. Other weights
            have their own in ``classifier.sidecar.geometry``.

    Returns:
        (n, 48, 48) uint8, gray, in the order of ``faces``.

    Raises:
        UsageError: ``image`` has another shape or type, or is empty.
    """
    check_image(image)
    geometry = geometry or _shipped_geometry()
    gray = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)
    crops = [crop_face(gray, face, geometry) for face in faces]
    return np.stack(crops) if crops else np.zeros((0, SIZE, SIZE), np.uint8)
