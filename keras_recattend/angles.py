"""The angle of every pixel towards its object's centroid, in 8 classes (section 2)."""

import math

import tensorflow as tf

__all__ = ["ANGLES", "angle_classes", "centroids", "direction_classes"]

# Classes of pi / 4 each, centred on the axes and the diagonals.
ANGLES = 8


def angle_classes(labels, slots):
    """Return the angle class of every pixel, int32 [B, H, W].

    The direction is that from the object's centroid to the pixel, y downwards: 0 =
    left of it, 2 = above, 4 = right, 6 = below, odd = the diagonals between. The pixel
    on the centroid has class 4; so has the background, where no angle is meant.

    Args:
        labels: int32 [B, H, W], 0 = background. slots: the highest id.
    """
    center = centroids(labels, slots)
    center = tf.concat([tf.zeros_like(center[:, :1]), center], axis=1)
    own = tf.gather(center, labels, batch_dims=1)  # [B, H, W, 2]
    offset = tf.where(labels[..., tf.newaxis] > 0, _pixels(labels) - own, 0.0)
    return direction_classes(offset[..., 0], offset[..., 1])


def centroids(labels, slots):
    """Return the mean of each object's pixels, (y, x) float32 [B, slots, 2].

    An object may be in several parts, and its centroid outside it. Zero where a slot
    is empty.
    """
    batch = tf.shape(labels)[0]
    # One segment for each id of each image; sums of pixel numbers outgrow float32.
    segments = tf.reshape(labels, [batch, -1])
    segments += tf.range(batch)[:, tf.newaxis] * (slots + 1)
    pixels = tf.cast(_pixels(labels), tf.float64)
    values = tf.concat([pixels, tf.ones_like(pixels[..., :1])], axis=-1)
    values = tf.tile(tf.reshape(values, [1, -1, 3]), [batch, 1, 1])
    sums = tf.math.unsorted_segment_sum(
        tf.reshape(values, [-1, 3]), tf.reshape(segments, [-1]), batch * (slots + 1)
    )
    sums = tf.reshape(sums, [batch, slots + 1, 3])[:, 1:]
    return tf.cast(sums[..., :2] / tf.maximum(sums[..., 2:], 1.0), tf.float32)


def direction_classes(dy, dx):
    """Return floor((atan2(dy, dx) + pi + pi / 8) / (pi / 4)) mod 8, int32."""
    step = 2.0 * math.pi / ANGLES
    turned = tf.math.atan2(dy, dx) + math.pi + step / 2.0
    return tf.math.floormod(tf.cast(tf.floor(turned / step), tf.int32), ANGLES)


def _pixels(labels):
    """Every pixel's (y, x), float32 [H, W, 2]."""
    axes = [tf.range(n, dtype=tf.float32) for n in labels.shape[1:]]
    return tf.stack(tf.meshgrid(*axes, indexing="ij"), axis=-1)
