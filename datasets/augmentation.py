"""Random changes of an image and, jointly, of its label map.

`draw` turns a seed into one `Transform`; `apply` carries it out. The geometry is one
affine map about the image's center c, from pixels of the result to the source:

    p_source = A (p_result - c - t) + c,   A = (rotation . scale . flips)^-1

with pixel centers at whole numbers, so that c = (extent - 1) / 2 and flips, shifts by
whole pixels and quarter turns of a square move pixels without blending them.
"""

import math
from typing import NamedTuple

import tensorflow as tf

from datasets.compiled import compiled
from datasets.warp import lines, look_up
from keras_recattend.config import Augmentation

__all__ = ["Transform", "apply", "check", "draw", "object_areas", "order_objects"]

# One uniform number each, always drawn: switching one option on or off leaves what
# the others draw unchanged. Append only.
_NUMBERS = (
    "flip_vertical",
    "flip_horizontal",
    "transpose",
    "rotation",
    "scale",
    "aspect",
    "shift_y",
    "shift_x",
    "gain",
    "red",
    "green",
    "blue",
    "offset",
    "hue",
    "saturation",
    "contrast",
    "brightness",
)


class Transform(NamedTuple):
    """What `draw` decided, all float32.

    Attributes:
        matrix: [2, 3], (y, x) of the result to (y, x) of the source.
        zoom: area of an object in the result over its area in the source.
        factor, offset: [3], colour = colour * factor + offset.
        hue, saturation, contrast, brightness: shift, factor, factor, shift.
    """

    matrix: tf.Tensor
    zoom: tf.Tensor
    factor: tf.Tensor
    offset: tf.Tensor
    hue: tf.Tensor
    saturation: tf.Tensor
    contrast: tf.Tensor
    brightness: tf.Tensor


def check(augmentation: Augmentation, image_size: tuple[int, int]) -> None:
    """Refuse settings that contradict each other, before any graph is built.

    Raises:
        ValueError: names the settings.
    """
    low, high = augmentation.scale
    if not 0 < low <= high:
        raise ValueError(
            f"augmentation.scale must be (low, high) with 0 < low <= high, got "
            f"{augmentation.scale}."
        )
    if augmentation.pad_crop < 0:
        raise ValueError(
            f"augmentation.pad_crop must be 0 or more, got {augmentation.pad_crop}."
        )
    if augmentation.paste < 0:
        raise ValueError(
            f"augmentation.paste must be 0 or more, got {augmentation.paste}."
        )
    if not 0 <= augmentation.rendered < 1:
        raise ValueError(
            "augmentation.rendered is a share of the samples, from 0 to less than 1, "
            f"got {augmentation.rendered}."
        )
    if augmentation.pad_crop and _warps(augmentation):
        raise ValueError(
            "augmentation.pad_crop goes with flips and transpose only; set rotation, "
            "aspect and shift to 0 and scale to (1, 1), or pad_crop to 0. Got "
            f"{augmentation}."
        )
    if augmentation.transpose and image_size[0] != image_size[1]:
        raise ValueError(
            "augmentation.transpose needs square images, got image_size "
            f"{tuple(image_size)}."
        )


def draw(
    augmentation: Augmentation, seed: tf.Tensor, image_size: tuple[int, int]
) -> Transform:
    """Draw all random numbers of one image.

    Args:
        augmentation: the ranges.
        seed: integer [2]; the same seed gives the same transform, everywhere.
        image_size: (height, width).

    Returns:
        The transform.
    """
    # Philox by name: the default differs between devices.
    numbers = tf.random.stateless_uniform([len(_NUMBERS)], seed, alg="philox")
    uniform = dict(zip(_NUMBERS, tf.unstack(numbers), strict=True))

    def around(name, extent, center=0.0):
        return center + extent * (2 * uniform[name] - 1)

    gain = around("gain", augmentation.gain, 1.0)
    channels = [
        around(c, augmentation.channel_gain, 1.0) for c in ("red", "green", "blue")
    ]
    matrix, zoom = _geometry(augmentation, uniform, around, image_size)
    return Transform(
        matrix=matrix,
        zoom=zoom,
        factor=gain * tf.stack(channels),
        offset=tf.fill([3], around("offset", augmentation.offset)),
        hue=around("hue", augmentation.hue),
        saturation=around("saturation", augmentation.saturation, 1.0),
        contrast=around("contrast", augmentation.contrast, 1.0),
        brightness=around("brightness", augmentation.brightness),
    )


def apply(
    augmentation: Augmentation,
    transform: Transform,
    image: tf.Tensor,
    labels: tf.Tensor,
    median: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Carry out a transform.

    Args:
        augmentation: tells which parts are in use; the rest costs nothing.
        transform: what was drawn.
        image: uint8 [H, W, 3].
        labels: uint8 or int32 [H, W].
        median: float32 [3], the image's median colour in 0..255, shown outside the
            source (black with `pad_crop`).

    Returns:
        The image, float32 [H, W, 3] in [0, 1], and the labels, [H, W] as they came.
    """
    factor, offset = transform.factor / 255, transform.offset
    if _moves(augmentation):
        outside = tf.zeros([3]) if augmentation.pad_crop else median
        where = lines(transform.matrix, labels.shape)
        image, labels = _moved(image, labels, where, outside, factor, offset)
    else:
        image = tf.cast(image, tf.float32) * factor + offset
        image = tf.clip_by_value(image, 0.0, 1.0)
    if _recolours(augmentation):
        image = _recolour(augmentation, transform, image)
    return image, labels


@compiled
def order_objects(
    labels: tf.Tensor,
    least: tf.Tensor | None,
    most_objects: int,
    max_instances: int,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Drop what is hardly visible and number the rest by area, largest first.

    Args:
        labels: integer [H, W], ids from 0 (background) to `most_objects`.
        least: float32 [most_objects], object i + 1 is dropped below so many pixels;
            None = only what has vanished is.
        most_objects: highest id that may occur.
        max_instances: this many are kept, the largest.

    Returns:
        The new labels, int32 [H, W]; the number of objects, int32 []; and the old id
        of object 1, 2, ..., 0 = none, int32 [max_instances].
    """
    labels = tf.cast(labels, tf.int32)
    if most_objects < 1:
        nothing = tf.zeros([max_instances], tf.int32)
        return tf.zeros_like(labels), tf.constant(0), nothing
    areas = object_areas(labels, most_objects)
    kept = areas > 0
    if least is not None:
        kept &= tf.cast(areas, tf.float32) >= least
    # Equal areas keep the order of their ids.
    order = tf.argsort(tf.where(kept, areas, 0), direction="DESCENDING", stable=True)
    rank = tf.math.invert_permutation(order)
    count = tf.minimum(tf.math.count_nonzero(kept, dtype=tf.int32), max_instances)
    table = tf.where(kept & (rank < count), rank + 1, 0)
    room = max(max_instances - most_objects, 0)
    old = tf.pad(order + 1, [[0, room]])[:max_instances]
    old = tf.where(tf.range(max_instances) < count, old, 0)
    return tf.gather(tf.concat([[0], table], 0), labels), count, old


def object_areas(labels: tf.Tensor, objects: int) -> tf.Tensor:
    """Return the pixels of each of so many ids in a label map, int32 [objects].

    Not by `tf.math.bincount`: the size of what it gives depends on the labels, and each
    image would be compiled anew.
    """
    ids = tf.reshape(labels, [-1])
    return tf.math.unsorted_segment_sum(tf.ones_like(ids), ids, objects + 1)[1:]


def _warps(augmentation):
    return (
        augmentation.rotation
        or augmentation.aspect
        or augmentation.shift
        or tuple(augmentation.scale) != (1.0, 1.0)
    )


def _moves(augmentation):
    return (
        _warps(augmentation)
        or augmentation.pad_crop
        or augmentation.flip_vertical
        or augmentation.flip_horizontal
        or augmentation.transpose
    )


def _recolours(augmentation):
    return (
        augmentation.hue
        or augmentation.saturation
        or augmentation.contrast
        or augmentation.brightness
    )


def _geometry(augmentation, uniform, around, image_size):
    """The matrix from result to source, and the zoom."""
    low, high = (math.log(value) for value in augmentation.scale)
    scale = tf.exp(low + (high - low) * uniform["scale"])
    aspect = tf.exp(0.5 * around("aspect", augmentation.aspect))
    angle = around("rotation", augmentation.rotation * math.pi / 180)
    cosine, sine = tf.cos(angle), tf.sin(angle)
    # Rows y, x: turn back, then shrink back, then flip back.
    inverse = tf.stack(
        [
            tf.stack([cosine, sine]) / (scale * aspect),
            tf.stack([-sine, cosine]) * aspect / scale,
        ]
    )

    def sign(name):
        return tf.where(getattr(augmentation, name) & (uniform[name] < 0.5), -1.0, 1.0)

    signs = tf.stack([sign("flip_vertical"), sign("flip_horizontal")])
    inverse *= signs[:, None]
    if augmentation.transpose:
        inverse = tf.where(uniform["transpose"] < 0.5, inverse[::-1], inverse)
    if augmentation.pad_crop:
        steps = 2 * augmentation.pad_crop + 1
        shift = [
            tf.floor(uniform[name] * steps) - augmentation.pad_crop
            for name in ("shift_y", "shift_x")
        ]
    else:
        shift = [
            around("shift_y", augmentation.shift * image_size[0]),
            around("shift_x", augmentation.shift * image_size[1]),
        ]
    center = tf.constant([(extent - 1) / 2 for extent in image_size], tf.float32)
    moved = center - tf.linalg.matvec(inverse, center + tf.stack(shift))
    return tf.concat([inverse, moved[:, None]], 1), scale * scale


@compiled
def _moved(image, labels, where, outside, factor, offset):
    """Geometry and colour in one pass."""
    image, labels = look_up(image, labels, where, outside)
    return tf.clip_by_value(image * factor + offset, 0.0, 1.0), labels


def _recolour(augmentation, transform, image):
    if augmentation.hue:
        image = tf.image.adjust_hue(image, transform.hue)
    if augmentation.saturation:
        image = tf.image.adjust_saturation(image, transform.saturation)
    if augmentation.contrast:
        image = tf.image.adjust_contrast(image, transform.contrast)
    if augmentation.brightness:
        image += transform.brightness
    return tf.clip_by_value(image, 0.0, 1.0)
