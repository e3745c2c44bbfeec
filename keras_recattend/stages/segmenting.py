"""Segmentation stage: the segmentation network with true boxes."""

import tensorflow as tf

from keras_recattend import replicas
from keras_recattend.layers.gaussian import extract
from keras_recattend.losses import patch_loss, soft_iou
from keras_recattend.stages.canvases import distort, draw_covered, paint, spilled
from keras_recattend.stages.objective import Objective, split_seed

__all__ = ["SegmentationStage", "jitter_boxes", "segment_patches", "sequence_covered"]


class SegmentationStage(Objective):
    """The segmentation network on patches of jittered true boxes.

    K random canvases an image, each with one uncovered object as target; or, with
    `canvases=0`, the full sequence: every object in turn, those before it covered.
    """

    name = "segmentation"
    terms = ("patch",)
    measures = ("patch_iou",)

    def variables(self, model):
        return model.segmentation.trainable_variables

    def evaluate(self, model, batch, step, seed, training):
        seeds = split_seed(seed, 6)
        labels = batch["labels"]
        centers, sizes, exists = self.true_boxes(labels)
        if self.stage.canvases:
            covered = draw_covered(
                exists, self.stage.canvases, seeds[0], leave_one=True
            )
            chance = replicas.uniform(tf.shape(covered), seeds[1], 0.1, 1.0)
            left = chance * (exists[:, tf.newaxis] - covered)
            index = tf.argmax(left, axis=-1, output_type=tf.int32)  # [B, K]
        else:
            covered, index = sequence_covered(exists)
        drawn = labels
        if self.stage.canvas_distortion:
            drawn = distort(labels, self.stage.canvas_distortion, seeds[4])
        painted = spilled(covered, exists, self.stage.spill, seeds[5])
        canvases = paint(drawn, painted, noise_seed=seeds[2])

        def of_target(values):
            chosen = tf.gather(values, index, batch_dims=1)
            return tf.reshape(chosen, [-1, *values.shape[2:]])

        center, size = of_target(centers), of_target(sizes)
        if training:
            center, size = jitter_boxes(center, size, self.stage.jitter, seeds[3])
        size *= self.config.segmentation.padding if model.is_normalized else 1.0
        logits, target, _ = segment_patches(
            model,
            batch,
            canvases,
            center,
            size,
            tf.reshape(index, [-1]),
            training,
        )
        weight = of_target(exists)
        total = tf.maximum(replicas.total(tf.reduce_sum(weight)), 1.0)
        iou = soft_iou(tf.round(tf.sigmoid(logits)), target)
        return (
            {"patch": tf.reduce_sum(weight * patch_loss(logits, target)) / total},
            {"patch_iou": tf.reduce_sum(weight * iou) / total},
        )


def sequence_covered(exists):
    """Return (covered [B, T, T], index [B, T]): object t with all before it covered."""
    slots = exists.shape[1]
    before = tf.linalg.band_part(tf.ones([slots, slots]), -1, 0) - tf.eye(slots)
    index = tf.tile(tf.range(slots)[tf.newaxis], [tf.shape(exists)[0], 1])
    return before[tf.newaxis] * exists[:, tf.newaxis], index


def jitter_boxes(center, size, amount, seed):
    """Return boxes with a shifted centre and a changed size.

    Args:
        center, size: [N, 2].
        amount: deviations of the centre (as share of the size) and of the log size.
    """
    seeds = split_seed(seed, 2)
    shift = replicas.normal(tf.shape(center), seeds[0]) * amount[0]
    growth = replicas.normal(tf.shape(size), seeds[1]) * amount[1]
    return center + shift * size, size * tf.exp(tf.clip_by_value(growth, -0.7, 0.7))


def segment_patches(model, batch, canvases, center, size, index, training):
    """Cut N = B K patches, segment them; return (logits, target masks, features).

    Args:
        canvases: [N, H, W]. center, size: of the patches, [N, 2] pixels.
        index: int32 [N], each patch's object (0-based slot).
    """
    read, _ = model.filters(center, size, _size_variance(model, size))
    parts = [extract(batch["image"], *read), extract(canvases[..., tf.newaxis], *read)]
    if "extra" in batch:
        parts.append(extract(batch["extra"], *read))
    labels = batch["labels"][:, tf.newaxis]  # [B, 1, H, W]
    objects = tf.reshape(index + 1, [tf.shape(labels)[0], -1, 1, 1])
    mask = tf.reshape(tf.equal(labels, objects), tf.shape(canvases))
    target = extract(tf.cast(mask, tf.float32)[..., tf.newaxis], *read)[..., 0]
    result = model.segmentation(tf.concat(parts, axis=-1), training=training)
    return result.heat, tf.stop_gradient(target), result.features


def _size_variance(model, size):
    """Variance of the density filters as the box sets it (spec, section 1)."""
    if model.is_normalized:
        return None
    patch = tf.constant(model.config.segmentation.patch_size, tf.float32)
    return tf.math.log(size / patch)
