"""Random canvases: what the model could have segmented so far.

Between two steps the only state is the canvas. Given a canvas, the steps are
independent, so the bootstrap stages draw some at random instead of unrolling.
"""

import tensorflow as tf

from keras_recattend import replicas
from keras_recattend.sampling import noisy
from keras_recattend.stages.objective import split_seed

__all__ = [
    "blanked",
    "claimed_shares",
    "claims",
    "covered_centers",
    "covered_objects",
    "distort",
    "draw_covered",
    "noisy_centers",
    "object_ious",
    "object_pixels",
    "paint",
    "spilled",
]

# Shares of canvases with every object on them, and with one to three left: the end of
# the sequence decides the count.
SHARE_FULL = 0.12
SHARE_NEARLY_FULL = 0.20
# In this share the large objects come first, as a trained model takes them.
SHARE_LARGE_FIRST = 0.5
LARGE_FIRST_STRENGTH = 1.0
# A model's own centres are off by this share of the object.
CENTER_NOISE = 0.1
# Distortion is drawn at so many places along each side, smooth in between.
DISTORTION_KNOTS = 24


def draw_covered(exists, canvases, seed, leave_one=False):
    """Draw for each image and canvas which objects are on it.

    Args:
        exists: [B, T], 1 for objects, sorted by area, largest first.
        canvases: K.
        seed: int32 [2].
        leave_one: whether one object at least must be left uncovered.

    Returns:
        float32 [B, K, T].
    """
    shape = [tf.shape(exists)[0], canvases]
    slots = exists.shape[1]
    seeds = split_seed(seed, 4)
    count = tf.reduce_sum(exists, axis=-1)[:, tf.newaxis]  # [B, 1]
    kind = replicas.uniform(shape, seeds[0])
    amount = replicas.uniform(shape, seeds[1])
    nearly = count - 1.0 - tf.floor(3.0 * amount)
    size = tf.where(kind < SHARE_NEARLY_FULL, nearly, tf.floor(amount * count))
    full = kind > 1.0 - SHARE_FULL
    size = tf.where(full & (not leave_one), tf.broadcast_to(count, shape), size)
    size = tf.clip_by_value(size, 0.0, count - float(leave_one))
    # The `size` objects of least rank are covered.
    large_first = replicas.uniform([*shape, 1], seeds[2])
    bias = tf.cast(large_first < SHARE_LARGE_FIRST, tf.float32) * LARGE_FIRST_STRENGTH
    order = replicas.uniform([*shape, slots], seeds[3])
    place = tf.range(slots, dtype=tf.float32) / tf.maximum(count, 1.0)[..., tf.newaxis]
    order += bias * place + 10.0 * (1.0 - exists[:, tf.newaxis])
    rank = tf.argsort(tf.argsort(order, axis=-1), axis=-1)
    covered = tf.cast(rank, tf.float32) < size[..., tf.newaxis]
    return tf.cast(covered, tf.float32) * exists[:, tf.newaxis]


def paint(labels, covered, noise_seed=None):
    """Return canvases [B K, H, W] on which the covered objects are drawn.

    Args:
        labels: int32 [B, H, W]. covered: [B, K, T].
        noise_seed: for noise on the drawn pixels, or None.
    """
    table = tf.pad(covered, [[0, 0], [0, 0], [1, 0]])  # background is never covered
    table = tf.transpose(table, [0, 2, 1])  # [B, T + 1, K]
    known = tf.where(labels < tf.shape(table)[1], labels, 0)
    canvases = tf.transpose(tf.gather(table, known, batch_dims=1), [0, 3, 1, 2])
    canvases = tf.reshape(canvases, [-1, *labels.shape[1:]])
    return canvases if noise_seed is None else noisy(canvases, noise_seed)


def noisy_centers(center, size, seed):
    """Return true centres [B, T, 2], moved as a model's own are."""
    return center + replicas.normal(tf.shape(center), seed) * CENTER_NOISE * size


def covered_centers(head, center, size, covered, noise_seed=None):
    """Return the centre maps that go with canvases, float32 [B K, P].

    Args:
        head: the `HeatMapHead`. center, size: [B, T, 2]. covered: [B, K, T].
        noise_seed: for noise on the centres, or None.
    """
    if noise_seed is not None:
        center = noisy_centers(center, size, noise_seed)
    blobs = head.blobs(center, size)[:, tf.newaxis] * covered[..., tf.newaxis]
    return tf.reshape(tf.reduce_max(blobs, axis=2), [-1, blobs.shape[-1]])


def spilled(covered, exists, share, seed):
    """Return what is painted of the covered objects and some of the others, [B, K, T].

    Args:
        covered: [B, K, T]. exists: [B, T].
        share: of the objects that are not covered.
        seed: int32 [2].
    """
    draw = replicas.uniform(tf.shape(covered), seed)
    spilled_on = tf.cast(draw < share, tf.float32) * exists[:, tf.newaxis]
    return tf.maximum(covered, spilled_on)


def blanked(canvases, share, seed):
    """Return canvases [N, H, W] of which this share, drawn by chance, is empty.

    And which are left as they are, float32 [N].
    """
    kept = tf.ones(tf.shape(canvases)[:1])
    if share:
        draw = replicas.uniform([tf.shape(canvases)[0], 1, 1], seed)
        kept = tf.cast(draw[:, 0, 0] >= share, tf.float32)
    return canvases * kept[:, tf.newaxis, tf.newaxis], kept


def distort(labels, amount, seed):
    """Return label maps with moved outlines, as a model's own masks have them.

    Every pixel takes the label of a place near by; the shifts change smoothly. Masks
    of a model are a little too large here, too small there, and take a strip of a
    neighbour: a segmentation network that saw true canvases alone trusts their edges.

    Args:
        labels: int32 [B, H, W].
        amount: deviation of the shift, as share of the image's sides.
        seed: int32 [2].
    """
    shape = tf.shape(labels)
    batch, height, width = shape[0], shape[1], shape[2]
    knots = [batch, DISTORTION_KNOTS, DISTORTION_KNOTS, 2]
    extent = tf.cast(tf.stack([height, width]), tf.float32)
    shift = replicas.normal(knots, seed) * amount * extent
    shift = tf.image.resize(shift, [height, width], "bilinear")
    place = tf.stack(
        tf.meshgrid(tf.range(height), tf.range(width), indexing="ij"), axis=-1
    )
    source = tf.cast(place, tf.float32) + shift
    source = tf.cast(tf.round(source), tf.int32)
    source = tf.clip_by_value(source, 0, tf.stack([height, width]) - 1)
    return tf.gather_nd(labels, source, batch_dims=1)


def object_pixels(labels, slots):
    """Return every other pixel of all objects, both ways, float32 [B, H W / 4, T].

    That is plenty to tell whether half an object is covered, and is made once for all
    canvases of a batch.
    """
    pixels = tf.one_hot(labels[:, ::2, ::2] - 1, slots)
    return tf.reshape(pixels, [tf.shape(labels)[0], -1, slots])


def covered_objects(canvases, pixels):
    """Return which objects lie with half their pixels on the canvas, float32 [B, K, T].

    Args:
        canvases: [B, K, H, W]. pixels: see `object_pixels`.
    """
    shape = tf.shape(canvases)
    on = tf.cast(canvases[:, :, ::2, ::2] > 0.5, tf.float32)
    drawn = tf.matmul(tf.reshape(on, [shape[0], shape[1], -1]), pixels)
    area = tf.reduce_sum(pixels, axis=1)[:, tf.newaxis]
    return tf.cast((area > 0) & (drawn >= 0.5 * area), tf.float32)


def object_ious(masks, pixels):
    """Return the IoU of each mask above 1/2 with every object, float32 [B, T].

    Args:
        masks: [B, H, W]. pixels: see `object_pixels`.
    """
    shared, areas, own = _overlap(masks, pixels)
    return shared / tf.maximum(areas + own - shared, 1.0)


def claims(masks, pixels):
    """Return the pixels of its object that each mask above 1/2 has, float32 [B, P].

    A mask has one object, that of which it has the most pixels: what it spills over
    others is not theirs.

    Args:
        masks: [B, H, W]. pixels: see `object_pixels`, P of them.
    """
    shared, _, _ = _overlap(masks, pixels)
    own = tf.one_hot(tf.argmax(shared, axis=-1), shared.shape[1])
    return _on(masks) * tf.linalg.matvec(pixels, own)


def claimed_shares(claimed, pixels):
    """Return the share of every object's pixels that are claimed, float32 [B, T].

    Args:
        claimed: [B, P], 0 or 1, of one mask or of several: see `claims`.
        pixels: see `object_pixels`.
    """
    shared = tf.linalg.matvec(pixels, claimed, transpose_a=True)
    return shared / tf.maximum(tf.reduce_sum(pixels, axis=1), 1.0)


def _overlap(masks, pixels):
    """Pixels that masks and objects share, the objects' and the masks', [B, T or 1]."""
    on = _on(masks)[:, tf.newaxis]
    shared = tf.matmul(on, pixels)[:, 0]
    return shared, tf.reduce_sum(pixels, axis=1), tf.reduce_sum(on, axis=-1)


def _on(masks):
    """Which of the pixels that `object_pixels` has are in the masks, [B, P]."""
    on = tf.cast(masks[:, ::2, ::2] > 0.5, tf.float32)
    return tf.reshape(on, [tf.shape(masks)[0], -1])
