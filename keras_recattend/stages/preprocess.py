"""Pre-processing stage: foreground and angle of every pixel (section 2)."""

import tensorflow as tf

from keras_recattend import replicas
from keras_recattend.angles import ANGLES, angle_classes
from keras_recattend.losses import angle_loss, binary_cross_entropy, cross_entropy
from keras_recattend.stages.objective import Objective

__all__ = ["PreprocessStage", "foreground_iou", "pixel_classes"]


class PreprocessStage(Objective):
    """The pre-processing network alone, by the truth of every pixel.

    Foreground: binary cross entropy, or with classes the cross entropy over
    background and classes. Angles: cross entropy over the true foreground's pixels.
    """

    name = "preprocess"
    terms = ("foreground", "angle")
    measures = ("foreground_iou", "angle_accuracy")
    reads_maps = False

    def __init__(self, config, seed=0):
        self.network = config.preprocessor
        if not self.network.angle_classes:
            self.terms, self.measures = self.terms[:1], self.measures[:1]
        super().__init__(config, seed)

    def variables(self, model):
        return model.preprocessor.trainable_variables

    def evaluate(self, model, batch, step, seed, training):
        labels = batch["labels"]
        norm = self.batch_statistics(training)
        maps = model.preprocessor(batch["image"], training=norm)
        foreground = tf.cast(labels > 0, tf.float32)
        terms = {"foreground": self._foreground_loss(maps, batch, foreground)}
        measures = {"foreground_iou": foreground_iou(maps.foreground, foreground)}
        if self.network.angle_classes:
            classes = angle_classes(labels, self.config.max_instances)
            target = tf.one_hot(classes, ANGLES)
            terms["angle"] = angle_loss(maps.angles, target, foreground)
            found = tf.argmax(maps.angles, axis=-1, output_type=tf.int32)
            right = foreground * tf.cast(tf.equal(found, classes), tf.float32)
            measures["angle_accuracy"] = tf.reduce_sum(right) / tf.maximum(
                replicas.total(tf.reduce_sum(foreground)), 1.0
            )
        return terms, measures

    def _foreground_loss(self, maps, batch, foreground):
        if maps.semantic is None:
            entropy = binary_cross_entropy(maps.foreground, foreground)
            return replicas.batch_mean(entropy)
        classes = pixel_classes(
            batch["labels"], batch.get("classes"), self.network.foreground_classes
        )
        target = tf.one_hot(classes, self.network.foreground_classes)
        entropy = tf.reduce_sum(cross_entropy(maps.semantic, target), axis=-1)
        return replicas.batch_mean(entropy)


def pixel_classes(labels, classes, count):
    """Return the class of every pixel, that of its object, int32 [B, H, W].

    Args:
        labels: int32 [B, H, W], 0 = background.
        classes: int32 [B, T], of object 1..n; None = every object is of class 1.
        count: background and classes together; a higher class is an error.
    """
    if classes is None:
        return tf.cast(labels > 0, tf.int32)
    classes = tf.cast(classes, tf.int32)
    check = tf.debugging.assert_less(
        classes,
        count,
        f"A class is above {count - 1}, the most that preprocessor.foreground_classes="
        f"{count} (with background) allows.",
    )
    with tf.control_dependencies([] if check is None else [check]):
        table = tf.pad(classes, [[0, 0], [1, 0]])
    return tf.gather(table, labels, batch_dims=1)


def foreground_iou(probability, foreground):
    """Return the IoU of the batch's foreground pixels above 1/2 with the truth.

    1 where neither has any.

    Args:
        probability, foreground: [B, H, W].
    """
    found = tf.cast(probability > 0.5, tf.float32)
    both = tf.reduce_sum(found * foreground)
    either = replicas.total(tf.reduce_sum(found + foreground - found * foreground))
    empty = replicas.share(1.0)
    return tf.where(either > 0, both / tf.maximum(either, 1.0), empty)
