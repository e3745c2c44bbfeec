"""Eq. 6-10: box heads, against plain loops."""

import math

import numpy as np
import pytest
import tensorflow as tf
from rounding import round_products

from keras_recattend.layers import HeatMapHead, LinearHead


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
        expected = [hidden[b] @ column for column in kernel.T] + bias
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


def test_the_hottest_cells_box_is_taken_to_the_last_bit(heat_head, random, monkeypatch):
    round_products(monkeypatch)
    features = heat_features(random, {(1, 2): 6.0})
    box = heat_head(tf.constant(features), sharpness=10.0)
    np.testing.assert_array_equal(box.center[0], box.cells[0, 6, :2])
    np.testing.assert_array_equal(box.size[0], box.cells[0, 6, 2:])


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


def test_of_two_equal_places_one_is_chosen(heat_head, random):
    """A mean of both would lie in the gap between two objects that are alike."""
    features = heat_features(random, {(0, 0): 6.0, (2, 3): 6.0})
    box = heat_head(tf.constant(features), sharpness=1.0)
    assert sorted(box.place[0].numpy()) == [0.0] * 11 + [1.0]
    row, column = divmod(int(tf.argmax(box.place[0])), 4)
    assert (row, column) in {(0, 0), (2, 3)}
    center, size = cell_box(features, row, column)
    np.testing.assert_allclose(box.center[0], center, rtol=1e-4)
    np.testing.assert_allclose(box.size[0], size, rtol=1e-4)
    # What the attention thought of both is told all the same.
    np.testing.assert_allclose(tf.reduce_sum(box.attention[0, -1]), 1.0, rtol=1e-5)
    assert float(box.attention[0, -1, 0]) > 0.1
    assert float(box.attention[0, -1, 11]) > 0.1


def test_the_choice_has_the_gradient_of_the_mean(heat_head, random):
    """By differences of the mean box under soft attention, in a weight of the MLP."""
    features = tf.constant(heat_features(random, {(0, 0): 2.0, (2, 3): 2.5}))
    bias = heat_head.glimpse_network.mlp[1].bias
    with tf.GradientTape() as tape:
        box = heat_head(features, sharpness=3.0)
        chosen = tf.reduce_sum(box.place[..., tf.newaxis] * box.cells, axis=1)
        total = tf.reduce_sum(chosen)
    gradient = tape.gradient(total, bias).numpy()

    def mean_box():
        box = heat_head(features, sharpness=3.0)
        attention = box.attention[:, -1, :, tf.newaxis].numpy().astype(np.float64)
        return (attention * box.cells.numpy()).sum()

    step, before = 0.01, bias.numpy()
    for cell in (0, 5, 11):
        values = []
        for sign in (1, -1):
            changed = before.copy()
            changed[cell] += sign * step
            bias.assign(changed)
            values.append(mean_box())
        bias.assign(before)
        expected = (values[0] - values[1]) / (2 * step)
        np.testing.assert_allclose(gradient[cell], expected, rtol=0.02, atol=0.02)
    assert np.abs(gradient).max() > 1.0


def test_the_correction_is_in_sizes_and_at_most_e_fold(heat_head, random):
    features = tf.constant(heat_features(random, {(1, 2): 6.0, (2, 0): 3.0}))
    plain = heat_head(features)
    heat_head.correction[1].bias.assign([0.25, -0.5, 0.3, -3.0])
    box = heat_head(features)
    size = plain.size[0].numpy() * np.exp([0.3, -1.0])
    np.testing.assert_allclose(box.size[0], size, rtol=1e-5)
    center = plain.center[0] + size * [0.25, -0.5]
    np.testing.assert_allclose(box.center[0], center, rtol=1e-5)


def test_what_is_read_moves_no_dense_number(heat_head, random):
    """They have their own targets; the score alone looks at the heat that is left."""
    features = tf.constant(heat_features(random, {(1, 2): 6.0, (2, 0): 3.0}))
    with tf.GradientTape(persistent=True) as tape:
        box = heat_head(features, sharpness=3.0)
        read = tf.reduce_sum(box.center) + tf.reduce_sum(box.size)
        read += tf.reduce_sum(box.state[:, :-2])
        left = tf.reduce_sum(box.state[:, -2:])
    dense = heat_head.dense_head.trainable_variables
    gradients = tape.gradient(read, dense)
    assert not any(g is not None and np.any(g) for g in gradients)
    assert all(np.any(g) for g in tape.gradient(left, dense))


def test_a_new_head_expects_nothing_and_a_usual_size(random):
    head = HeatMapHead(IMAGE, GRID, glimpses=2, lstm_units=4, mlp_units=4)
    head.build((None, *GRID, 5))
    box = head(tf.zeros([1, *GRID, 5]))
    np.testing.assert_allclose(tf.sigmoid(box.heat), 0.01, rtol=0.01)
    sizes = np.broadcast_to([0.15 * side for side in IMAGE], box.cells[..., 2:].shape)
    np.testing.assert_allclose(box.cells[..., 2:], sizes, rtol=1e-5)
