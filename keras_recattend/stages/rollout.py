"""The model run on its own output: the canvases that inference meets."""

import dataclasses
import typing

import tensorflow as tf

from keras_recattend import replicas
from keras_recattend.inference import LEAST_NEW_SHARE
from keras_recattend.stages.canvases import (
    covered_centers,
    covered_objects,
    object_pixels,
    overlaps,
    paint,
)
from keras_recattend.stages.objective import split_seed

__all__ = ["Rollout", "rollout"]

# Most times that a rollout draws a box anew: most of the gain for little of the time.
REFINEMENTS = 1
# A mask that overlaps an object more than this has found it.
FOUND = 0.5


class Rollout(typing.NamedTuple):
    """What there was before each of S steps; S = most objects of the batch + 1.

    Attributes:
        canvases: float32 [B, S, H, W].
        found: float32 [B, S, T], which true objects count as found. With a centre map,
            those that a mask fits, wherever other masks lie; without, those with half
            their pixels on the canvas, since that is all the model can see.
        centers: float32 [B, S, P], or None without a centre map.
    """

    canvases: tf.Tensor
    found: tf.Tensor
    centers: tf.Tensor | None


def rollout(model, batch, boxes, show_truth, seed):
    """Run the model on its own output, without gradient.

    A step that finds nothing new gets a random object that is left drawn instead, so
    that the rollout goes on; so does a step in `show_truth` of the cases.

    Args:
        boxes: (center, size, exists) of the true objects, [B, T, 2] twice and [B, T].
        show_truth: probability.

    Returns:
        A `Rollout`.
    """
    labels, (center, size, exists) = batch["labels"], boxes
    batch_size, slots = tf.shape(labels)[0], exists.shape[1]
    steps = tf.cast(tf.reduce_max(tf.reduce_sum(exists, axis=-1)), tf.int32) + 1
    prepared = model.prepare(batch["image"], batch.get("extra"))
    settings = model.config.inference
    settings = dataclasses.replace(
        settings, refinements=min(settings.refinements, REFINEMENTS)
    )
    network = model.config.box_network
    pixels = object_pixels(labels, slots)

    def found_before(state):
        if network.center_map:
            return state["found"]
        return covered_objects(state["canvas"][:, tf.newaxis], pixels)[:, 0]

    def fitting(mask, left):
        """The object left that a mask fits, one-hot [B, T]; none where none does."""
        iou = overlaps(mask, pixels) * left
        fits = tf.cast(tf.reduce_max(iou, axis=-1, keepdims=True) > FOUND, tf.float32)
        return fits * tf.one_hot(tf.argmax(iou, axis=-1), slots)

    def body(t, state, arrays):
        canvas, centers = state["canvas"], state.get("centers")
        found = found_before(state)
        values = {"canvas": canvas, "found": found}
        if centers is not None:
            values["centers"] = centers
        arrays = {name: a.write(t, values[name]) for name, a in arrays.items()}
        look = {} if centers is None else {"centers": centers}
        _, segment, _ = model.find(prepared, canvas, step=t, inference=settings, **look)
        left = exists - found
        stuck = _is_stuck(canvas, segment, network.whole_image)
        if centers is not None:
            # Found at last what lies under another mask: nothing new on the canvas.
            hit = fitting(segment.mask, left)
            stuck &= tf.reduce_max(hit, axis=-1) < 1.0
        seeds = split_seed(seed + tf.stack([0, t]), 2)
        replace = stuck | (replicas.uniform([batch_size], seeds[0]) < show_truth)
        chance = replicas.uniform(tf.shape(left), seeds[1], 0.1, 1.0)
        drawn = tf.one_hot(tf.argmax(chance * left, axis=-1), slots) * left
        true_mask = paint(labels, drawn[:, tf.newaxis])
        written = tf.where(replace[:, tf.newaxis, tf.newaxis], true_mask, segment.mask)
        state = {"canvas": model.canvas(canvas, written)}
        if centers is not None:
            replace = replace[:, tf.newaxis]
            true_centers = covered_centers(
                model.box_head, center, size, drawn[:, tf.newaxis]
            )
            state["centers"] = tf.where(
                replace,
                tf.maximum(centers, true_centers),
                model.mark(centers, segment),
            )
            state["found"] = found + tf.where(replace, drawn, hit)
        return t + 1, state, arrays

    start = {"canvas": model.canvas.blank(batch_size, labels.shape[1:])}
    names = ["canvas", "found"]
    if network.center_map:
        start |= {
            "centers": model.no_centers(batch_size),
            "found": tf.zeros_like(exists),
        }
        names.append("centers")
    arrays = {name: tf.TensorArray(tf.float32, steps) for name in names}
    _, _, arrays = tf.while_loop(
        lambda t, *_: t < steps, body, (tf.constant(0), start, arrays)
    )

    def of_images(name):
        stacked = arrays[name].stack()
        order = [1, 0, *range(2, stacked.shape.rank)]
        return tf.stop_gradient(tf.transpose(stacked, order))

    return Rollout(
        of_images("canvas"),
        of_images("found"),
        of_images("centers") if network.center_map else None,
    )


def _is_stuck(canvas, segment, whole_image):
    """Whether a step adds next to nothing: bool [B].

    Measured by the box; without one by the segment itself, its pixels above 1/2, of
    which at least one must be new.
    """
    new = tf.nn.relu(segment.mask - canvas)
    if whole_image:
        found = tf.cast(segment.mask > 0.5, tf.float32)
        new = tf.reduce_sum(found * new, axis=[1, 2])
        area = tf.reduce_sum(found, axis=[1, 2])
        return new < tf.maximum(LEAST_NEW_SHARE * area, 1.0)
    new = tf.reduce_sum(new, axis=[1, 2])
    return new < LEAST_NEW_SHARE * tf.reduce_prod(segment.size, axis=-1)
