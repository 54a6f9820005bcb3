"""The photos of a gallery: what is used, what is not and why.

Of files: photos, folders of photos, folders in them, tight crops, photos that lie on their side, animations; broken
files, empty files, other formats, pipes, links that lead out, hidden files. Of what photos show: nobody, a tiny face,
one face, a large and a small face, two equal faces, other people than the rest of the folder. Of names: accents in two
forms, spaces at the ends, names that cannot be printed.
"""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from fervid.errors import InputNotFound, UsageError
from fervid.participants.embedding import FaceReader
from fervid.participants.gallery import Gallery, look_alikes, read_gallery
from fervid.types import ByteArray
from fervid.video.reader import VideoReader
from tests.support.paths import SAMPLES

pytestmark = pytest.mark.xdist_group("gallery")


def frame_at(name: str, index: int) -> ByteArray:
    with VideoReader(SAMPLES / name, fps=0) as reader:
        return next(frame.image for frame in reader.frames() if frame.index == index)


@pytest.fixture(scope="module")
def reader() -> FaceReader:
    return FaceReader(thumbnails=True)


@pytest.fixture(scope="module")
def ann() -> ByteArray:
    """A photo of one of the two people in the sample videos."""
    return frame_at("variable_rate.mp4", 0)


@pytest.fixture(scope="module")
def ben() -> ByteArray:
    """A photo of the other one."""
    return frame_at("pan_zoom.mp4", 0)


def save(path: Path, image: ByteArray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)
    return path


def face_of(reader: FaceReader, image: ByteArray, margin: float) -> ByteArray:
    """The part of a photo with its face and a margin around it."""
    shown, (face, *_) = reader.faces_of_photo(image)
    reach = margin * max(face.width, face.height)
    top, left = max(0, int(face.y - reach)), max(0, int(face.x - reach))
    return shown[top : int(face.y + face.height + reach), left : int(face.x + face.width + reach)].copy()


def read(folder: Path, reader: FaceReader) -> Gallery:
    return read_gallery(folder, reader)


def test_files_and_folders_are_people(tmp_path: Path, reader: FaceReader, ann: ByteArray, ben: ByteArray) -> None:
    save(tmp_path / "Ann Lee.jpg", ann)
    save(tmp_path / "Ben" / "first.png", ben)
    save(tmp_path / "Ben" / "summer" / "2.JPG", ben[:, ::-1].copy())
    save(tmp_path / ".hidden.png", ben)
    gallery = read(tmp_path, reader)
    assert gallery.names == ["Ann Lee", "Ben"]
    assert gallery.vectors.shape == (2, 128)
    np.testing.assert_allclose(np.linalg.norm(gallery.vectors, axis=1), 1, atol=1e-5)
    assert gallery.vectors[0] @ gallery.vectors[1] < 0.4
    assert [len(gallery.images[name]) for name in gallery.names] == [1, 2]
    assert len(gallery.photos) == 3
    assert gallery.notes == []


def test_a_photo_is_the_same_person_cropped_turned_or_as_an_animation(
    tmp_path: Path, reader: FaceReader, ann: ByteArray
) -> None:
    save(tmp_path / "whole.png", ann)
    save(tmp_path / "tight.png", face_of(reader, ann, 0.02))
    save(tmp_path / "turned.png", np.ascontiguousarray(np.rot90(ann)))
    images = [Image.fromarray(one[:, :, ::-1]) for one in (ann, ann[::-1])]
    images[0].save(tmp_path / "moving.webp", save_all=True, append_images=images[1:], lossless=True)
    gallery = read(tmp_path, reader)
    assert gallery.names == ["moving", "tight", "turned", "whole"]
    assert (gallery.vectors @ gallery.vectors[3]).min() > 0.7
    assert gallery.notes == ["photo moving.webp is an animation: only its first image is used"]
    alike = list(look_alikes(gallery, 0.5))
    assert len(alike) == 6
    assert alike[0].startswith("the photos of moving and tight look like one person (similarity 0.")


def test_what_cannot_be_used_is_noted(tmp_path: Path, reader: FaceReader, ann: ByteArray) -> None:
    save(tmp_path / "g" / "Ann.png", ann)
    save(tmp_path / "g" / "noise.png", np.random.default_rng(0).integers(0, 255, (200, 300, 3), np.uint8))
    save(tmp_path / "g" / "tiny.png", cv2.resize(face_of(reader, ann, 0.6), (60, 60)))  # type: ignore[arg-type]
    (tmp_path / "g" / "empty.jpg").write_bytes(b"")
    (tmp_path / "g" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no photo")
    (tmp_path / "g" / "phone.heic").write_bytes(b"-")
    (tmp_path / "g" / "notes.txt").write_text("-")
    os.mkfifo(tmp_path / "g" / "pipe.jpg")
    save(tmp_path / "elsewhere.png", ann)
    (tmp_path / "g" / "link.png").symlink_to(tmp_path / "elsewhere.png")
    save(tmp_path / "g" / "bad\nname.png", ann)
    gallery = read(tmp_path / "g", reader)
    assert gallery.names == ["Ann"]
    found = {note.split(" is not used: ")[0]: note.split(" is not used: ")[1] for note in gallery.notes}
    assert found.pop("photo tiny.png").endswith("pixels wide; 32 are needed")
    assert found == {
        "photo noise.png": "no face is found in it",
        "photo empty.jpg": "it is not an image that OpenCV can read",
        "photo broken.jpg": "it is not an image that OpenCV can read",
        "photo phone.heic": "an image format that is not supported; convert it to JPEG or PNG",
        "photo pipe.jpg": "it is not a regular file",
        "photo link.png": "a link that points outside the gallery",
        "photo bad\nname.png": "its name cannot be the name of a participant",
    }


def test_of_several_faces_the_clearly_largest_counts(
    tmp_path: Path, reader: FaceReader, ann: ByteArray, ben: ByteArray
) -> None:
    one, other = face_of(reader, ann, 0.5), face_of(reader, ben, 0.5)
    beside = np.full((420, 900, 3), 128, np.uint8)
    beside[10:410, 10:410] = cv2.resize(one, (400, 400))
    equal = beside.copy()
    equal[10:410, 450:850] = cv2.resize(other, (400, 400))
    beside[10:150, 450:590] = cv2.resize(other, (140, 140))
    save(tmp_path / "Ann.png", ann)
    save(tmp_path / "beside.png", beside)
    save(tmp_path / "equal.png", equal)
    gallery = read(tmp_path, reader)
    assert gallery.names == ["Ann", "beside"]
    assert gallery.vectors[0] @ gallery.vectors[1] > 0.6
    assert sorted(gallery.notes) == [
        "photo beside.png shows 2 faces: the largest is used",
        "photo equal.png is not used: it shows 2 faces; cut it to the face of one person",
    ]


def test_a_stranger_among_the_photos_of_a_person_is_left_out(
    tmp_path: Path, reader: FaceReader, ann: ByteArray, ben: ByteArray
) -> None:
    save(tmp_path / "Ann" / "1.png", ann)
    save(tmp_path / "Ann" / "2.png", ann[:, ::-1].copy())
    save(tmp_path / "Ann" / "3.png", face_of(reader, ann, 0.3))
    save(tmp_path / "Ann" / "4.png", ben)
    gallery = read(tmp_path, reader)
    assert gallery.notes == ["photo Ann/4.png is not used: it looks unlike the others of Ann"]
    save(tmp_path / "other" / "Ann.png", ann)
    assert float(gallery.vectors[0] @ read(tmp_path / "other", reader).vectors[0]) > 0.8


def test_names_with_accents_in_two_forms_are_one_name(tmp_path: Path, reader: FaceReader, ann: ByteArray) -> None:
    save(tmp_path / "Zoe\u0308" / "1.png", ann)
    save(tmp_path / " Zo\u00eb .png", ann)
    gallery = read(tmp_path, reader)
    assert gallery.names == ["Zo\u00eb"]
    assert len(gallery.images["Zo\u00eb"]) == 2


@pytest.mark.parametrize("content", [{}, {"a.txt": b"-"}, {"a.heic": b"-"}, {"a.jpg": b"-"}])
def test_a_gallery_without_a_usable_photo_is_refused(
    tmp_path: Path, reader: FaceReader, content: dict[str, bytes]
) -> None:
    for name, data in content.items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(
        UsageError, match="no photo in .* can be used: photo a" if "a.jpg" in content else "no photos in"
    ):
        read(tmp_path, reader)


def test_a_gallery_is_a_folder(tmp_path: Path, reader: FaceReader, ann: ByteArray) -> None:
    with pytest.raises(InputNotFound, match="no such gallery"):
        read(tmp_path / "gone", reader)
    with pytest.raises(UsageError, match="must be a folder of photos"):
        read(save(tmp_path / "Ann.png", ann), reader)
