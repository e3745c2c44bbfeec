"""True boxes, their masks, and the overlap of boxes, against plain loops."""

import math

import numpy as np
import pytest
import tensorflow as tf
from mask_truth import filled_boxes, mask_boxes

from keras_recattend import boxes


def loop_box(mask):
    """Return (top, left, bottom, right) of the pixels above 0, or None."""
    points = [
        (y, x) for y in range(len(mask)) for x in range(len(mask[0])) if mask[y][x] > 0
    ]
    if not points:
        return None
    ys, xs = zip(*points, strict=True)
    return min(ys), min(xs), max(ys), max(xs)


def random_labels(random, batch=3, size=(9, 11), ids=7):
    """Label maps with gaps in the ids, and ids beyond the slots."""
    labels = random.integers(0, ids + 1, size=(batch, *size))
    labels[labels == 2] = 0
    labels *= random.random(labels.shape) < 0.3
    return labels.astype(np.int32)


@pytest.mark.parametrize("slots", [4, 7, 10])
@pytest.mark.parametrize("mode", ["eager", "graph"])
def test_label_boxes(random, slots, mode):
    """Empty slots are zero; ids beyond the slots are ignored."""
    labels = random_labels(random)
    function = boxes.label_boxes
    if mode == "graph":
        function = tf.function(function, reduce_retracing=True)
    low, high, area = function(tf.constant(labels), slots)
    for b in range(len(labels)):
        for t in range(slots):
            mask = labels[b] == t + 1
            box = loop_box(mask) or (0, 0, 0, 0)
            np.testing.assert_array_equal(low[b, t], box[:2])
            np.testing.assert_array_equal(high[b, t], box[2:])
            assert float(area[b, t]) == mask.sum()


def test_mask_boxes_equal_label_boxes(random):
    labels = random_labels(random)
    masks = labels[:, np.newaxis] == np.arange(1, 11)[:, np.newaxis, np.newaxis]
    from_masks = mask_boxes(tf.constant(masks.astype(np.float32)))
    from_labels = boxes.label_boxes(tf.constant(labels), 10)
    np.testing.assert_array_equal(from_masks[0], from_labels[0])
    np.testing.assert_array_equal(from_masks[1], from_labels[1])


def test_boxes_of_an_image_without_objects():
    low, high, area = boxes.label_boxes(tf.zeros([2, 5, 6], tf.int32), 3)
    for values in (low, high, area):
        assert not values.numpy().any()


@pytest.mark.parametrize(("ratio", "least"), [(0.2, 10.0), (0.2, 1.0), (0.0, 0.5)])
@pytest.mark.parametrize("shift", [0.0, -0.05])
def test_pad_boxes(random, ratio, least, shift):
    low = random.integers(0, 20, size=(3, 4, 2)).astype(np.float32)
    high = low + random.integers(0, 30, size=(3, 4, 2)).astype(np.float32)
    exists = np.ones((3, 4), np.float32)
    low[1, 2] = high[1, 2] = 0.0  # an object of the one pixel in the corner
    low[1, 3] = high[1, 3] = 0.0  # an empty slot
    exists[1, 3] = 0.0
    got = boxes.pad_boxes(
        tf.constant(low), tf.constant(high), ratio, least, tf.constant(exists), shift
    )
    for b in range(3):
        for t in range(4):
            for axis in range(2):
                size = high[b, t, axis] - low[b, t, axis]
                pad = max(ratio * size, least)
                expected = (
                    low[b, t, axis] + shift * size - pad,
                    high[b, t, axis] + shift * size + pad,
                )
                if not exists[b, t]:
                    expected = (0.0, 2 * least)
                assert float(got[0][b, t, axis]) == pytest.approx(expected[0], abs=1e-5)
                assert float(got[1][b, t, axis]) == pytest.approx(expected[1], abs=1e-5)


def test_pad_boxes_takes_all_slots_as_objects_by_default():
    low, high = boxes.pad_boxes(tf.zeros([1, 1, 2]), tf.zeros([1, 1, 2]), 0.2, 3.0)
    np.testing.assert_array_equal(low, [[[-3.0, -3.0]]])
    np.testing.assert_array_equal(high, [[[3.0, 3.0]]])


def test_filled_boxes(random):
    low = random.uniform(-5, 8, size=(2, 3, 2)).astype(np.float32)
    high = low + random.uniform(0, 9, size=(2, 3, 2)).astype(np.float32)
    low[0, 0], high[0, 0] = (2.0, 3.0), (4.0, 5.0)  # edges exactly on pixels
    exists = np.array([[1, 1, 0], [1, 0, 1]], np.float32)
    got = filled_boxes(tf.constant(low), tf.constant(high), exists, (8, 10))
    for b in range(2):
        for t in range(3):
            for y in range(8):
                for x in range(10):
                    inside = low[b, t, 0] <= y <= high[b, t, 0]
                    inside = inside and low[b, t, 1] <= x <= high[b, t, 1]
                    assert float(got[b, t, y, x]) == float(inside and exists[b, t])


def test_corners():
    low, high = boxes.corners(tf.constant([[4.0, 9.0]]), tf.constant([[2.0, 5.0]]))
    np.testing.assert_array_equal(low, [[3.0, 6.5]])
    np.testing.assert_array_equal(high, [[5.0, 11.5]])


def test_box_iou(random):
    low = random.uniform(0, 10, size=(2, 20, 2)).astype(np.float32)
    high = low + random.uniform(1, 10, size=(2, 20, 2)).astype(np.float32)
    got = boxes.box_iou((low[0], high[0]), (low[1], high[1]))
    for n in range(20):
        sides = [
            max(
                0.0, min(high[0, n, k], high[1, n, k]) - max(low[0, n, k], low[1, n, k])
            )
            for k in range(2)
        ]
        areas = [
            (high[i, n, 0] - low[i, n, 0]) * (high[i, n, 1] - low[i, n, 1])
            for i in range(2)
        ]
        both = sides[0] * sides[1]
        assert float(got[n]) == pytest.approx(both / (sum(areas) - both), rel=1e-4)


IMAGE = (14, 20)


def loop_soft_box(center, size):
    """Return the soft box, [H, W] float64."""
    box = np.zeros(IMAGE)
    for y in range(IMAGE[0]):
        for x in range(IMAGE[1]):
            value = 1.0
            for axis, a in ((0, y), (1, x)):
                edge = 1.5 / 112 * IMAGE[axis]
                inner = size[axis] / 2 - abs(a - center[axis])
                value *= 1 / (1 + math.exp(-inner / edge))
            box[y, x] = value
    return box


def loop_window_iou(center, size, true_center, true_size):
    a, b = loop_soft_box(center, size), loop_soft_box(true_center, true_size)
    both = (a * b).sum()
    return both / (a.sum() + b.sum() - both + 1e-3)


def test_window_iou_is_the_iou_of_the_soft_boxes(random):
    center = random.uniform(3, 11, size=(4, 2))
    size = random.uniform(2, 12, size=(4, 2))
    windows = boxes.soft_windows(
        tf.constant(center, tf.float32), tf.constant(size, tf.float32), IMAGE
    )
    for i in range(4):
        outer = windows[0][i][:, tf.newaxis] * windows[1][i][tf.newaxis]
        np.testing.assert_allclose(
            outer, loop_soft_box(center[i], size[i]), rtol=1e-3, atol=1e-5
        )
    rows = tuple(w[:, tf.newaxis] for w in windows)
    columns = tuple(w[tf.newaxis] for w in windows)
    got = boxes.window_iou(rows, columns)
    for i in range(4):
        for j in range(4):
            expected = loop_window_iou(center[i], size[i], center[j], size[j])
            assert float(got[i, j]) == pytest.approx(expected, rel=1e-3, abs=1e-5)


def test_gradient_of_window_iou():
    """Central differences of the float64 loop."""
    truth = (np.array([7.0, 9.0]), np.array([5.0, 8.0]))
    center, size = np.array([6.2, 10.6]), np.array([6.5, 5.5])
    variables = [
        tf.Variable(center, dtype=tf.float32),
        tf.Variable(size, dtype=tf.float32),
    ]
    with tf.GradientTape() as tape:
        own = boxes.soft_windows(*variables, IMAGE)
        true = boxes.soft_windows(*(tf.constant(v, tf.float32) for v in truth), IMAGE)
        iou = boxes.window_iou(own, true)
    gradients = np.concatenate([g.numpy() for g in tape.gradient(iou, variables)])
    point, step = np.concatenate([center, size]), 1e-5
    for k in range(4):
        high, low = point.copy(), point.copy()
        high[k] += step
        low[k] -= step
        difference = loop_window_iou(high[:2], high[2:], *truth) - loop_window_iou(
            low[:2], low[2:], *truth
        )
        assert gradients[k] == pytest.approx(
            difference / (2 * step), rel=2e-3, abs=1e-5
        )


def test_iou_with_filled_boxes_equals_that_of_full_masks(random):
    mask = random.uniform(size=(2, 12, 9)).astype(np.float32)
    low = tf.constant([[[1.0, 2.0], [0.0, 0.0], [3.5, 4.5]]] * 2)
    high = tf.constant([[[5.0, 6.0], [20.0, 20.0], [3.6, 4.6]]] * 2)
    exists = tf.constant([[1.0, 1.0, 1.0], [1.0, 0.0, 1.0]])
    edges = boxes.box_edges(low, high, exists, (12, 9))
    fills = filled_boxes(low, high, exists, (12, 9)).numpy()
    assert fills[0, 1].all()
    assert not fills[1, 1].any()
    assert not fills[0, 2].any()  # between pixels
    got = boxes.filled_iou(tf.constant(mask), edges)
    for b in range(2):
        for t in range(3):
            product = mask[b] * fills[b, t]
            expected = product.sum() / (mask[b] + fills[b, t] - product + 1e-5).sum()
            np.testing.assert_allclose(got[b, t], expected, rtol=1e-5)
