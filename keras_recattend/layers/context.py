"""A wider view of a feature map: down by halves, and back up."""

import keras
import tensorflow as tf

from keras_recattend.layers.convolution import ConvolutionStack, kernel_initializer

__all__ = ["Context"]


@keras.saving.register_keras_serializable("keras_recattend")
class Context(keras.layers.Layer):
    """Convolutions at 1/2, 1/4, ... of a map's resolution, brought back to its own.

    A 3 x 3 convolution sees four times the area at half the resolution, for a quarter
    of the arithmetic. Every level starts with 2 x 2 max pooling; on the way back up a
    level's result joins the finer one's by a 3 x 3 convolution.

    Args:
        levels: depths of the convolutions of each level, finest first. The map's
            sides must divide by 2 ** len(levels).
        depth: channels of the result.
        normalization, steps, initializer: see `ConvolutionStack`.

    Call arguments:
        x: [N, H, W, C].

    Returns:
        [N, H, W, depth], linear.
    """

    def __init__(
        self,
        levels,
        depth,
        normalization="batch",
        steps=1,
        initializer="he",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.levels = tuple(map(tuple, levels))
        self.depth = depth
        self.normalization = normalization
        self.steps = steps
        self.initializer = initializer

        def stack(depths, name):
            return ConvolutionStack(
                depths,
                (1,) * len(depths),
                normalization,
                steps,
                initializer,
                dtype=self.dtype_policy,
                name=name,
            )

        self.down = [stack(d, f"down{i}") for i, d in enumerate(self.levels)]
        # Each level but the coarsest gives as many channels as its last convolution.
        self.merge = [
            stack(d[-1:], f"merge{i}") for i, d in enumerate(self.levels[:-1])
        ]
        # Four outputs a cell, unfolded: each small cell gets its own.
        finer = [depth, *(d[-1] for d in self.levels[:-1])]
        self.up = [
            keras.layers.Conv2D(
                4 * channels,
                1,
                use_bias=False,
                kernel_initializer=kernel_initializer(initializer),
                dtype=self.dtype_policy,
                name=f"up{i}",
            )
            for i, channels in enumerate(finer)
        ]

    def build(self, input_shape):
        batch, height, width, channels = input_shape
        for i, depths in enumerate(self.levels):
            height, width = height // 2, width // 2
            self.down[i].build((batch, height, width, channels))
            channels = depths[-1]
            self.up[i].build((batch, height, width, channels))
            if i < len(self.merge):
                self.merge[i].build((batch, height, width, 2 * channels))

    def call(self, x, step=0, training=False):
        maps = []
        for stack in self.down:
            x = tf.nn.max_pool2d(x, 2, 2, "SAME")
            x = stack(x, step=step, training=training, every=False)[-1]
            maps.append(x)
        for i in reversed(range(len(self.merge))):
            joined = tf.concat([maps[i], tf.nn.relu(self._raise(i + 1, x))], axis=-1)
            x = self.merge[i](joined, step=step, training=training, every=False)[-1]
        return self._raise(0, x)

    def _raise(self, level, x):
        return tf.nn.depth_to_space(self.up[level](x), 2)

    def get_config(self):
        return super().get_config() | {
            "levels": self.levels,
            "depth": self.depth,
            "normalization": self.normalization,
            "steps": self.steps,
            "initializer": self.initializer,
        }
