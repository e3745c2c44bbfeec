"""Joint stage: everything at once, through the true loop (eq. 21, section 2.6)."""

import tensorflow as tf

from keras_recattend import replicas
from keras_recattend.losses import (
    matched_iou_loss,
    monotonic_score_loss,
    soft_iou_matrix,
)
from keras_recattend.matching import hungarian_match
from keras_recattend.sampling import draw_switches, probability
from keras_recattend.stages.objective import Objective, split_seed
from keras_recattend.truth import Truth

__all__ = ["JointStage"]


class JointStage(Objective):
    """Eq. 21: matched soft IoU, matched soft box IoU, monotonic score loss.

    The model's own output goes to the canvas, or the greedily matched truth, by
    scheduled sampling; so does the true box to the patch, on a schedule of its own.
    """

    name = "joint"
    terms = ("segmentation", "box", "score")
    measures = ("theta_box", "theta_mask")

    def __init__(self, config, seed=0):
        if config.box_network.whole_image:
            self.terms = ("segmentation", "score")
        super().__init__(config, seed)

    def thetas(self, step):
        """Return (theta_box, theta_mask), each [T], at an optimiser step."""
        stage, timespan = self.stage, self.config.timespan
        step = tf.cast(step, tf.float32) + self.ahead
        return tuple(
            probability(step, timespan, offset, stage.sampling_period)
            for offset in (stage.box_offset, stage.mask_offset)
        )

    def cut_boxes(self, batch, truth, seed):
        """Return the truth with noise on its boxes, as the patches show them.

        Args:
            truth: a `Truth`, without. seed: int32 [2].
        """
        shift, change = self.stage.box_noise
        if not (shift or change):
            return truth
        seeds = split_seed(seed, 2)
        shape = tf.concat([tf.shape(truth.exists), [1]], axis=0)
        ratio, least = self.stage.box_padding
        ratio += replicas.uniform(shape, seeds[0], -change, change)
        moved = replicas.uniform(tf.shape(truth.top_left), seeds[1], -shift, shift)
        timespan = self.config.timespan
        return Truth.of_labels(batch["labels"], timespan, (ratio, least), moved)

    def evaluate(self, model, batch, step, seed, training):
        seeds = split_seed(seed, 3)
        truth = Truth.of_labels(
            batch["labels"], self.config.timespan, self.stage.box_padding
        )
        thetas = self.thetas(step)
        if not training:
            # Nothing of the truth is shown, and none is reported.
            thetas = tuple(0.0 * theta for theta in thetas)
        batch_size = tf.shape(truth.exists)[0]
        switches = tuple(
            draw_switches(theta, batch_size, s)
            for theta, s in zip(thetas, (seeds[0], seeds[1]), strict=True)
        )
        norm = self.batch_statistics(training)
        prepared = model.prepare(batch["image"], batch.get("extra"), training=norm)
        outputs = model.unroll(
            prepared,
            truth,
            switches,
            noise_seed=seeds[2] if training else None,
            training=norm,
            cut=self.cut_boxes(batch, truth, seeds[2]) if training else None,
        )
        iou = soft_iou_matrix(outputs["masks"], truth.masks)
        first = self.config.first_outputs_only
        match = hungarian_match(iou, truth.exists, first)
        terms = {"segmentation": matched_iou_loss(iou, match)}
        if "box" in self.terms:
            box_match = hungarian_match(outputs["box_iou"], truth.exists, first)
            terms["box"] = matched_iou_loss(outputs["box_iou"], box_match)
        target = tf.reduce_sum(match, axis=-1)
        terms["score"] = monotonic_score_loss(outputs["scores"], target)
        names = ("theta_box", "theta_mask")
        means = (replicas.batch_mean(theta) for theta in thetas)
        return terms, dict(zip(names, means, strict=True))
