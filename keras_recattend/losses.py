"""Losses of the paper (eq. 21-27) and those of the bootstrap stages. All float32."""

import tensorflow as tf

from keras_recattend import replicas

__all__ = [
    "angle_loss",
    "binary_cross_entropy",
    "cross_entropy",
    "focal_heat_loss",
    "matched_iou_loss",
    "monotonic_score_loss",
    "patch_loss",
    "score_bounds",
    "smooth_l1",
    "soft_iou",
    "soft_iou_matrix",
    "taken_shares",
]

# Added per pixel to the union (authors): 0.5 in all on 224 x 224.
IOU_EPSILON = 1e-5
# Keeps log(0) out of the score loss and the entropies.
LOG_EPSILON = 1e-5


def soft_iou(a, b, axes=(-2, -1)):
    """Return eq. 22 for aligned masks: `sum(a b) / sum(a + b - a b + 1e-5)`.

    Args:
        a, b: [..., H, W] in [0, 1], broadcast against one another.
        axes: the pixels' axes.

    Returns:
        [...].
    """
    product = a * b
    return tf.reduce_sum(product, axes) / tf.reduce_sum(
        a + b - product + IOU_EPSILON, axes
    )


def soft_iou_matrix(a, b):
    """Return eq. 22 for all pairs, as one matrix product over flattened masks.

    Args:
        a: [B, N, H, W]. b: [B, M, H, W].

    Returns:
        [B, N, M].
    """
    pixels = tf.shape(a)[2] * tf.shape(a)[3]
    flat_a = tf.reshape(a, [tf.shape(a)[0], tf.shape(a)[1], pixels])
    flat_b = tf.reshape(b, [tf.shape(b)[0], tf.shape(b)[1], pixels])
    intersection = tf.matmul(flat_a, flat_b, transpose_b=True)
    area_a = tf.reduce_sum(flat_a, axis=-1)[:, :, tf.newaxis]
    area_b = tf.reduce_sum(flat_b, axis=-1)[:, tf.newaxis, :]
    epsilon = IOU_EPSILON * tf.cast(pixels, tf.float32)
    return intersection / (area_a + area_b - intersection + epsilon)


def matched_iou_loss(iou, match):
    """Return eq. 23-24 (and 26): minus the mean matched IoU, averaged over the batch.

    Args:
        iou: [B, T_out, T_true]. match: the same shape, 1 where matched.

    Returns:
        Scalar in [-1, 0]. An image without objects contributes 0.
    """
    total = tf.reduce_sum(iou * match, axis=[1, 2])
    matched = tf.maximum(tf.reduce_sum(match, axis=[1, 2]), 1.0)
    return -replicas.batch_mean(total / matched)


def score_bounds(scores):
    """Return (min over t' <= t, max over t' >= t) of the scores [B, T] (eq. 27)."""
    steps = scores.shape[1]
    lower, upper = [scores[:, 0]], [scores[:, -1]]
    for t in range(1, steps):
        lower.append(tf.minimum(lower[-1], scores[:, t]))
        upper.append(tf.maximum(upper[-1], scores[:, steps - 1 - t]))
    return tf.stack(lower, axis=1), tf.stack(upper[::-1], axis=1)


def monotonic_score_loss(scores, target):
    """Return eq. 27: targets 1 against the least score so far, 0 the greatest to come.

    `mean over B, T of -s* log(min_{t'<=t} s_t') - (1 - s*) log(1 - max_{t'>=t} s_t')`

    Args:
        scores: s, [B, T] in [0, 1]. target: s*, [B, T] in {0, 1}.
    """
    lower, upper = score_bounds(scores)
    loss = -target * tf.math.log(lower + LOG_EPSILON) - (1.0 - target) * tf.math.log(
        1.0 - upper + LOG_EPSILON
    )
    return replicas.batch_mean(loss)


def binary_cross_entropy(probability, target):
    """Return -t log(p + 1e-5) - (1 - t) log(1 - p + 1e-5), elementwise."""
    return -target * tf.math.log(probability + LOG_EPSILON) - (
        1.0 - target
    ) * tf.math.log(1.0 - probability + LOG_EPSILON)


def cross_entropy(probability, target):
    """Return -t log(p + 1e-5) for each class; its sum over them is the entropy."""
    return -target * tf.math.log(probability + LOG_EPSILON)


def angle_loss(probability, target, foreground):
    """Return the cross entropy of the angles over the batch's foreground pixels.

    Args:
        probability, target: [B, H, W, 8]. foreground: [B, H, W], 1 for objects.

    Returns:
        Scalar; 0 where no pixel is foreground.
    """
    entropy = tf.reduce_sum(cross_entropy(probability, target), axis=-1)
    total = tf.maximum(replicas.total(tf.reduce_sum(foreground)), 1.0)
    return tf.reduce_sum(entropy * foreground) / total


def smooth_l1(difference, beta):
    """Return 0.5 d^2 / beta below beta, |d| - 0.5 beta above, elementwise."""
    size = tf.abs(difference)
    return tf.where(size < beta, 0.5 * size * size / beta, size - 0.5 * beta)


def focal_heat_loss(logits, target):
    """Return the penalty-reduced focal loss of a centre heat map (CornerNet, eq. 1).

    `-(1 - p)^2 log p` at centres (target 1), `-(1 - target)^4 p^2 log(1 - p)`
    elsewhere, divided by the number of centres (at least 1) of each map.

    Args:
        logits: [N, P]. target: [N, P], 1 at centres and falling to 0 around them.

    Returns:
        [N].
    """
    p = tf.sigmoid(logits)
    positive = tf.cast(target >= 1.0, tf.float32)
    at_center = tf.square(1.0 - p) * tf.math.softplus(-logits)
    elsewhere = tf.pow(1.0 - target, 4.0) * tf.square(p) * tf.math.softplus(logits)
    total = tf.reduce_sum(positive * at_center + (1.0 - positive) * elsewhere, axis=-1)
    return total / tf.maximum(tf.reduce_sum(positive, axis=-1), 1.0)


def patch_loss(logits, target):
    """Return 1 - soft IoU plus binary cross entropy on the patch, [N].

    The loss on the patch has no cap: beyond the box, the sigmoid of eq. 19 still sums
    to hundreds of pixels over an image, which bounds the soft IoU of small objects.

    Args:
        logits: [N, h, w]. target: [N, h, w] in [0, 1].
    """
    entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=target, logits=logits)
    overlap = soft_iou(tf.sigmoid(logits), target)
    return 1.0 - overlap + tf.reduce_mean(entropy, axis=[-2, -1])


def taken_shares(logits, others):
    """Return which share of the other objects a patch's mask takes, their sum, [N].

    A small object under the mask of a large one is hidden from the steps that follow,
    and lost as a whole; the patch's own loss hardly sees its few pixels.

    Args:
        logits: [N, h, w].
        others: [N, h, w], the share of every cell in the other objects' areas.
    """
    return tf.reduce_sum(tf.sigmoid(logits) * others, axis=[-2, -1])
