"""What is cut, what is to be found in it, and where the other objects are."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

from keras_recattend.model import RecurrentAttention
from keras_recattend.stages.patches import pixel_shares, segment_patches


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return RecurrentAttention(tiny.config())


def gaussian_mean(mask, center, size, length):
    """Each cell of the patch as a Gaussian mean of the mask's pixels."""
    patch = np.zeros(length)
    weights = []
    for axis in (0, 1):
        spacing = size[axis] / length[axis]
        rows = []
        for i in range(length[axis]):
            mean = center[axis] + spacing * (i - (length[axis] - 1) / 2)
            deviation = max(0.5 * spacing, 0.5)
            pixels = np.arange(mask.shape[axis])
            value = np.exp(-0.5 * ((pixels - mean) / deviation) ** 2)
            rows.append(value / max(value.sum(), 1e-3))
        weights.append(rows)
    for i in range(length[0]):
        for j in range(length[1]):
            patch[i, j] = weights[0][i] @ mask @ weights[1][j]
    return patch


def test_target_is_the_objects_mask_in_the_patch(model):
    batch = tiny.batch((3, 2))
    index = [2, 0, 1, 1]  # two canvases an image
    center = np.array([[12.0, 14], [20, 9], [16, 16], [15, 18]], np.float32)
    size = np.array([[14.0, 16], [18, 12], [20, 20], [16, 16]], np.float32)
    canvases = tf.zeros([4, *tiny.SIZE])
    patches = segment_patches(
        model,
        batch,
        canvases,
        tf.constant(center),
        tf.constant(size),
        tf.constant(index),
        False,
    )
    assert patches.logits.shape == patches.target.shape == (4, 16, 16)
    assert patches.features.shape[0] == 4
    assert patches.others is None
    assert set(patches.terms(tf.ones(4))[0]) == {"patch"}
    for n in range(4):
        mask = batch["labels"].numpy()[n // 2] == index[n] + 1
        expected = gaussian_mean(mask, center[n], size[n], (16, 16))
        np.testing.assert_allclose(patches.target[n], expected, atol=2e-3)


def test_others_have_their_share_in_every_cell(model):
    """Each object but the patch's own, by a loop; in a patch of everything 1 in all."""
    batch = tiny.batch((3, 2))
    labels = batch["labels"].numpy()
    index = [2, 0, 1, 1]
    # The last patch holds the whole image.
    center = np.array([[12.0, 14], [20, 9], [16, 16], [15.5, 15.5]], np.float32)
    size = np.array([[14.0, 16], [18, 12], [20, 20], [44, 44]], np.float32)
    patches = segment_patches(
        model,
        batch,
        tf.zeros([4, *tiny.SIZE]),
        tf.constant(center),
        tf.constant(size),
        tf.constant(index),
        False,
        neighbours=0.5,
    )
    for n in range(4):
        expected = np.zeros((16, 16))
        for number in range(1, 4):
            mask = labels[n // 2] == number
            if number != index[n] + 1 and mask.any():
                shares = gaussian_mean(mask, center[n], size[n], (16, 16)) / mask.sum()
                expected += shares * np.prod(size[n] / 16)
        np.testing.assert_allclose(patches.others[n], expected, atol=2e-4)
    assert patches.others[3].numpy().sum() == pytest.approx(1.0, abs=0.05)
    everything = tf.fill(patches.logits.shape, 20.0)
    whole = patches._replace(logits=everything)
    weight = tf.constant([0.0, 0.0, 0.0, 1.0])
    terms, _ = whole.terms(weight)
    assert float(terms["neighbours"]) == pytest.approx(0.5, abs=0.03)


def test_a_pixel_is_a_share_of_its_object():
    labels = np.zeros((2, 6, 7), np.int32)
    labels[0, :3] = 1
    labels[0, 4, :2] = 3
    labels[1, 5, 5] = 2
    shares = pixel_shares(tf.constant(labels), 3, 4).numpy()
    assert shares.shape == (2, 4)
    assert (shares[:, 0] == 0).all()
    assert shares[0, 1] == pytest.approx(1 / 21)
    # Smaller ones count for four pixels.
    assert shares[0, 3] == shares[1, 2] == 0.25


def test_patch_shows_the_image_and_its_own_canvas(model, monkeypatch):
    """The network gets the patch's picture and canvas, in this order."""
    seen = []
    network = model.segmentation.call

    def spy(patch, **options):
        seen.append(patch.numpy())
        return network(patch, **options)

    monkeypatch.setattr(model.segmentation, "call", spy)
    batch = {
        "image": tf.ones([1, *tiny.SIZE, 3]) * [0.2, 0.4, 0.6],
        "labels": tf.ones([1, *tiny.SIZE], tf.int32),
    }
    canvases = tf.stack([tf.zeros(tiny.SIZE), tf.ones(tiny.SIZE)])
    middle = tf.constant([[15.5, 15.5]] * 2), tf.constant([[12.0, 12.0]] * 2)
    segment_patches(model, batch, canvases, *middle, tf.constant([0, 0]), False)
    for n, canvas in ((0, 0.0), (1, 1.0)):
        cell = seen[0][n, 8, 8]
        np.testing.assert_allclose(cell, [0.2, 0.4, 0.6, canvas], atol=2e-3)


@pytest.mark.parametrize("gamma", [None, 0.7])
def test_density_filters_show_what_inference_shows(monkeypatch, gamma):
    """With the gamma of the config, where it is fixed."""
    network = {"patch_gamma": gamma, "variance": "size"}
    model = RecurrentAttention(tiny.paper_config(box_network=network))
    seen, segmentation = [], model.segmentation

    def segment(patch, **options):
        seen.append(patch.numpy())
        return segmentation(patch, **options)

    monkeypatch.setattr(model, "segmentation", segment)
    batch = tiny.batch((2, 1))
    canvas = tf.cast(batch["labels"] == 1, tf.float32)
    center, size = (
        tf.constant([[12.0, 14], [20, 9]]),
        tf.constant([[14.0, 16], [9, 12]]),
    )
    index = tf.constant([1, 0])
    segment_patches(model, batch, canvas, center, size, index, False)
    box = model.box_head.decode(tf.zeros([2, 9]))
    patch_size = tf.constant(model.config.segmentation.patch_size, tf.float32)
    box = box._replace(log_variance=tf.math.log(size / patch_size))
    prepared = model.prepare(batch["image"])
    model.segment(prepared, canvas, box, center, size)
    np.testing.assert_allclose(seen[0], seen[1], rtol=1e-5)
    assert seen[0].any()
