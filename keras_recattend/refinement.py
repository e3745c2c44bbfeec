"""Where a box is drawn anew: round the mask that was found in its patch."""

import tensorflow as tf

from keras_recattend.layers.gaussian import filter_means

__all__ = ["around_mask"]


def around_mask(segment, patch_size, padding, growth):
    """Return (center, size) of the new patch; see `RecurrentAttention.around_mask`."""
    found = segment.heat > 0.0
    axes = []
    for axis, length in enumerate(patch_size):
        any_cell = tf.reduce_any(found, axis=2 - axis)
        means = filter_means(segment.center[:, axis], segment.size[:, axis], length)
        low = tf.reduce_min(tf.where(any_cell, means, means.dtype.max), axis=-1)
        high = tf.reduce_max(tf.where(any_cell, means, means.dtype.min), axis=-1)
        touches = tf.cast(any_cell, means.dtype)
        low -= growth * segment.size[:, axis] * touches[:, 0]
        high += growth * segment.size[:, axis] * touches[:, -1]
        axes.append((low, high, segment.size[:, axis] / length))
    low, high, cell = (tf.stack(values, axis=-1) for values in zip(*axes, strict=True))
    exists = tf.reduce_any(found, axis=[1, 2])[:, tf.newaxis]
    size = (high - low + cell) * padding
    return (
        tf.where(exists, (low + high) / 2.0, segment.center),
        tf.where(exists, size, segment.size),
    )
