"""OpenCV's resampling and filters in TensorFlow's own operations, for exported models.

What `prediction` and `postprocess` do with OpenCV, these functions do inside a graph
that needs neither. Each says how close it comes.
"""

import math

import tensorflow as tf

from keras_recattend.postprocess import BILATERAL
from keras_recattend.prediction import SMOOTHED

__all__ = ["dilated", "is_coarse", "resized", "resized_window", "upsampled"]

# The free parameter of OpenCV's cubic kernel.
CUBIC = -0.75


def resized(image, size):
    """Return a whole image at the network's size, as `prediction` does, bit for bit.

    Args:
        image: uint8 [H, W, 3]. size: (height, width).

    Returns:
        float32 [height, width, 3] in [0, 1].
    """
    values = tf.image.resize(image, size, "bicubic", antialias=True)
    return tf.clip_by_value(_unit(values), 0.0, 1.0)


def resized_window(image, window, size):
    """Return a window of an image at the network's size, as `prediction` does.

    Args:
        image: uint8 [H, W, 3].
        window: float64 [4], its top, left, height and width in the image's pixels.
        size: (height, width).

    Returns:
        float32 [height, width, 3] in [0, 1].
    """

    def reduced():
        top, left, height, width = tf.unstack(tf.cast(tf.round(window), tf.int32))
        return resized(image[top : top + height, left : left + width], size)

    return tf.cond(
        is_coarse(window, size), reduced, lambda: _interpolated(image, window, size)
    )


def is_coarse(window, size):
    """Whether `prediction` reduces a window without leaving pixels out; bool []."""
    return tf.reduce_max(window[2:] / tf.constant(size, tf.float64)) > SMOOTHED


def _interpolated(image, window, size):
    """A window of an image at the network's size, by cubic interpolation.

    OpenCV 5's `warpAffine`, with its roundings: positions and weights are float32,
    products are added without rounding in between, the image's border is repeated,
    and the result is in whole grey levels. It differs by one level in one of a million
    values. OpenCV 4 rounds positions to 1/32 pixel: its grey levels differ more.
    """
    rows, columns = (
        _cubic_taps(window[axis], window[axis + 2], size[axis], tf.shape(image)[axis])
        for axis in (0, 1)
    )
    total = 0.0
    for row, weight_y in rows:
        line = tf.gather(image, row)
        across = 0.0
        for column, weight_x in columns:
            values = tf.gather(line, column, axis=1)
            across = _multiply_add(values, weight_x[:, tf.newaxis], across)
        total = _multiply_add(across, weight_y[:, tf.newaxis, tf.newaxis], total)
    return _unit(tf.clip_by_value(tf.round(total), 0.0, 255.0))


def _cubic_taps(low, extent, length, pixels):
    """Return four pairs (index [length], weight [length]) along one axis."""
    scale = extent / length
    # Pixel centres: x_image = (x + 1/2) scale + low - 1/2. Rounded to float32 before
    # they are multiplied, as OpenCV does.
    offset = tf.cast(low + 0.5 * scale - 0.5, tf.float32)
    place = tf.cast(scale, tf.float32) * tf.range(length, dtype=tf.float32) + offset
    first = tf.floor(place)
    x = place - first
    a = CUBIC
    before = _multiply_add(_multiply_add(a, x, -2.0 * a), x, a) * x
    here = _multiply_add(_multiply_add(a + 2.0, x, -(a + 3.0)), x * x, 1.0)
    last = _multiply_add(-a, x, a) * (x * x)
    weights = before, here, 1.0 - before - here - last, last
    index = tf.cast(first, tf.int32)
    return [
        (tf.clip_by_value(index + i - 1, 0, pixels - 1), weight)
        for i, weight in enumerate(weights)
    ]


def _unit(levels):
    """Return grey levels / 255, rounded as a division is.

    TensorFlow's optimiser makes a float32 division by a constant a multiplication.
    """
    return tf.cast(tf.cast(levels, tf.float64) / 255.0, tf.float32)


def _multiply_add(a, b, c):
    """Return a b + c as float32, rounded once: a processor's fused multiply-add."""
    a, b, c = (tf.cast(value, tf.float64) for value in (a, b, c))
    return tf.cast(a * b + c, tf.float32)


def upsampled(mask, shape, bilateral=False):
    """Scale a mask to the image, as `postprocess.upsampled`; within 2e-5.

    Args:
        mask: float32 [h, w]. shape: int32 [2], (H, W).
        bilateral: whether to smooth with the authors' bilateral filter.

    Returns:
        float32 [H, W].
    """
    mask = tf.image.resize(mask[..., tf.newaxis], shape, "bilinear")[..., 0]
    return _bilateral(mask) if bilateral else mask


def _bilateral(mask):
    """The bilateral filter of `postprocess.BILATERAL`, on the border mirrored."""
    radius = BILATERAL["d"] // 2
    color, space = (
        -0.5 / BILATERAL[name] ** 2 for name in ("sigmaColor", "sigmaSpace")
    )
    shape = tf.shape(mask)
    padded = mask
    for axis in (0, 1):
        padded = tf.gather(padded, _mirrored(shape[axis], radius), axis=axis)
    total = weights = tf.zeros_like(mask)
    for y in range(-radius, radius + 1):
        for x in range(-radius, radius + 1):
            distance = y * y + x * x
            if distance > radius * radius:
                continue
            value = tf.slice(padded, [radius + y, radius + x], shape)
            weight = math.exp(space * distance) * tf.exp(
                color * tf.square(value - mask)
            )
            total += weight * value
            weights += weight
    return total / weights


def _mirrored(length, margin):
    """Indices of an axis and a margin: ... 2 1 0 1 2 ... without a doubled border."""
    period = tf.maximum(2 * (length - 1), 1)
    index = tf.math.floormod(tf.range(-margin, length + margin), period)
    return tf.minimum(index, period - index) * tf.cast(length > 1, tf.int32)


def dilated(mask, side):
    """Grow a mask by a square, as OpenCV's `dilate` does.

    Args:
        mask: bool [H, W]. side: of the square, in pixels.

    Returns:
        bool [H, W].
    """
    before, after = side // 2, side - 1 - side // 2
    padding = [[0, 0], [before, after], [before, after], [0, 0]]
    values = tf.cast(mask, tf.float32)[tf.newaxis, ..., tf.newaxis]
    grown = tf.pad(values, padding)
    # One axis after the other: a square's maximum is that of its rows' maxima.
    for window in ((side, 1), (1, side)):
        grown = tf.nn.max_pool2d(grown, window, 1, "VALID")
    return grown[0, ..., 0] > 0.0
