"""Own canvases: box, score and segmentation on what the model itself has drawn.

A rollout without gradient gives the canvases that inference meets, with their
mistakes; then an ordinary step trains on some of them.
"""

import tensorflow as tf

from keras_recattend import replicas
from keras_recattend.stages import looking
from keras_recattend.stages.canvases import (
    blanked,
    covered_centers,
    draw_covered,
    paint,
    spilled,
)
from keras_recattend.stages.objective import Objective, split_seed
from keras_recattend.stages.patches import further_terms, segment_patches
from keras_recattend.stages.rollout import rollout
from keras_recattend.stages.segmenting import jitter_boxes

__all__ = ["OwnCanvasesStage"]

# The model's segment is replaced by the truth this often at first, falling to never.
SHOW_TRUTH = 0.1
# A box must overlap its object this much for its patch to teach segmentation.
LEAST_OVERLAP = 0.3


class OwnCanvasesStage(Objective):
    """Ordinary steps on K canvases an image out of the model's own rollouts."""

    name = "own_canvases"
    terms = (*looking.TERMS, "patch")
    measures = (*looking.MEASURES, "patch_iou")

    def __init__(self, config, stage=None, seed=0):
        self.terms += further_terms(stage or config.stages[self.name])
        super().__init__(config, stage, seed)

    def evaluate(self, model, batch, step, seed, training):
        seeds = split_seed(seed, 8)
        center, size, exists = self.true_boxes(batch["labels"])
        canvases, uncovered, centers = self._canvases(
            model, batch, (center, size, exists), seeds, training
        )
        norm = self.batch_statistics(training)
        prepared = model.prepare(batch["image"], batch.get("extra"), training=norm)
        repeated = prepared.repeat(self.stage.canvases)
        box = model.look(repeated, canvases, training=norm, centers=centers)
        blobs = None
        if box.heat is not None:
            blobs = looking.cell_targets(model.box_head, center, size, exists)

        aim = looking.choose_target(box, center, size, uncovered)
        patches = self._segment(
            model, batch, canvases, box, aim, (seeds[4], seeds[7]), training
        )
        terms, measures = looking.look_terms(
            model,
            box,
            aim,
            model.scoring(box.state, patches.features),
            center,
            size,
            uncovered,
            blobs,
        )
        weight = aim.exists * tf.cast(aim.iou > LEAST_OVERLAP, tf.float32)
        of_patches = patches.terms(weight)
        return terms | of_patches[0], measures | of_patches[1]

    def _segment(self, model, batch, canvases, box, aim, seeds, training):
        """Return `Patches` of the model's own boxes, in training a little moved.

        What is to be found is the target's part of the label map under each.
        """
        cut = tuple(map(tf.stop_gradient, model.patch_box(box)))
        if training:
            cut = jitter_boxes(*cut, self.stage.jitter, seeds[0])
            canvases = blanked(canvases, self.stage.blank_canvases, seeds[1])
        norm = self.batch_statistics(training)
        neighbours = self.stage.neighbours
        return segment_patches(
            model, batch, canvases, *cut, aim.index, norm, neighbours=neighbours
        )

    def _canvases(self, model, batch, true_boxes, seeds, training):
        """Return (canvases [B K, H, W], uncovered [B, K, T], centers), some true.

        The centre maps that go with them are [B K, P], or None.
        """
        labels, (center, size, exists) = batch["labels"], true_boxes
        count, batch_size = self.stage.canvases, tf.shape(labels)[0]
        covered = draw_covered(exists, count, seeds[2])
        painted = spilled(covered, exists, self.stage.spill, seeds[6])
        canvases = paint(labels, painted)
        centers = None
        if self.config.box_network.center_map:
            noise = seeds[5] if training else None
            centers = covered_centers(model.box_head, center, size, covered, noise)
        if self.stage.true_canvases >= 1.0:
            # Nothing of the model's own is shown: it need not be drawn either.
            return canvases, exists[:, tf.newaxis] - covered, centers
        show_truth = SHOW_TRUTH * (1.0 - self.progress)
        own = rollout(model, batch, true_boxes, show_truth, seeds[0])
        # Any step up to the one after the image's last object.
        objects = tf.reduce_sum(exists, axis=-1, keepdims=True)
        draw = replicas.uniform([batch_size, count], seeds[1])
        index = tf.cast(draw * (objects + 1.0), tf.int32)
        index = tf.minimum(index, tf.shape(own.canvases)[1] - 1)
        truth = replicas.uniform([batch_size, count], seeds[3])
        truth = truth < self.stage.true_canvases

        def mixed(true, own):
            own = tf.gather(own, index, batch_dims=1)
            true = tf.reshape(true, tf.shape(own))
            shape = [batch_size, count, *[1] * (own.shape.rank - 2)]
            return tf.where(tf.reshape(truth, shape), true, own)

        canvases = mixed(canvases, own.canvases)
        canvases = tf.reshape(canvases, [-1, *labels.shape[1:]])
        if centers is not None:
            centers = mixed(centers, own.centers)
            centers = tf.reshape(centers, [-1, centers.shape[-1]])
        return canvases, exists[:, tf.newaxis] - mixed(covered, own.found), centers
