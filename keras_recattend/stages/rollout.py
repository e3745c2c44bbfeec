"""The model run on its own output: the canvases that inference meets."""

import dataclasses
import typing

import tensorflow as tf

from keras_recattend import replicas
from keras_recattend.inference import LEAST_NEW_SHARE, spread
from keras_recattend.revision import Others
from keras_recattend.stages.canvases import (
    claimed_shares,
    claims,
    covered_centers,
    covered_objects,
    object_ious,
    object_pixels,
    paint,
)
from keras_recattend.stages.objective import split_seed
from keras_recattend.unrolling import time_second

__all__ = ["Drawn", "Rollout", "rollout"]

# Most times that a rollout draws a box anew: most of the gain for little of the time.
REFINEMENTS = 1
# An object is found when masks that were meant for it have this share of it together.
FOUND = 0.5


class Drawn(typing.NamedTuple):
    """What each of S steps has drawn, and the canvas of all of them.

    Attributes:
        center, size: float32 [B, S, 2], of the patch round each step's mask.
        iou: float32 [B, S, T], of each mask above 1/2 with every true object; 0 where
            the truth was drawn instead, and in steps after an image's own end, the one
            after its last object.
        others: the `Others` of what was drawn until then, numbered by steps.
    """

    center: tf.Tensor
    size: tf.Tensor
    iou: tf.Tensor
    others: Others


class Rollout(typing.NamedTuple):
    """What there was before each of S steps; S = most objects of the batch + 1.

    An image's own steps end with the one after its last object. From then on it finds
    nothing, and costs nothing.

    Attributes:
        canvases: float32 [B, S, H, W].
        found: float32 [B, S, T], which true objects count as found. With a centre map,
            those with half their pixels in masks that were meant for them; without,
            those with half their pixels on the canvas, since that is all the model can
            see.
        centers: float32 [B, S, P], or None without a centre map.
        drawn: a `Drawn`, or None if it was not asked for.
    """

    canvases: tf.Tensor
    found: tf.Tensor
    centers: tf.Tensor | None
    drawn: Drawn | None = None


def rollout(model, batch, boxes, show_truth, seed, with_drawn=False):
    """Run the model on its own output, without gradient.

    A step that finds nothing new gets a random object that is left drawn instead, so
    that the rollout goes on; so does a step in `show_truth` of the cases.

    Args:
        boxes: (center, size, exists) of the true objects, [B, T, 2] twice and [B, T].
        show_truth: probability.
        with_drawn: whether to return what each step has drawn, too.

    Returns:
        A `Rollout`.
    """
    steps = _Steps(model, batch, boxes, show_truth, seed, with_drawn)
    start = steps.start()
    most = tf.reduce_max(tf.reduce_sum(steps.exists, axis=-1))
    count = tf.cast(most, tf.int32) + 1
    names = ["canvas", "found", *(["centers"] if "centers" in start else [])]
    names += ["center", "size", "iou"] if with_drawn else []
    arrays = {name: tf.TensorArray(tf.float32, count) for name in names}

    def body(t, state, arrays):
        before = steps.before(state)
        state, drawn = steps.after(t, before)
        values = before | drawn
        arrays = {name: a.write(t, values[name]) for name, a in arrays.items()}
        return t + 1, state, arrays

    _, state, arrays = tf.while_loop(
        lambda t, *_: t < count, body, (tf.constant(0), start, arrays)
    )
    stacked = {name: time_second(a.stack()) for name, a in arrays.items()}
    drawn = None
    if with_drawn:
        drawn = Drawn(
            *(stacked[name] for name in ("center", "size", "iou")), state["others"]
        )
    own = Rollout(stacked["canvas"], stacked["found"], stacked.get("centers"), drawn)
    return tf.nest.map_structure(
        lambda x: None if x is None else tf.stop_gradient(x), own
    )


class _Steps:
    """What there is before a step, and after it, of one batch; see `rollout`."""

    def __init__(self, model, batch, boxes, show_truth, seed, with_drawn):
        self.model = model
        self.labels = batch["labels"]
        self.center, self.size, self.exists = boxes
        self.last_step = tf.cast(tf.reduce_sum(self.exists, axis=-1), tf.int32)
        self.pixels = object_pixels(self.labels, self.exists.shape[1])
        area = tf.reduce_sum(self.pixels, axis=1)
        self.unseen = tf.cast(tf.equal(area, 0.0), tf.float32)
        self.prepared = model.prepare(batch["image"], batch.get("extra"))
        settings = model.config.inference
        self.settings = dataclasses.replace(
            settings, refinements=min(settings.refinements, REFINEMENTS)
        )
        self.center_map = model.config.box_network.center_map
        self.show_truth = show_truth
        self.seed = seed
        self.with_drawn = with_drawn

    def start(self):
        """The loop's state before the first step."""
        batch_size = tf.shape(self.labels)[0]
        state = {"canvas": self.model.canvas.blank(batch_size, self.labels.shape[1:])}
        if self.center_map:
            state["centers"] = self.model.no_centers(batch_size)
            # Pixels, not shares: drawn twice, a part of an object is still that part.
            state["claimed"] = tf.zeros_like(self.pixels[..., 0])
        if self.with_drawn:
            state["others"] = Others.of_none(batch_size, self.labels.shape[1:])
        return state

    def before(self, state):
        """The state, and what counts as found in it."""
        if self.center_map:
            return state | {"found": self._found(state["claimed"])}
        canvas = state["canvas"][:, tf.newaxis]
        covered = covered_objects(canvas, self.pixels)[:, 0]
        return state | {"found": self._with_unseen(covered)}

    def _found(self, claimed):
        shares = claimed_shares(claimed, self.pixels)
        return self._with_unseen(tf.cast(shares > FOUND, tf.float32))

    def _with_unseen(self, found):
        """What is found, and objects so small that `object_pixels` has none of theirs.

        Nothing that is drawn could ever find them, and the look after all others would
        be taught that one is left.
        """
        return self.exists * tf.maximum(found, self.unseen)

    def after(self, t, before):
        """The loop's state after step t, and what is kept of what it has drawn."""
        model, canvas = self.model, before["canvas"]
        segment = self._found_at(t, before)
        left = self.exists - before["found"]
        stuck = _is_stuck(canvas, segment, model.config.box_network.whole_image)
        if self.center_map:
            # Found at last what lies under another mask: nothing new on the canvas.
            claimed = before["claimed"]
            own = tf.maximum(claimed, claims(segment.mask, self.pixels))
            stuck &= tf.reduce_max(left * self._found(own), axis=-1) < 1.0
        replace, drawn = self._shown_instead(t, stuck, left)
        true_mask = paint(self.labels, drawn)
        written = tf.where(replace[..., tf.newaxis], true_mask, segment.mask)
        state = {"canvas": model.canvas(canvas, written)}
        if self.center_map:
            centers = before["centers"]
            blobs = covered_centers(model.box_head, self.center, self.size, drawn)
            marked = model.mark(centers, segment)
            state["centers"] = tf.where(replace, tf.maximum(centers, blobs), marked)
            shown = tf.linalg.matvec(self.pixels, drawn[:, 0])
            state["claimed"] = tf.where(replace, tf.maximum(claimed, shown), own)
        if not self.with_drawn:
            return state, {}
        over = (t > self.last_step)[:, tf.newaxis]
        written = tf.where(over[..., tf.newaxis], 0.0, written)
        state["others"] = before["others"].with_mask(written, t)
        center, size = model.around_mask(segment, self.settings.growth)
        iou = object_ious(segment.mask, self.pixels)
        iou = tf.where(replace | over, 0.0, iou)
        return state, {"center": center, "size": size, "iou": iou}

    def _found_at(self, t, before):
        """Return the `Segment` of step t, without its patch and features.

        Images whose own steps are over are not looked at: their masks are empty.
        """
        rows = tf.cast(tf.where(t <= self.last_step)[:, 0], tf.int32)
        batch = tf.size(self.last_step)
        look = {}
        if self.center_map:
            look["centers"] = tf.gather(before["centers"], rows)
        _, segment, _ = self.model.find(
            self.prepared.of(rows),
            tf.gather(before["canvas"], rows),
            step=t,
            inference=self.settings,
            **look,
        )
        return segment._replace(
            center=spread(segment.center, rows, batch),
            # No box is without extent.
            size=spread(segment.size - 1.0, rows, batch) + 1.0,
            patch=None,
            heat=spread(segment.heat, rows, batch),
            features=None,
            mask=spread(segment.mask, rows, batch),
        )

    def _shown_instead(self, t, stuck, left):
        """Whether the truth replaces the segment, bool [B, 1], and which, [B, 1, T]."""
        seeds = split_seed(self.seed + tf.stack([0, t]), 2)
        draw = replicas.uniform(tf.shape(stuck), seeds[0])
        chance = replicas.uniform(tf.shape(left), seeds[1], 0.1, 1.0) * left
        drawn = tf.one_hot(tf.argmax(chance, axis=-1), left.shape[1]) * left
        return (stuck | (draw < self.show_truth))[:, tf.newaxis], drawn[:, tf.newaxis]


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
