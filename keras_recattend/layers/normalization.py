"""Normalisation after a convolution: of the batch, of each time step, or of groups."""

import keras
import tensorflow as tf

from keras_recattend.layers.fused_normalization import (
    EPSILON,
    normalize_by_batch,
    normalize_with_gradient,
)

__all__ = ["Normalization"]

# Decay of the authors' batch normalisation.
MOMENTUM = 0.9
# Most groups of channels: fewer than 8 channels are a group each.
GROUPS = 8


@keras.saving.register_keras_serializable("keras_recattend")
class Normalization(keras.layers.Layer):
    """Batch normalisation, shared over steps or one for each, or group normalisation.

    `y = gamma * (x - mean) / sqrt(variance + 1e-3) + beta`. In training the mean and
    variance are the batch's, and move the statistics that inference uses:
    `moving = 0.9 * moving + 0.1 * batch` (population variance). The fused kernel does
    the arithmetic: Keras' own layer is several passes over the activations.

    Args:
        kind: "batch", "batch_per_step" (own beta, gamma and statistics for every time
            step, as the authors had) or "group" (no statistics at all).
        steps: number of time steps T, for "batch_per_step".
    """

    def __init__(self, kind="batch", steps=1, **kwargs):
        super().__init__(**kwargs)
        self.kind = kind
        self.steps = steps if kind == "batch_per_step" else 1

    def build(self, input_shape):
        channels = input_shape[-1]
        if self.kind == "group":
            self.group = keras.layers.GroupNormalization(
                groups=min(GROUPS, channels),
                epsilon=EPSILON,
                dtype=self.dtype_policy,
                name="group",
            )
            self.group.build(input_shape)
            return

        shape = (self.steps, channels)
        # In 16 bits neither would move by a learning rate's worth.
        common = {"shape": shape, "dtype": "float32", "autocast": False}
        self.gamma = self.add_weight(name="gamma", initializer="ones", **common)
        self.beta = self.add_weight(name="beta", initializer="zeros", **common)
        # Statistics are written inside the instance loop, where replicas cannot meet:
        # each writes its own, and the training step takes their mean at its end.
        common |= {
            "trainable": False,
            "synchronization": "on_read",
            "aggregation": "only_first_replica",
        }
        self.moving_mean = keras.Variable("zeros", name="moving_mean", **common)
        # From 0, as the authors; "batch" starts at 1 so that an untrained model works.
        initial_variance = "zeros" if self.kind == "batch_per_step" else "ones"
        self.moving_variance = keras.Variable(
            initial_variance, name="moving_variance", **common
        )

    def call(self, x, step=0, training=False):
        """Normalise `x` [B, H, W, C] with the parameters of time step `step`."""
        if self.kind == "group":
            return self.group(x)
        gamma, beta, mean, variance = self.at_step(step)
        # As Keras' own does: frozen, it goes by what it has.
        if not (training and self.trainable):
            return normalize_with_gradient(x, gamma, beta, mean, variance)
        result = normalize_by_batch(x, gamma, beta)
        self.move(
            tf.stop_gradient(result.mean), tf.stop_gradient(result.variance), step
        )
        return result.y

    def _chosen(self, step):
        """The step as a one-hot column [T, 1]."""
        index = tf.minimum(tf.cast(step, tf.int32), self.steps - 1)
        return tf.one_hot(index, self.steps, dtype=tf.float32)[:, tf.newaxis]

    def at_step(self, step):
        """Return gamma, beta, moving mean and variance of a step, float32 [C] each."""
        # A sum over a one-hot column instead of a gather: its gradient is dense, as
        # the gradient of the instance loop needs. Not a matrix product, which GPUs may
        # round.
        chosen = self._chosen(step)
        return tuple(
            tf.reduce_sum(chosen * tf.cast(weights, tf.float32), axis=0)
            for weights in (
                self.gamma,
                self.beta,
                self.moving_mean,
                self.moving_variance,
            )
        )

    def move(self, mean, variance, step):
        """Move the statistics of a step towards those of a batch, [C] each."""
        share = (1.0 - MOMENTUM) * self._chosen(step)  # [T, 1]
        for moving, batch in [
            (self.moving_mean, mean),
            (self.moving_variance, variance),
        ]:
            current = tf.convert_to_tensor(moving)
            moving.assign(current + share * (batch - current))

    def get_config(self):
        return super().get_config() | {"kind": self.kind, "steps": self.steps}
