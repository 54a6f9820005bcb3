"""A recipe: all settings of a training run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from fervid.emotions.architecture import Architecture
from fervid.settings import check
from fervid.training.augment import AugmentSettings
from fervid.training.class_prior import ClassShares
from fervid.training.range_checks import check_range


@dataclass(frozen=True)
class TrainSettings:
    """A recipe: all settings of a training run."""

    epochs: int = 100
    """Passes over the images. They set the length of the learning rate's schedule."""
    batch_size: int = 128
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    learning_rate: float = 0.002
    """Peak of the schedule: linear growth during ``warmup``, then a cosine to zero."""
    warmup: int = 2
    """Epochs of linear growth."""
    weight_decay: float = 0.02
    label_smoothing: float = 0.05
    votes: float = 0.5
    """Weight of the extra loss on the annotators' votes (FER+); 0 leaves out the head that learns them."""
    balance: Literal["none", "sampler", "weights"] = "none"
    """sampler draws the images of a class, and weights weighs their loss, by 1/sqrt(number of its images)."""
    ema: float = 0.998
    """Decay per step of the exponential moving average of the weights. The average is saved; 0 uses no average."""
    crop: int = 44
    """Side in pixels of the random crop that is trained on. Inference uses all 48 pixels."""
    mixed_precision: bool = True
    """Compute in bfloat16 and keep the weights in float32."""
    holdout: float = 0.05
    """Share of the images of each class that is held out of training."""
    holdout_seed: int | None = None
    """Seed of the choice of the held-out images; None takes ``seed``. Runs that differ in ``seed`` only, such as the
    teachers of one student, then hold out the same images."""
    select: Literal["best", "last"] = "best"
    """Which epoch is kept. With ``best``, half of the held-out images choose it and half fit the temperature; with
    ``last``, all of them fit the temperature."""
    begin_with: str = ""
    """Weights to start from instead of random ones. Their architecture may differ in ``enlarge`` and ``dropout``."""
    teachers: tuple[str, ...] = ()
    """Weights whose mean prediction for each training image becomes a part of its target (distillation)."""
    distill: float = 0.5
    """Share of the teachers' prediction in the target; the rest is the label."""
    votes_power: float = 0.0
    """Power of the chance of each label given the annotators' votes, by which the teachers' prediction is multiplied; 0
    leaves it out. A logistic regression on the training images gives that chance."""
    freeze: str = ""
    """Last block whose weights stay as they are, with all before it, such as ``stage4_2``; empty trains all."""
    sharpness: float = 0.0
    """Radius of sharpness-aware minimisation (see sharpness.py), which doubles the time; 0 leaves it out. Not with
    JAX."""
    keep: float = 0.0
    """Share of the weights of ``begin_with`` in the final ones (weight-space ensembling; Wortsman et al., 2022)."""
    refit: float = 0.0
    """Strength of the ridge penalty that keeps the last layer near the trained one when it is refitted at the end;
    0 skips the refit."""
    shares: ClassShares = field(default_factory=ClassShares)
    """Expected frequency of each class in use, as a multiple of its share of the labels; applied at the end."""
    seed: int = 0
    architecture: Architecture = field(default_factory=Architecture)
    augment: AugmentSettings = field(default_factory=AugmentSettings)

    @property
    def split_seed(self) -> int:
        """Seed of the choice of the held-out images."""
        return self.seed if self.holdout_seed is None else self.holdout_seed

    def __post_init__(self) -> None:
        check(self.epochs >= 1, f"`epochs` must be at least 1: {self.epochs}")
        check(self.batch_size >= 2, f"`batch_size` must be at least 2: {self.batch_size}")
        check(self.learning_rate > 0, f"`learning_rate` must be positive: {self.learning_rate}")
        check(0 < self.holdout < 0.9, f"holdout must be above 0 and below 0.9: {self.holdout}")
        check(0 <= self.refit < np.inf, f"refit must not be negative: {self.refit}")
        check_range(self, ("label_smoothing", "weight_decay", "ema"), 0, 1, open_end=True)
        check_range(self, ("distill",), 0, 1)
        check_range(self, ("keep",), 0, 1, open_end=True)
        check(bool(self.begin_with) or not self.keep, "keep needs begin_with")
        check_range(self, ("votes",), 0, 100)
        check_range(self, ("votes_power",), 0, 10)
        check_range(self, ("sharpness",), 0, 10)
        check_range(self, ("seed",), 0, 2**32 - 1)
        if self.holdout_seed is not None:
            check_range(self, ("holdout_seed",), 0, 2**32 - 1)
        check_range(self, ("crop",), 16, 48)
        full_size = self.crop == 48 or not self.architecture.enlarge
        check(full_size, f"crop must be 48 if the architecture enlarges crops, as in inference: {self.crop}")
