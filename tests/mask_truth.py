"""Truth as masks, as the authors' code has it; the package makes it of label maps."""

import tensorflow as tf

from keras_recattend import boxes
from keras_recattend.truth import Truth


def mask_boxes(masks):
    """Return (top_left, bottom_right) of each mask, both inclusive (authors).

    Args:
        masks: [..., H, W]; pixels above 0 belong to the object.

    Returns:
        Two float32 arrays [..., 2]; zeros for an empty mask.
    """
    low, high = [], []
    for axis, other in ((-2, -1), (-1, -2)):
        present = tf.reduce_any(masks > 0, axis=other)  # [..., extent]
        extent = tf.shape(masks)[axis]
        index = tf.range(extent)
        first = tf.reduce_min(tf.where(present, index, extent), axis=-1)
        last = tf.reduce_max(tf.where(present, index, -1), axis=-1)
        empty = last < 0
        low.append(tf.where(empty, 0, first))
        high.append(tf.where(empty, 0, last))
    return (
        tf.cast(tf.stack(low, axis=-1), tf.float32),
        tf.cast(tf.stack(high, axis=-1), tf.float32),
    )


def filled_boxes(top_left, bottom_right, exists, image_size):
    """Return masks with 1 where top_left <= pixel <= bottom_right, [..., H, W].

    Args:
        top_left, bottom_right: [..., 2].
        exists: [...], 0 for empty slots: their mask is empty.
    """
    rows, columns = boxes.box_edges(top_left, bottom_right, exists, image_size)
    return rows[..., :, tf.newaxis] * columns[..., tf.newaxis, :]


def truth_of_masks(masks, padding):
    """The `Truth` of masks [B, T, H, W]; padding as `boxes.pad_boxes` takes it."""
    low, high = mask_boxes(masks)
    exists = tf.reduce_any(masks > 0, axis=[-2, -1])
    padded = boxes.pad_boxes(low, high, *padding, exists)
    return Truth(masks, tf.cast(exists, tf.float32), *padded)
