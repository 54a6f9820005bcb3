"""Sharpness-aware minimisation (SAM; Foret et al., 2021): a training step that prefers flat minima of the loss.

Each step computes the gradient twice: at the weights, and at the point within a radius of them where the loss is about
highest. The weights move by the second gradient. Flat minima generalise better, above all from noisy labels.
"""

from __future__ import annotations

import contextlib
from typing import Any

import keras

from fervid.errors import ConfigError

TINY = 1e-12
"""Added to the gradient's length, so that it can divide."""


def sharpness_aware(radius: float) -> type[Any]:
    """Make a class of models that train with sharpness-aware minimisation.

    Args:
        radius: Length of the step towards higher loss, over all trainable weights.

    Returns:
        A class derived from ``keras.Model``.

    Raises:
        ConfigError: Keras runs on JAX.
    """
    if keras.backend.backend() == "jax":
        raise ConfigError("sharpness: not with JAX; use TensorFlow or PyTorch (KERAS_BACKEND)")
    return type("SharpnessAware", (_SharpnessAware,), {"radius": radius})


class _SharpnessAware(keras.Model):  # type: ignore[misc]
    """A model with the training step of sharpness-aware minimisation."""

    radius = 0.0

    def train_step(self, data: Any) -> dict[str, Any]:
        """See keras.Model. The loss is that at the weights themselves."""
        inputs, targets, _ = keras.utils.unpack_x_y_sample_weight(data)
        variables = list(self.trainable_variables)
        loss, gradients = self._gradients(inputs, targets, variables)
        length = keras.ops.sqrt(sum(keras.ops.sum(keras.ops.square(gradient)) for gradient in gradients))
        steps = [gradient * (self.radius / (length + TINY)) for gradient in gradients]
        for variable, step in zip(variables, steps, strict=True):
            variable.assign_add(step)
        _, gradients = self._gradients(inputs, targets, variables)
        for variable, step in zip(variables, steps, strict=True):
            variable.assign_sub(step)
        with _unrecorded():
            self.optimizer.apply(gradients, variables)
        return {"loss": loss}

    def _gradients(self, inputs: Any, targets: Any, variables: list[Any]) -> tuple[Any, list[Any]]:
        """The loss, and its gradient with respect to each variable."""
        if keras.backend.backend() == "torch":
            self.zero_grad()
            loss = self.compute_loss(x=inputs, y=targets, y_pred=self(inputs, training=True), training=True)
            loss.backward()
            return loss.detach(), [variable.value.grad.clone() for variable in variables]
        import tensorflow as tf

        with tf.GradientTape() as tape:
            loss = self.compute_loss(x=inputs, y=targets, y_pred=self(inputs, training=True), training=True)
        return loss, tape.gradient(loss, [variable.value for variable in variables])


def _unrecorded() -> contextlib.AbstractContextManager[Any]:
    """A context in which PyTorch does not record what gradients need; on other backends it does nothing."""
    if keras.backend.backend() == "torch":
        import torch

        context: contextlib.AbstractContextManager[Any] = torch.no_grad()
        return context
    return contextlib.nullcontext()
