"""Part A, the external memory (eq. 1)."""

import keras
import tensorflow as tf

from keras_recattend.layers.float32 import Float32Layer

__all__ = ["Canvas"]


@keras.saving.register_keras_serializable("keras_recattend")
class Canvas(Float32Layer):
    """The canvas: what has been segmented so far, kept beside the image.

    Eq. 1: `c_0 = 0`, `c_t = max(c_{t-1}, y_{t-1})`. No gradient flows through what is
    written (authors). The controller reads it beside the image (eq. 2).

    Call arguments:
        canvas: c_{t-1}, float32 [B, H, W].
        segment: y_{t-1}, float32 [B, H, W] in [0, 1].

    Returns:
        c_t, float32 [B, H, W].
    """

    def blank(self, batch_size, image_size):
        """Return c_0, zeros [B, H, W]."""
        return tf.zeros([batch_size, *image_size], tf.float32)

    def call(self, canvas, segment):
        return tf.maximum(canvas, tf.stop_gradient(segment))
