"""Eq. 1: the canvas."""

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


def test_no_gradient_flows_into_the_canvas():
    segment = tf.Variable(tf.ones([1, 2, 2]))
    with tf.GradientTape() as tape:
        c = tf.reduce_sum(Canvas()(tf.zeros([1, 2, 2]), segment))
    assert tape.gradient(c, segment) is None
