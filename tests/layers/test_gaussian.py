"""Eq. 11-16, 19 and 25: filters, extraction and pasting, against plain loops."""

import math

import numpy as np
import pytest
import tensorflow as tf

from keras_recattend.layers import GaussianFilters
from keras_recattend.layers.gaussian import (
    BETA,
    box_mask,
    density_filters,
    extract,
    filter_means,
    inside_box,
    normalized_filters,
    reproject,
)


def tensor(*values):
    return tf.constant(values, tf.float32)


def loop_means(center, size, length):
    """Eq. 11-12."""
    means = []
    for i in range(length):
        means.append(center + (size + 1) * (i - length / 2 + 0.5) / length)
    return means


def loop_filters(center, size, log_variance, pixels, length):
    """Eq. 13-14 with the variance sigma^2 = exp(log_variance), [pixels, F]."""
    variance = math.exp(log_variance)
    filters = np.zeros((pixels, length))
    for i, mean in enumerate(loop_means(center, size, length)):
        for a in range(pixels):
            exponent = -((a - mean) ** 2) / (2 * variance)
            filters[a, i] = math.exp(exponent) / math.sqrt(2 * math.pi * variance)
    return filters


def loop_extract(image, filter_y, filter_x):
    """Eq. 16 for one image [H, W, C] and one pair of filters."""
    height, width, channels = image.shape
    h, w = filter_y.shape[1], filter_x.shape[1]
    patch = np.zeros((h, w, channels))
    for j in range(h):
        for i in range(w):
            for b in range(height):
                for a in range(width):
                    patch[j, i] += filter_y[b, j] * image[b, a] * filter_x[a, i]
    return patch


def loop_reproject(patch, filter_y, filter_x):
    """Extract(patch, F_Y^T, F_X^T) of eq. 19 and 25."""
    height, width = filter_y.shape[0], filter_x.shape[0]
    h, w = patch.shape
    image = np.zeros((height, width))
    for b in range(height):
        for a in range(width):
            for j in range(h):
                for i in range(w):
                    image[b, a] += filter_y[b, j] * patch[j, i] * filter_x[a, i]
    return image


def random_filters(random, count, pixels, length):
    return random.uniform(size=(count, pixels, length)).astype(np.float32)


@pytest.mark.parametrize("length", [1, 6, 7])
def test_means(length):
    # The paper's extent is size + 1.
    means = filter_means(tensor(10.5), tensor(8.0) + 1.0, length)[0]
    np.testing.assert_allclose(means, loop_means(10.5, 8.0, length), rtol=1e-6)


@pytest.mark.parametrize("log_variance", [-1.0, 0.0, 2.0])
def test_density_filters(log_variance):
    got = density_filters(tensor(7.3), tensor(9.0), tensor(log_variance), 20, 6)[0]
    expected = loop_filters(7.3, 9.0, log_variance, 20, 6)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)


def test_extract(random):
    image = random.uniform(size=(2, 7, 9, 3)).astype(np.float32)
    filter_y, filter_x = (
        random_filters(random, 2, 7, 4),
        random_filters(random, 2, 9, 5),
    )
    got = extract(tf.constant(image), tf.constant(filter_y), tf.constant(filter_x))
    for b in range(2):
        expected = loop_extract(image[b], filter_y[b], filter_x[b])
        np.testing.assert_allclose(got[b], expected, rtol=1e-5)


def test_extract_several_patches_of_an_image(random):
    """N = B K filters: the first K belong to the first image, and so on."""
    images, patches = 2, 3
    image = random.uniform(size=(images, 7, 9, 2)).astype(np.float32)
    filter_y = random_filters(random, images * patches, 7, 4)
    filter_x = random_filters(random, images * patches, 9, 5)
    got = extract(tf.constant(image), tf.constant(filter_y), tf.constant(filter_x))
    assert got.shape == (6, 4, 5, 2)
    for n in range(images * patches):
        expected = loop_extract(image[n // patches], filter_y[n], filter_x[n])
        np.testing.assert_allclose(got[n], expected, rtol=1e-5)


def test_extract_in_a_graph_of_unknown_sizes(random):
    image = random.uniform(size=(2, 7, 9, 2)).astype(np.float32)
    filter_y, filter_x = (
        random_filters(random, 4, 7, 4),
        random_filters(random, 4, 9, 5),
    )
    graph = tf.function(
        extract,
        input_signature=[
            tf.TensorSpec([None, None, None, 2]),
            tf.TensorSpec([None, None, 4]),
            tf.TensorSpec([None, None, 5]),
        ],
    )
    eager = extract(tf.constant(image), tf.constant(filter_y), tf.constant(filter_x))
    np.testing.assert_allclose(graph(image, filter_y, filter_x), eager, rtol=1e-6)


def test_mask_is_the_pasted_heat_map(random):
    """Eq. 19: sigmoid(gamma F_Y y F_X^T - beta)."""
    patch = random.uniform(size=(2, 4, 5)).astype(np.float32)
    filter_y, filter_x = (
        random_filters(random, 2, 7, 4),
        random_filters(random, 2, 9, 5),
    )
    pasted = reproject(tf.constant(patch), tf.constant(filter_y), tf.constant(filter_x))
    gamma = 1.7
    mask = tf.sigmoid(gamma * pasted - BETA)
    for b in range(2):
        expected = loop_reproject(patch[b], filter_y[b], filter_x[b])
        np.testing.assert_allclose(pasted[b], expected, rtol=1e-5)
        expected = 1 / (1 + np.exp(5.0 - gamma * expected))
        np.testing.assert_allclose(mask[b], expected, rtol=1e-4)


def test_box_mask_is_a_pasted_constant(random):
    """Eq. 25."""
    filter_y, filter_x = (
        random_filters(random, 2, 7, 4),
        random_filters(random, 2, 9, 5),
    )
    log_gamma = tensor(-0.5, 1.2)
    got = box_mask(tf.constant(filter_y), tf.constant(filter_x), log_gamma)
    for b in range(2):
        pasted = loop_reproject(np.ones((4, 5)), filter_y[b], filter_x[b])
        expected = 1 / (1 + np.exp(5.0 - math.exp(log_gamma[b]) * pasted))
        np.testing.assert_allclose(got[b], expected, rtol=1e-4)


@pytest.mark.parametrize("size", [4.0, 14.3, 30.0])
def test_normalized_filters(size):
    """Every read is a mean of pixels, every written pixel one of cells."""
    read, write = (
        f[0].numpy() for f in normalized_filters(tensor(20.2), tensor(size), 41, 8)
    )
    deviation = max(0.5 * size / 8, 0.5)
    for i in range(8):
        mean = 20.2 + size / 8 * (i - 3.5)
        value = [math.exp(-0.5 * ((a - mean) / deviation) ** 2) for a in range(41)]
        np.testing.assert_allclose(read[:, i], np.array(value) / sum(value), atol=2e-3)
    np.testing.assert_allclose(read.sum(0), 1.0, atol=2e-3)
    for a in range(41):
        if abs(a - 20.2) <= size / 2:
            assert write[a].sum() == pytest.approx(1.0, abs=2e-3)
        else:
            assert (write[a] == 0.0).all()


def test_filters_outside_the_image_read_nothing():
    read, write = normalized_filters(tensor(-60.0), tensor(10.0), 32, 8)
    assert np.isfinite(read).all()
    assert float(tf.reduce_max(tf.abs(read))) < 1e-6
    assert float(tf.reduce_max(tf.abs(write))) < 1e-6


def test_inside_box():
    got = inside_box(tensor(3.0), tensor(4.0), 8)[0]
    np.testing.assert_array_equal(got, [0, 1, 1, 1, 1, 1, 0, 0])


def test_extract_then_reproject_is_the_image_inside_the_box():
    """For a smooth image and a patch fine enough; and nothing outside."""
    height, width = 48, 56
    y, x = np.mgrid[:height, :width].astype(np.float32)
    image = 0.5 + 0.3 * np.sin(y / 9) * np.cos(x / 11)
    filters = GaussianFilters((height, width), (24, 24), "normalized")
    center, size = tf.constant([[22.0, 30.0]]), tf.constant([[24.0, 26.0]])
    read, write = filters(center, size)
    patch = extract(tf.constant(image[np.newaxis, ..., np.newaxis]), *read)
    pasted = reproject(patch[..., 0], *write)[0].numpy()
    inside = (abs(y - 22) <= 12) & (abs(x - 30) <= 13)
    np.testing.assert_allclose(pasted[inside], image[inside], atol=0.02)
    assert (pasted[~inside] == 0.0).all()


def test_layer_gives_both_axes():
    filters = GaussianFilters((20, 30), (5, 6))
    center, size = tf.constant([[9.0, 14.0]]), tf.constant([[7.0, 11.0]])
    log_variance = tf.constant([[0.3, -0.2]])
    read, write = filters(center, size, log_variance)
    assert read[0].shape == (1, 20, 5)
    assert read[1].shape == (1, 30, 6)
    np.testing.assert_allclose(read[0][0], loop_filters(9, 7, 0.3, 20, 5), atol=1e-6)
    np.testing.assert_allclose(read[1][0], loop_filters(14, 11, -0.2, 30, 6), atol=1e-6)
    assert write[0] is read[0]
