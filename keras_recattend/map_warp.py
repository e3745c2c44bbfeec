"""Foreground and angle maps under the same geometry as their image.

Where an image is turned or flipped, so are the directions in it: the angle channels
change places, and by turns that are no multiple of 45 degrees they mix.
"""

import math

import tensorflow as tf

from keras_recattend.angles import ANGLES

__all__ = ["turned_angles", "warp_maps"]


def warp_maps(extra, matrix):
    """Return maps seen through affine maps.

    Outside the source there is no foreground, and no angle is likelier than another.

    Args:
        extra: float32 [B, H, W, E], angles (if E is 9), then foreground.
        matrix: float32 [B, 2, 3], from pixels (y, x) of the result to the source.

    Returns:
        [B, H, W, E].
    """
    (yy, yx, y0), (xy, xx, x0) = (
        tf.unstack(row, axis=-1) for row in tf.unstack(matrix, axis=1)
    )
    zero = tf.zeros_like(yy)
    # The fill value is 0 for all channels: subtracted before, added after.
    outside = tf.constant([1.0 / ANGLES] * (extra.shape[-1] - 1) + [0.0])
    warped = tf.raw_ops.ImageProjectiveTransformV3(
        images=extra - outside,
        # The op counts (x, y), and maps results to sources as we do.
        transforms=tf.stack([xx, xy, x0, yx, yy, y0, zero, zero], axis=-1),
        output_shape=tf.shape(extra)[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
    warped = tf.ensure_shape(warped + outside, extra.shape)
    if extra.shape[-1] == 1:
        return warped
    turned = tf.einsum("bhwk,bkj->bhwj", warped[..., :-1], turned_angles(matrix))
    return tf.concat([turned, warped[..., -1:]], axis=-1)


def turned_angles(matrix):
    """Return where each angle class of the source goes, float32 [B, 8, 8].

    Row k has the shares of class k in the result's classes: a direction between two
    classes is shared by them. Rows sum to one.
    """
    step = 2.0 * math.pi / ANGLES
    angle = (tf.range(ANGLES, dtype=tf.float32) - ANGLES // 2) * step
    source = tf.stack([tf.sin(angle), tf.cos(angle)], axis=-1)  # [8, 2], (y, x)
    inverse = tf.linalg.inv(matrix[:, :, :2])
    result = tf.einsum("bij,kj->bki", inverse, source)
    place = tf.math.atan2(result[..., 0], result[..., 1]) / step + ANGLES / 2
    low = tf.floor(place)
    share = (place - low)[..., tf.newaxis]
    low = tf.cast(low, tf.int32)
    return (1.0 - share) * tf.one_hot(low % ANGLES, ANGLES) + share * tf.one_hot(
        (low + 1) % ANGLES, ANGLES
    )
