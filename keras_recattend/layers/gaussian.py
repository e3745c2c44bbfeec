"""Gaussian filters that cut a patch and paste it back (eq. 11-16, 19, 25).

Coordinates are pixels, order (y, x); the pixel with index a lies at a.
"""

import math

import keras
import tensorflow as tf

from keras_recattend.layers.float32 import Float32Layer

__all__ = [
    "BETA",
    "GaussianFilters",
    "box_mask",
    "density_filters",
    "extract",
    "filter_means",
    "inside_box",
    "normalized_filters",
    "reproject",
]

# beta of eq. 19 and 25: darkens what lies outside the box.
BETA = 5.0
# Filters narrower than half a pixel would miss every pixel centre.
LEAST_DEVIATION = 0.5
# A filter that sees less than this of the image lies outside it, and reads zero.
LEAST_SUM = 1e-3


def filter_means(center, extent, length):
    """Return the filters' means, eq. 11-12: `center + extent / F (i - (F - 1) / 2)`.

    Args:
        center: [...] pixels, along one axis.
        extent: [...] pixels that the patch spans (the paper: size + 1).
        length: F, the patch's length along the axis.

    Returns:
        [..., F] pixels.
    """
    i = tf.range(length, dtype=tf.float32) - (length - 1) / 2
    return center[..., tf.newaxis] + extent[..., tf.newaxis] / length * i


def _distance(means, pixels):
    """Return a - mu_i for all pixels a: [..., pixels, F]."""
    a = tf.range(pixels, dtype=tf.float32)[:, tf.newaxis]
    return a - means[..., tf.newaxis, :]


def density_filters(center, size, log_variance, pixels, length):
    """Return Gaussian densities along one axis, eq. 13-14, not normalised over pixels.

    Args:
        center, size, log_variance: [...] float32.
        pixels: the image's length along the axis.
        length: F, the patch's.

    Returns:
        [..., pixels, F].
    """
    means = filter_means(center, size + 1.0, length)
    variance = tf.exp(log_variance)[..., tf.newaxis, tf.newaxis]
    distance = _distance(means, pixels)
    scale = tf.math.rsqrt(2.0 * math.pi * variance)
    # One division a box, not one a pixel and cell (and two in the gradient).
    return tf.exp(tf.square(distance) * (-0.5 / variance)) * scale


def normalized_filters(center, size, pixels, length):
    """Return (read, write) filters along one axis, of deviation half their spacing.

    `read` sums to one over the pixels: a cell of the patch is a mean of pixels.
    `write` sums to one over the cells for each pixel inside the box and is zero
    outside: a pixel is a mean of cells, whatever the size of the box.

    Args:
        center, size: [...] float32; the box spans center -/+ size / 2.

    Returns:
        Two arrays [..., pixels, F].
    """
    spacing = size / length
    deviation = tf.maximum(0.5 * spacing, LEAST_DEVIATION)[..., tf.newaxis, tf.newaxis]
    distance = _distance(filter_means(center, size, length), pixels)
    value = tf.exp(-0.5 * tf.square(distance / deviation))
    read = value / (tf.reduce_sum(value, axis=-2, keepdims=True) + LEAST_SUM)
    write = value / (tf.reduce_sum(value, axis=-1, keepdims=True) + LEAST_SUM)
    return read, write * inside_box(center, size, pixels)[..., tf.newaxis]


def inside_box(center, size, pixels):
    """Return 1 where a pixel lies in the box along one axis, else 0: [..., pixels]."""
    a = tf.range(pixels, dtype=tf.float32)
    distance = tf.abs(a - center[..., tf.newaxis])
    return tf.cast(distance <= size[..., tf.newaxis] / 2, tf.float32)


def extract(image, filter_y, filter_x):
    """Return the patch F_y^T image F_x for each channel, eq. 16.

    Args:
        image: [B, H, W, C].
        filter_y: [N, H, h]. filter_x: [N, W, w]. N = B K: the first K filters belong
            to the first image, and so on. The image is not copied K times.

    Returns:
        [N, h, w, C].
    """
    shape = tf.shape(image)
    batch, height, width = shape[0], shape[1], shape[2]
    channels = image.shape[-1]
    count = tf.shape(filter_y)[0]
    h, w = filter_y.shape[-1], filter_x.shape[-1]
    # [B, K h, H] x [B, H, W C]: all patches of an image in one product.
    by_image = tf.reshape(
        tf.transpose(filter_y, [0, 2, 1]), [batch, (count // batch) * h, height]
    )
    rows = tf.matmul(by_image, tf.reshape(image, [batch, height, width * channels]))
    rows = tf.transpose(tf.reshape(rows, [count, h, width, channels]), [0, 2, 1, 3])
    columns = tf.matmul(
        filter_x, tf.reshape(rows, [count, width, h * channels]), transpose_a=True
    )
    return tf.transpose(tf.reshape(columns, [count, w, h, channels]), [0, 2, 1, 3])


def reproject(patch, filter_y, filter_x):
    """Return F_y patch F_x^T: the patch at its place in the image, eq. 19 and 25.

    Args:
        patch: [..., h, w]. filter_y: [..., H, h]. filter_x: [..., W, w].

    Returns:
        [..., H, W].
    """
    return tf.matmul(tf.matmul(filter_y, patch), filter_x, transpose_b=True)


def box_mask(filter_y, filter_x, log_gamma):
    """Return the soft box of eq. 25: sigmoid(gamma F_y 1 F_x^T - beta), [..., H, W]."""
    rows = tf.reduce_sum(filter_y, axis=-1)[..., :, tf.newaxis]
    columns = tf.reduce_sum(filter_x, axis=-1)[..., tf.newaxis, :]
    gamma = tf.exp(log_gamma)[..., tf.newaxis, tf.newaxis]
    return tf.sigmoid(gamma * rows * columns - BETA)


@keras.saving.register_keras_serializable("keras_recattend")
class GaussianFilters(Float32Layer):
    """Both axes' filters for a box.

    Args:
        image_size: (H, W). patch_size: (h, w).
        kind: "density" (the paper's) or "normalized".

    Call arguments:
        center, size: [B, 2] pixels. log_variance: [B, 2], for "density".

    Returns:
        A pair (read, write), each a pair (filter_y [B, H, h], filter_x [B, W, w]). For
        "density" both are the same filters.
    """

    def __init__(self, image_size, patch_size, kind="density", **kwargs):
        super().__init__(**kwargs)
        self.image_size = tuple(image_size)
        self.patch_size = tuple(patch_size)
        self.kind = kind

    def call(self, center, size, log_variance=None):
        axes = []
        for axis in (0, 1):
            pixels, length = self.image_size[axis], self.patch_size[axis]
            if self.kind == "density":
                values = density_filters(
                    center[:, axis],
                    size[:, axis],
                    log_variance[:, axis],
                    pixels,
                    length,
                )
                axes.append((values, values))
            else:
                axes.append(
                    normalized_filters(center[:, axis], size[:, axis], pixels, length)
                )
        (read_y, write_y), (read_x, write_x) = axes
        return (read_y, read_x), (write_y, write_x)

    def get_config(self):
        return super().get_config() | {
            "image_size": self.image_size,
            "patch_size": self.patch_size,
            "kind": self.kind,
        }
