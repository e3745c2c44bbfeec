"""True boxes of objects, and the overlap of boxes. Pixels, order (y, x)."""

import tensorflow as tf

from keras_recattend.losses import IOU_EPSILON

__all__ = [
    "box_edges",
    "box_iou",
    "corners",
    "filled_iou",
    "label_boxes",
    "pad_boxes",
    "soft_windows",
    "window_iou",
]

# Softness of the edges of `soft_windows`, as a share of the image's extent.
WINDOW_EDGE = 1.5 / 112.0


def label_boxes(labels, slots):
    """Return the boxes and areas of all objects of label maps, in one pass.

    Args:
        labels: int32 [B, H, W], 0 = background, ids 1..slots (greater ones ignored).
        slots: number of object slots T.

    Returns:
        top_left, bottom_right: float32 [B, T, 2], both inclusive, zeros where empty.
        area: float32 [B, T], pixels.
    """
    shape = tf.shape(labels)
    batch, height, width = shape[0], shape[1], shape[2]
    ids = tf.where(labels > slots, 0, labels)
    ids += tf.range(batch)[:, tf.newaxis, tf.newaxis] * (slots + 1)
    ids = tf.reshape(ids, [batch, height * width])
    # Pixels of one row share y: reduce over x first would need a table per row, so
    # both coordinates go through the segments at once.
    y = tf.repeat(tf.range(height), width)
    x = tf.tile(tf.range(width), [height])
    points = tf.tile(tf.stack([y, x, -y, -x], axis=-1)[tf.newaxis], [batch, 1, 1])
    segments = batch * (slots + 1)
    least = tf.math.unsorted_segment_min(points, ids, segments)
    area = tf.math.unsorted_segment_sum(tf.ones_like(ids), ids, segments)
    least = tf.reshape(least, [batch, slots + 1, 4])[:, 1:]
    area = tf.reshape(area, [batch, slots + 1])[:, 1:]
    exists = (area > 0)[..., tf.newaxis]
    low = tf.where(exists, least[..., :2], 0)
    high = tf.where(exists, -least[..., 2:], 0)
    return (
        tf.cast(low, tf.float32),
        tf.cast(high, tf.float32),
        tf.cast(area, tf.float32),
    )


def pad_boxes(top_left, bottom_right, ratio, least, exists=None, shift=0.0):
    """Pad boxes on every side by max(ratio * size, least) pixels (eq. 26, Pad).

    Args:
        top_left, bottom_right: [..., 2].
        ratio: share of the size. least: pixels.
        exists: [...], 0 for empty slots, whose box (0, 0) to (0, 0) becomes (0, 0)
            to (2 least, 2 least), as the authors had it; None = there are none.
        shift: moves the box by this share of its size (noise on true boxes).

    Returns:
        top_left, bottom_right.
    """
    extent = bottom_right - top_left
    padding = tf.maximum(ratio * extent, least)
    low = top_left + shift * extent - padding
    high = bottom_right + shift * extent + padding
    if exists is None:
        return low, high
    present = tf.cast(exists, tf.bool)[..., tf.newaxis]
    return tf.where(present, low, 0.0), tf.where(present, high, 2.0 * padding)


def box_edges(top_left, bottom_right, exists, image_size):
    """Return which rows and columns a box covers, 0 or 1: ([..., H], [..., W]).

    Their outer product is 1 where top_left <= pixel <= bottom_right.

    Args:
        top_left, bottom_right: [..., 2].
        exists: [...], 0 for empty slots: they cover no row.
    """
    axes = []
    for axis in (0, 1):
        a = tf.range(image_size[axis], dtype=tf.float32)
        low, high = top_left[..., axis, tf.newaxis], bottom_right[..., axis, tf.newaxis]
        axes.append(tf.cast((a >= low) & (a <= high), tf.float32))
    return axes[0] * tf.cast(exists, tf.float32)[..., tf.newaxis], axes[1]


def filled_iou(mask, edges):
    """Return eq. 22 of a soft mask with filled boxes, through the boxes' edges.

    `sum(mask box) = rows^T mask columns`: no box is drawn at the image's size.

    Args:
        mask: [B, H, W] in [0, 1]. edges: see `box_edges`, [B, T, H] and [B, T, W].

    Returns:
        [B, T].
    """
    rows, columns = edges
    across = tf.matmul(mask, columns, transpose_b=True)  # [B, H, T]
    intersection = tf.reduce_sum(tf.transpose(rows, [0, 2, 1]) * across, axis=1)
    area = tf.reduce_sum(mask, axis=[1, 2])[:, tf.newaxis]
    box_area = tf.reduce_sum(rows, axis=-1) * tf.reduce_sum(columns, axis=-1)
    epsilon = IOU_EPSILON * float(mask.shape[1] * mask.shape[2])
    return intersection / (area + box_area - intersection + epsilon)


def corners(center, size):
    """Return (top_left, bottom_right) = center -/+ size / 2, not clipped."""
    return center - size / 2, center + size / 2


def box_iou(a, b):
    """Return the IoU of boxes given by corners, broadcast over leading axes.

    Args:
        a, b: (top_left [..., 2], bottom_right [..., 2]). No clipping, no epsilon:
            two boxes without area give nan.
    """
    (a_low, a_high), (b_low, b_high) = a, b
    overlap = tf.maximum(tf.minimum(a_high, b_high) - tf.maximum(a_low, b_low), 0.0)
    intersection = tf.reduce_prod(overlap, axis=-1)
    union = (
        tf.reduce_prod(a_high - a_low, axis=-1)
        + tf.reduce_prod(b_high - b_low, axis=-1)
        - intersection
    )
    return intersection / union


def soft_windows(center, size, image_size):
    """Return a box's soft windows along y and x: ([..., H], [..., W]), in [0, 1].

    `sigmoid((size / 2 - |a - center|) / edge)`: the soft box is their outer product.
    """
    windows = []
    for axis in (0, 1):
        extent = image_size[axis]
        a = tf.range(extent, dtype=tf.float32)
        distance = tf.abs(a - center[..., axis, tf.newaxis])
        edge = WINDOW_EDGE * extent
        windows.append(tf.sigmoid((size[..., axis, tf.newaxis] / 2 - distance) / edge))
    return tuple(windows)


def window_iou(a, b):
    """Return the soft IoU of soft boxes given by windows, without image-size masks.

    Sums of products of outer products factor into the axes' sums:
    `sum(a b) = sum_y(a_y b_y) sum_x(a_x b_x)`.

    Args:
        a, b: pairs of windows ([..., H], [..., W]), broadcast over leading axes.
    """
    (a_y, a_x), (b_y, b_x) = a, b
    intersection = tf.reduce_sum(a_y * b_y, -1) * tf.reduce_sum(a_x * b_x, -1)
    area_a = tf.reduce_sum(a_y, -1) * tf.reduce_sum(a_x, -1)
    area_b = tf.reduce_sum(b_y, -1) * tf.reduce_sum(b_x, -1)
    return intersection / (area_a + area_b - intersection + 1e-3)
