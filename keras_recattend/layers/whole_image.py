"""In place of a box head: every patch is the whole image (paper, Table 4)."""

import keras
import tensorflow as tf

from keras_recattend.layers.box import Box
from keras_recattend.layers.float32 import Float32Layer
from keras_recattend.layers.glimpses import GlimpseNetwork, as_cells

__all__ = ["WholeImage"]


@keras.saving.register_keras_serializable("keras_recattend")
class WholeImage(Float32Layer):
    """No box is drawn; the glimpse LSTM remains for the score's state z (eq. 20).

    Centre and size are constants: with normalised filters the image's extent H round
    (H - 1) / 2, with densities H - 1, since those add one pixel (eq. 11-12).

    Args:
        image_size: (H, W). patch_size: (h, w). grid: (H', W') of the feature map.
        glimpses, lstm_units, mlp_units, initializer: see `GlimpseNetwork`.
        filters: "density" or "normalized".
        patch_gamma, mask_gamma: fixed log gammas.
    """

    def __init__(
        self,
        image_size,
        patch_size,
        grid,
        glimpses,
        lstm_units,
        mlp_units,
        filters,
        patch_gamma,
        mask_gamma,
        initializer="he",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.image_size = tuple(image_size)
        self.patch_size = tuple(patch_size)
        self.grid = tuple(grid)
        self.filters = filters
        self.patch_gamma = patch_gamma
        self.mask_gamma = mask_gamma
        self.glimpse_network = GlimpseNetwork(
            glimpses,
            lstm_units,
            mlp_units,
            self.grid,
            initializer=initializer,
            name="glimpses",
        )
        self.state_size = lstm_units

    def build(self, map_shape):
        self.glimpse_network.build((None, None, map_shape[-1]))

    def call(self, feature_map, sharpness=None, blocked=None):
        """Return the `Box` for the feature map u_t [N, H', W', L].

        `sharpness` and `blocked` belong to the heat map's head and are not used.
        """
        glimpses = self.glimpse_network(as_cells(feature_map))
        return self.whole(tf.shape(feature_map)[0])._replace(
            state=glimpses.hidden[-1], attention=tf.stack(glimpses.attention, axis=1)
        )

    def whole(self, count):
        """Return the constant part of `count` boxes, without state and attention."""
        extent = tf.constant(self.image_size, tf.float32)
        size = extent if self.filters == "normalized" else extent - 1.0
        log_variance = tf.math.log(size / tf.constant(self.patch_size, tf.float32))

        def repeated(values):
            return tf.tile(values[tf.newaxis], [count, 1])

        ones = tf.ones([count])
        return Box(
            repeated((extent - 1.0) / 2.0),
            repeated(size),
            repeated(log_variance),
            self.patch_gamma * ones,
            0.0 * ones,
            self.mask_gamma * ones,
            None,
            None,
        )

    def get_config(self):
        return super().get_config() | {
            **self.glimpse_network.head_arguments(),
            "image_size": self.image_size,
            "patch_size": self.patch_size,
            "grid": self.grid,
            "filters": self.filters,
            "patch_gamma": self.patch_gamma,
            "mask_gamma": self.mask_gamma,
        }
