"""Hungarian matching equals scipy's optimum; greedy matching; no gradient."""

import itertools

import numpy as np
import pytest
import scipy.optimize
import tensorflow as tf

from keras_recattend.losses import matched_iou_loss
from keras_recattend.matching import greedy_match, hungarian_match


def weights_of(kind, random, shape):
    if kind == "random":
        return random.uniform(size=shape)
    if kind == "tied":
        return random.integers(0, 3, size=shape) / 2
    if kind == "sparse":
        return random.uniform(size=shape) * (random.random(shape) < 0.2)
    return np.full(shape, 0.25)


@pytest.mark.parametrize("kind", ["random", "tied", "sparse", "equal"])
@pytest.mark.parametrize(("outputs", "slots"), [(5, 5), (7, 4), (4, 7), (1, 3), (3, 1)])
@pytest.mark.parametrize("first_outputs_only", [False, True])
def test_hungarian_match_has_the_greatest_total(
    random, kind, outputs, slots, first_outputs_only
):
    weights = weights_of(kind, random, (6, outputs, slots)).astype(np.float32)
    exists = np.zeros((6, slots), np.float32)
    for b in range(6):
        exists[b, : random.integers(0, slots + 1)] = 1.0
    exists[0] = 0.0
    exists[1] = 1.0
    match = hungarian_match(weights, exists, first_outputs_only).numpy()
    assert match.dtype == np.float32
    for b in range(6):
        count = int(exists[b].sum())
        allowed = min(outputs, count) if first_outputs_only else outputs
        block = weights[b, :allowed, :count].astype(np.float64)
        rows, columns = scipy.optimize.linear_sum_assignment(block, maximize=True)
        total = (match[b] * weights[b]).sum()
        assert total == pytest.approx(block[rows, columns].sum(), abs=1e-5)
        # One to one, as many as possible, and none that does not exist.
        assert set(np.unique(match[b])) <= {0.0, 1.0}
        assert (match[b].sum(0) <= exists[b]).all()
        assert (match[b].sum(1) <= 1).all()
        assert match[b].sum() == min(allowed, count)
        assert not match[b, allowed:].any()


def test_hungarian_match_tries_all_permutations(random):
    """Independent of scipy: no permutation is better."""
    weights = random.uniform(size=(1, 5, 5)).astype(np.float32)
    match = hungarian_match(weights, np.ones((1, 5), np.float32)).numpy()[0]
    best = max(
        sum(weights[0, i, p[i]] for i in range(5))
        for p in itertools.permutations(range(5))
    )
    assert (match * weights[0]).sum() == pytest.approx(best, rel=1e-6)


def test_a_hole_among_the_slots_is_never_matched(random):
    weights = random.uniform(size=(1, 4, 4)).astype(np.float32)
    exists = np.array([[1, 0, 1, 0]], np.float32)
    match = hungarian_match(weights, exists).numpy()[0]
    np.testing.assert_array_equal(match.sum(0), exists[0])


def test_weights_that_differ_by_less_than_the_precision_are_equal():
    equal = np.full((2, 2, 2), 0.5, np.float32)
    equal[0, 0, 1] += 2e-7
    equal[1, 0, 0] += 2e-7
    assert (equal != 0.5).sum() == 2
    match = hungarian_match(equal, np.ones((2, 2), np.float32)).numpy()
    np.testing.assert_array_equal(match[0], match[1])


def test_weights_that_are_not_finite_match_nothing():
    """The loss is not finite either; training stops and says so."""
    weights = np.array(
        [[[np.nan, 0.1], [0.2, 0.3]], [[0.9, 0.1], [0.2, 0.3]]], np.float32
    )
    match = hungarian_match(weights, np.ones((2, 2), np.float32)).numpy()
    assert not match[0].any()
    np.testing.assert_array_equal(match[1], np.eye(2))


def test_permuting_the_truth_leaves_the_matched_loss(random):
    iou = random.uniform(size=(2, 6, 6)).astype(np.float32)
    exists = np.ones((2, 6), np.float32)
    order = random.permutation(6)
    loss = matched_iou_loss(iou, hungarian_match(iou, exists))
    moved = iou[:, :, order]
    again = matched_iou_loss(moved, hungarian_match(moved, exists))
    np.testing.assert_allclose(loss, again, rtol=1e-6)


def test_graph_equals_eager(random):
    weights = tf.constant(random.uniform(size=(2, 5, 5)).astype(np.float32))
    exists = tf.constant([[1.0] * 5, [1.0, 1.0, 0.0, 0.0, 0.0]])
    graph = tf.function(lambda w, e: hungarian_match(w, e, True))
    match = graph(weights, exists)
    np.testing.assert_array_equal(match, hungarian_match(weights, exists, True))
    assert graph.get_concrete_function(weights, exists).output_shapes == (2, 5, 5)


def loop_greedy(weights, taken):
    left = [w * (1 - t) for w, t in zip(weights, taken, strict=True)]
    best = max(left)
    ties = sum(w == best for w in left)
    return [1 / ties if w == best else 0.0 for w in left]


def test_greedy_match(random):
    weights = (random.integers(0, 4, size=(20, 5)) / 4).astype(np.float32)
    taken = random.integers(0, 2, size=(20, 5)).astype(np.float32)
    got = greedy_match(tf.constant(weights), tf.constant(taken))
    without = greedy_match(tf.constant(weights))
    for n in range(20):
        np.testing.assert_allclose(got[n], loop_greedy(weights[n], taken[n]))
        np.testing.assert_allclose(without[n], loop_greedy(weights[n], [0.0] * 5))


def test_no_gradient_flows_through_a_match(random):
    weights = tf.Variable(random.uniform(size=(1, 3, 3)).astype(np.float32))
    exists = tf.ones([1, 3])
    with tf.GradientTape(persistent=True) as tape:
        hungarian = tf.reduce_sum(hungarian_match(weights, exists) ** 2)
        greedy = tf.reduce_sum(greedy_match(weights[0]) ** 2)
        loss = matched_iou_loss(weights, hungarian_match(weights, exists))
    assert tape.gradient(hungarian, weights) is None
    assert tape.gradient(greedy, weights) is None
    # The loss' gradient is that of the chosen weights alone.
    match = hungarian_match(weights, exists)
    np.testing.assert_allclose(tape.gradient(loss, weights), -match / 3.0, rtol=1e-6)
