"""Mouths of neutral faces opened in training images, targets from the annotators' votes, and frozen blocks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import fervid
from fervid.emotions.architecture import Architecture
from fervid.emotions.keras_network import build
from fervid.emotions.sidecar import SHIPPED, read_sidecar
from fervid.errors import ConfigError
from fervid.faces.crop import FER2013_GEOMETRY, crop_face
from fervid.runtime.opencv import cv2
from fervid.settings_io import to_mapping
from fervid.training import train as training
from fervid.training.augment import AugmentSettings
from fervid.training.batches import Epoch
from fervid.training.dataset import Dataset, split
from fervid.training.evaluate import held_out
from fervid.training.mouths import find_mouths, open_mouth, open_mouths
from fervid.training.recipe import TrainSettings
from fervid.training.votes import label_chances, multiply
from fervid.types import EMOTIONS, ByteArray, FloatArray
from tests.support.paths import ROOT, SAMPLES

NEUTRAL = EMOTIONS.index("neutral")


@pytest.fixture
def tiny() -> TrainSettings:
    """A recipe for a network with one stage of four channels."""
    shape = Architecture(widths=(4, 8), pairs=(1,), dropout=0.1)
    return TrainSettings(epochs=2, batch_size=16, warmup=1, ema=0.5, mixed_precision=False, architecture=shape)


def mouth_of(x: float = 23.5, y: float = 30.0, width: float = 14.0, degrees: float = 0.0) -> FloatArray:
    """A closed mouth with its middle at x, y, turned clockwise in the image, and a chin 12 pixels below it."""
    along = np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])
    down = np.array([-along[1], along[0]])
    middle = np.array([x, y])
    offsets = (0 * down, 0 * down, -along * width / 2, along * width / 2, 12 * down)
    return np.array([middle + offset for offset in offsets], np.float32)


def rows_image() -> ByteArray:
    """Each pixel has the gray value of its row, times 4."""
    return np.repeat(np.arange(48, dtype=np.uint8)[:, None] * 4, 48, axis=1)


def test_the_gap_is_dark_and_as_high_as_asked() -> None:
    image = rows_image()
    opened = open_mouth(image, mouth_of(), 0.5, 0.1)
    dark = round(0.1 * float(np.median(image)))
    assert (opened[31:36, 23] == dark).all(), "0.5 times 14 pixels below the lips"
    assert (opened[39:, 23] > dark).all()
    np.testing.assert_array_equal(opened[:28], image[:28])  # nothing above the mouth changes
    assert (opened[:, 0] == image[:, 0])[:34].all()


def test_the_lower_lip_moves_down_by_the_height_of_the_gap() -> None:
    image = rows_image()
    image[31] = 255  # a lip
    opened = open_mouth(image, mouth_of(), 0.5, 0.1)
    assert abs(int(opened[34:, 23].argmax()) + 34 - 38) <= 1


def test_a_turned_mouth_opens_along_its_own_axis() -> None:
    flat = np.full((48, 48), 200, np.uint8)
    hole = open_mouth(flat, mouth_of(degrees=90), 0.6, 0.0) < 100  # down is to the left
    rows, columns = np.nonzero(hole)
    assert columns.max() <= 24
    assert columns.min() <= 18
    assert abs(rows.mean() - 30) < 0.5


@pytest.mark.parametrize(("mouth", "amount"), [(mouth_of(), 0.0), (mouth_of(width=3.0), 0.5)])
def test_a_gap_of_no_height_and_a_tiny_mouth_change_little_or_nothing(mouth: FloatArray, amount: float) -> None:
    image = rows_image()
    assert (open_mouth(image, mouth, amount, 0.1) != image).sum() <= 16  # the line between the lips


def test_mouths_are_found_in_wanted_images_and_kept(faces: Dataset, tmp_path: Path) -> None:
    wanted = np.zeros(len(faces), bool)
    wanted[:2] = True
    cache = tmp_path / "mouths.npy"
    mouths = find_mouths(faces.images, wanted, cache)
    assert mouths.shape == (len(faces), 5, 2)
    assert np.isnan(mouths[2:]).all()
    np.testing.assert_array_equal(np.load(cache), mouths)
    np.save(cache, np.full_like(mouths, 7))
    assert (find_mouths(faces.images, wanted, cache) == 7).all(), "a continued run does not look again"
    np.save(cache, np.zeros((1, 5, 2)))
    np.testing.assert_array_equal(find_mouths(faces.images, wanted, cache), mouths)  # of other images


def test_the_mouth_of_a_real_face_is_found_where_it_is() -> None:
    with fervid.open_video(SAMPLES / "variable_rate.mp4") as video:
        image = next(video.frames()).image
    face = fervid.load_detector().detect(image)[0]
    crop = crop_face(np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)), face, FER2013_GEOMETRY)
    mouth = find_mouths(crop[None], np.array([True]))[0]
    left, top, side = FER2013_GEOMETRY.square(face)
    assert face.landmarks is not None
    corners = (np.asarray(face.landmarks)[3:5] - (left, top)) * 48 / side
    np.testing.assert_allclose(sorted(mouth[2:4].tolist()), sorted(corners.tolist()), atol=2.5)
    assert mouth[4, 1] > mouth[2:4, 1].max(), "the chin is below the mouth"


def test_the_share_of_opened_mouths_is_as_asked() -> None:
    images = np.tile(np.full((48, 48), 200, np.uint8), (400, 1, 1))
    mouths = np.tile(mouth_of(), (400, 1, 1))
    mouths[300:] = np.nan
    changed = (open_mouths(images, mouths, 0.25, np.random.default_rng(0)) != images).any(axis=(1, 2))
    assert 0.18 < changed[:300].mean() < 0.32
    assert not changed[300:].any()


def test_a_recipe_without_opened_mouths_has_the_batches_that_it_had(faces: Dataset, tiny: TrainSettings) -> None:
    mouths = np.tile(mouth_of(), (len(faces), 1, 1))
    plain, closed = Epoch(faces, tiny, 0)[0], Epoch(faces, tiny, 0, None, np.full_like(mouths, np.nan))[0]
    np.testing.assert_array_equal(plain[0], closed[0])
    settings = replace(tiny, augment=AugmentSettings(open_mouth=1.0))
    assert (Epoch(faces, settings, 0, None, mouths)[0][0] != plain[0]).any()


# votes


def voted(count: int = 600) -> Dataset:
    """Images whose votes agree with their label in four of five cases."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 7, count)
    seen = np.where(rng.random(count) < 0.8, labels, rng.integers(0, 7, count))
    votes = np.eye(8, dtype=np.float32)[seen] * 0.7
    votes[:, NEUTRAL] += 0.3
    nothing = np.zeros((count, 48, 48), np.uint8)
    return Dataset(nothing, labels, np.full(count, "Training"), votes)


def test_the_votes_predict_the_labels_and_are_calibrated() -> None:
    data = voted()
    chances = label_chances(data)
    np.testing.assert_allclose(chances.sum(axis=1), 1, atol=1e-5)
    right = chances.argmax(axis=1) == data.labels
    assert right.mean() > 0.75
    assert abs(float(chances.max(axis=1).mean()) - right.mean()) < 0.04


def test_images_without_votes_get_equal_chances(faces: Dataset) -> None:
    data = voted()
    votes = data.votes.copy()
    votes[5] = 0
    chances = label_chances(replace(data, votes=votes))
    np.testing.assert_allclose(chances[5], 1 / 7)
    np.testing.assert_allclose(label_chances(replace(data, votes=np.zeros_like(votes))), 1 / 7)


def test_a_product_with_the_votes_is_a_distribution() -> None:
    rng = np.random.default_rng(1)
    teachers, chances = (rng.dirichlet(np.ones(7), 20).astype(np.float32) for _ in range(2))
    np.testing.assert_allclose(multiply(teachers, chances, 0.0), teachers, atol=1e-6)
    product = multiply(teachers, chances, 1.0)
    np.testing.assert_allclose(product.sum(axis=1), 1, atol=1e-6)
    ratio = (product[:, 0] / product[:, 1]) / ((teachers * chances)[:, 0] / (teachers * chances)[:, 1])
    np.testing.assert_allclose(ratio, 1, rtol=1e-4)


# frozen blocks


def test_frozen_blocks_are_not_trained(tiny: TrainSettings) -> None:
    network = training._compile(replace(tiny, freeze="stem"), 1)
    trained = {layer.name for layer in network.layers if layer.trainable_weights}
    assert not any(name.startswith("stem") for name in trained)
    assert {"stage1_0_a_conv", "emotion"} <= trained


def test_an_unknown_block_is_refused(tiny: TrainSettings) -> None:
    with pytest.raises(ConfigError, match="no block stage9_0"):
        training._compile(replace(tiny, freeze="stage9_0"), 1)


def test_statistics_of_frozen_blocks_stay(faces: Dataset, tiny: TrainSettings) -> None:
    settings = replace(tiny, freeze="stem")
    network = build(settings.architecture, training=True)
    training._freeze(network, settings)
    before = [np.array(weight) for weight in network.get_layer("stem_bn").get_weights()]
    free = [np.array(weight) for weight in network.get_layer("stage1_0_a_bn").get_weights()]
    training._measure_statistics(network, faces, settings)
    for old, new in zip(before, network.get_layer("stem_bn").get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    moved = zip(free, network.get_layer("stage1_0_a_bn").get_weights(), strict=True)
    assert any((old != new).any() for old, new in moved)


def test_runs_of_other_seeds_can_hold_out_the_same_images(faces: Dataset, tiny: TrainSettings) -> None:
    first, second = (replace(tiny, seed=seed, holdout_seed=7, holdout=0.2) for seed in (1, 2))
    np.testing.assert_array_equal(
        training._divide(faces, first).choice.images, training._divide(faces, second).choice.images
    )
    other = training._divide(faces, replace(second, holdout_seed=None))
    assert (other.choice.images != training._divide(faces, second).choice.images).any()
    counts = dict(zip(EMOTIONS, map(int, faces.counts()), strict=True))
    said = {"settings": to_mapping(second), "class_counts": counts}
    sidecar = replace(read_sidecar(SHIPPED), training=said)
    held = split(faces, 0.2, 7)[1]
    np.testing.assert_array_equal(held_out(sidecar, faces).images, held.images)


@pytest.mark.parametrize("bad", [{"votes_power": -1.0}, {"votes_power": float("nan")}])
def test_nonsense_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="votes_power"):
        TrainSettings(**bad)  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_run_with_everything_ends(faces: Dataset, tiny: TrainSettings, tmp_path: Path) -> None:
    weights = ROOT / "fervid" / "weights" / "fer2013.keras"
    teachers, augment = (str(weights),), AugmentSettings(open_mouth=0.5)
    settings = replace(tiny, holdout=0.3, teachers=teachers, votes_power=0.5, freeze="stem", sharpness=0.05)
    settings = replace(settings, augment=augment)
    result = training.train(faces, tmp_path / "m.keras", FER2013_GEOMETRY, settings)
    assert len(result.history) == tiny.epochs
    assert (tmp_path / "m" / "mouths.npy").exists()
