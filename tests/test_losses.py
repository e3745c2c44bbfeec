"""Eq. 22-27 against plain loops, and their gradients against central differences."""

import math

import numpy as np
import pytest
import tensorflow as tf
from mask_truth import filled_boxes

from keras_recattend.layers.gaussian import box_mask, density_filters
from keras_recattend.losses import (
    focal_heat_loss,
    matched_iou_loss,
    monotonic_score_loss,
    patch_loss,
    score_bounds,
    smooth_l1,
    soft_iou,
    soft_iou_matrix,
    taken_shares,
)


def loop_iou(a, b):
    """Eq. 22 of two masks [H, W], with 1e-5 for every pixel."""
    numerator = denominator = 0.0
    for y in range(len(a)):
        for x in range(len(a[0])):
            both = a[y][x] * b[y][x]
            numerator += both
            denominator += a[y][x] + b[y][x] - both + 1e-5
    return numerator / denominator


def differences(function, point, step=1e-6):
    """Return the gradient of a float64 function by central differences."""
    point = np.asarray(point, np.float64)
    gradient = np.zeros_like(point)
    for index in np.ndindex(point.shape):
        high, low = point.copy(), point.copy()
        high[index] += step
        low[index] -= step
        gradient[index] = (function(high) - function(low)) / (2 * step)
    return gradient


def tape_gradient(function, point):
    variable = tf.Variable(point, dtype=tf.float32)
    with tf.GradientTape() as tape:
        value = function(variable)
    return tape.gradient(value, variable).numpy()


def masks(random, *shape):
    return random.uniform(size=shape).astype(np.float32)


def test_soft_iou(random):
    a, b = masks(random, 3, 4, 5), masks(random, 3, 4, 5)
    got = soft_iou(tf.constant(a), tf.constant(b))
    for n in range(3):
        assert float(got[n]) == pytest.approx(loop_iou(a[n], b[n]), rel=1e-5)


def test_soft_iou_matrix(random):
    a, b = masks(random, 2, 3, 4, 5), masks(random, 2, 6, 4, 5)
    got = soft_iou_matrix(tf.constant(a), tf.constant(b))
    assert got.shape == (2, 3, 6)
    for batch in range(2):
        for i in range(3):
            for j in range(6):
                expected = loop_iou(a[batch, i], b[batch, j])
                assert float(got[batch, i, j]) == pytest.approx(expected, rel=1e-5)


def test_soft_iou_of_nothing_is_zero():
    empty = tf.zeros([1, 2, 4, 5])
    np.testing.assert_array_equal(soft_iou(empty, empty), np.zeros((1, 2)))
    np.testing.assert_array_equal(soft_iou_matrix(empty, empty), np.zeros((1, 2, 2)))


@pytest.mark.parametrize("function", ["aligned", "matrix"])
def test_gradient_of_soft_iou(random, function):
    a, b = masks(random, 4, 5), masks(random, 4, 5)

    def iou(variable):
        if function == "aligned":
            return soft_iou(variable, tf.constant(b))
        pair = variable[tf.newaxis, tf.newaxis], tf.constant(b[np.newaxis, np.newaxis])
        return soft_iou_matrix(*pair)[0, 0, 0]

    expected = differences(lambda v: loop_iou(v, b), a)
    np.testing.assert_allclose(tape_gradient(iou, a), expected, rtol=1e-3, atol=1e-6)


def test_matched_iou_loss(random):
    """Eq. 23-24: the mean over an image's matches, then over images."""
    iou = masks(random, 3, 4, 4)
    match = np.zeros((3, 4, 4), np.float32)
    match[0, 1, 0] = match[0, 0, 1] = match[1, 2, 0] = 1.0  # the third image is empty
    expected = -((iou[0, 1, 0] + iou[0, 0, 1]) / 2 + iou[1, 2, 0] + 0.0) / 3
    got = matched_iou_loss(tf.constant(iou), tf.constant(match))
    assert float(got) == pytest.approx(expected, rel=1e-6)


def loop_score_loss(scores, target):
    """Eq. 27 with 1e-5 in the logarithms."""
    total = 0.0
    batch, steps = scores.shape
    for b in range(batch):
        for t in range(steps):
            lower = min(scores[b, s] for s in range(t + 1))
            upper = max(scores[b, s] for s in range(t, steps))
            if target[b, t]:
                total -= math.log(lower + 1e-5)
            else:
                total -= math.log(1 - upper + 1e-5)
    return total / (batch * steps)


def test_score_bounds(random):
    scores = masks(random, 3, 6)
    lower, upper = score_bounds(tf.constant(scores))
    for b in range(3):
        for t in range(6):
            assert float(lower[b, t]) == min(scores[b, : t + 1])
            assert float(upper[b, t]) == max(scores[b, t:])


@pytest.mark.parametrize("steps", [1, 2, 6])
def test_score_loss(random, steps):
    scores = masks(random, 3, steps)
    target = random.integers(0, 2, size=(3, steps)).astype(np.float32)
    got = monotonic_score_loss(tf.constant(scores), tf.constant(target))
    assert float(got) == pytest.approx(loop_score_loss(scores, target), rel=1e-4)


def test_score_loss_of_a_perfect_sequence_is_zero():
    scores = tf.constant([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    loss = monotonic_score_loss(scores, scores)
    assert abs(float(loss)) < 2e-5


def test_score_loss_wants_confident_objects_first():
    target = tf.constant([[1.0, 1.0, 0.0]])
    falling = monotonic_score_loss(tf.constant([[0.9, 0.6, 0.1]]), target)
    rising = monotonic_score_loss(tf.constant([[0.6, 0.9, 0.1]]), target)
    assert float(falling) < float(rising)


def test_gradient_of_the_score_loss(random):
    scores = random.permutation(np.linspace(0.05, 0.95, 15)).reshape(3, 5)
    target = random.integers(0, 2, size=(3, 5)).astype(np.float32)
    got = tape_gradient(lambda s: monotonic_score_loss(s, tf.constant(target)), scores)
    expected = differences(lambda s: loop_score_loss(s, target), scores)
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-5)


IMAGE, PATCH = (12, 15), (5, 6)
TRUE_LOW, TRUE_HIGH = (2.0, 4.0), (8.0, 11.0)


def loop_box_loss(numbers):
    """Eq. 25-26 for one box: center, size, log variance (y, x) and log gamma."""
    rows = []
    for axis in (0, 1):
        center, size, log_variance = numbers[axis], numbers[2 + axis], numbers[4 + axis]
        variance = math.exp(log_variance)
        row = []
        for a in range(IMAGE[axis]):
            total = 0.0
            for i in range(PATCH[axis]):
                mean = center + (size + 1) * (i - PATCH[axis] / 2 + 0.5) / PATCH[axis]
                density = math.exp(-((a - mean) ** 2) / (2 * variance))
                total += density / math.sqrt(2 * math.pi * variance)
            row.append(total)
        rows.append(row)
    gamma = math.exp(numbers[6])
    mask, truth = np.zeros(IMAGE), np.zeros(IMAGE)
    for y in range(IMAGE[0]):
        for x in range(IMAGE[1]):
            mask[y, x] = 1 / (1 + math.exp(5 - gamma * rows[0][y] * rows[1][x]))
            inside = (
                TRUE_LOW[0] <= y <= TRUE_HIGH[0] and TRUE_LOW[1] <= x <= TRUE_HIGH[1]
            )
            truth[y, x] = float(inside)
    return -loop_iou(mask, truth)


def box_loss(numbers):
    filters = [
        density_filters(
            numbers[axis : axis + 1],
            numbers[2 + axis : 3 + axis],
            numbers[4 + axis : 5 + axis],
            IMAGE[axis],
            PATCH[axis],
        )
        for axis in (0, 1)
    ]
    mask = box_mask(*filters, numbers[6:7])
    low, high = (tf.constant([[v]]) for v in (TRUE_LOW, TRUE_HIGH))
    truth = filled_boxes(low, high, tf.ones([1, 1]), IMAGE)
    iou = soft_iou_matrix(mask[:, tf.newaxis], truth)
    return matched_iou_loss(iou, tf.ones([1, 1, 1]))


def test_box_loss_and_its_gradient():
    """Eq. 25-26, through density filters and box mask."""
    numbers = [5.3, 7.9, 5.2, 8.1, 0.2, 0.4, 2.2]
    assert float(box_loss(tf.constant(numbers))) == pytest.approx(
        loop_box_loss(numbers), rel=1e-4
    )
    got = tape_gradient(box_loss, numbers)
    expected = differences(loop_box_loss, numbers)
    np.testing.assert_allclose(got, expected, rtol=2e-3, atol=1e-6)


def test_smooth_l1():
    got = smooth_l1(tf.constant([-3.0, -0.05, 0.0, 0.1, 0.2]), 0.1)
    expected = [2.95, 0.5 * 0.05**2 / 0.1, 0.0, 0.05, 0.15]
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_focal_heat_loss(random):
    logits = random.normal(size=(3, 6)).astype(np.float32)
    target = random.uniform(0.0, 0.9, size=(3, 6)).astype(np.float32)
    target[0, 1] = target[0, 4] = target[1, 2] = 1.0  # the third map has no centre
    got = focal_heat_loss(tf.constant(logits), tf.constant(target))
    for n in range(3):
        total, centers = 0.0, 0
        for k in range(6):
            p = 1 / (1 + math.exp(-logits[n, k]))
            if target[n, k] == 1.0:
                total -= (1 - p) ** 2 * math.log(p)
                centers += 1
            else:
                total -= (1 - target[n, k]) ** 4 * p**2 * math.log(1 - p)
        assert float(got[n]) == pytest.approx(total / max(centers, 1), rel=1e-4)


def test_patch_loss(random):
    logits = random.normal(size=(2, 4, 5)).astype(np.float32)
    target = random.integers(0, 2, size=(2, 4, 5)).astype(np.float32)
    got = patch_loss(tf.constant(logits), tf.constant(target))
    for n in range(2):
        p = 1 / (1 + np.exp(-logits[n].astype(np.float64)))
        entropy = -np.mean(np.log(np.where(target[n] == 1, p, 1 - p)))
        expected = 1 - loop_iou(p, target[n]) + entropy
        assert float(got[n]) == pytest.approx(expected, rel=1e-4)


def test_taken_shares():
    """A small object under the mask counts as much as a large one."""
    others = np.zeros((2, 4, 4), np.float32)
    others[:, 0, 0] = 1.0  # one of a single cell
    others[:, 2:] += 1 / 8  # one of eight
    logits = np.full((2, 4, 4), -30.0, np.float32)
    logits[0, 0] = 30.0  # the small one
    logits[1, 2] = 30.0  # half of the large one
    logits[1, 1, 0] = 30.0  # nothing of either
    np.testing.assert_allclose(taken_shares(logits, others), [1.0, 0.5], atol=1e-6)
    logits[:] = 0.0
    np.testing.assert_allclose(taken_shares(logits, others), [1.0, 1.0], atol=1e-6)
