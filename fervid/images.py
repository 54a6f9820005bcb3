"""Emotions of the faces in still images, as a CSV file with one row per face."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fervid.emotions.batching import Batcher
from fervid.emotions.classifier import EmotionClassifier, load_classifier
from fervid.errors import OutputError, UsageError, batch_exit_code
from fervid.faces.crop import fit_square
from fervid.faces.detect_and_crop import FaceNetworks, FoundFaces, find_faces
from fervid.faces.detectors import create_detector
from fervid.faces.measures import values_of
from fervid.faces.turned_faces import TurnedFaceDetector
from fervid.files.animated import is_animated
from fervid.files.atomic import writing
from fervid.files.discover import IMAGES, OUTSIDE, Source, discover, refuse_overwriting, shown_name
from fervid.files.image_io import decode_image
from fervid.results.csv import write_image_table
from fervid.runtime.opencv import cv2
from fervid.settings import RunSettings, ScanSettings
from fervid.types import EMOTIONS, MEASURES, ByteArray, Face


@dataclass(frozen=True)
class ImagesReport:
    """The outcome of ``classify_images``.

    Attributes:
        images: Number of images, including those that failed.
        faces: Number of classified faces.
        failed: (image, reason) for each image that cannot be read.
        notes: (image, note) for each image that was passed over or not classified as a whole, such as an animation.
    """

    images: int
    faces: int
    failed: tuple[tuple[str, str], ...]
    notes: tuple[tuple[str, str], ...] = ()

    @property
    def exit_code(self) -> int:
        """0 when nothing failed, 3 when some images failed, 4 when all did."""
        return batch_exit_code(len(self.failed), self.images)


def classify_images(
    paths: Iterable[str | os.PathLike[str]],
    out: Path,
    scan: ScanSettings | None = None,
    run: RunSettings | None = None,
    detect: bool = True,
) -> ImagesReport:
    """Classify the faces of still images, and write a CSV file with one row per face.

    Args:
        paths: Image files or folders.
        out: The CSV file to write.
        scan: Settings of face detection.
        run: Settings of the classifier.
        detect: Find the faces; False takes each image as a face crop.

    Returns:
        How many images and faces there were, which images failed, and which were passed over.

    Raises:
        UsageError: There are no images, or ``out`` cannot be used.
        OutputError: ``out`` cannot be written.
    """
    given, scan, run = list(paths), scan or ScanSettings(), run or RunSettings()
    listed = discover(given, IMAGES)
    # links to folders are not followed, and not counted as failed images
    sources = [source for source in listed if not source.skip or (source.skip == OUTSIDE and not source.path.is_dir())]
    notes = [(shown_name(source.name), source.skip) for source in listed if source.skip and source.skip != OUTSIDE]
    if not sources:
        raise UsageError(f"no images in {', '.join(map(str, given))}")
    refuse_overwriting(sources, [out])
    if out.suffix.lower() != ".csv":
        raise UsageError(f"`out` must end in .csv: {out}")
    if out.is_dir():
        raise OutputError(f"cannot write {out}: it is a folder")
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
    model = load_classifier(None if run.model is None else Path(run.model), run.device)
    find = _face_finder(model, scan) if detect else _whole_image_as_face
    rows: list[dict[str, Any]] = []
    crops: list[ByteArray] = []
    failed: list[tuple[str, str]] = []
    for source in sources:
        image = _read_image(source)
        if isinstance(image, str):
            failed.append((shown_name(source.name), image))
            continue
        if is_animated(source.path):
            notes.append((shown_name(source.name), "an animation, or a GIF file: only its first picture is classified"))
        found = find(image)
        crops += found.crops
        name = shown_name(source.name)
        measured = [values_of(one).tolist() for one in found.measures] or [[]] * len(found.faces)
        each = zip(found.faces, measured, strict=True)
        rows += [_face_row(name, face, values) for face, values in each] or [{"image": name}]
    _add_emotions([row for row in rows if "face_x" in row], crops, Batcher(model, run.batch_size))
    write_image_table(out, rows)
    return ImagesReport(len(sources), len(crops), tuple(failed), tuple(notes))


def _read_image(source: Source) -> ByteArray | str:
    """Read an image as (h, w, 3) uint8 BGR, or return the reason why it cannot be read."""
    try:
        if source.path.exists() and not source.path.is_file():
            return "not a file"  # reading a pipe could block forever
        image = decode_image(source.path.read_bytes(), cv2.IMREAD_COLOR)
    except OSError as error:
        return error.strerror or str(error)
    return "not an image that OpenCV can read" if image is None else image


def _face_finder(model: EmotionClassifier, settings: ScanSettings) -> Callable[[ByteArray], FoundFaces]:
    """Make a function that finds the faces of an image."""
    detector, geometry = create_detector(settings), model.sidecar.geometry
    turned = TurnedFaceDetector(detector, settings.score_threshold, settings.long_side)

    def detect(image: ByteArray) -> list[Face]:
        return turned.complete(image, detector.detect(image))

    networks = FaceNetworks() if settings.measures else None
    return lambda image: find_faces(image, detect, geometry, settings.min_face, networks)


def _whole_image_as_face(image: ByteArray) -> FoundFaces:
    """Take the central square of an image as its only face."""
    height, width = image.shape[:2]
    side = min(height, width)
    left, top = (width - side) // 2, (height - side) // 2
    gray = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)
    return FoundFaces([Face(left, top, side, side, score=float("nan"))], [fit_square(gray)])


def _face_row(image: str, face: Face, measures: Sequence[float]) -> dict[str, Any]:
    """The row of a face, without its emotions. ``measures``: in the order of MEASURES, NaN if unknown; may be empty."""
    known = {name: value for name, value in zip(MEASURES, measures, strict=False) if not np.isnan(value)}
    box = {"face_x": face.x, "face_y": face.y, "face_width": face.width, "face_height": face.height}
    return {"image": image, **box, "face_score": None if np.isnan(face.score) else face.score, **known}


def _add_emotions(rows: list[dict[str, Any]], crops: list[ByteArray], batcher: Batcher[int]) -> None:
    """Classify the crops and add the probabilities of each crop to its row."""
    results = [result for index, crop in enumerate(crops) for result in batcher.add(index, crop[None])]
    for result in [*results, *batcher.flush()]:
        probabilities = result.probabilities[0]
        best = int(probabilities.argmax())
        rows[result.key].update(zip(EMOTIONS, probabilities.tolist(), strict=True))
        rows[result.key].update(emotion=EMOTIONS[best], confidence=float(probabilities[best]))
