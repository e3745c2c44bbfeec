"""Masks drawn anew once all objects are found, with all others on the canvas.

While objects are found, the canvas shows those before: the first of two neighbours is
cut out without knowing where the other one begins. At the end the whole canvas is
known, and each object is segmented again in the light of all others' masks.
"""

import typing

import tensorflow as tf

from keras_recattend import boxes
from keras_recattend.unrolling import time_second

__all__ = ["Others", "revise"]


class Others(typing.NamedTuple):
    """The canvas of all objects, from which any one of them can be taken away.

    A canvas is a maximum of masks (eq. 1). Without one object it is that of the others:
    the second greatest value where this object has the greatest.

    Attributes:
        greatest, second: float32 [B, H, W], of all masks.
        owner: int32 [B, H, W], the number of the mask that has the greatest.
    """

    greatest: tf.Tensor
    second: tf.Tensor
    owner: tf.Tensor

    @classmethod
    def of_none(cls, batch, size):
        """No mask at all; `size` is (H, W)."""
        blank = tf.zeros([batch, *size])
        return cls(blank, blank, tf.fill([batch, *size], -1))

    def with_mask(self, mask, number):
        """One more mask [B, H, W], which has this number from 0 on."""
        first = mask > self.greatest
        return Others(
            tf.where(first, mask, self.greatest),
            tf.where(first, self.greatest, tf.maximum(self.second, mask)),
            tf.where(first, number, self.owner),
        )

    def without(self, number):
        """The canvas of all masks but this one, [B, H, W].

        Args:
            number: int32, or one for each of the batch, [B, 1, 1].
        """
        return tf.where(self.owner == number, self.second, self.greatest)


class _Drawn(typing.NamedTuple):
    """Objects as patches: [N, h, w] probabilities, and what they show, [N, 2] pixels.

    `heat` is above 0 where `patch` is above 1/2: `around_mask` asks for no more.
    """

    patch: tf.Tensor
    center: tf.Tensor
    size: tf.Tensor

    @property
    def heat(self):
        return self.patch - 0.5

    def gathered(self, *index, **options):
        return _Drawn(*(tf.gather(values, *index, **options) for values in self))


def revise(model, prepared, outputs, settings):
    """Segment every object again, with all others' masks on the canvas.

    All objects of a round see the masks of the round before.

    Args:
        model: a `RecurrentAttention` with normalised filters.
        prepared: what `model.prepare` returned for the B images.
        outputs: "scores" [B, T], "boxes" [B, T, 4], "patches" [B, T, h, w] and
            perhaps "masks" [B, T, H, W] of the steps, as `RecurrentAttention.infer`
            returns them.
        settings: an `Inference`; its `revisions` are the rounds.

    Returns:
        "boxes", "patches" and, if they are there, "masks" after the last round. Those
        from the first score below the threshold on stay as they are.
    """
    going_on = tf.cast(outputs["scores"] >= settings.score_threshold, tf.int32)
    going_on = tf.math.cumprod(going_on, axis=1)
    steps = tf.reduce_max(tf.reduce_sum(going_on, axis=1))
    revision = _Revision(model, prepared, going_on > 0, steps, settings.growth)
    low, high = tf.split(outputs["boxes"], 2, axis=-1)
    drawn = _Drawn(outputs["patches"], (low + high) / 2.0, high - low)
    for _ in range(settings.revisions):
        drawn = revision.round(drawn)
    corners = tf.concat(boxes.corners(drawn.center, drawn.size), axis=-1)
    revised = {"boxes": corners, "patches": drawn.patch}
    if "masks" in outputs:
        revised["masks"] = revision.masks(drawn, outputs["masks"])
    return revised


class _Revision:
    """Rounds over the objects that were found.

    Args:
        found: bool [B, T]. steps: int32, the most objects of an image.
    """

    def __init__(self, model, prepared, found, steps, growth):
        self.model = model
        self.prepared = prepared
        self.found = found
        self.steps = steps
        self.growth = growth

    def round(self, drawn):
        """Return the `_Drawn` [B, T, ...] of the next round."""
        others = self._others(drawn)

        def anew(t):
            index = tf.where(self.found[:, t])[:, 0]
            was = drawn.gathered(t, axis=1)
            now = self._segmented(others, t, index, was.gathered(index))
            return tuple(
                tf.tensor_scatter_nd_update(old, index[:, tf.newaxis], new)
                for old, new in zip(was, now, strict=True)
            )

        return _Drawn(*self._each_step(anew, drawn))

    def masks(self, drawn, masks):
        """Return the masks [B, T, H, W] with those of the objects that were found."""

        def pasted(t):
            mask = self.model.pasted(*drawn.gathered(t, axis=1))
            found = self.found[:, t, tf.newaxis, tf.newaxis]
            return (tf.where(found, mask, masks[:, t]),)

        return self._each_step(pasted, (masks,))[0]

    def _each_step(self, function, values):
        """Replace values [B, T, ...] by those of `function` at the steps there were."""
        arrays = tuple(
            tf.TensorArray(tf.float32, tf.shape(self.found)[1]).unstack(time_second(v))
            for v in values
        )

        def body(t, arrays):
            written = zip(arrays, function(t), strict=True)
            return t + 1, tuple(array.write(t, new) for array, new in written)

        _, arrays = tf.while_loop(
            lambda t, _: t < self.steps, body, (tf.constant(0), arrays)
        )
        return tuple(
            tf.ensure_shape(time_second(array.stack()), v.shape)
            for array, v in zip(arrays, values, strict=True)
        )

    def _others(self, drawn):
        model = self.model

        def body(t, others):
            mask = model.pasted(*drawn.gathered(t, axis=1))
            found = tf.cast(self.found[:, t], tf.float32)[:, tf.newaxis, tf.newaxis]
            return t + 1, others.with_mask(mask * found, t)

        batch = tf.shape(self.found)[0]
        start = Others.of_none(batch, model.config.image_size)
        return tf.while_loop(
            lambda t, _: t < self.steps, body, (tf.constant(0), start)
        )[1]

    def _segmented(self, others, t, index, was):
        """The `_Drawn` of step t, drawn anew for the images with these numbers."""
        model = self.model
        # The features are the box network's alone.
        prepared = self.prepared._replace(features=None).of(index)
        canvas = Others(*(tf.gather(values, index) for values in others)).without(t)
        center, size = model.around_mask(was, self.growth)
        segment = model.segment(prepared, canvas, None, center, size, step=t)
        return _Drawn(tf.sigmoid(segment.heat), center, size)
