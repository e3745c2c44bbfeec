"""An image and its label map seen through an affine map, pixel by pixel.

The same as `tf.raw_ops.ImageProjectiveTransformV3` (bilinear for the image, nearest for
the labels, one value outside) to float rounding, the labels exactly; made of operations
that `compiled` makes one pass of: several times faster.
"""

from typing import NamedTuple

import tensorflow as tf

__all__ = ["Lines", "lines", "look_up"]


class Lines(NamedTuple):
    """Where the pixels of the result lie in the source, as sums of two lines.

    Pixel (i, j) lies at (y_rows[i] + y_columns[j] + y, x_rows[i] + x_columns[j] + x).
    All float32.

    Attributes:
        y_rows, x_rows: [H, 1].
        y_columns, x_columns: [1, W].
        y, x: [].
    """

    y_rows: tf.Tensor
    y_columns: tf.Tensor
    y: tf.Tensor
    x_rows: tf.Tensor
    x_columns: tf.Tensor
    x: tf.Tensor


def lines(matrix: tf.Tensor, size: tuple[int, int]) -> Lines:
    """Multiply out an affine map, from the result's pixels to the source's.

    Not to be compiled: XLA may round a multiplication and an addition together, and a
    pixel in the middle between two would take the label of the other. Sums alone come
    out the same everywhere.

    Args:
        matrix: float32 [2, 3], (y, x) of the result to (y, x) of the source.
        size: (height, width).
    """
    (yy, yx, y), (xy, xx, x) = (tf.unstack(row) for row in tf.unstack(matrix))
    rows = tf.range(size[0], dtype=tf.float32)[:, tf.newaxis]
    columns = tf.range(size[1], dtype=tf.float32)[tf.newaxis]
    return Lines(yy * rows, yx * columns, y, xy * rows, xx * columns, x)


def look_up(
    image: tf.Tensor, labels: tf.Tensor, where: Lines, outside: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Look up the pixels of the result in the source.

    Outside the source lie pixels of the colour `outside` and the label 0; the image
    is blended with them over the pixel beyond its border. Half-way between two pixels,
    the label is that of the lower or right one, and 0 half a pixel outside.

    Args:
        image: [H, W, 3], 2 x 2 pixels or more.
        labels: integer [H, W].
        where: the places.
        outside: float32 [3].

    Returns:
        The image, float32 [H, W, 3], and the labels, [H, W], in their type.
    """
    height, width = labels.shape
    y = where.y_columns + where.y_rows + where.y  # [H, W]
    x = where.x_columns + where.x_rows + where.x
    # What a bilinear blend with the outside leaves to the nearest pixels inside.
    inside = _share_inside(y, height) * _share_inside(x, width)
    labelled = _is_inside(y, height) & _is_inside(x, width)
    top, below = _split(y, height)
    left, right = _split(x, width)
    place = top * width + left

    pixels = tf.reshape(image, [-1, 3])

    def share(weight, step):
        weight *= inside
        colour = tf.cast(tf.gather(pixels, place + step), tf.float32)
        return weight[..., tf.newaxis] * colour

    seen = (
        share((1.0 - below) * (1.0 - right), 0)
        + share((1.0 - below) * right, 1)
        + share(below * (1.0 - right), width)
        + share(below * right, width + 1)
        + (1.0 - inside)[..., tf.newaxis] * outside
    )
    nearest = place + tf.where(below >= 0.5, width, 0) + tf.where(right >= 0.5, 1, 0)
    label = tf.gather(tf.reshape(labels, [-1]), nearest)
    return seen, tf.where(labelled, label, tf.zeros_like(label))


def _share_inside(place, extent):
    """1 between the first and the last pixel, falling to 0 one pixel beyond."""
    return tf.clip_by_value(tf.minimum(place + 1.0, extent - place), 0.0, 1.0)


def _is_inside(place, extent):
    """Whether the nearest pixel is one of the source."""
    return (place > -0.5) & (place < extent - 0.5)


def _split(place, extent):
    """The pixel before, int32, and how far behind it, 0 to 1; another one follows."""
    place = tf.clip_by_value(place, 0.0, extent - 1.0)
    before = tf.minimum(tf.floor(place), extent - 2.0)
    return tf.cast(before, tf.int32), place - before
