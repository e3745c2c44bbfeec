"""Eq. 17-18: the segmentation network is its two stacks, one after the other."""

import numpy as np
import pytest
import tensorflow as tf

from keras_recattend.layers import SegmentationNetwork


@pytest.mark.parametrize("output", ["relu", "logits"])
def test_heat_and_features(random, output):
    network = SegmentationNetwork(
        (3, 4), (2, 2), (4, 3, 1), (2, 2, 1), skips=True, output=output
    )
    network.build((None, 8, 12, 5))
    patch = tf.constant(random.normal(size=(2, 8, 12, 5)).astype(np.float32))
    result = network(patch)
    maps = network.cnn(patch)
    assert result.heat.shape == (2, 8, 12)
    assert result.features.shape == (2, 2, 3, 4)
    np.testing.assert_array_equal(result.features, maps[-1])
    heat = network.transposed(maps, patch)[-1][..., 0]
    np.testing.assert_array_equal(result.heat, heat)
    if output == "relu":
        assert float(tf.reduce_min(result.heat)) >= 0.0
    else:
        assert float(tf.reduce_min(result.heat)) < 0.0
