"""The layouts in which FER2013 is distributed, and errors in bad data."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from fervid.errors import BadDataset, InputNotFound
from fervid.training.dataset import VOTE_COLUMNS, Dataset, read, sample, split
from fervid.types import EMOTIONS

RNG = np.random.default_rng(0)


def face_image(label: int, size: int = 48) -> np.ndarray:
    return np.clip(RNG.normal(30 * label + 20, 10, (size, size)), 0, 255).astype(np.uint8)


def kaggle(path: Path, rows: list[tuple[object, str, str]]) -> Path:
    lines = ["emotion,pixels,Usage", *(f"{label},{pixels},{usage}" for label, pixels, usage in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def text(image: np.ndarray) -> str:
    return " ".join(map(str, image.ravel().tolist()))


def png(image: np.ndarray) -> bytes:
    return bytes(cv2.imencode(".png", image)[1].tobytes())


def test_kaggle_csv(tmp_path: Path) -> None:
    images = [face_image(label) for label in range(7)]
    usages = ["Training"] * 5 + ["PublicTest", "PrivateTest"]
    rows = [(label, text(images[label]), usages[label]) for label in range(7)]
    path = kaggle(tmp_path / "fer2013.csv", list(rows))
    data = read([path])
    np.testing.assert_array_equal(data.images, images)
    assert data.labels.tolist() == list(range(7))
    assert read([path], "Training").labels.tolist() == list(range(5))
    assert read([path], "PublicTest").labels.tolist() == [5]


def test_the_split_is_found_however_it_is_spelt(tmp_path: Path) -> None:
    rows = [(1, text(face_image(1)), "Training"), (2, text(face_image(2)), "PublicTest")]
    written = kaggle(tmp_path / "a.csv", list(rows)).read_text().lower()
    (tmp_path / "b.csv").write_text(f"\ufeff{written}\n", encoding="utf-8")
    for name in ("a.csv", "b.csv"):
        assert read([tmp_path / name], "Training").labels.tolist() == [1]
        assert read([tmp_path / name], "PublicTest").labels.tolist() == [2]
    for column in ("usage", "Usage", "split"):
        table = {"image": [png(face_image(3)), png(face_image(4))], "label": [3, 4], column: ["Training", "test"]}
        pd.DataFrame(table).to_parquet(tmp_path / "c.parquet")
        assert read([tmp_path / "c.parquet"], "PublicTest").labels.tolist() == [4]


def test_parquet_files_may_be_named_after_splits(tmp_path: Path) -> None:
    for number, name in enumerate(("train-00000-of-00001", "test-00000-of-00001", "._train-00000-of-00001")):
        frame = pd.DataFrame({"image": [png(face_image(number))], "label": [number]})
        frame.to_parquet(tmp_path / f"{name}.parquet")
    assert read([tmp_path], "Training").labels.tolist() == [0]
    assert read([tmp_path], "PublicTest").labels.tolist() == [1]


def test_hidden_files_are_no_images(tmp_path: Path) -> None:
    for name in ("happy", ".ipynb_checkpoints"):
        (tmp_path / name).mkdir()
    cv2.imwrite(str(tmp_path / "happy" / "a.png"), face_image(3, 48))
    (tmp_path / "happy" / "._a.png").write_bytes(b"resource fork")
    assert len(read([tmp_path])) == 1


def test_votes_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    columns = {name: ["many"] for name in VOTE_COLUMNS}
    pd.DataFrame({"image": [png(face_image(3))], "label": [3], **columns}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(BadDataset, match="votes"):
        read([tmp_path / "a.parquet"])


def test_class_folders_in_either_spelling(tmp_path: Path) -> None:
    names = {"angry": 0, "Disgusted": 1, "fear": 2, "happiness": 3, "sad": 4, "surprised": 5, "neutral": 6}
    for split_name in ("train", "test"):
        for name, label in names.items():
            folder = tmp_path / "faces" / split_name / name
            folder.mkdir(parents=True)
            cv2.imwrite(str(folder / "a.png"), face_image(label, 96))
    data = read([tmp_path / "faces"], "Training")
    assert sorted(data.labels.tolist()) == list(range(7))
    assert data.images.shape == (7, 48, 48)
    for image, label in zip(data.images, data.labels, strict=True):
        assert image.mean() == pytest.approx(30 * label + 20, abs=3)
    assert len(read([tmp_path / "faces"])) == 14
    assert len(read([tmp_path / "faces" / "train"])) == 7


def test_parquet_and_folders_of_it(tmp_path: Path) -> None:
    rows = [
        {"image": {"bytes": png(face_image(label)), "path": "x"}, "label": label, "usage": "Training"}
        for label in range(7)
    ]
    pd.DataFrame(rows).to_parquet(tmp_path / "a.parquet")
    pd.DataFrame({"image": [png(face_image(3))], "label": ["happy"]}).to_parquet(tmp_path / "b.parquet")
    data = read([tmp_path])
    assert data.labels.tolist() == [*range(7), 3]
    assert data.votes.sum() == 0
    assert len(read([tmp_path], "PublicTest")) == 1, "a table without splits belongs to every split"


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ("PublicTest", [467, 56, 496, 895, 653, 415, 607]),
        pytest.param("Training", [3769, 350, 3788, 7003, 4647, 2454, 4791], marks=pytest.mark.slow),
    ],
)
def test_shared_fer2013(shared_data: Path, usage: str, counts: list[int]) -> None:
    # the smaller table alone, and both, of which all but one split is left out
    data = read([shared_data / "fer2013-publictest.parquet" if usage == "PublicTest" else shared_data], usage)
    assert data.counts().tolist() == counts
    sums = data.votes.sum(axis=1)
    assert np.isclose(sums, 1).mean() > 0.99
    assert (np.isclose(sums, 1, atol=1e-5) | (sums == 0)).all()
    agree = (data.votes[:, :7].argmax(axis=1) == data.labels).mean()
    assert 0.55 < agree < 0.72, "the votes' columns are in the wrong order"


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([(7, "0 " * 2304, "Training")], "row 1: label '7'"),
        ([(0, "0 " * 2304, "Training"), ("joy", "0 " * 2304, "Training")], "row 2: label 'joy'"),
        ([(0, "0 " * 2303, "Training")], "row 1: 2303 pixels"),
        ([(0, "0 " * 2303 + "256", "Training")], "row 1: a pixel lies outside"),
        ([(0, "0 " * 2303 + "x", "Training")], "row 1: pixels are not whole numbers"),
        ([], "no images"),
    ],
)
def test_bad_csv_names_the_row(tmp_path: Path, rows: list[tuple[object, str, str]], said: str) -> None:
    with pytest.raises(BadDataset, match=said):
        read([kaggle(tmp_path / "f.csv", rows)])


def test_bad_layouts_are_named(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(BadDataset, match="no column emotion, pixels"):
        read([tmp_path / "x.csv"])
    (tmp_path / "y.csv").write_bytes(bytes(range(256)))
    with pytest.raises(BadDataset, match=r"y\.csv"):
        read([tmp_path / "y.csv"])
    (tmp_path / "z.parquet").write_text("no table")
    with pytest.raises(BadDataset, match="not a readable Parquet"):
        read([tmp_path / "z.parquet"])
    pd.DataFrame({"image": [b"no image"], "label": [1]}).to_parquet(tmp_path / "w.parquet")
    with pytest.raises(BadDataset, match="row 0: not an image"):
        read([tmp_path / "w.parquet"])
    pd.DataFrame({"picture": [1]}).to_parquet(tmp_path / "v.parquet")
    with pytest.raises(BadDataset, match="no column image, label"):
        read([tmp_path / "v.parquet"])
    with pytest.raises(InputNotFound):
        read([tmp_path / "nothing"])
    (tmp_path / "u.txt").touch()
    with pytest.raises(BadDataset, match=r"expected a \.csv"):
        read([tmp_path / "u.txt"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadDataset, match="no class folders"):
        read([tmp_path / "empty"])
    (tmp_path / "odd" / "joyful").mkdir(parents=True)
    with pytest.raises(BadDataset, match="joyful"):
        read([tmp_path / "odd"])


def made(counts: list[int]) -> Dataset:
    labels = np.repeat(np.arange(7), counts)
    images = np.arange(len(labels), dtype=np.uint32).view(np.uint8).reshape(-1, 4)
    square = np.zeros((len(labels), 48, 48), np.uint8)
    square[:, 0, :4] = images
    return Dataset(square, labels, np.array([""] * len(labels)), np.zeros((len(labels), 8), np.float32))


def test_split_is_stratified_disjoint_and_repeatable() -> None:
    data = made([40, 20, 60, 80, 100, 20, 40])
    rest, held = split(data, 0.1, seed=3)
    assert held.counts().tolist() == [4, 2, 6, 8, 10, 2, 4]
    assert rest.counts().tolist() == [36, 18, 54, 72, 90, 18, 36]
    keys = {image[0, :4].tobytes() for image in held.images}
    assert keys.isdisjoint(image[0, :4].tobytes() for image in rest.images)
    np.testing.assert_array_equal(split(data, 0.1, seed=3)[1].images, held.images)
    assert (split(data, 0.1, seed=4)[1].images != held.images).any()


def test_sample_keeps_every_class() -> None:
    assert sample(made([100, 10, 100, 100, 100, 100, 100]), 61, 0).counts().tolist() == [10, 2, 10, 10, 10, 10, 10]
    assert len(EMOTIONS) == 7
