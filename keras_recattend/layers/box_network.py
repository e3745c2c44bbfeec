"""Part B's last layers, the box heads: from glimpses to a box (eq. 6-10)."""

import keras
import tensorflow as tf

from keras_recattend.layers.box import Box
from keras_recattend.layers.convolution import kernel_initializer
from keras_recattend.layers.float32 import Float32Layer
from keras_recattend.layers.glimpses import GlimpseNetwork, Glimpses, as_cells

__all__ = ["Box", "GlimpseNetwork", "Glimpses", "HeatMapHead", "LinearHead"]

# Logit that shuts a cell out of a softmax without making a row of NaN.
SHUT = -1e4
# A first guess for the heat map: 1 cell in 100 is an object's centre.
HEAT_PRIOR = -4.6
# Boxes of the heat map start at this share of the image.
TYPICAL_SIZE = 0.15
# Blobs at objects' centres: deviation as share of the object, at least in cells.
BLOB_SHARE = 0.1
BLOB_CELLS = 0.6


@keras.saving.register_keras_serializable("keras_recattend")
class LinearHead(Float32Layer):
    """The paper's box head: glimpses, then one linear layer to nine numbers (eq. 6-10).

    In the order center (y, x), log size (y, x), log variance (y, x), log gamma of the
    patch, of the box mask and of the segment mask; none is squashed.

    Args:
        image_size: (H, W). patch_size: (h, w).
        grid: (H', W') of the feature map.
        glimpses, lstm_units, mlp_units, initializer: see `GlimpseNetwork`.
        variance: "size" (variance = size / F) or "predicted".
        patch_gamma, mask_gamma: fixed log gammas, or None = predicted.
    """

    def __init__(
        self,
        image_size,
        patch_size,
        grid,
        glimpses,
        lstm_units,
        mlp_units,
        variance,
        patch_gamma,
        mask_gamma,
        initializer="he",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.image_size = tuple(image_size)
        self.patch_size = tuple(patch_size)
        self.grid = tuple(grid)
        self.variance = variance
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
        self.linear = keras.layers.Dense(
            9,
            kernel_initializer=kernel_initializer(initializer),
            bias_initializer=kernel_initializer("small")
            if initializer == "small"
            else "zeros",
            dtype="float32",
            name="linear",
        )
        self.state_size = lstm_units

    def build(self, map_shape):
        self.glimpse_network.build((None, None, map_shape[-1]))
        self.linear.build((None, self.glimpse_network.lstm_units))

    def call(self, feature_map, sharpness=None, blocked=None):
        """Return the `Box` for the feature map u_t [N, H', W', L].

        `sharpness` and `blocked` belong to the heat map's head and are not used.
        """
        glimpses = self.glimpse_network(as_cells(feature_map))
        raw = self.linear(glimpses.hidden[-1])
        return self.decode(raw)._replace(
            state=glimpses.hidden[-1], attention=tf.stack(glimpses.attention, axis=1)
        )

    def decode(self, raw):
        """Turn the head's nine numbers [N, 9] into a `Box` (eq. 7-10)."""
        extent = tf.constant(self.image_size, tf.float32)
        center = (raw[:, 0:2] + 1.0) * extent / 2.0
        size = tf.exp(raw[:, 2:4]) * extent
        if self.variance == "size":
            log_variance = tf.math.log(size / tf.constant(self.patch_size, tf.float32))
        else:
            log_variance = raw[:, 4:6]
        fixed = tf.ones_like(raw[:, 6])
        patch = raw[:, 6] if self.patch_gamma is None else self.patch_gamma * fixed
        mask = raw[:, 8] if self.mask_gamma is None else self.mask_gamma * fixed
        return Box(
            center, size, log_variance, patch, raw[:, 7], mask, None, None, raw=raw
        )

    def get_config(self):
        return super().get_config() | {
            **self.glimpse_network.head_arguments(),
            "image_size": self.image_size,
            "patch_size": self.patch_size,
            "grid": self.grid,
            "variance": self.variance,
            "patch_gamma": self.patch_gamma,
            "mask_gamma": self.mask_gamma,
        }


@keras.saving.register_keras_serializable("keras_recattend")
class HeatMapHead(Float32Layer):
    """Box head that chooses one place on a dense heat map instead of a mean of places.

    A 1 x 1 convolution says for every cell whether it is the centre of an object that
    is not on the canvas yet, and that object's box. The heat joins the attention
    logits of every glimpse. The box is that of the cell with the greatest logit after
    the last one, plus a correction from the LSTM's state. (Soft attention averages
    over several objects and lands in the gap between them; see docs/deviations.md.)
    The choice passes the gradient of the mean under sharpened attention.

    Args:
        image_size, grid, glimpses, lstm_units, mlp_units, initializer: see
            `LinearHead`.
        attention_block: see `GlimpseNetwork` (`block`).
    """

    def __init__(
        self,
        image_size,
        grid,
        glimpses,
        lstm_units,
        mlp_units,
        attention_block=1,
        initializer="he",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.image_size = tuple(image_size)
        self.grid = tuple(grid)
        self.cell = tuple(
            extent / cells for extent, cells in zip(image_size, grid, strict=True)
        )
        self.glimpse_network = GlimpseNetwork(
            glimpses,
            lstm_units,
            mlp_units,
            self.grid,
            attention_block,
            last_logits=True,
            initializer=initializer,
            name="glimpses",
        )
        self.dense_head = keras.layers.Conv2D(
            5,
            1,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
            bias_initializer=_heat_bias,
            dtype="float32",
            name="dense_head",
        )
        self.correction = [
            keras.layers.Dense(
                mlp_units, activation="relu", dtype="float32", name="correction0"
            ),
            keras.layers.Dense(
                4, kernel_initializer="zeros", dtype="float32", name="correction1"
            ),
        ]
        self.state_size = lstm_units + 2

    def build(self, map_shape):
        channels = map_shape[-1]
        self.heat_factor = self.add_weight(
            name="heat_factor", shape=(), initializer="ones"
        )
        self.dense_head.build((None, *self.grid, channels))
        # The map, the cell's place (2), its heat (1) and its box (4).
        self.glimpse_network.build((None, None, channels + 7))
        self.correction[0].build((None, self.glimpse_network.lstm_units))
        self.correction[1].build((None, self.glimpse_network.mlp_units))

    def cell_centers(self):
        """Return the cells' centres in pixels, [P, 2]."""
        axes = [
            (tf.range(cells, dtype=tf.float32) + 0.5) * stride - 0.5
            for cells, stride in zip(self.grid, self.cell, strict=True)
        ]
        return tf.reshape(tf.stack(tf.meshgrid(*axes, indexing="ij"), axis=-1), [-1, 2])

    def blobs(self, center, size):
        """Return maps of the cells, each with a blob at one object's centre, [..., P].

        1 at the cell that holds the centre, a Gaussian around it.

        Args:
            center, size: [..., 2] pixels.
        """
        stride = tf.constant(self.cell, tf.float32)
        cells = self.cell_centers()  # [P, 2]
        distance = cells - center[..., tf.newaxis, :]  # [..., P, 2]
        deviation = tf.maximum(BLOB_CELLS * stride, BLOB_SHARE * size)
        scaled = distance / deviation[..., tf.newaxis, :]
        blob = tf.exp(-0.5 * tf.reduce_sum(tf.square(scaled), axis=-1))
        # The nearest cell is the centre: rounding would miss it at the image's edge.
        nearest = tf.argmin(
            tf.reduce_sum(tf.square(distance / stride), axis=-1),
            axis=-1,
            output_type=tf.int32,
        )
        return tf.maximum(blob, tf.one_hot(nearest, cells.shape[0]))

    def call(self, feature_map, sharpness=1.0, blocked=None):
        """Return the `Box` for the feature map u_t [N, H', W', L].

        Args:
            sharpness: factor on the last logits, for the gradient of the choice.
            blocked: [N, P], 1 for cells that must not be chosen, or None.
        """
        feature_map = tf.cast(feature_map, tf.float32)
        dense = as_cells(self.dense_head(feature_map))  # [N, P, 5]
        heat = dense[..., 0]
        if blocked is not None:
            heat += SHUT * blocked
        cells = self._decode(dense)
        # The heat map and its boxes are trained by their own dense targets. Reading
        # them to choose a place passes no gradient: that of a sharp softmax over
        # distant cells is large and noisy, and drowned the dense targets'
        # (docs/experiments.md). What is left to find passes the score's.
        features = tf.stop_gradient(self._readable(feature_map, heat, cells))
        prior = self.heat_factor * tf.stop_gradient(heat)
        glimpses = self.glimpse_network(features, prior=prior)
        hidden = glimpses.hidden[-1]
        attention = tf.nn.softmax(sharpness * glimpses.logits)  # [N, P]
        chosen = _greatest(attention, glimpses.logits)
        # Not a matrix product, which GPUs may round: these are pixels.
        box = tf.reduce_sum(chosen[..., tf.newaxis] * tf.stop_gradient(cells), axis=1)
        correction = self.correction[1](self.correction[0](hidden))
        size = box[:, 2:] * tf.exp(tf.clip_by_value(correction[:, 2:], -1.0, 1.0))
        center = box[:, :2] + correction[:, :2] * tf.stop_gradient(size)
        zeros = tf.zeros_like(center[:, 0])
        # How much is left to find: the best place, and the expected number of places.
        left = tf.stack(
            [
                tf.reduce_max(heat, axis=-1),
                # Not log1p: onnxruntime has no such operation.
                tf.math.log(1.0 + tf.reduce_sum(tf.sigmoid(heat), axis=-1)),
            ],
            axis=-1,
        )
        return Box(
            center,
            size,
            tf.zeros_like(center),
            zeros,
            zeros,
            zeros,
            tf.concat([hidden, left], axis=-1),
            tf.stack([*glimpses.attention, attention], axis=1),
            heat=heat,
            cells=cells,
            place=chosen,
        )

    def _readable(self, feature_map, heat, cells):
        """What a glimpse reads of each cell: map, place, heat, box, [N, P, L + 7]."""
        extent = tf.constant(self.image_size, tf.float32)
        place = self.cell_centers() / extent - 0.5
        return tf.concat(
            [
                as_cells(feature_map),
                tf.tile(place[tf.newaxis], [tf.shape(heat)[0], 1, 1]),
                tf.sigmoid(heat)[..., tf.newaxis],
                cells / tf.concat([extent, extent], axis=0),
            ],
            axis=-1,
        )

    def _decode(self, dense):
        """Return the cells' boxes (center, size) in pixels, [N, P, 4]."""
        stride = tf.constant(self.cell, tf.float32)
        extent = tf.constant(self.image_size, tf.float32)
        center = self.cell_centers() + dense[..., 1:3] * stride
        log_size = tf.clip_by_value(dense[..., 3:5], -4.0, 2.0)
        return tf.concat([center, tf.exp(log_size) * TYPICAL_SIZE * extent], axis=-1)

    def get_config(self):
        return super().get_config() | {
            **self.glimpse_network.head_arguments(),
            "image_size": self.image_size,
            "grid": self.grid,
            "attention_block": self.glimpse_network.block,
        }


def _greatest(attention, logits):
    """1 at the greatest logit, 0 elsewhere; the gradient is the attention's.

    Where two objects are alike, however sharp the attention, its mean would lie
    between them.
    """
    greatest = tf.one_hot(tf.argmax(logits, axis=-1), logits.shape[-1])
    return greatest + (attention - tf.stop_gradient(attention))


def _heat_bias(shape, dtype=None, **_):
    return tf.constant([HEAT_PRIOR] + [0.0] * (shape[0] - 1), dtype or tf.float32)
