"""Scheduled sampling."""

import math

import numpy as np
import pytest
import tensorflow as tf

from keras_recattend.sampling import draw_switches, noisy, probability


@pytest.mark.parametrize("step", [0, 2999, 3000, 3700, 10_000])
@pytest.mark.parametrize("scaled", [True, False])
def test_probability(step, scaled):
    got = probability(step, 5, offset=3000, period=700, scaled=scaled)
    for t in range(5):
        factor = 1 + math.log(1 + 3 * t) if scaled else 1.0
        expected = min(1.0, 0.5 ** (max(0, step - 3000) / 700) * factor)
        assert float(got[t]) == pytest.approx(expected, rel=1e-5)


def test_probability_of_a_step_tensor():
    got = probability(tf.constant(3700, tf.int64), 3, 3000, 700)
    np.testing.assert_allclose(got, probability(3700, 3, 3000, 700))


def test_switches_are_drawn_with_their_probability():
    theta = tf.constant([0.0, 0.3, 1.0])
    switches = draw_switches(theta, 4000, [1, 2]).numpy()
    assert switches.shape == (4000, 3)
    assert set(np.unique(switches)) == {0.0, 1.0}
    np.testing.assert_allclose(switches.mean(0), theta, atol=0.03)


def test_switches_follow_from_the_seed():
    theta = tf.fill([6], 0.5)
    first = draw_switches(theta, 8, [1, 2])
    np.testing.assert_array_equal(first, draw_switches(theta, 8, [1, 2]))
    assert (first != draw_switches(theta, 8, [1, 3])).numpy().any()


def test_noise_takes_away_up_to_three_tenths():
    masks = np.ones((2, 40, 40), np.float32)
    masks[:, :10] = 0.0
    got = noisy(tf.constant(masks), [1, 2]).numpy()
    assert (got[:, :10] == 0.0).all()
    inside = got[:, 10:]
    assert inside.min() >= 0.7 - 1e-6
    assert inside.max() <= 1.0
    assert inside.mean() == pytest.approx(0.85, abs=0.01)
