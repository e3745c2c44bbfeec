"""Objects of one training image pasted onto another, with exact occlusion.

Few images show the same few arrangements of objects again and again; a network learns
them by heart. An object that another image lends lies where none was, in front of or
behind what is there, and its outline is known to the pixel.
"""

from typing import NamedTuple

import tensorflow as tf

from datasets.augmentation import object_areas
from datasets.compiled import compiled

__all__ = ["Layer", "paste"]

# Of what is pasted behind the objects that are there, at least this share must show.
LEAST_SHOWN = 0.3
# Side of the square over which a pasted edge fades: an edge that is sharper than any in
# the image would tell that something was pasted.
FADE = 3


class Layer(NamedTuple):
    """An image after its own random changes.

    Attributes:
        image: float32 [H, W, 3].
        labels: int32 [H, W], 0 = background, ids up to N.
        least: float32 [N], pixels below which object 1..N does not count.
        classes: int32 [N].
    """

    image: tf.Tensor
    labels: tf.Tensor
    least: tf.Tensor
    classes: tf.Tensor


def paste(
    layer: Layer, other: Layer, most: int, max_instances: int, seed: tf.Tensor
) -> Layer:
    """Paste up to `most` objects of `other` onto `layer`.

    How many is drawn evenly from 0 to `most`, and no more than `max_instances` leaves
    room for; which, and whether in front or behind, is drawn, too. All of them lie in
    front of the objects that are there, or all behind.

    Args:
        layer: what is pasted onto. other: what is pasted, of the same size.
        most: objects. max_instances: most objects of the result.
        seed: integer [2].

    Returns:
        The layer with `other`'s objects under the ids N + 1 and up.
    """
    count = other.least.shape[0]
    numbers = tf.random.stateless_uniform([count + 2], seed, alg="philox")
    return _pasted(layer, other, most, max_instances, numbers)


@compiled
def _pasted(layer, other, most, max_instances, numbers):
    objects = layer.least.shape[0]
    there = tf.math.count_nonzero(_shown(layer), dtype=tf.int32)
    room = tf.maximum(max_instances - there, 0)
    wanted = tf.minimum(tf.cast(numbers[0] * (most + 1.0), tf.int32), room)
    usable = _shown(other)
    rank = tf.argsort(tf.argsort(tf.where(usable, numbers[2:], 2.0)))
    chosen = usable & (rank < wanted)
    in_front = numbers[1] < 0.5

    free = in_front | (layer.labels == 0)
    labels = tf.where(free, _only(other.labels, chosen), 0)
    enough = LEAST_SHOWN * _areas(other.labels, chosen.shape[0])
    labels = _only(labels, _areas(labels, chosen.shape[0]) >= enough)

    pasted = labels > 0
    alpha = tf.cast(pasted, tf.float32)[tf.newaxis, ..., tf.newaxis]
    # Padded by hand: "SAME" would have XLA count the pixels of every square.
    beside = FADE // 2
    alpha = tf.pad(alpha, [[0, 0], [beside, beside], [beside, beside], [0, 0]])
    alpha = tf.nn.avg_pool2d(alpha, FADE, 1, "VALID")[0]
    return Layer(
        image=layer.image + alpha * (other.image - layer.image),
        labels=tf.where(pasted, labels + objects, layer.labels),
        least=tf.concat([layer.least, other.least], axis=0),
        classes=tf.concat([layer.classes, other.classes], axis=0),
    )


def _areas(labels, objects):
    """Pixels of each of so many ids in a label map; float32 [N]."""
    return tf.cast(object_areas(labels, objects), tf.float32)


def _shown(layer):
    """Which objects count; bool [N]."""
    areas = _areas(layer.labels, layer.least.shape[0])
    return (areas > 0) & (areas >= layer.least)


def _only(labels, kept):
    """The label map without the ids that are not kept."""
    table = tf.range(kept.shape[0] + 1) * tf.pad(tf.cast(kept, tf.int32), [[1, 0]])
    return tf.gather(table, labels)
