"""The base of the layers that stay float32 under mixed precision."""

import keras

__all__ = ["Float32Layer"]


class Float32Layer(keras.layers.Layer):
    """A layer that computes in float32, whatever the precision policy.

    Canvas, filters, attention and score are small next to the convolutions, and lose
    what they are for in 16 bits: sub-pixel means, sums over hundreds of cells.
    """

    def __init__(self, **kwargs):
        kwargs["dtype"] = "float32"
        super().__init__(**kwargs)
