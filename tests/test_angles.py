"""Angles towards the centroid: known geometry, and a loop over the pixels."""

import math

import numpy as np
import pytest
import tensorflow as tf
import tiny

from keras_recattend.angles import angle_classes, centroids

LEFT, LEFT_ABOVE, ABOVE, RIGHT_ABOVE, RIGHT, RIGHT_BELOW, BELOW, LEFT_BELOW = range(8)


def classes_of(labels, slots=None):
    labels = np.asarray(labels, np.int32)
    slots = int(labels.max()) if slots is None else slots
    return angle_classes(tf.constant(labels[np.newaxis]), slots)[0].numpy()


def looped(labels):
    """One pixel after another, by the words of section 2: nearest of 8 directions."""
    classes = np.full(labels.shape, RIGHT)
    for label in np.unique(labels[labels > 0]):
        rows, columns = np.nonzero(labels == label)
        center = rows.mean(), columns.mean()
        for row, column in zip(rows, columns, strict=True):
            dy, dx = row - center[0], column - center[1]
            # Class k looks to the angle (k - 4) 45 degrees; the nearest one counts.
            turn = [
                math.cos(math.atan2(dy, dx) - math.radians(45 * (k - 4)))
                for k in range(8)
            ]
            if dy or dx:
                classes[row, column] = int(np.argmax(turn))
    return classes


def test_a_square_has_a_rose_of_eight_directions():
    square = np.zeros((9, 9), int)
    square[3:6, 3:6] = 1
    expected = [
        [LEFT_ABOVE, ABOVE, RIGHT_ABOVE],
        [LEFT, RIGHT, RIGHT],  # the centroid itself counts as right
        [LEFT_BELOW, BELOW, RIGHT_BELOW],
    ]
    np.testing.assert_array_equal(classes_of(square)[3:6, 3:6], expected)


def test_the_background_has_the_class_of_no_angle():
    labels = np.zeros((4, 5), int)
    labels[0, 0] = 1
    assert (classes_of(labels) == RIGHT).all()
    assert (classes_of(np.zeros((4, 5)), slots=3) == RIGHT).all()


def test_the_borders_of_the_classes_lie_between_the_axes():
    """22.5 degrees: 2 right and 1 below (26.6) is a diagonal, 3 and 1 (18.4) is not."""
    for reach, expected in [(2, RIGHT_BELOW), (3, RIGHT)]:
        labels = np.zeros((3, 2 * reach + 1), int)
        labels[1, reach] = labels[2, -1] = labels[0, 0] = 1
        assert classes_of(labels)[2, -1] == expected


def test_a_concave_object_may_have_its_centroid_outside():
    """A horseshoe, open below: its centroid lies in the gap."""
    labels = np.zeros((10, 11), int)
    labels[2:9, 2] = labels[2:9, 8] = labels[2, 2:9] = 1
    classes = classes_of(labels)
    center = centroids(tf.constant(labels[np.newaxis], tf.int32), 1)[0, 0].numpy()
    assert labels[tuple(np.round(center).astype(int))] == 0
    assert center[1] == 5
    assert classes[2, 5] == ABOVE
    assert classes[5, 2] == LEFT
    assert classes[5, 8] == RIGHT
    assert classes[8, 2] == LEFT_BELOW
    np.testing.assert_array_equal(classes, looped(labels))


def test_parts_of_an_object_share_its_centroid():
    """Left part looks left, right part right: an object cut by another one."""
    labels = np.zeros((7, 15), int)
    labels[2:5, 1:4] = labels[2:5, 11:14] = 1
    labels[:, 6:9] = 2
    classes = classes_of(labels)
    assert set(classes[2:5, 1:4].ravel()) == {LEFT}
    assert set(classes[2:5, 11:14].ravel()) == {RIGHT}
    assert classes[0, 7] == ABOVE
    assert classes[6, 7] == BELOW
    np.testing.assert_array_equal(classes, looped(labels))


@pytest.mark.parametrize("seed", range(4))
def test_against_a_loop(seed):
    _, labels = tiny.ellipses(seed, 3, (30, 44))
    np.testing.assert_array_equal(classes_of(labels), looped(labels))


def test_images_of_a_batch_do_not_meet():
    labels = np.stack([tiny.ellipses(seed, 3)[1] for seed in (5, 6, 7)])
    together = angle_classes(tf.constant(labels), tiny.SLOTS).numpy()
    for label_map, classes in zip(labels, together, strict=True):
        np.testing.assert_array_equal(classes_of(label_map), classes)


def test_large_images_keep_their_centroids():
    """Sums of pixel numbers beyond 2^24 are not whole in float32."""
    labels = np.ones((1, 1201, 1601), np.int32)
    assert centroids(tf.constant(labels), 1)[0, 0].numpy().tolist() == [600, 800]
