"""Part D, the scoring network (eq. 20)."""

import keras
import tensorflow as tf

from keras_recattend.layers.convolution import kernel_initializer
from keras_recattend.layers.float32 import Float32Layer

__all__ = ["Scoring"]


@keras.saving.register_keras_serializable("keras_recattend")
class Scoring(Float32Layer):
    """Eq. 20: `s = sigmoid(w_z^T z + w_v^T v + w_0)`.

    z is the glimpse LSTM's last state, v the segmentation CNN's last map, flattened.
    In the box stage there is no v: its term is left out.

    Args:
        state_size: length of z.
        features_size: length of v.
        initializer: "small" draws w_v as the other kernels; otherwise w_v starts at
            zero, so that a score trained on z alone goes on where it was.

    Call arguments:
        state: z, [B, state_size]. features: None, or v of any shape [B, ...].

    Returns:
        The logit of s, float32 [B].
    """

    def __init__(self, state_size, features_size, initializer="he", **kwargs):
        super().__init__(**kwargs)
        self.state_size = state_size
        self.features_size = features_size
        self.initializer = initializer

    def build(self, *_):
        kernel = kernel_initializer(self.initializer)
        small = self.initializer == "small"
        self.state_kernel = self.add_weight(
            name="state_kernel", shape=(self.state_size, 1), initializer=kernel
        )
        self.features_kernel = self.add_weight(
            name="features_kernel",
            shape=(self.features_size, 1),
            initializer=kernel_initializer("small") if small else "zeros",
        )
        self.bias = self.add_weight(
            name="bias",
            shape=(1,),
            initializer=kernel_initializer("small") if small else "zeros",
        )

    def call(self, state, features=None):
        logit = tf.matmul(tf.cast(state, tf.float32), self.state_kernel) + self.bias
        if features is not None:
            flat = tf.reshape(features, [-1, self.features_size])
            logit += tf.matmul(tf.cast(flat, tf.float32), self.features_kernel)
        return logit[:, 0]

    def get_config(self):
        return super().get_config() | {
            "state_size": self.state_size,
            "features_size": self.features_size,
            "initializer": self.initializer,
        }
