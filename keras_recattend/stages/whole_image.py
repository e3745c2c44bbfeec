"""Segmentation and own canvases where every patch is the whole image (`no_box_net`).

No box says which object a patch is meant for: the network chooses, and is taught the
uncovered object that its own output overlaps most.
"""

import tensorflow as tf

from keras_recattend import replicas
from keras_recattend.layers.gaussian import extract
from keras_recattend.losses import soft_iou_matrix
from keras_recattend.stages.canvases import draw_covered, paint
from keras_recattend.stages.looking import SCORE_WEIGHT
from keras_recattend.stages.objective import Objective, split_seed
from keras_recattend.stages.own_canvases import OwnCanvasesStage
from keras_recattend.stages.patches import Patches

__all__ = ["WholeOwnCanvasesStage", "WholeSegmentationStage"]


def segment_whole(model, batch, canvases, uncovered, training):
    """Segment the whole image on N = B K canvases.

    Args:
        canvases: [N, H, W]. uncovered: [B, K, T].

    Returns:
        `Patches`, and float32 [N], 1 where an object is left, 0 when all are covered.
    """
    box = model.box_head.whole(tf.shape(canvases)[0])
    read, _ = model.filters(box.center, box.size, box.log_variance)
    gamma = None if model.is_normalized else box.log_gamma_patch
    patch = model.cut(batch["image"], canvases, batch.get("extra"), read, gamma)
    result = model.segmentation(patch, training=training)
    objects = _small_objects(model, batch["labels"], uncovered.shape[2])
    shape = tf.concat([tf.shape(uncovered)[:2], tf.shape(result.heat)[1:]], axis=0)
    overlap = soft_iou_matrix(tf.reshape(tf.sigmoid(result.heat), shape), objects)
    index = tf.argmax(
        tf.where(uncovered > 0, overlap, -1.0), axis=-1, output_type=tf.int32
    )
    target = tf.reshape(tf.gather(objects, index, batch_dims=1), tf.shape(result.heat))
    patches = Patches(result.heat, tf.stop_gradient(target), result.features)
    return patches, tf.reshape(tf.reduce_max(uncovered, axis=-1), [-1])


def _small_objects(model, labels, slots):
    """Every object's mask at the patch's size, [B, T, h, w]."""
    box = model.box_head.whole(tf.shape(labels)[0])
    read, _ = model.filters(box.center, box.size, box.log_variance)
    masks = extract(tf.one_hot(labels - 1, slots), *read)
    return tf.transpose(masks, [0, 3, 1, 2])


class WholeSegmentationStage(Objective):
    """The segmentation network alone, on K random canvases an image."""

    name = "segmentation"
    terms = ("patch",)
    measures = ("patch_iou",)

    def variables(self, model):
        return model.segmentation.trainable_variables

    def evaluate(self, model, batch, step, seed, training):
        seeds = split_seed(seed, 2)
        labels = batch["labels"]
        _, _, exists = self.true_boxes(labels)
        covered = draw_covered(exists, self.stage.canvases, seeds[0], leave_one=True)
        canvases = paint(labels, covered, noise_seed=seeds[1])
        uncovered = exists[:, tf.newaxis] - covered
        norm = self.batch_statistics(training)
        patches, exists = segment_whole(model, batch, canvases, uncovered, norm)
        return patches.terms(exists)


class WholeOwnCanvasesStage(OwnCanvasesStage):
    """`OwnCanvasesStage` without a box and without its losses."""

    terms = ("score", "patch")
    measures = ("score_accuracy", "patch_iou")

    def evaluate(self, model, batch, step, seed, training):
        true_boxes = self.true_boxes(batch["labels"])
        shown = self._shown(model, batch, true_boxes, split_seed(seed, 7), training)
        canvases, uncovered = shown.canvases, shown.uncovered
        norm = self.batch_statistics(training)
        prepared = model.prepare(batch["image"], batch.get("extra"), training=norm)
        box = model.look(prepared.repeat(self.stage.canvases), canvases, training=norm)
        patches, exists = segment_whole(model, batch, canvases, uncovered, norm)
        logit = model.scoring(box.state, patches.features)
        entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=exists, logits=logit)
        right = tf.equal(logit > 0, exists > 0)
        terms, measures = patches.terms(exists)
        return (
            {"score": SCORE_WEIGHT * replicas.batch_mean(entropy)} | terms,
            {"score_accuracy": replicas.batch_mean(tf.cast(right, tf.float32))}
            | measures,
        )
