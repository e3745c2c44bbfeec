"""Filters, patches and box coordinates against the authors' code (gaussian.npz)."""

import numpy as np
import pytest
import tensorflow as tf
from golden_weights import assert_close

from keras_recattend import boxes
from keras_recattend.layers import GaussianFilters, LinearHead
from keras_recattend.layers.gaussian import box_mask, extract, reproject


def linear_head(image_size, patch_size=(48, 48), variance="size"):
    return LinearHead(image_size, patch_size, (1, 1), 1, 1, 1, variance, 0.0, 2.0)


def encode(center, size, image_size):
    """Return the head outputs that `decode` turns into the box: test's own inverse."""
    extent = np.asarray(image_size, np.float32)
    return 2 * center / extent - 1, np.log(size / extent)


def raw_outputs(center_normalized, log_size_normalized):
    """Return the nine head outputs with the first four given."""
    shape = (*center_normalized.shape[:-1], 5)
    parts = [center_normalized, log_size_normalized, np.zeros(shape, np.float32)]
    return np.concatenate(parts, axis=-1).reshape(-1, 9)


@pytest.mark.golden("gaussian")
def test_gaussian(case):
    image_size = tuple(int(n) for n in case["image_height_width"])
    if "filter_y" not in case:
        check_decode(case, image_size)
        return
    patch_size = tuple(int(n) for n in case["patch_height_width"])
    filters = GaussianFilters(image_size, patch_size)
    center, size = tf.constant(case["box_center"]), tf.constant(case["box_size"])
    read, write = filters(center, size, tf.constant(case["log_variance"]))
    low, high = boxes.corners(center, size)
    patch = tf.constant(case["patch_in"][..., 0])
    normalized = raw_outputs(*encode(case["box_center"], case["box_size"], image_size))
    decoded = linear_head(image_size, patch_size).decode(tf.constant(normalized))
    got = {
        "filter_y": read[0],
        "filter_x": read[1],
        "patch": extract(tf.constant(case["image"]), *read),
        "reprojected": reproject(patch, *write),
        "box_mask": box_mask(*write, tf.constant(case["box_log_gamma"][:, 0])),
        "box_top_left": low,
        "box_bottom_right": high,
        "log_variance_normalized": decoded.log_variance,
    }
    inputs = {"image_height_width", "patch_height_width", "box_center", "box_size"}
    inputs |= {"log_variance", "image", "patch_in", "box_log_gamma"}
    assert set(got) == set(case) - inputs
    for name, value in got.items():
        assert_close(value, case[name], name)


def check_decode(case, image_size):
    raw = raw_outputs(case["center_normalized"], case["log_size_normalized"])
    box = linear_head(image_size).decode(tf.constant(raw))
    center, log_size = encode(box.center.numpy(), box.size.numpy(), image_size)
    got = {
        "box_center": box.center,
        "box_size": box.size,
        "center_normalized_back": center,
        "log_size_normalized_back": log_size,
    }
    inputs = {"image_height_width", "center_normalized", "log_size_normalized"}
    assert set(got) == set(case) - inputs
    for name, value in got.items():
        assert_close(value, case[name], name)
