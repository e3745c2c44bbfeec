"""The loss of one look: is the box right, given what is not on the canvas yet?"""

import typing

import tensorflow as tf

from keras_recattend import boxes, replicas
from keras_recattend.losses import focal_heat_loss, smooth_l1

__all__ = ["MEASURES", "TERMS", "Target", "cell_targets", "choose_target", "look_terms"]

TERMS = ("box", "numbers", "heat", "cells", "score")
MEASURES = ("box_iou", "boxes_over_half", "score_accuracy")

# Weights of the terms, by trial, and the bend of the smooth L1.
SCORE_WEIGHT = 0.5
CELLS_WEIGHT = 3.0
HEAT_WEIGHT = 1.0
BEND = 0.1
# Cells whose blob is above this answer for the object's box.
BLOB_OWNED = 0.3
# Breaks ties between objects that the box does not touch: the nearer one.
NEARNESS = 1e-3


class Target(typing.NamedTuple):
    """The uncovered object that a look is meant for.

    Attributes:
        index: int32 [N], its slot. exists: float32 [N], 0 when all are covered.
        center, size: [N, 2].
        iou: [N], the IoU of the predicted box with it.
    """

    index: tf.Tensor
    exists: tf.Tensor
    center: tf.Tensor
    size: tf.Tensor
    iou: tf.Tensor


def choose_target(box, center, size, uncovered):
    """Return the uncovered object that overlaps the predicted box most.

    Args:
        box: a `Box` of N canvases.
        center, size: true boxes, [B, T, 2]. uncovered: [B, K, T], N = B K.
    """
    canvases = uncovered.shape[1]
    center, size = (tf.repeat(values, canvases, axis=0) for values in (center, size))
    uncovered = tf.reshape(uncovered, [-1, uncovered.shape[2]])
    predicted = boxes.corners(box.center[:, tf.newaxis], box.size[:, tf.newaxis])
    iou = boxes.box_iou(predicted, boxes.corners(center, size))
    distance = tf.norm(center - box.center[:, tf.newaxis], axis=-1)
    farthest = tf.reduce_max(distance, axis=-1, keepdims=True)
    preference = iou - NEARNESS * distance / (1.0 + farthest)
    index = tf.argmax(
        tf.where(uncovered > 0, preference, -10.0), axis=-1, output_type=tf.int32
    )

    def chosen(values):
        return tf.stop_gradient(tf.gather(values, index, batch_dims=1))

    return Target(
        index,
        tf.reduce_max(uncovered, axis=-1),
        chosen(center),
        chosen(size),
        chosen(iou),
    )


def cell_targets(head, center, size, exists):
    """Return blobs around objects' centres on the heat map's cells, [B, T, P].

    Args:
        head: the `HeatMapHead`. center, size: [B, T, 2]. exists: [B, T].
    """
    return head.blobs(center, size) * exists[..., tf.newaxis]


def look_terms(box, target, score_logit, center, size, uncovered, blobs, scored=None):
    """Return (terms, measures) of N = B K looks.

    Args:
        box: the `Box`. target: its `Target`. score_logit: [N].
        center, size: true boxes, [B, T, 2], tight.
        uncovered: [B, K, T].
        blobs: see `cell_targets`, or None without a heat map.
        scored: [N], 1 for the looks that teach the score; None = all.
    """
    weight = target.exists
    scored = tf.ones_like(weight) if scored is None else scored

    def mean(values, weight=weight):
        total = tf.maximum(replicas.total(tf.reduce_sum(weight)), 1.0)
        return tf.reduce_sum(weight * values) / total

    overlap = boxes.box_iou(
        boxes.corners(box.center, box.size), boxes.corners(target.center, target.size)
    )
    safe_size = tf.maximum(target.size, 1.0)
    numbers = _numbers(box.center, box.size, target.center, safe_size, safe_size)
    entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=weight, logits=score_logit)
    terms = {
        "box": mean(1.0 - overlap),
        "numbers": mean(numbers),
        "score": SCORE_WEIGHT * mean(entropy, scored),
    }
    if blobs is None:
        terms |= {"heat": tf.constant(0.0), "cells": tf.constant(0.0)}
    else:
        terms |= _heat_terms(box, center, size, uncovered, blobs)
    right = tf.equal(score_logit > 0, weight > 0)
    measures = {
        "box_iou": mean(target.iou),
        "boxes_over_half": mean(tf.cast(target.iou > 0.5, tf.float32)),
        "score_accuracy": mean(tf.cast(right, tf.float32), scored),
    }
    return terms, measures


def _numbers(center, size, true_center, true_size, unit):
    """Smooth L1 of a box's centre (in `unit`) and log size, summed over both axes."""
    difference = tf.concat(
        [(center - true_center) / unit, tf.math.log(size / true_size)], axis=-1
    )
    return tf.reduce_sum(smooth_l1(difference, BEND), axis=-1)


def _heat_terms(box, center, size, uncovered, blobs):
    """The heat map's loss and that of the boxes of cells that own an object."""
    shown = blobs[:, tf.newaxis] * uncovered[..., tf.newaxis]  # [B, K, T, P]
    owner = tf.argmax(shown, axis=2, output_type=tf.int32)  # [B, K, P]
    blob = tf.reduce_max(shown, axis=2)
    canvases, cells = blob.shape[1], blob.shape[2]
    blob = tf.reshape(blob, [-1, cells])
    heat = replicas.batch_mean(focal_heat_loss(box.heat, blob))

    owner = tf.reshape(owner, [tf.shape(owner)[0], canvases * cells])
    true_center, true_size = (
        tf.reshape(tf.gather(values, owner, batch_dims=1), [-1, cells, 2])
        for values in (center, tf.maximum(size, 1.0))
    )
    numbers = _numbers(
        box.cells[..., :2], box.cells[..., 2:], true_center, true_size, true_size
    )
    weight = blob * tf.cast(blob > BLOB_OWNED, tf.float32)
    total = tf.maximum(replicas.total(tf.reduce_sum(weight)), 1.0)
    owned = tf.reduce_sum(weight * numbers) / total
    return {"heat": HEAT_WEIGHT * heat, "cells": CELLS_WEIGHT * owned}
