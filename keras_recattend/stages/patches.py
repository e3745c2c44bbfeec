"""Patches cut out of images, segmented, and what they should have shown."""

import typing

import tensorflow as tf

from keras_recattend import replicas
from keras_recattend.boxes import label_boxes
from keras_recattend.layers.gaussian import extract
from keras_recattend.losses import patch_loss, soft_iou, taken_shares

__all__ = ["Patches", "further_terms", "pixel_shares", "segment_patches"]


class Patches(typing.NamedTuple):
    """N = B K patches segmented.

    Attributes:
        logits, target: [N, h, w], the output and the object that it is meant for.
        features: the CNN's last map.
        others: [N, h, w], the share of every cell in the areas of the other objects, or
            None where `neighbours` is 0.
        neighbours: weight of what a mask takes of the others.
    """

    logits: tf.Tensor
    target: tf.Tensor
    features: tf.Tensor
    others: tf.Tensor | None = None
    neighbours: float = 0.0

    def terms(self, weight):
        """Return (terms, measures), means over the patches with weights [N]."""
        total = tf.maximum(replicas.total(tf.reduce_sum(weight)), 1.0)

        def mean(values):
            return tf.reduce_sum(weight * values) / total

        terms = {"patch": mean(patch_loss(self.logits, self.target))}
        if self.neighbours:
            taken = taken_shares(self.logits, self.others)
            terms["neighbours"] = self.neighbours * mean(taken)
        iou = soft_iou(tf.round(tf.sigmoid(self.logits)), self.target)
        return terms, {"patch_iou": mean(iou)}


def further_terms(stage):
    """Return the names of the terms that `Patches.terms` gives beside "patch"."""
    return ("neighbours",) if stage.neighbours else ()


def segment_patches(
    model, batch, canvases, center, size, index, training, neighbours=0.0
):
    """Cut N = B K patches and segment them; return `Patches`.

    Args:
        canvases: [N, H, W]. center, size: of the patches, [N, 2] pixels.
        index: int32 [N], each patch's object (0-based slot).
        neighbours: weight of what the masks take of other objects.
    """
    read, _ = model.filters(center, size, _size_variance(model, size))
    # A gamma that is predicted belongs to a box; a fixed one to every patch.
    gamma = None if model.is_normalized else model.config.box_network.patch_gamma
    patch = model.cut(batch["image"], canvases, batch.get("extra"), read, gamma)
    labels = batch["labels"][:, tf.newaxis]  # [B, 1, H, W]
    objects = tf.reshape(index + 1, [tf.shape(labels)[0], -1])
    mask = tf.equal(labels, objects[..., tf.newaxis, tf.newaxis])
    mask = tf.reshape(mask, tf.shape(canvases))
    target = extract(tf.cast(mask, tf.float32)[..., tf.newaxis], *read)[..., 0]
    target, others = tf.stop_gradient(target), None
    if neighbours:
        others = _other_objects(model, batch["labels"], objects, target, read, size)
    result = model.segmentation(patch, training=training)
    return Patches(result.heat, target, result.features, others, neighbours)


def _other_objects(model, labels, objects, target, read, size):
    """The share of every cell in the areas of all objects but its patch's own.

    Args:
        labels: int32 [B, H, W]. objects: int32 [B, K], ids. target: [B K, h, w].
        read: the normalised filters of the patches. size: [B K, 2] pixels.

    Returns:
        float32 [B K, h, w].
    """
    config = model.config
    shares = pixel_shares(labels, config.max_instances, config.min_object_area)
    everything = tf.gather(shares, labels, batch_dims=1)[..., tf.newaxis]
    own = tf.reshape(tf.gather(shares, objects, batch_dims=1), [-1, 1, 1])
    others = tf.nn.relu(extract(everything, *read)[..., 0] - own * target)
    # A cell is a mean of the pixels that it stands for.
    cell = tf.reduce_prod(size / config.segmentation.patch_size, axis=-1)
    return tf.stop_gradient(others * cell[:, tf.newaxis, tf.newaxis])


def pixel_shares(labels, slots, least):
    """Return what one pixel is of its object's area, float32 [B, slots + 1].

    Args:
        labels: int32 [B, H, W], 0 = background, which has no share.
        slots: the highest id. least: an object counts for so many pixels at least.
    """
    _, _, areas = label_boxes(labels, slots)
    shares = 1.0 / tf.maximum(areas, float(max(least, 1)))
    return tf.pad(shares, [[0, 0], [1, 0]])


def _size_variance(model, size):
    """Variance of the density filters as the box sets it (authors)."""
    if model.is_normalized:
        return None
    patch = tf.constant(model.config.segmentation.patch_size, tf.float32)
    return tf.math.log(size / patch)
