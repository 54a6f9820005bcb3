"""Variation of the training images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fervid.errors import ConfigError
from fervid.training.augment import AugmentSettings, augment, degrade, mix
from fervid.training.dataset import Dataset


def test_augmentation_is_repeatable_and_keeps_the_type(faces: Dataset) -> None:
    settings = AugmentSettings()
    one = augment(faces.images[:40], settings, np.random.default_rng(5), 44)
    assert one.shape == (40, 44, 44)
    assert one.dtype == np.uint8
    np.testing.assert_array_equal(one, augment(faces.images[:40], settings, np.random.default_rng(5), 44))
    assert (one != augment(faces.images[:40], settings, np.random.default_rng(6), 44)).any()


def test_no_augmentation_is_the_central_crop(faces: Dataset) -> None:
    none = AugmentSettings(flip=0, rotation=0, scale=0, stretch=0, shift=0, gamma=0, erase=0, degrade=0)
    np.testing.assert_array_equal(augment(faces.images, none, np.random.default_rng(0), 48), faces.images)
    np.testing.assert_array_equal(
        augment(faces.images, none, np.random.default_rng(0), 44), faces.images[:, 2:-2, 2:-2]
    )


def test_flip_mirrors(faces: Dataset) -> None:
    image = np.tile(np.arange(48, dtype=np.uint8), (48, 1))[None]
    always = AugmentSettings(flip=1, rotation=0, scale=0, stretch=0, shift=0, gamma=0, erase=0, degrade=0)
    np.testing.assert_array_equal(augment(image, always, np.random.default_rng(0), 48), image[:, :, ::-1])


def test_degradation_changes_detail_more_than_the_mean(faces: Dataset) -> None:
    rng = np.random.default_rng(1)
    for image in faces.images[:30]:
        result = degrade(image, rng)
        assert result.shape == image.shape
        assert result.dtype == np.uint8
        assert abs(float(result.mean()) - float(image.mean())) < 6


def test_mixup_blends_inputs_and_targets_alike() -> None:
    inputs = np.arange(8, dtype=np.float32).reshape(8, 1)
    mixed, (targets,) = mix(inputs, (inputs.copy(),), 0.4, np.random.default_rng(0))
    np.testing.assert_allclose(mixed, targets)
    assert (mixed != inputs).any()
    assert (np.abs(mixed - inputs) <= 3.5 + 1e-5).all(), "each row keeps at least half of itself"
    same, _ = mix(inputs, (inputs,), 0.0, np.random.default_rng(0))
    np.testing.assert_array_equal(same, inputs)


@pytest.mark.parametrize("bad", [{"erase_size": -3}, {"gamma": -1.0}, {"shift": -4.0}, {"flip": 2.0}, {"scale": 1.0}])
def test_nonsense_variation_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"augment.{next(iter(bad))}"):
        AugmentSettings(**bad)
