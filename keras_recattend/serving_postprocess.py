"""From patches or masks to a label map, as in `postprocess`, inside a graph."""

import typing

import tensorflow as tf

from keras_recattend.layers.gaussian import LEAST_DEVIATION
from keras_recattend.prediction import LEAST_ZOOM, ZOOM_MARGIN
from keras_recattend.serving_resampling import dilated, is_coarse, upsampled

__all__ = [
    "Objects",
    "boxes_in_image",
    "objects_of_masks",
    "objects_of_patches",
    "window_around",
    "within_foreground",
]


class Objects(typing.NamedTuple):
    """Objects of one image, in as many slots as there are steps; unused ones are 0.

    Attributes:
        labels: int32 [H, W], 0 = background, 1..n in the order they were found.
        scores: float32 [T].
        boxes: float32 [T, 4], (y0, x0, y1, x1): the least and greatest pixel of each
            object, both inclusive.
        count: int32 [], n.
    """

    labels: tf.Tensor
    scores: tf.Tensor
    boxes: tf.Tensor
    count: tf.Tensor


def boxes_in_image(boxes, window, input_size):
    """Map boxes from input pixels to image pixels, see `postprocess.Window.to_image`.

    Args:
        boxes: float32 [T, 4], (y0, x0, y1, x1).
        window: float64 [4], top, left, height and width. input_size: (H, W).

    Returns:
        float64 [T, 4].
    """
    scale = window[2:] / tf.constant(input_size, tf.float64)
    points = tf.reshape(tf.cast(boxes, tf.float64), [-1, 2, 2])
    return tf.reshape((points + 0.5) * scale + window[:2] - 0.5, [-1, 4])


def objects_of_patches(patches, boxes, scores, shape, settings):
    """Paste patches into an image, see `postprocess.label_map_of_patches`.

    Args:
        patches: float32 [T, h, w] probabilities.
        boxes: float64 [T, 4] what they show, in the image's pixels.
        scores: float32 [T]; steps with 0 are not used.
        shape: int32 [2], (H, W) of the image.
        settings: an `Inference`.

    Returns:
        `Objects`.
    """
    lengths = patches.shape[1:]

    def mask_of(t):
        (rows, write_y), (columns, write_x) = (
            _write_filter(boxes[t, i], boxes[t, i + 2], lengths[i], shape[i])
            for i in (0, 1)
        )
        mask = tf.matmul(tf.matmul(write_y, patches[t]), write_x, transpose_b=True)
        return tf.pad(mask, [rows, columns])

    blank = tf.zeros(shape)
    return _one_label_a_pixel(mask_of, scores, blank, settings)


def objects_of_masks(masks, scores, shape, settings):
    """The authors' way, see `postprocess.label_map_of_masks`.

    Args:
        masks: float32 [T, H, W] at the network's resolution. Others: see
            `objects_of_patches`.

    Returns:
        `Objects`.
    """

    def mask_of(t):
        weight = 1.0 if settings.stop else scores[t]
        return upsampled(masks[t] * weight, shape, settings.bilateral)

    blank = tf.fill(shape, settings.mask_threshold)
    return _one_label_a_pixel(mask_of, scores, blank, settings)


def within_foreground(objects, foreground, settings):
    """Take what the foreground does not have, see `postprocess.within_foreground`.

    Args:
        objects: `Objects`. foreground: float32 [h, w] at the network's resolution.
        settings: an `Inference`.

    Returns:
        `Objects`.
    """
    probability = upsampled(foreground, tf.shape(objects.labels))
    mask = probability > settings.foreground_threshold
    if settings.foreground_dilation:
        mask = dilated(mask, settings.foreground_dilation)
    labels = tf.where(mask, objects.labels, 0)
    least = tf.zeros_like(objects.scores, tf.float64)
    return _collect(labels, objects.scores, least, settings.min_area)


def window_around(labels, size, most_zoom):
    """The window round everything found, as in `prediction`.

    Args:
        labels: int32 [H, W]. size: (H, W) of the network's input.
        most_zoom: see `Inference.zoom`.

    Returns:
        (window float64 [4], bool: whether it would enlarge; never without objects).
    """
    extents = tf.cast(tf.shape(labels), tf.float64)
    firsts, lasts = [], []
    for axis in (0, 1):
        present = tf.cast(tf.reduce_any(labels > 0, axis=1 - axis), tf.int32)
        # Without objects it is the whole axis, which nothing enlarges.
        firsts.append(tf.argmax(present))
        lasts.append(tf.size(present, tf.int64) - tf.argmax(present[::-1]))
    low, high = (tf.cast(tf.stack(v), tf.float64) for v in (firsts, lasts))
    extent = tf.reduce_max((high - low) / extents)
    zoom = tf.minimum(1.0 / ((1.0 + 2 * ZOOM_MARGIN) * extent), most_zoom)
    crop = extents / zoom
    corner = tf.clip_by_value((low + high) / 2 - crop / 2, 0.0, extents - crop)
    window = tf.concat([corner, crop], axis=0)
    first = tf.floor(corner)
    whole = tf.concat([first, tf.math.ceil(corner + crop) - first], axis=0)
    window = tf.where(is_coarse(window, size), whole, window)
    return window, zoom >= LEAST_ZOOM


def _one_label_a_pixel(mask_of, scores, least_value, settings):
    """Give every pixel to the step with the greatest value there; drop doubles.

    Args:
        mask_of: function from a step to its mask, float32 [H, W].
        least_value: float32 [H, W], what the first mask has to exceed.
    """
    steps = tf.where(scores > 0.0)[:, 0]
    own_area = tf.zeros_like(scores, tf.float64)

    def body(i, best, labels, own_area):
        t = steps[i]
        mask = mask_of(t)
        inside = mask > settings.mask_threshold
        area = tf.math.count_nonzero(inside, dtype=tf.int32)
        here = tf.one_hot(t, tf.size(scores), dtype=tf.float64)
        own_area += here * tf.cast(area, tf.float64)
        take = inside & (mask > best)
        labels = tf.where(take, tf.cast(t, tf.int32) + 1, labels)
        return i + 1, tf.where(take, mask, best), labels, own_area

    _, _, labels, own_area = tf.while_loop(
        lambda i, *_: i < tf.size(steps),
        body,
        (tf.constant(0), least_value, tf.zeros_like(least_value, tf.int32), own_area),
        # One after the other anyway; each further one would hold masks in memory.
        parallel_iterations=1,
    )
    return _collect(labels, scores, settings.least_kept * own_area, settings.min_area)


def _write_filter(low, high, length, extent):
    """One axis' (pixels before and behind, write filter), as in `postprocess`."""
    extent = tf.cast(extent, tf.float64)
    first = tf.clip_by_value(tf.math.ceil(low), 0.0, extent)
    last = tf.clip_by_value(tf.floor(high) + 1.0, first, extent)
    size, center = high - low, (low + high) / 2
    cells = tf.range(length, dtype=tf.float64) - (length - 1) / 2
    means = center + size / length * cells
    deviation = tf.maximum(0.5 * size / length, LEAST_DEVIATION)
    distance = (tf.range(first, last)[:, tf.newaxis] - means) / deviation
    value = tf.exp(-0.5 * distance**2)
    value /= tf.maximum(tf.reduce_sum(value, axis=1, keepdims=True), 1e-6)
    margins = tf.cast(tf.stack([first, extent - last]), tf.int32)
    return margins, tf.cast(value, tf.float32)


def _collect(labels, scores, least_area, min_area):
    """Drop objects below either area (each its own, and all) and number the rest."""
    slots = tf.size(scores)
    ends, area = [], None
    for axis in (0, 1):
        lines = labels if axis == 0 else tf.transpose(labels)
        # [H or W, T]: pixels of each object in each line.
        pixels = tf.math.bincount(
            lines, minlength=slots + 1, maxlength=slots + 1, axis=-1
        )[:, 1:]
        present = tf.cast(pixels > 0, tf.int32)
        first = tf.argmax(present, axis=0)
        last = tf.shape(present, tf.int64)[0] - 1 - tf.argmax(present[::-1], axis=0)
        ends.append((first, last))
        area = tf.reduce_sum(pixels, axis=0)
    (top, bottom), (left, right) = ends
    boxes = tf.cast(tf.stack([top, left, bottom, right], axis=-1), tf.float32)
    least = tf.maximum(tf.constant(max(min_area, 1), tf.float64), least_area)
    kept = tf.cast(area, tf.float64) >= least
    number = tf.cumsum(tf.cast(kept, tf.int32)) * tf.cast(kept, tf.int32)
    table = tf.concat([[0], number], axis=0)
    order = tf.where(kept)[:, 0]
    count = tf.size(order)
    unused = slots - count
    return Objects(
        tf.gather(table, labels),
        tf.pad(tf.gather(scores, order), [[0, unused]]),
        tf.pad(tf.gather(boxes, order), [[0, unused], [0, 0]]),
        count,
    )
