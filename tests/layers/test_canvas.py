"""Eq. 1-2: the canvas."""

import numpy as np
import tensorflow as tf

from keras_recattend.layers import Canvas


def test_canvas_keeps_the_greatest_of_what_was_written(random):
    canvas = Canvas()
    segments = random.uniform(size=(4, 2, 3, 5)).astype(np.float32)  # [T, B, H, W]
    c = canvas.blank(2, (3, 5))
    np.testing.assert_array_equal(c, np.zeros((2, 3, 5)))
    for t in range(4):
        c = canvas(c, tf.constant(segments[t]))
        for b in range(2):
            for y in range(3):
                for x in range(5):
                    greatest = max(segments[s, b, y, x] for s in range(t + 1))
                    assert float(c[b, y, x]) == greatest


def test_stack_is_image_canvas_extra(random):
    image = random.uniform(size=(2, 3, 5, 3)).astype(np.float32)
    c = random.uniform(size=(2, 3, 5)).astype(np.float32)
    extra = random.uniform(size=(2, 3, 5, 9)).astype(np.float32)
    stacked = Canvas().stack(tf.constant(image), tf.constant(c), tf.constant(extra))
    assert stacked.shape == (2, 3, 5, 13)
    for channel in range(13):
        if channel < 3:
            expected = image[..., channel]
        elif channel == 3:
            expected = c
        else:
            expected = extra[..., channel - 4]
        np.testing.assert_array_equal(stacked[..., channel], expected)
    assert Canvas().stack(tf.constant(image), tf.constant(c)).shape == (2, 3, 5, 4)


def test_no_gradient_flows_into_the_canvas():
    segment = tf.Variable(tf.ones([1, 2, 2]))
    with tf.GradientTape() as tape:
        c = tf.reduce_sum(Canvas()(tf.zeros([1, 2, 2]), segment))
    assert tape.gradient(c, segment) is None
