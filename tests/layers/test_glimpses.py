"""Eq. 4-5: glimpses, against plain loops."""

import math

import numpy as np
import pytest
import tensorflow as tf

from keras_recattend.layers import GlimpseNetwork


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def loop_dense(x, kernel, bias):
    result = []
    for j in range(kernel.shape[1]):
        total = bias[j]
        for i in range(kernel.shape[0]):
            total += x[i] * kernel[i, j]
        result.append(total)
    return result


def loop_lstm(x, hidden, cell, lstm):
    """One step without peepholes; gates in the order i, f, candidate, o."""
    units = len(hidden)
    w, u, b = (
        np.array(v, np.float64) for v in (lstm.kernel, lstm.recurrent_kernel, lstm.bias)
    )
    z = np.array(loop_dense(x, w, b)) + np.array(loop_dense(hidden, u, 0 * b))
    new_hidden, new_cell = [], []
    for k in range(units):
        i, f, g, o = (z[n * units + k] for n in range(4))
        c = sigmoid(f) * cell[k] + sigmoid(i) * math.tanh(g)
        new_cell.append(c)
        new_hidden.append(sigmoid(o) * math.tanh(c))
    return new_hidden, new_cell


def loop_softmax(logits):
    largest = max(logits)
    values = [math.exp(v - largest) for v in logits]
    return [v / sum(values) for v in values]


def loop_glimpses(network, features, prior):
    """Eq. 4-5 for one feature map [P, L]: (attention, hidden, cell) of all glimpses."""
    cells, depth = features.shape
    hidden = cell = [0.0] * network.lstm_units
    logits = [0.0] * cells if prior is None else list(prior)
    history = []
    for _ in range(network.glimpses):
        attention = loop_softmax(logits)
        read = [0.0] * depth
        for p in range(cells):
            for channel in range(depth):
                read[channel] += attention[p] * features[p, channel]
        hidden, cell = loop_lstm(read, hidden, cell, network.lstm)
        history.append((attention, hidden, cell))
        first, second = network.mlp
        inner = loop_dense(hidden, np.array(first.kernel), np.array(first.bias))
        inner = [max(v, 0.0) for v in inner]
        logits = loop_dense(inner, np.array(second.kernel), np.array(second.bias))
        if prior is not None:
            logits = [a + b for a, b in zip(logits, prior, strict=True)]
    return history, logits


@pytest.mark.parametrize("with_prior", [False, True])
def test_glimpses(random, with_prior):
    network = GlimpseNetwork(
        3, lstm_units=4, mlp_units=5, grid=(2, 3), last_logits=True
    )
    network.build((None, None, 2))
    for weight in network.weights:
        weight.assign(random.normal(size=weight.shape))
    features = random.normal(size=(2, 6, 2)).astype(np.float32)
    prior = random.normal(size=(2, 6)).astype(np.float32) if with_prior else None
    got = network(tf.constant(features), None if prior is None else tf.constant(prior))
    for b in range(2):
        history, logits = loop_glimpses(
            network, features[b], None if prior is None else prior[b]
        )
        for glimpse, (attention, hidden, cell) in enumerate(history):
            np.testing.assert_allclose(got.attention[glimpse][b], attention, rtol=1e-4)
            np.testing.assert_allclose(got.hidden[glimpse][b], hidden, rtol=1e-4)
            np.testing.assert_allclose(got.cell[glimpse][b], cell, rtol=1e-4)
        np.testing.assert_allclose(got.logits[b], logits, rtol=1e-4, atol=1e-5)


def test_a_block_of_cells_shares_a_logit(random):
    """3 x 2 blocks of 2 x 2 cells; the prior alone tells the cells of one apart."""
    network = GlimpseNetwork(2, 4, 4, grid=(6, 4), block=2, last_logits=True)
    network.build((None, None, 2))
    features = tf.constant(random.normal(size=(2, 24, 2)).astype(np.float32))
    prior = random.normal(size=(2, 24)).astype(np.float32)
    got = network(features, tf.constant(prior))
    blocks = network.mlp[1](network.mlp[0](got.hidden[-1])).numpy()
    assert blocks.shape == (2, 6)
    for row in range(6):
        for column in range(4):
            cell, block = 4 * row + column, 2 * (row // 2) + column // 2
            expected = blocks[:, block] + prior[:, cell]
            np.testing.assert_allclose(got.logits[:, cell], expected, rtol=1e-5)


def test_the_first_glimpse_is_uniform():
    network = GlimpseNetwork(2, 4, 4, grid=(2, 4))
    network.build((None, None, 2))
    attention = network(tf.ones([1, 8, 2])).attention
    np.testing.assert_allclose(attention[0], np.full((1, 8), 1 / 8))


def test_small_initial_values_are_drawn_for_every_variable():
    """A Keras initialiser gives the same numbers to all that share it."""
    network = GlimpseNetwork(5, 256, 256, (7, 7), initializer="small")
    network.build((None, None, 64))
    first, second = network.mlp
    variables = [network.lstm.kernel, network.lstm.recurrent_kernel]
    variables += [first.kernel, first.bias, second.kernel, second.bias]
    starts = np.array([np.ravel(variable)[:49] for variable in variables])
    related = np.corrcoef(starts) - np.eye(len(starts))
    # Of independent numbers 0.7 is five standard deviations.
    assert np.abs(related).max() < 0.7
