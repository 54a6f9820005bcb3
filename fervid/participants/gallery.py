"""The gallery: photos of people whose names are known."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from fervid.errors import InputNotFound, UsageError
from fervid.faces.identity import MIN_SIDE
from fervid.files.animated import is_animated
from fervid.files.discover import IMAGES, OUTSIDE, Source, discover, shown_name
from fervid.files.image_io import decode_image
from fervid.participants.embedding import FaceReader, SeenFaces, robust_average
from fervid.runtime.opencv import cv2
from fervid.types import ByteArray, Face, FloatArray

CLEARLY_LARGER = 2.0
"""If a photo shows several faces, the largest counts if it is at least this many times as large as the next."""


@dataclass(eq=False)
class Gallery:
    """The people of a gallery.

    Attributes:
        names: Their names, sorted.
        vectors: (n, 128) float32, a unit vector for each.
        images: Name → thumbnails of the photos as data URIs.
        photos: The files.
        notes: What a user should know about the photos, as sentences.
    """

    names: list[str] = field(default_factory=list)
    vectors: FloatArray = field(default_factory=lambda: np.zeros((0, 128), np.float32))
    images: dict[str, list[str]] = field(default_factory=dict)
    photos: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def list_photos(folder: Path) -> list[Source]:
    """List the files of a gallery.

    Args:
        folder: The gallery: a photo ``NAME.jpg``, or a folder ``NAME`` of photos, for each person.

    Returns:
        The images, and files that look like images and cannot be used, with the reason.

    Raises:
        UsageError: There is no such folder, or no image in it.
    """
    if not folder.exists():
        raise InputNotFound(f"no such gallery: {folder}")
    if not folder.is_dir():
        raise UsageError(f"`gallery` must be a folder of photos: {folder}")
    found = discover([folder], IMAGES)
    if not any(source.skip is None for source in found):
        raise UsageError(f"no photos in {folder}; it needs a file NAME.jpg, or a folder NAME, for each person")
    return found


def read_gallery(folder: Path, reader: FaceReader) -> Gallery:
    """Read the photos of a gallery.

    Args:
        folder: See ``list_photos``.
        reader: Finds and embeds faces.

    Returns:
        The people with at least one usable photo.

    Raises:
        UsageError: There is no usable photo.
    """
    gallery = Gallery()
    seen: dict[str, SeenFaces] = {}
    files: dict[str, list[str]] = {}
    for source in list_photos(folder):
        place = shown_name(source.place)
        try:
            name = _name_of(place)
            image, face = _one_face(source, reader, gallery.notes)
        except ValueError as error:
            gallery.notes.append(f"photo {place} is not used: {error}")
            continue
        gallery.photos.append(source.path)
        reader.add(seen.setdefault(name, SeenFaces()), image, face)
        files.setdefault(name, []).append(place)
    vectors = []
    for name in sorted(seen):
        average = robust_average(seen[name].vectors)
        if average.vector is None:
            gallery.notes.append(f"{name} is left out: the photos show different people")
            continue
        left_out = [place for place, kept in zip(files[name], average.kept, strict=True) if not kept]
        gallery.notes += [f"photo {place} is not used: it looks unlike the others of {name}" for place in left_out]
        gallery.names.append(name)
        gallery.images[name] = seen[name].images
        vectors.append(average.vector)
    if not vectors:
        raise UsageError(f"no photo in {folder} can be used: {'; '.join(gallery.notes[:3])}")
    gallery.vectors = np.stack(vectors)
    return gallery


def _name_of(place: str) -> str:
    """The name of the person on a photo: the folder at the top of the gallery, or else the file without its ending."""
    parts = PurePosixPath(place).parts
    name = unicodedata.normalize("NFC", parts[0] if len(parts) > 1 else PurePosixPath(place).stem).strip()
    if not name or not name.isprintable():
        raise ValueError("its name cannot be the name of a participant")
    return name


def _one_face(source: Source, reader: FaceReader, notes: list[str]) -> tuple[ByteArray, Face]:
    """The image of a photo and the face that counts. Raises ValueError if there is none."""
    if source.skip is not None:
        raise ValueError("a link that points outside the gallery" if source.skip == OUTSIDE else source.skip)
    place = shown_name(source.place)
    image, faces = reader.faces_of_photo(_read(source.path))
    if is_animated(source.path):
        notes.append(f"photo {place} is an animation: only its first image is used")
    if not faces:
        raise ValueError("no face is found in it")
    sides = [min(face.width, face.height) for face in faces]
    if sides[0] < MIN_SIDE:
        raise ValueError(f"its face is only {sides[0]:.0f} pixels wide; {MIN_SIDE:.0f} are needed")
    if len(faces) > 1 and sides[0] < CLEARLY_LARGER * sides[1]:
        raise ValueError(f"it shows {len(faces)} faces; cut it to the face of one person")
    if len(faces) > 1:
        notes.append(f"photo {place} shows {len(faces)} faces: the largest is used")
    return image, faces[0]


def _read(path: Path) -> ByteArray:
    """The pixels of a photo. Raises ValueError if it cannot be read."""
    if path.exists() and not path.is_file():
        raise ValueError("it is not a regular file")  # reading a named pipe would never end
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from error
    image = decode_image(data, cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError("it is not an image that OpenCV can read")
    return image


def look_alikes(gallery: Gallery, threshold: float) -> Iterator[str]:
    """Find people of a gallery whose photos look like one person.

    Args:
        gallery: The gallery.
        threshold: Cosine similarity from which they do.

    Yields:
        A sentence for each pair.
    """
    products = gallery.vectors @ gallery.vectors.T
    for one, other in np.argwhere(np.triu(products >= threshold, 1)).tolist():
        names = f"{gallery.names[one]} and {gallery.names[other]}"
        yield f"the photos of {names} look like one person (similarity {products[one, other]:.2f})"
