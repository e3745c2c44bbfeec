"""True boxes and angles against the authors' code (targets.npz)."""

import numpy as np
import pytest
import tensorflow as tf
from golden_weights import assert_close
from mask_truth import filled_boxes, mask_boxes, truth_of_masks
from test_golden_gaussian import encode, linear_head, raw_outputs

from keras_recattend.angles import ANGLES, angle_classes
from keras_recattend.boxes import pad_boxes


@pytest.mark.golden("targets", "box_")
def test_true_boxes(case):
    masks = tf.constant(case["masks"])
    image_size = masks.shape[2:]
    patch_size = tuple(int(n) for n in case["patch_height_width"])
    exists = tf.cast(tf.reduce_any(masks > 0, axis=[-2, -1]), tf.float32)
    low, high = mask_boxes(masks)
    padding = (float(case["padding_ratio"]), float(case["min_padding"]))
    shift = float(case["center_shift_ratio"])
    low, high = pad_boxes(low, high, *padding, exists, shift)
    center, size = (low + high) / 2, high - low
    with np.errstate(divide="ignore"):  # boxes of size 0 have infinite logs
        normalized = encode(center.numpy(), size.numpy(), image_size)
        area = np.prod(size.numpy(), axis=-1)
        log_gamma = np.log(np.prod(patch_size) / area)
    decoded = linear_head(image_size, patch_size).decode(raw_outputs(*normalized))
    got = {
        "box_top_left": low,
        "box_bottom_right": high,
        "box_center": center,
        "box_size": size,
        "box_mask": filled_boxes(low, high, exists, image_size),
        "log_variance_normalized": decoded.log_variance,
        "log_gamma_normalized": log_gamma,
        "center_normalized": normalized[0],
        "log_size_normalized": normalized[1],
    }
    inputs = {"masks", "padding_ratio", "min_padding", "center_shift_ratio"}
    assert set(got) == set(case) - inputs - {"patch_height_width"}
    for name, value in got.items():
        assert_close(value, case[name], name)
    # And so does the class that training uses; it shifts none.
    if case["center_shift_ratio"] == 0.0:
        truth = truth_of_masks(masks, padding)
        assert_close(truth.exists, exists.numpy(), "exists")
        assert_close(truth.center, case["box_center"], "box_center")
        assert_close(truth.size, case["box_size"], "box_size")


@pytest.mark.golden("targets", "angle_")
def test_angles(case):
    masks = case["masks"].astype(np.int32)
    # Each object by itself: the authors' masks may overlap, label maps cannot.
    classes = angle_classes(tf.constant(masks.reshape(-1, *masks.shape[2:])), 1)
    classes = classes.numpy().reshape(masks.shape)
    one_hot = masks[..., np.newaxis] * np.eye(ANGLES, dtype=int)[classes]
    got = {
        "angle_class": (masks * classes).max(axis=1),
        "angle_one_hot": one_hot.max(axis=1),
        "foreground": masks.max(axis=1),
    }
    assert set(got) == set(case) - {"masks"}
    # A pixel on its centroid looks nowhere: 4 by the formula, and in the authors'
    # arrays 4 or 5, as the last bit of their centroid fell.
    nowhere = on_centroid(masks)
    assert (classes[nowhere] == 4).all()
    everywhere = ~nowhere.any(axis=1)
    for name, value in got.items():
        np.testing.assert_array_equal(value[everywhere], case[name][everywhere], name)
    if masks.sum(axis=1).max() == 1:
        ids = np.arange(1, masks.shape[1] + 1)[:, np.newaxis, np.newaxis]
        labels = tf.constant((masks * ids).sum(axis=1), tf.int32)
        together = angle_classes(labels, masks.shape[1]).numpy()
        np.testing.assert_array_equal(
            together * got["foreground"], got["angle_class"], "one label map"
        )


def on_centroid(masks):
    """Return where a pixel is exactly its object's centroid, bool [B, T, H, W]."""
    exactly = np.zeros(masks.shape, bool)
    for image, slot in np.ndindex(masks.shape[:2]):
        pixels = np.argwhere(masks[image, slot])
        for pixel in pixels:
            # In whole numbers.
            if (pixel * len(pixels) == pixels.sum(axis=0)).all():
                exactly[image, slot][tuple(pixel)] = True
    return exactly
