"""Which output answers for which true object: Hungarian and greedy matching."""

import numpy as np
import scipy.optimize
import tensorflow as tf

__all__ = ["greedy_match", "hungarian_match"]

# Weights are compared to this precision (the authors': their solver worked on
# integers), and shifted by SHIFT so that a zero weight is still a match.
PRECISION = 1e-6
SHIFT = 1e-5


def hungarian_match(weights, exists, first_outputs_only=False):
    """Match outputs to true objects one to one, with the greatest total weight.

    scipy's `linear_sum_assignment`, outside of the gradient.

    Args:
        weights: [B, T_out, T_true], the IoU M of eq. 22.
        exists: [B, T_true], 1 for true objects, 0 for empty slots.
        first_outputs_only: only the first n outputs may be matched to n objects. The
            authors laid the truths' mask over the outputs, too; it makes the first n
            steps responsible.

    Returns:
        float32 [B, T_out, T_true], 1 where matched.
    """
    match = tf.numpy_function(
        lambda w, e: _assign(w, e, first_outputs_only),
        [tf.stop_gradient(weights), exists],
        tf.float32,
        stateful=False,
    )
    match.set_shape(weights.shape)
    return tf.stop_gradient(match)


def _assign(weights, exists, first_outputs_only):
    match = np.zeros(weights.shape, np.float32)
    for b, (weight, present) in enumerate(zip(weights, exists, strict=True)):
        columns = np.flatnonzero(present > 0)
        rows = np.arange(weight.shape[0])
        if first_outputs_only:
            rows = rows[: len(columns)]
        weight = weight[np.ix_(rows, columns)].astype(np.float64)
        if not np.isfinite(weight).all():
            # The loss is not finite either; training stops and says so.
            continue
        weight = np.round(weight / PRECISION) * PRECISION + SHIFT
        i, j = scipy.optimize.linear_sum_assignment(weight, maximize=True)
        match[b, rows[i], columns[j]] = 1.0
    return match


def greedy_match(weights, taken=None):
    """Match one output to the true object with the greatest weight, without gradient.

    Args:
        weights: [B, T_true].
        taken: [B, T_true], 1 for objects that must not be matched again, or None
            (the authors never excluded any).

    Returns:
        float32 [B, T_true]; ties share the weight 1.
    """
    if taken is not None:
        weights = weights * (1.0 - taken)
    best = tf.reduce_max(weights, axis=-1, keepdims=True)
    match = tf.cast(tf.equal(weights, best), tf.float32)
    return tf.stop_gradient(match / tf.reduce_sum(match, axis=-1, keepdims=True))
