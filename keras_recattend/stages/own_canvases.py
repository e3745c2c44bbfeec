"""Own canvases: box, score and segmentation on what the model itself has drawn.

A rollout without gradient gives the canvases that inference meets, with their
mistakes; then an ordinary step trains on some of them.
"""

import dataclasses

import tensorflow as tf

from keras_recattend import replicas
from keras_recattend.inference import LEAST_NEW_SHARE
from keras_recattend.losses import patch_loss, soft_iou
from keras_recattend.stages import looking
from keras_recattend.stages.canvases import (
    covered_objects,
    draw_covered,
    object_pixels,
    paint,
)
from keras_recattend.stages.objective import Objective, split_seed
from keras_recattend.stages.segmenting import jitter_boxes, segment_patches

__all__ = ["OwnCanvasesStage", "rollout"]

# The model's segment is replaced by the truth this often at first, falling to never.
SHOW_TRUTH = 0.1
# Most times that a rollout draws a box anew: most of the gain for little of the time.
REFINEMENTS = 1
# A box must overlap its object this much for its patch to teach segmentation.
LEAST_OVERLAP = 0.3


class OwnCanvasesStage(Objective):
    """Ordinary steps on K canvases an image out of the model's own rollouts."""

    name = "own_canvases"
    terms = (*looking.TERMS, "patch")
    measures = (*looking.MEASURES, "patch_iou")

    def evaluate(self, model, batch, step, seed, training):
        seeds = split_seed(seed, 5)
        labels = batch["labels"]
        center, size, exists = self.true_boxes(labels)
        canvases, uncovered = self._canvases(model, batch, exists, seeds)
        norm = training and not self.stage.freeze_normalization
        prepared = model.prepare(batch["image"], batch.get("extra"), training=norm)
        repeated = prepared.repeat(self.stage.canvases)
        box = model.look(repeated, canvases, training=norm)
        blobs = None
        if box.heat is not None:
            blobs = looking.cell_targets(model.box_head, center, size, exists)

        # The patch is the model's own box, a little moved; the target's part of the
        # label map under it is what to find.
        aim = looking.choose_target(box, center, size, uncovered)
        cut = tuple(map(tf.stop_gradient, model.patch_box(box)))
        if training:
            cut = jitter_boxes(*cut, self.stage.jitter, seeds[4])
        logits, target, features = segment_patches(
            model, batch, canvases, *cut, aim.index, norm
        )
        terms, measures = looking.look_terms(
            model,
            box,
            aim,
            model.scoring(box.state, features),
            center,
            size,
            uncovered,
            blobs,
        )
        weight = aim.exists * tf.cast(aim.iou > LEAST_OVERLAP, tf.float32)
        total = tf.maximum(replicas.total(tf.reduce_sum(weight)), 1.0)
        terms["patch"] = tf.reduce_sum(weight * patch_loss(logits, target)) / total
        iou = soft_iou(tf.round(tf.sigmoid(logits)), target)
        measures["patch_iou"] = tf.reduce_sum(weight * iou) / total
        return terms, measures

    def _canvases(self, model, batch, exists, seeds):
        """Return (canvases [B K, H, W], uncovered [B, K, T]), some of them true."""
        labels, slots = batch["labels"], self.config.max_instances
        count, batch_size = self.stage.canvases, tf.shape(labels)[0]
        true_covered = draw_covered(exists, count, seeds[2])
        painted = paint(labels, true_covered)
        if self.stage.true_canvases >= 1.0:
            # Nothing of the model's own is shown: it need not be drawn either.
            return painted, exists[:, tf.newaxis] - true_covered
        show_truth = SHOW_TRUTH * (1.0 - self.progress)
        own = rollout(
            model,
            batch,
            exists,
            show_truth,
            seeds[0],
            whole_image=self.config.box_network.whole_image,
        )  # [B, S, H, W]
        # Any step up to the one after the image's last object.
        objects = tf.reduce_sum(exists, axis=-1, keepdims=True)
        draw = replicas.uniform([batch_size, count], seeds[1])
        index = tf.cast(draw * (objects + 1.0), tf.int32)
        index = tf.minimum(index, tf.shape(own)[1] - 1)
        own = tf.gather(own, index, batch_dims=1)  # [B, K, H, W]
        covered = covered_objects(own, object_pixels(labels, slots))
        painted = tf.reshape(painted, tf.shape(own))
        truth = replicas.uniform([batch_size, count, 1], seeds[3])
        truth = tf.cast(truth < self.stage.true_canvases, tf.float32)
        covered = truth * true_covered + (1.0 - truth) * covered
        canvases = tf.where(truth[..., tf.newaxis] > 0, painted, own)
        canvases = tf.reshape(canvases, [-1, *labels.shape[1:]])
        return canvases, exists[:, tf.newaxis] - covered


def rollout(model, batch, exists, show_truth, seed, whole_image=False):
    """Run the model on its own output, without gradient; return the canvases.

    A step that finds nothing new gets a random uncovered object drawn instead, so
    that the rollout goes on; so does a step in `show_truth` of the cases.

    Args:
        exists: [B, T]. show_truth: probability.
        whole_image: whether there are no boxes to compare what is new with.

    Returns:
        float32 [B, S, H, W], the canvas before each of S steps, S = most objects + 1.
    """
    labels, slots = batch["labels"], exists.shape[1]
    batch_size = tf.shape(labels)[0]
    steps = tf.cast(tf.reduce_max(tf.reduce_sum(exists, axis=-1)), tf.int32) + 1
    prepared = model.prepare(batch["image"], batch.get("extra"))
    settings = model.config.inference
    settings = dataclasses.replace(
        settings, refinements=min(settings.refinements, REFINEMENTS)
    )
    pixels = object_pixels(labels, slots)
    canvases = tf.TensorArray(tf.float32, steps)

    def body(t, canvas, canvases):
        canvases = canvases.write(t, canvas)
        _, segment, _ = model.find(prepared, canvas, step=t, inference=settings)
        stuck = _is_stuck(canvas, segment, whole_image)
        seeds = split_seed(seed + tf.stack([0, t]), 2)
        draw = replicas.uniform([batch_size], seeds[0])
        replace = stuck | (draw < show_truth)
        left = exists - covered_objects(canvas[:, tf.newaxis], pixels)[:, 0]
        chance = replicas.uniform(tf.shape(left), seeds[1], 0.1, 1.0)
        drawn = tf.one_hot(tf.argmax(chance * left, axis=-1), slots) * left
        true_mask = paint(labels, drawn[:, tf.newaxis])
        written = tf.where(replace[:, tf.newaxis, tf.newaxis], true_mask, segment.mask)
        return t + 1, model.canvas(canvas, written), canvases

    _, _, canvases = tf.while_loop(
        lambda t, *_: t < steps,
        body,
        (tf.constant(0), model.canvas.blank(batch_size, labels.shape[1:]), canvases),
    )
    return tf.stop_gradient(tf.transpose(canvases.stack(), [1, 0, 2, 3]))


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
