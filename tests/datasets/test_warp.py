"""Pixels seen through affine maps, against TensorFlow's own operation."""

import numpy as np
import pytest
import tensorflow as tf

from datasets.compiled import compiled
from datasets.warp import lines, look_up

OUTSIDE = np.array([90, 20, 30], np.float32)
WAYS = {"compiled": compiled(look_up), "plain": look_up}


def by_operation(image, labels, matrix):
    """`tf.raw_ops.ImageProjectiveTransformV3`, which counts (x, y)."""

    def seen(values, interpolation):
        (yy, yx, y), (xy, xx, x) = matrix
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=values[None],
            transforms=np.array([[xx, xy, x, yx, yy, y, 0, 0]], np.float32),
            output_shape=values.shape[:2],
            fill_value=0.0,
            interpolation=interpolation,
            fill_mode="CONSTANT",
        )[0].numpy()

    # It fills with one value for all channels: 0 after the subtraction.
    colours = seen(image.astype(np.float32) - OUTSIDE, "BILINEAR") + OUTSIDE
    return colours, seen(labels[..., None], "NEAREST")[..., 0]


def about_the_center(inverse, shape, shift=(0, 0)):
    inverse = np.asarray(inverse, np.float32)
    center = (np.array(shape, np.float32) - 1) / 2
    moved = center - inverse @ (center + np.array(shift, np.float32))
    return np.hstack([inverse, moved[:, None]]).astype(np.float32)


def matrices(shape):
    """Flips, quarter turns, zooms, places outside, and anything."""
    eye = np.eye(2)
    quarter = np.array([[0, 1], [-1, 0]])
    height, width = shape
    named = {
        "nothing": about_the_center(eye, shape),
        "flipped up": about_the_center(np.diag([-1, 1]), shape),
        "flipped left": about_the_center(np.diag([1, -1]), shape),
        "a quarter turn": about_the_center(quarter, shape),
        "transposed": about_the_center(quarter * [[1], [-1]], shape),
        "larger": about_the_center(0.3 * eye, shape),
        "smaller": about_the_center(3.1 * eye, shape),
        "half a pixel": about_the_center(eye, shape, (0.5, -0.5)),
        "half a pixel the other way": about_the_center(eye, shape, (-0.5, 0.5)),
        "ties": about_the_center(0.5 * eye, shape),
        "whole pixels": about_the_center(eye, shape, (3, -2)),
        "just outside": about_the_center(eye, shape, (height - 0.25, 0)),
        "a pixel outside": about_the_center(eye, shape, (0, width)),
        "far outside": about_the_center(eye, shape, (5000, -7000)),
    }
    random = np.random.default_rng(1)
    for i in range(6):
        inverse = random.normal(size=(2, 2))
        shift = random.normal(size=2) * shape / 4
        named[f"random {i}"] = about_the_center(inverse, shape, shift)
    return named


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
@pytest.mark.parametrize("shape", [(16, 16), (9, 23), (2, 2)])
def test_warp_equals_the_operation(shape, dtype, way):
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (*shape, 3)).astype(np.uint8)
    labels = random.integers(1, 250, shape).astype(dtype)
    if dtype == np.int32:
        labels *= 40_000  # beyond what float32 holds exactly
    inside = 0
    for name, matrix in matrices(shape).items():
        where = lines(tf.constant(matrix), shape)
        seen, moved = WAYS[way](
            tf.constant(image), tf.constant(labels), where, tf.constant(OUTSIDE)
        )
        expected = by_operation(image, labels, matrix)
        np.testing.assert_allclose(seen, expected[0], atol=1e-3, err_msg=name)
        np.testing.assert_array_equal(moved, expected[1], err_msg=name)
        assert moved.dtype == dtype
        inside += np.count_nonzero(moved)
    assert inside > 5 * labels.size


def test_nothing_is_lost_at_the_size_of_a_photograph():
    """Coordinates of several hundred pixels: labels are the same in every pixel."""
    shape = (300, 448)
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (*shape, 3)).astype(np.uint8)
    labels = random.integers(1, 250, shape).astype(np.uint8)
    for degrees, scale in ((0, 0.8), (33, 1.0), (90, 1.2), (180, 1.0), (271, 0.9)):
        turn = np.deg2rad(degrees)
        cosine, sine = np.cos(turn), np.sin(turn)
        inverse = np.array([[cosine, sine], [-sine, cosine]]) / scale
        matrix = about_the_center(inverse, shape, (7.3, -20.1))
        seen, moved = WAYS["compiled"](
            image, labels, lines(tf.constant(matrix), shape), OUTSIDE
        )
        expected = by_operation(image, labels, matrix)
        np.testing.assert_allclose(seen, expected[0], atol=1e-3)
        np.testing.assert_array_equal(moved, expected[1])


def test_half_way_between_two_pixels():
    """The lower and right one; outside at the border's far side, on either end."""
    image = np.zeros((2, 4, 3), np.uint8)
    labels = np.array([[1, 2, 3, 4], [1, 2, 3, 4]], np.uint8)

    def moved_by(x):
        matrix = np.array([[1, 0, 0], [0, 1, x]], np.float32)
        where = lines(tf.constant(matrix), labels.shape)
        return WAYS["compiled"](image, labels, where, OUTSIDE)[1].numpy()[0].tolist()

    assert moved_by(0.5) == [2, 3, 4, 0]
    assert moved_by(-0.5) == [0, 2, 3, 4]
    assert moved_by(-0.25) == [1, 2, 3, 4]
