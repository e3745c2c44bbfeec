"""Validation losses on one device, where several train."""

import tensorflow as tf

__all__ = ["LocalLosses"]


class LocalLosses:
    """Validation losses on this device alone, as `evaluate` gives them on one device.

    The last batch of a validation is seldom one that several devices can divide, and
    machines would have to take part in it together.

    Args:
        model: a compiled `RecurrentAttention`.
    """

    def __init__(self, model):
        self._values = tf.function(model.validation_values, autograph=False)

    def __call__(self, batches):
        """Return the mean over the images of some batches, {name: number}."""
        sums, images = {}, 0
        for batch in batches:
            count = int(batch["image"].shape[0])
            images += count
            for name, value in self._values(batch).items():
                sums[name] = sums.get(name, 0.0) + count * float(value)
        return {name: value / images for name, value in sums.items()}
