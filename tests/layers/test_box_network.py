"""Eq. 4-10: glimpses and box heads, against plain loops."""

import math

import numpy as np
import pytest
import tensorflow as tf

from keras_recattend.layers import GlimpseNetwork, HeatMapHead, LinearHead


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


def linear_head(variance="predicted", patch_gamma=None, mask_gamma=None):
    return LinearHead(
        (40, 60), (8, 12), (2, 3), 2, 4, 4, variance, patch_gamma, mask_gamma
    )


def test_decode(random):
    """Eq. 7-10, for axes (y, x)."""
    raw = random.normal(size=(5, 9)).astype(np.float32)
    box = linear_head().decode(tf.constant(raw))
    for n in range(5):
        for axis, extent in ((0, 40), (1, 60)):
            center = (raw[n, axis] + 1) * extent / 2
            size = math.exp(raw[n, 2 + axis]) * extent
            assert math.isclose(box.center[n, axis], center, rel_tol=1e-4, abs_tol=1e-4)
            assert math.isclose(box.size[n, axis], size, rel_tol=1e-5)
            assert float(box.log_variance[n, axis]) == raw[n, 4 + axis]
        assert float(box.log_gamma_patch[n]) == raw[n, 6]
        assert float(box.log_gamma_box[n]) == raw[n, 7]
        assert float(box.log_gamma_mask[n]) == raw[n, 8]


def test_decode_with_variance_of_the_size_and_fixed_gammas(random):
    raw = random.normal(size=(5, 9)).astype(np.float32)
    box = linear_head("size", 0.0, 2.0).decode(tf.constant(raw))
    for n in range(5):
        for axis, (extent, length) in enumerate([(40, 8), (60, 12)]):
            variance = math.exp(raw[n, 2 + axis]) * extent / length
            assert math.isclose(
                box.log_variance[n, axis], math.log(variance), rel_tol=1e-4
            )
        assert float(box.log_gamma_patch[n]) == 0.0
        assert float(box.log_gamma_box[n]) == raw[n, 7]
        assert float(box.log_gamma_mask[n]) == 2.0


def test_linear_head_reads_the_last_hidden_state(random):
    """Eq. 6."""
    head = linear_head()
    head.build((None, 2, 3, 5))
    u = tf.constant(random.normal(size=(2, 2, 3, 5)).astype(np.float32))
    box = head(u)
    hidden = head.glimpse_network(tf.reshape(u, [2, 6, 5])).hidden[-1].numpy()
    np.testing.assert_allclose(box.state, hidden)
    kernel, bias = np.array(head.linear.kernel), np.array(head.linear.bias)
    for b in range(2):
        expected = loop_dense(hidden[b], kernel, bias)
        np.testing.assert_allclose(box.raw[b], expected, rtol=1e-4, atol=1e-6)
    assert box.attention.shape == (2, 2, 6)


GRID = (3, 4)
IMAGE = (24, 48)  # cells of 8 x 12 pixels


@pytest.fixture
def heat_head():
    """A head whose five dense numbers are the feature map's five channels."""
    head = HeatMapHead(IMAGE, GRID, glimpses=2, lstm_units=4, mlp_units=4)
    head.build((None, *GRID, 5))
    head.dense_head.kernel.assign(np.eye(5)[np.newaxis, np.newaxis])
    head.dense_head.bias.assign(np.zeros(5))
    return head


def heat_features(random, peaks):
    """A feature map with heat `peaks` {cell: logit}, low elsewhere, random boxes."""
    features = random.uniform(-0.5, 0.5, size=(1, *GRID, 5)).astype(np.float32)
    features[..., 0] = -6.0
    for (row, column), logit in peaks.items():
        features[0, row, column, 0] = logit
    return features


def cell_box(features, row, column):
    """Return the cell's (center, size) in pixels, by hand."""
    dense = features[0, row, column]
    center, size = [], []
    for axis, (index, cell) in enumerate([(row, 8), (column, 12)]):
        middle = (index + 0.5) * cell - 0.5
        center.append(middle + dense[1 + axis] * cell)
        size.append(math.exp(dense[3 + axis]) * 0.15 * IMAGE[axis])
    return center, size


def test_cell_centers(heat_head):
    centers = heat_head.cell_centers().numpy()
    for row in range(3):
        for column in range(4):
            expected = [np.mean(range(8 * row, 8 * row + 8)), 0.0]
            expected[1] = np.mean(range(12 * column, 12 * column + 12))
            np.testing.assert_allclose(centers[4 * row + column], expected)


def test_the_box_is_that_of_the_hottest_cell(heat_head, random):
    features = heat_features(random, {(1, 2): 6.0, (2, 0): 3.0})
    box = heat_head(tf.constant(features), sharpness=10.0)
    center, size = cell_box(features, 1, 2)
    np.testing.assert_allclose(box.center[0], center, rtol=1e-4)
    np.testing.assert_allclose(box.size[0], size, rtol=1e-4)
    assert int(tf.argmax(box.place[0])) == 4 * 1 + 2
    np.testing.assert_allclose(box.cells[0, 6], [*center, *size], rtol=1e-5)


def test_a_blocked_cell_is_not_chosen(heat_head, random):
    features = heat_features(random, {(1, 2): 6.0, (2, 0): 3.0})
    blocked = np.zeros((1, 12), np.float32)
    blocked[0, 4 * 1 + 2] = 1.0
    box = heat_head(tf.constant(features), sharpness=10.0, blocked=tf.constant(blocked))
    center, size = cell_box(features, 2, 0)
    np.testing.assert_allclose(box.center[0], center, rtol=1e-4)
    np.testing.assert_allclose(box.size[0], size, rtol=1e-4)
    assert float(box.place[0, 6]) == 0.0
    # Nor seen: not by any glimpse, nor by the count of what is left.
    assert float(tf.reduce_max(box.attention[0, :, 6])) == 0.0
    assert float(box.state[0, -2]) == 3.0


def test_all_cells_blocked_gives_finite_numbers(heat_head, random):
    features = heat_features(random, {(1, 2): 6.0})
    box = heat_head(tf.constant(features), sharpness=10.0, blocked=tf.ones([1, 12]))
    for value in (box.center, box.size, box.state, box.attention):
        assert np.isfinite(value).all()


def test_soft_attention_is_a_mean_of_cells(heat_head, random):
    features = heat_features(random, {(1, 2): 2.0, (2, 0): 2.0})
    box = heat_head(tf.constant(features), sharpness=1.0)
    expected = (box.place[0, :, tf.newaxis] * box.cells[0]).numpy().sum(0)
    np.testing.assert_allclose(box.center[0], expected[:2], rtol=1e-4)
    np.testing.assert_allclose(box.size[0], expected[2:], rtol=1e-4)
