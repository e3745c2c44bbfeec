"""Box stage: the box network with true segments on the canvas."""

import tensorflow as tf

from keras_recattend.losses import matched_iou_loss, monotonic_score_loss
from keras_recattend.matching import hungarian_match
from keras_recattend.stages import looking
from keras_recattend.stages.canvases import (
    covered_centers,
    draw_covered,
    paint,
    spilled,
)
from keras_recattend.stages.objective import Objective, split_seed
from keras_recattend.truth import Truth

__all__ = ["BoxStage", "UnrolledBoxStage"]


def box_variables(model):
    """The box network's variables, and the score's that need no segmentation."""
    score = [model.scoring.state_kernel, model.scoring.bias]
    return [
        *model.controller.trainable_variables,
        *model.box_head.trainable_variables,
        *(score if model.scoring.trainable else []),
    ]


class BoxStage(Objective):
    """The box network on K random canvases an image."""

    name = "box"
    terms = looking.TERMS
    measures = looking.MEASURES

    def variables(self, model):
        return box_variables(model)

    def evaluate(self, model, batch, step, seed, training):
        seeds = split_seed(seed, 4)
        labels = batch["labels"]
        center, size, exists = self.true_boxes(labels)
        covered = draw_covered(exists, self.stage.canvases, seeds[0])
        painted = spilled(covered, exists, self.stage.spill, seeds[3])
        canvases = paint(labels, painted, noise_seed=seeds[1])
        uncovered = exists[:, tf.newaxis] - covered
        norm = self.batch_statistics(training)
        prepared = model.prepare(batch["image"], batch.get("extra"), training=norm)
        prepared = prepared._replace(pools=self.config.box_network.box_stage_pools)
        centers = None
        if self.config.box_network.center_map:
            noise = seeds[2] if training else None
            centers = covered_centers(model.box_head, center, size, covered, noise)
        box = model.look(
            prepared.repeat(self.stage.canvases),
            canvases,
            training=norm,
            centers=centers,
        )
        blobs = None
        if box.heat is not None:
            blobs = looking.cell_targets(model.box_head, center, size, exists)
        aim = looking.choose_target(box, center, size, uncovered)
        return looking.look_terms(
            box, aim, model.scoring(box.state), center, size, uncovered, blobs
        )


class UnrolledBoxStage(Objective):
    """The paper's box stage: all T steps, the matched true segment on the canvas."""

    name = "box"
    terms = ("box", "score")

    def variables(self, model):
        return box_variables(model)

    def evaluate(self, model, batch, step, seed, training):
        truth = Truth.of_labels(
            batch["labels"], self.config.timespan, self.stage.box_padding
        )
        norm = self.batch_statistics(training)
        prepared = model.prepare(batch["image"], batch.get("extra"), training=norm)
        prepared = prepared._replace(pools=self.config.box_network.box_stage_pools)
        on = tf.ones_like(truth.exists)
        outputs = model.unroll(
            prepared,
            truth,
            (tf.zeros_like(on), on),
            noise_seed=split_seed(seed, 1)[0] if training else None,
            training=norm,
            segment_objects=False,
            collect=("scores", "box_iou"),
        )
        match = hungarian_match(
            outputs["box_iou"], truth.exists, self.config.first_outputs_only
        )
        target = tf.reduce_sum(match, axis=-1)
        return {
            "box": matched_iou_loss(outputs["box_iou"], match),
            "score": monotonic_score_loss(outputs["scores"], target),
        }, {}
