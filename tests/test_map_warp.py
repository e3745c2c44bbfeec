"""Maps under flips, turns and shifts, against the truth of the moved objects."""

import math

import numpy as np
import pytest
import tensorflow as tf
import tiny

from keras_recattend.angles import angle_classes
from keras_recattend.map_warp import turned_angles, warp_maps

SIDE = 32
# From pixels of the result to the source, about the centre: rows (y, x).
TURNS = {
    "nothing": [[1, 0], [0, 1]],
    "flipped up": [[-1, 0], [0, 1]],
    "flipped left": [[1, 0], [0, -1]],
    "transposed": [[0, 1], [1, 0]],
    "a quarter turn": [[0, 1], [-1, 0]],
    "half a turn": [[-1, 0], [0, -1]],
}


def matrix_of(inverse, side=SIDE):
    inverse = np.asarray(inverse, np.float32)
    center = np.full(2, (side - 1) / 2, np.float32)
    return np.hstack([inverse, (center - inverse @ center)[:, np.newaxis]])[np.newaxis]


def rotation(degrees):
    """Directions of the result, turned this much further, in the source."""
    turn = math.radians(degrees)
    return [[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]]


def true_maps(labels):
    """One-hot angles (1/8 everywhere on the background), then foreground."""
    labels = np.asarray(labels, np.int32)[np.newaxis]
    foreground = (labels > 0)[..., np.newaxis].astype(np.float32)
    angles = np.eye(8, dtype=np.float32)[angle_classes(labels, tiny.SLOTS).numpy()]
    angles = foreground * angles + (1 - foreground) / 8
    return np.concatenate([angles, foreground], axis=-1)


def moved(labels, inverse):
    """The label map with each pixel fetched from its place in the source."""
    result = np.zeros_like(labels)
    for y, x in np.ndindex(labels.shape):
        offset = np.array([y, x]) - (SIDE - 1) / 2
        source = np.asarray(inverse) @ offset + (SIDE - 1) / 2
        result[y, x] = labels[tuple(np.round(source).astype(int))]
    return result


@pytest.mark.parametrize("turn", TURNS)
def test_maps_are_those_of_the_moved_objects(turn):
    inverse = TURNS[turn]
    _, labels = tiny.ellipses(3, 3, (SIDE, SIDE))
    got = warp_maps(tf.constant(true_maps(labels)), tf.constant(matrix_of(inverse)))
    expected = true_maps(moved(labels, inverse))
    # The pixel on its centroid looks nowhere: it may turn from right to left.
    differ = np.abs(got.numpy() - expected).max(axis=-1) > 1e-4
    assert differ.sum() <= labels.max()
    np.testing.assert_allclose(got[..., 8], expected[..., 8], atol=1e-5)


@pytest.mark.parametrize("eighths", range(8))
def test_a_turn_by_45_degrees_moves_every_class_by_one(eighths):
    got = turned_angles(tf.constant(matrix_of(rotation(45 * eighths)), tf.float32))[0]
    # The map says where the moved image takes its pixels from: the way back.
    expected = np.roll(np.eye(8), -eighths, axis=1)
    np.testing.assert_allclose(got, expected, atol=1e-4)


def test_a_turn_between_two_classes_is_shared_by_them():
    got = turned_angles(tf.constant(matrix_of(rotation(15)), tf.float32))[0].numpy()
    np.testing.assert_allclose(got.sum(axis=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(np.diag(got), 2 / 3, atol=1e-4)
    np.testing.assert_allclose(got.max(axis=1), 2 / 3, atol=1e-4)


def test_turning_agrees_with_the_directions_of_turned_pixels():
    """The class of a direction d of the source goes to that of A^-1 d."""
    for degrees in (45, 90, 225):
        inverse = np.array(rotation(degrees))
        shares = turned_angles(tf.constant(matrix_of(inverse), tf.float32))[0].numpy()
        for k in range(8):
            angle = math.radians(45 * (k - 4))
            dy, dx = np.linalg.inv(inverse) @ [math.sin(angle), math.cos(angle)]
            expected = round(math.degrees(math.atan2(dy, dx)) / 45 + 4) % 8
            assert shares[k].argmax() == expected


def test_places_outside_the_source_say_nothing():
    maps = np.zeros((1, SIDE, SIDE, 9), np.float32)
    maps[..., 4] = maps[..., 8] = 1.0
    matrix = np.array([[[1, 0, 0], [0, 1, -10]]], np.float32)  # 10 pixels to the right
    got = warp_maps(tf.constant(maps), tf.constant(matrix)).numpy()
    np.testing.assert_allclose(got[:, :, :9, :8], 1 / 8, atol=1e-6)
    np.testing.assert_allclose(got[:, :, :9, 8], 0.0, atol=1e-6)
    np.testing.assert_allclose(got[:, :, 11:, 8], 1.0, atol=1e-6)
    np.testing.assert_allclose(got[..., :8].sum(-1), 1.0, rtol=1e-5)


def test_the_foreground_alone():
    maps = np.random.default_rng(0).random((2, SIDE, SIDE, 1), np.float32)
    matrix = np.repeat(matrix_of(TURNS["flipped left"]), 2, axis=0)
    got = warp_maps(tf.constant(maps), tf.constant(matrix, tf.float32))
    np.testing.assert_allclose(got, maps[:, :, ::-1], atol=1e-5)
