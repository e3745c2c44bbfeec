"""What training knows of the true objects."""

import numpy as np
import pytest
import tensorflow as tf
from mask_truth import truth_of_masks

from keras_recattend.truth import Truth, label_masks

PADDING = (0.2, 3.0)


@pytest.fixture
def labels():
    """Two objects, then none at all; id 5 has no slot."""
    labels = np.zeros((2, 12, 16), np.int32)
    labels[0, 2:5, 3:11] = 1
    labels[0, 7:9, 0:2] = 2
    labels[0, 11, 15] = 5
    return labels


def test_label_masks(labels):
    masks = label_masks(tf.constant(labels), 3).numpy()
    assert masks.shape == (2, 3, 12, 16)
    for b in range(2):
        for t in range(3):
            np.testing.assert_array_equal(masks[b, t], labels[b] == t + 1)


def test_of_labels(labels):
    truth = Truth.of_labels(tf.constant(labels), 3, PADDING)
    np.testing.assert_array_equal(truth.exists, [[1, 1, 0], [0, 0, 0]])
    np.testing.assert_array_equal(truth.top_left[0, 0], [-1, 0])
    np.testing.assert_array_equal(truth.bottom_right[0, 0], [7, 13])
    np.testing.assert_array_equal(truth.center[0, 0], [3.0, 6.5])
    np.testing.assert_array_equal(truth.size[0, 0], [8.0, 13.0])


def test_an_image_without_objects(labels):
    truth = Truth.of_labels(tf.constant(labels), 3, PADDING)
    assert not truth.masks[1].numpy().any()
    for t in range(3):
        np.testing.assert_array_equal(truth.top_left[1, t], [0, 0])
        np.testing.assert_array_equal(truth.bottom_right[1, t], [6, 6])


def test_of_masks_equals_of_labels(labels):
    masks = label_masks(tf.constant(labels), 3)
    from_masks = truth_of_masks(masks, PADDING)
    from_labels = Truth.of_labels(tf.constant(labels), 3, PADDING)
    for a, b in zip(from_masks, from_labels, strict=True):
        np.testing.assert_array_equal(a, b)


def test_one_pixel_in_the_corner_is_an_object():
    masks = np.zeros((1, 2, 8, 8), np.float32)
    masks[0, 0, 0, 0] = 1.0
    truth = truth_of_masks(tf.constant(masks), PADDING)
    np.testing.assert_array_equal(truth.center[0], [[0, 0], [3, 3]])
    np.testing.assert_array_equal(truth.size[0], [[6, 6], [6, 6]])
