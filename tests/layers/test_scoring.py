"""Eq. 20: the score."""

import math

import numpy as np
import tensorflow as tf

from keras_recattend.layers import Scoring


def test_score(random):
    scoring = Scoring(state_size=3, features_size=2 * 2 * 2, initializer="small")
    scoring.build()
    scoring.state_kernel.assign(random.normal(size=(3, 1)))
    scoring.features_kernel.assign(random.normal(size=(8, 1)))
    scoring.bias.assign([0.3])
    state = random.normal(size=(2, 3)).astype(np.float32)
    features = random.normal(size=(2, 2, 2, 2)).astype(np.float32)
    got = tf.sigmoid(scoring(tf.constant(state), tf.constant(features)))
    w_z, w_v = np.array(scoring.state_kernel), np.array(scoring.features_kernel)
    for b in range(2):
        total = 0.3
        for i in range(3):
            total += state[b, i] * w_z[i, 0]
        # Row, column, channel.
        for j in range(2):
            for i in range(2):
                for c in range(2):
                    total += features[b, j, i, c] * w_v[4 * j + 2 * i + c, 0]
        assert math.isclose(got[b], 1 / (1 + math.exp(-total)), rel_tol=1e-5)


def test_without_features_their_term_is_left_out(random):
    scoring = Scoring(3, 8, "he")
    scoring.build()
    state = tf.constant(random.normal(size=(2, 3)).astype(np.float32))
    zeros = tf.zeros([2, 8])
    np.testing.assert_allclose(scoring(state), scoring(state, zeros))


def test_features_change_nothing_at_the_start(random):
    """With "he", a score trained on the state alone goes on where it was."""
    scoring = Scoring(3, 8, "he")
    scoring.build()
    state = tf.constant(random.normal(size=(2, 3)).astype(np.float32))
    features = tf.constant(random.normal(size=(2, 8)).astype(np.float32))
    np.testing.assert_array_equal(scoring(state), scoring(state, features))
