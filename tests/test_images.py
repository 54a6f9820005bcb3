"""``fervid classify``: the faces of still images."""

from __future__ import annotations

import io
import os
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fervid.errors import InputNotFound, OutputError, UsageError
from fervid.files.image_io import decode_image
from fervid.images import classify_images
from fervid.results.schema import STILLS
from fervid.settings import ScanSettings
from fervid.types import EMOTIONS, ByteArray
from fervid.video.reader import VideoReader
from tests.support.paths import SAMPLES


@pytest.fixture(scope="module")
def two_faces() -> ByteArray:
    """A frame with two faces."""
    with VideoReader(SAMPLES / "crossing.mp4", fps=0) as reader:
        return next(iter(reader.frames())).image


@pytest.fixture
def folder(tmp_path: Path, two_faces: ByteArray) -> Path:
    root = tmp_path / "images"
    root.mkdir()
    cv2.imwrite(str(root / "two.png"), two_faces)
    cv2.imwrite(str(root / "none.jpg"), np.full((80, 90, 3), 127, np.uint8))
    return root


def test_one_row_per_face_and_one_for_an_image_without_faces(folder: Path, tmp_path: Path) -> None:
    report = classify_images([folder], tmp_path / "l.csv")
    table = pd.read_csv(tmp_path / "l.csv")
    assert table.columns.tolist() == STILLS.names
    assert (report.images, report.faces, report.exit_code) == (2, 2, 0)
    assert table["image"].tolist() == ["none.jpg", "two.png", "two.png"]
    assert table.iloc[0].drop("image").isna().all()
    faces = table.iloc[1:]
    np.testing.assert_allclose(faces[list(EMOTIONS)].sum(axis=1), 1, atol=1e-4)
    assert (faces["emotion"] == faces[list(EMOTIONS)].idxmax(axis=1)).all()
    np.testing.assert_allclose(faces["confidence"], faces[list(EMOTIONS)].max(axis=1))


def test_small_faces_can_be_left_out(folder: Path, tmp_path: Path) -> None:
    report = classify_images([folder], tmp_path / "l.csv", ScanSettings(min_face=2000))
    assert report.faces == 0
    assert len(pd.read_csv(tmp_path / "l.csv")) == 2


def test_without_detection_the_central_square_is_the_face(tmp_path: Path) -> None:
    crop = np.random.default_rng(0).integers(0, 256, (64, 96), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), crop)
    report = classify_images([tmp_path / "a.png"], tmp_path / "l.csv", detect=False)
    row = pd.read_csv(tmp_path / "l.csv").iloc[0]
    assert report.faces == 1
    assert row[["face_x", "face_y", "face_width", "face_height"]].tolist() == [16, 0, 64, 64]
    assert np.isnan(row["face_score"])
    assert row[list(EMOTIONS)].sum() == pytest.approx(1, abs=1e-4)


def test_an_unreadable_image_does_not_stop_the_others(folder: Path, tmp_path: Path) -> None:
    (folder / "bad.png").write_text("no image")
    (folder / "empty.png").touch()
    report = classify_images([folder], tmp_path / "l.csv")
    assert {name for name, _ in report.failed} == {"bad.png", "empty.png"}
    assert report.exit_code == 3
    assert report.faces == 2
    assert classify_images([folder / "bad.png"], tmp_path / "m.csv").exit_code == 4


def test_pipes_are_not_read_and_links_to_folders_are_not_followed(folder: Path, tmp_path: Path) -> None:
    few = tmp_path / "few"
    few.mkdir()
    os.mkfifo(few / "pipe.jpg")
    (few / "away").symlink_to(folder)
    report = classify_images([few], tmp_path / "out.csv")
    assert report.failed == (("pipe.jpg", "not a file"),)
    assert report.images == 1


def test_an_unusable_output_is_reported_before_the_work(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "file").touch()
    for out, error in (("x.parquet", UsageError), ("folder.csv", OutputError), ("file/x.csv", OutputError)):
        with pytest.raises(error):
            classify_images([folder], tmp_path / out)
    classify_images([folder], tmp_path / "new" / "x.csv")
    assert (tmp_path / "new" / "x.csv").is_file()


def test_wrong_calls_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputNotFound):
        classify_images([tmp_path / "nothing"], tmp_path / "l.csv")
    (tmp_path / "void").mkdir()
    with pytest.raises(UsageError, match="no images"):
        classify_images([tmp_path / "void"], tmp_path / "l.csv")


@pytest.mark.parametrize("ending", ["jfif", "jpe", "gif", "avif", "jp2", "webp", "tif", "ppm"])
def test_images_of_any_ending_are_found(tmp_path: Path, two_faces: ByteArray, ending: str) -> None:
    (tmp_path / "in").mkdir()
    done, data = cv2.imencode({"jfif": ".jpg"}.get(ending, f".{ending}"), two_faces)
    assert done
    (tmp_path / f"in/a.{ending}").write_bytes(data.tobytes())
    report = classify_images([tmp_path / "in"], tmp_path / "l.csv")
    assert (report.images, report.faces, report.failed) == (1, 2, ())


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tif", "avif"])
def test_an_image_is_shown_as_its_orientation_says(ending: str) -> None:
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[:24, :32], pixels[24:, :32], pixels[:24, 32:] = (250, 0, 0), (0, 250, 0), (0, 0, 250)
    expected = [pixels, pixels[:, ::-1], np.rot90(pixels, 2), pixels[::-1], np.transpose(pixels, (1, 0, 2))]
    expected += [np.rot90(pixels, -1), np.rot90(pixels, 2).transpose(1, 0, 2), np.rot90(pixels)]
    for orientation, shown in enumerate(expected, start=1):
        data, exif = io.BytesIO(), Image.Exif()
        exif[0x112] = orientation
        Image.fromarray(pixels).save(data, format=Image.registered_extensions()[f".{ending}"], exif=exif)
        decoded = decode_image(data.getvalue(), cv2.IMREAD_COLOR)
        assert decoded is not None
        assert decoded.shape == shown.shape, orientation
        assert np.abs(decoded[:, :, ::-1].astype(int) - shown).mean() < 12, orientation


def test_what_is_not_classified_is_noted(folder: Path, tmp_path: Path, two_faces: ByteArray) -> None:
    (folder / "a.heic").touch()
    (folder / "b.CR2").touch()
    pictures = [Image.fromarray(image) for image in (two_faces, two_faces[::-1])]
    pictures[0].save(folder / "moving.webp", save_all=True, append_images=pictures[1:])
    report = classify_images([folder], tmp_path / "l.csv")
    notes = dict(report.notes)
    assert set(notes) == {"a.heic", "b.CR2", "moving.webp"}
    assert "convert it" in notes["a.heic"]
    assert "first picture" in notes["moving.webp"]
    assert (report.images, report.faces, report.exit_code) == (3, 4, 0)
