"""What training knows of the true objects of a batch."""

import typing

import tensorflow as tf

from keras_recattend import boxes

__all__ = ["Truth", "label_masks"]


class Truth(typing.NamedTuple):
    """The true objects of a batch, in T slots; empty slots come last.

    Attributes:
        masks: float32 [B, T, H, W].
        exists: float32 [B, T], 1 for objects.
        top_left, bottom_right: float32 [B, T, 2], the padded boxes' corners, pixels.
    """

    masks: tf.Tensor
    exists: tf.Tensor
    top_left: tf.Tensor
    bottom_right: tf.Tensor

    @property
    def center(self):
        return (self.top_left + self.bottom_right) / 2.0

    @property
    def size(self):
        return self.bottom_right - self.top_left

    @classmethod
    def of_labels(cls, labels, slots, padding, shift=0.0):
        """Make it from label maps int32 [B, H, W] with ids 1..slots."""
        low, high, area = boxes.label_boxes(labels, slots)
        padded = boxes.pad_boxes(low, high, *padding, area > 0, shift)
        return cls(label_masks(labels, slots), tf.cast(area > 0, tf.float32), *padded)


def label_masks(labels, slots):
    """Return masks float32 [B, T, H, W] of label maps int32 [B, H, W], ids 1..T."""
    ids = tf.range(1, slots + 1)[tf.newaxis, :, tf.newaxis, tf.newaxis]
    return tf.cast(tf.equal(labels[:, tf.newaxis], ids), tf.float32)
