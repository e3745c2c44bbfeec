"""The wider view: against its parts in numpy, and how far it sees."""

import keras
import numpy as np
import tensorflow as tf

from keras_recattend.layers import Context


def context(levels, depth=3):
    keras.utils.set_random_seed(2)
    layer = Context(levels, depth)
    layer.build((None, 8, 16, 2))
    return layer


def pooled(x):
    """The greatest of each 2 x 2 block."""
    batch, height, width, channels = x.shape
    return x.reshape(batch, height // 2, 2, width // 2, 2, channels).max((2, 4))


def raised(convolution, x):
    """A 1 x 1 convolution to four cells, which lie row by row in a 2 x 2 block."""
    kernel = convolution.kernel.numpy()[0, 0]
    values = x @ kernel
    batch, height, width, _ = x.shape
    result = np.zeros((batch, 2 * height, 2 * width, kernel.shape[1] // 4), np.float32)
    for cell, part in enumerate(np.split(values, 4, axis=-1)):
        result[:, cell // 2 :: 2, cell % 2 :: 2] = part
    return result


def test_one_level_is_pooling_convolutions_and_back(random):
    layer = context([(4, 5)])
    x = random.normal(size=(2, 8, 16, 2)).astype(np.float32)
    inner = layer.down[0](tf.constant(pooled(x)))[-1].numpy()
    np.testing.assert_allclose(layer(x), raised(layer.up[0], inner), atol=1e-5)


def test_a_second_level_joins_the_first(random):
    layer = context([(4, 5), (6,)])
    x = random.normal(size=(2, 8, 16, 2)).astype(np.float32)
    first = layer.down[0](tf.constant(pooled(x)))[-1].numpy()
    second = layer.down[1](tf.constant(pooled(first)))[-1].numpy()
    up = np.maximum(raised(layer.up[1], second), 0.0)
    merged = layer.merge[0](tf.concat([first, up], axis=-1))[-1].numpy()
    np.testing.assert_allclose(layer(x), raised(layer.up[0], merged), atol=1e-5)


def test_it_sees_farther_with_every_level():
    """How many columns of the result a single cell in the middle changes."""

    def reach(levels):
        layer = context(levels)
        x = np.ones((1, 8, 16, 2), np.float32)
        changed = x.copy()
        changed[0, 4, 8] += 5.0
        return int(np.any(layer(x) != layer(changed), axis=(0, 1, 3)).sum())

    # 3 cells of 2 pixels; two more on either side at 1/4 of the resolution.
    assert reach([(4,)]) == 6
    assert reach([(4,), (4,)]) > 6
