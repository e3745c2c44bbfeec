"""Segmentation stage: the segmentation network with true boxes."""

import tensorflow as tf

from keras_recattend import replicas
from keras_recattend.stages.canvases import (
    blanked,
    distort,
    draw_covered,
    paint,
    spilled,
)
from keras_recattend.stages.objective import Objective, split_seed
from keras_recattend.stages.patches import further_terms, segment_patches

__all__ = ["SegmentationStage", "jitter_boxes"]


class SegmentationStage(Objective):
    """The segmentation network on patches of jittered true boxes.

    K random canvases an image, each with one uncovered object as target.
    """

    name = "segmentation"
    terms = ("patch",)
    measures = ("patch_iou",)

    def __init__(self, config, seed=0):
        self.terms += further_terms(config.stages[self.name])
        super().__init__(config, seed)

    def variables(self, model):
        return model.segmentation.trainable_variables

    def evaluate(self, model, batch, step, seed, training):
        seeds = split_seed(seed, 7)
        labels = batch["labels"]
        centers, sizes, exists = self.true_boxes(labels)
        covered = draw_covered(exists, self.stage.canvases, seeds[0], leave_one=True)
        chance = replicas.uniform(tf.shape(covered), seeds[1], 0.1, 1.0)
        left = chance * (exists[:, tf.newaxis] - covered)
        index = tf.argmax(left, axis=-1, output_type=tf.int32)  # [B, K]
        drawn = labels
        if self.stage.canvas_distortion:
            drawn = distort(labels, self.stage.canvas_distortion, seeds[4])
        painted = spilled(covered, exists, self.stage.spill, seeds[5])
        canvases = paint(drawn, painted, noise_seed=seeds[2])
        if training:
            canvases, _ = blanked(canvases, self.stage.blank_canvases, seeds[6])

        def of_target(values):
            chosen = tf.gather(values, index, batch_dims=1)
            return tf.reshape(chosen, [-1, *values.shape[2:]])

        center, size = of_target(centers), of_target(sizes)
        if training:
            center, size = jitter_boxes(center, size, self.stage.jitter, seeds[3])
        size *= self.config.segmentation.padding if model.is_normalized else 1.0
        patches = segment_patches(
            model,
            batch,
            canvases,
            center,
            size,
            tf.reshape(index, [-1]),
            self.batch_statistics(training),
            neighbours=self.stage.neighbours,
        )
        return patches.terms(of_target(exists))


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
