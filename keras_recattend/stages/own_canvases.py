"""Own canvases: box, score and segmentation on what the model itself has drawn.

A rollout without gradient gives the canvases that inference meets, with their
mistakes; then an ordinary step trains on some of them.
"""

import typing

import tensorflow as tf

from keras_recattend import replicas
from keras_recattend.revision import Others
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
from keras_recattend.stages.rollout import Drawn, rollout
from keras_recattend.stages.segmentation import jitter_boxes

__all__ = ["OwnCanvasesStage"]

# The model's segment is replaced by the truth this often at first, falling to never.
SHOW_TRUTH = 0.1
# A box, or a mask to be drawn anew, must overlap its object this much for its patch to
# teach segmentation.
LEAST_OVERLAP = 0.3


class _Shown(typing.NamedTuple):
    """What K looks an image see, and what is left to find.

    Attributes:
        canvases: [B K, H, W]. uncovered: [B, K, T].
        centers: centre maps [B K, P], or None.
        drawn: the rollout's `Drawn`, where masks are to be drawn anew, or None.
    """

    canvases: tf.Tensor
    uncovered: tf.Tensor
    centers: tf.Tensor | None
    drawn: Drawn | None


class _Cut(typing.NamedTuple):
    """N patches to segment.

    Attributes:
        canvases: [N, H, W]. center, size: [N, 2], what the patches show.
        index: int32 [N], the object that each is meant for.
        weight: float32 [N], 0 where it is meant for none.
    """

    canvases: tf.Tensor
    center: tf.Tensor
    size: tf.Tensor
    index: tf.Tensor
    weight: tf.Tensor

    def beside(self, other, batch):
        """Those of both, image by image of `batch`."""
        return _Cut(*(_beside(a, b, batch) for a, b in zip(self, other, strict=True)))


class OwnCanvasesStage(Objective):
    """Ordinary steps on K canvases an image out of the model's own rollouts."""

    name = "own_canvases"
    terms = (*looking.TERMS, "patch")
    measures = (*looking.MEASURES, "patch_iou")

    def __init__(self, config, seed=0):
        self.terms += further_terms(config.stages[self.name])
        super().__init__(config, seed)

    def evaluate(self, model, batch, step, seed, training):
        seeds = split_seed(seed, 10)
        center, size, exists = self.true_boxes(batch["labels"])
        shown = self._shown(model, batch, (center, size, exists), seeds, training)
        uncovered = shown.uncovered
        norm = self.batch_statistics(training)
        prepared = model.prepare(batch["image"], batch.get("extra"), training=norm)
        repeated = prepared.repeat(self.stage.canvases)
        box = model.look(repeated, shown.canvases, training=norm, centers=shown.centers)
        blobs = None
        if box.heat is not None:
            blobs = looking.cell_targets(model.box_head, center, size, exists)

        aim = looking.choose_target(box, center, size, uncovered)
        cut, seen = self._cut(model, shown, box, aim, (seeds[4], seeds[7]), training)
        if shown.drawn is not None:
            again = self._drawn_anew(shown.drawn, (seeds[8], seeds[9]), training)
            cut = cut.beside(again, tf.shape(exists)[0])
        patches = segment_patches(
            model, batch, *cut[:-1], norm, neighbours=self.stage.neighbours
        )
        features = _first(patches.features, self.stage.canvases, tf.shape(exists)[0])
        terms, measures = looking.look_terms(
            box,
            aim,
            model.scoring(box.state, features),
            center,
            size,
            uncovered,
            blobs,
            seen,
        )
        of_patches = patches.terms(cut.weight)
        return terms | of_patches[0], measures | of_patches[1]

    def _cut(self, model, shown, box, aim, seeds, training):
        """Return the `_Cut` of the model's own boxes, in training a little moved.

        What is to be found is the target's part of the label map under each. And where
        the patch shows its canvas, [N]: the score is learned there alone, since without
        it, what was found before looks as if it were new.
        """
        center, size = map(tf.stop_gradient, model.patch_box(box))
        canvases, blank = shown.canvases, 0.0
        if training:
            center, size = jitter_boxes(center, size, self.stage.jitter, seeds[0])
            blank = self.stage.blank_canvases
        canvases, seen = blanked(canvases, blank, seeds[1])
        weight = aim.exists * tf.cast(aim.iou > LEAST_OVERLAP, tf.float32)
        return _Cut(canvases, center, size, aim.index, weight), seen

    def _drawn_anew(self, drawn, seeds, training):
        """Return the `_Cut` of some masks that an object is best matched by.

        The canvas shows what all other steps have drawn.
        """
        iou = drawn.iou * tf.cast(drawn.iou > LEAST_OVERLAP, tf.float32)
        best = tf.equal(iou, tf.reduce_max(iou, axis=1, keepdims=True))
        iou = tf.where(best, iou, 0.0)
        index = tf.argmax(iou, axis=-1, output_type=tf.int32)  # [B, S]
        matched = tf.cast(tf.reduce_max(iou, axis=-1) > 0.0, tf.float32)
        chance = replicas.uniform(tf.shape(matched), seeds[0], 0.1, 1.0) * matched
        # No more than there are steps: two for an image with one object.
        count = tf.minimum(self.stage.revisions, tf.shape(matched)[1])
        step = tf.math.top_k(chance, count).indices  # [B, K']
        canvases = _without(drawn.others, step)

        def of_step(values):
            chosen = tf.gather(values, step, batch_dims=1)
            return tf.reshape(chosen, [-1, *values.shape[2:]])

        center, size = of_step(drawn.center), of_step(drawn.size)
        if training:
            center, size = jitter_boxes(center, size, self.stage.jitter, seeds[1])
        return _Cut(canvases, center, size, of_step(index), of_step(matched))

    def _shown(self, model, batch, true_boxes, seeds, training):
        """Return the `_Shown` of the batch, some canvases true, some the model's."""
        labels, (center, size, exists) = batch["labels"], true_boxes
        count, batch_size = self.stage.canvases, tf.shape(labels)[0]
        covered = draw_covered(exists, count, seeds[2])
        painted = spilled(covered, exists, self.stage.spill, seeds[6])
        canvases = paint(labels, painted)
        centers = None
        if self.config.box_network.center_map:
            noise = seeds[5] if training else None
            centers = covered_centers(model.box_head, center, size, covered, noise)
        with_drawn = self.stage.revisions > 0
        if self.stage.true_canvases >= 1.0 and not with_drawn:
            # Nothing of the model's own is shown: it need not be drawn either.
            return _Shown(canvases, exists[:, tf.newaxis] - covered, centers, None)
        show_truth = SHOW_TRUTH * (1.0 - self.progress)
        own = rollout(model, batch, true_boxes, show_truth, seeds[0], with_drawn)
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
        uncovered = exists[:, tf.newaxis] - mixed(covered, own.found)
        return _Shown(canvases, uncovered, centers, own.drawn)


def _without(others, step):
    """The canvases of all steps but one each: [B K', H, W] for steps [B, K']."""
    values = (v[:, tf.newaxis] for v in others)
    canvases = Others(*values).without(step[..., tf.newaxis, tf.newaxis])
    return tf.reshape(canvases, [-1, *canvases.shape[2:]])


def _beside(values, more, batch):
    """[B K, ...] and [B K', ...] as one: [B (K + K'), ...]."""
    shape = values.shape[1:]
    parts = [tf.reshape(v, [batch, -1, *shape]) for v in (values, more)]
    return tf.reshape(tf.concat(parts, axis=1), [-1, *shape])


def _first(values, count, batch):
    """The first K of each image: [B K, ...] of [B (K + K'), ...]."""
    values = tf.reshape(values, [batch, -1, *values.shape[1:]])[:, :count]
    return tf.reshape(values, [-1, *values.shape[2:]])
