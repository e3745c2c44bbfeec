"""Training without boxes: which object the whole image's segment is meant for."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

from keras_recattend import ablation
from keras_recattend.layers import PatchSegmentation
from keras_recattend.model import RecurrentAttention
from keras_recattend.stages import objective, whole_image
from keras_recattend.stages.rollout import _is_stuck


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return RecurrentAttention(ablation.apply(tiny.config(), "no_box_net"))


def shown(batch, ids, logit=8.0):
    """Logits that are high on the object `ids[b]` of each image, [B, H, W]."""
    labels = batch["labels"].numpy()
    on = [np.where(m == i, logit, -logit) for m, i in zip(labels, ids, strict=True)]
    return np.stack(on).astype(np.float32)


def segmented(model, monkeypatch, batch, heat, uncovered):
    """`segment_whole` with a network that says `heat` [N, H, W]."""
    answer = PatchSegmentation(tf.constant(heat), tf.zeros([len(heat), 1]))
    monkeypatch.setattr(model.segmentation, "call", lambda *_, **__: answer)
    canvases = tf.zeros([len(heat), *heat.shape[1:]])
    return whole_image.segment_whole(model, batch, canvases, uncovered, False)


@pytest.mark.parametrize("found", [1, 2, 3])
def test_the_target_is_the_object_that_the_output_overlaps_most(
    model, monkeypatch, found
):
    batch = tiny.batch((3, 3))
    heat = shown(batch, (found, 1))
    uncovered = tf.ones([2, 1, tiny.SLOTS])
    patches, exists = segmented(model, monkeypatch, batch, heat, uncovered)
    for target, labels, wanted in zip(
        patches.target.numpy(), batch["labels"].numpy(), (found, 1), strict=True
    ):
        # Read by filters half a pixel wide: the edges blur.
        np.testing.assert_array_equal(target > 0.5, labels == wanted)
    np.testing.assert_array_equal(exists, [1.0, 1.0])


def test_covered_objects_are_no_targets(model, monkeypatch):
    """Two canvases an image: the object that the output shows is covered on one."""
    batch = tiny.batch((2,))
    labels = batch["labels"].numpy()[0]
    heat = np.repeat(shown(batch, (2,)), 3, axis=0)
    uncovered = tf.constant([[[1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]])
    patches, exists = segmented(model, monkeypatch, batch, heat, uncovered)
    np.testing.assert_array_equal(patches.target.numpy()[0] > 0.5, labels == 2)
    np.testing.assert_array_equal(patches.target.numpy()[1] > 0.5, labels == 1)
    np.testing.assert_array_equal(exists, [1.0, 1.0, 0.0])
    # The last canvas has no target: only the first two count, and only one is right.
    _, measures = patches.terms(exists)
    assert 0.4 < float(measures["patch_iou"]) < 0.55


@pytest.mark.parametrize("name", ["segmentation", "own_canvases", "joint"])
@pytest.mark.parametrize("counts", [(3, 0), (0, 0)])
def test_terms_are_finite_with_images_without_objects(model, name, counts):
    stage = objective(name, model.config)
    terms, measures = stage(model, tiny.batch(counts), 3, training=True)
    assert set(terms) == set(stage.terms)
    assert not {"box", "numbers", "heat", "cells"} & set(terms)
    for key, value in (terms | measures).items():
        assert np.isfinite(value), key


def test_without_boxes_a_step_is_stuck_by_its_own_pixels():
    """Of four segments the first alone has a pixel above 1/2 that is new."""
    masks, canvas = np.zeros((4, 16, 16), np.float32), np.zeros((4, 16, 16), np.float32)
    masks[0, 3, 3:5] = 1.0  # two pixels: too few for a box of the whole image
    masks[1, 3, 3:5] = canvas[1, 3, 3:5] = 1.0
    masks[2] = 0.1
    segment = types.SimpleNamespace(mask=tf.constant(masks), size=tf.fill([4, 2], 16.0))
    stuck = _is_stuck(tf.constant(canvas), segment, True)
    np.testing.assert_array_equal(stuck, [False, True, True, True])
    with_boxes = _is_stuck(tf.constant(canvas), segment, False)
    np.testing.assert_array_equal(with_boxes, [True, True, False, True])
