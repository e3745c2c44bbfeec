"""OpenCV's own results are the truth for what the graph resamples."""

import cv2
import numpy as np
import pytest
import tensorflow as tf

from keras_recattend import postprocess, prediction
from keras_recattend.serving_resampling import (
    dilated,
    resized,
    resized_window,
    upsampled,
)

SHAPES = [(53, 50), (1, 1), (1, 7), (2, 3), (31, 40)]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_whole_image_bit_for_bit(random, shape):
    image = random.integers(0, 256, (*shape, 3), dtype=np.uint8)
    window = postprocess.Window.whole(shape, (24, 32))
    function = tf.function(resized, autograph=False)
    np.testing.assert_array_equal(
        function(image, (24, 32)), prediction.network_input(image, window)
    )


@pytest.mark.skipif(
    int(cv2.__version__.split(".")[0]) < 5, reason="OpenCV 4 rounds positions"
)
@pytest.mark.parametrize(
    ("shape", "window"),
    [
        ((530, 500), (50.3, 40.7, 150.1, 131.1)),
        ((200, 300), (0.0, 0.0, 150.0, 125.0)),
        ((37, 91), (6.8, 16.7, 30.2, 74.3)),
    ],
)
def test_a_window_to_one_grey_level_in_a_hundred_thousand(random, shape, window):
    image = random.integers(0, 256, (*shape, 3), dtype=np.uint8)
    truth = prediction.network_input(image, postprocess.Window(*window, (112, 96)))
    function = tf.function(resized_window, autograph=False)
    got = function(image, tf.constant(window, tf.float64), (112, 96))
    difference = np.rint(np.abs(got - truth) * 255)
    assert difference.max() <= 1
    # A processor without fused multiply-add rounds otherwise.
    assert (difference > 0).mean() < 1e-4


@pytest.mark.parametrize("window", [(50, 40, 300, 283), (0, 7, 60, 493)])
def test_a_large_window_is_reduced_bit_for_bit_as_a_whole_image_is(random, window):
    image = random.integers(0, 256, (530, 500, 3), dtype=np.uint8)
    top, left, height, width = window
    crop = image[top : top + height, left : left + width]
    expected = prediction.network_input(
        crop, postprocess.Window.whole(crop.shape, (112, 96))
    )
    window = tuple(map(float, window))
    truth = prediction.network_input(image, postprocess.Window(*window, (112, 96)))
    np.testing.assert_array_equal(truth, expected)
    function = tf.function(resized_window, autograph=False)
    got = function(image, tf.constant(window, tf.float64), (112, 96))
    np.testing.assert_array_equal(got, truth)


@pytest.mark.parametrize("bilateral", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_masks(random, shape, bilateral):
    mask = random.random((16, 20)).astype(np.float32)
    got = tf.function(upsampled, autograph=False)(mask, tf.constant(shape), bilateral)
    truth = postprocess.upsampled(mask, shape, bilateral)
    np.testing.assert_allclose(got, truth, atol=2e-5)


@pytest.mark.parametrize("side", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("shape", SHAPES)
def test_dilation(random, shape, side):
    mask = random.random(shape) > 0.9
    truth = cv2.dilate(np.uint8(mask), np.ones((side, side), np.uint8))
    np.testing.assert_array_equal(dilated(tf.constant(mask), side), truth > 0)
