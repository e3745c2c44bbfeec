"""Normalisation, against plain loops."""

import numpy as np
import pytest
import tensorflow as tf
from rounding import round_products

from keras_recattend.layers import Normalization, fused_normalization

EPSILON = 1e-3


def norm_layer(kind="batch_per_step", steps=3, channels=2, random=None):
    layer = Normalization(kind, steps)
    layer.build((None, 4, 5, channels))
    if random is not None:
        for weight in layer.weights:
            weight.assign(random.uniform(0.5, 2.0, size=weight.shape))
    return layer


def loop_statistics(x):
    """Return (mean, population variance) for each channel of [B, H, W, C]."""
    means, variances = [], []
    for channel in range(x.shape[-1]):
        values = [float(v) for v in x[..., channel].ravel()]
        mean = sum(values) / len(values)
        means.append(mean)
        variances.append(sum((v - mean) ** 2 for v in values) / len(values))
    return np.array(means), np.array(variances)


@pytest.mark.parametrize("step", [0, 1, 2])
def test_inference_uses_the_statistics_of_the_step(random, step):
    layer = norm_layer(random=random)
    x = random.normal(size=(2, 4, 5, 2)).astype(np.float32)
    got = layer(tf.constant(x), step=step)
    gamma, beta, mean, variance = (
        np.array(v)[step]
        for v in (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance)
    )
    expected = gamma * (x - mean) / np.sqrt(variance + EPSILON) + beta
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mode", ["eager", "graph"])
def test_training_uses_the_batch_and_moves_its_step_only(random, mode):
    layer = norm_layer(random=random)
    x = random.normal(2.0, 3.0, size=(2, 4, 5, 2)).astype(np.float32)
    old_mean, old_variance = (
        np.array(layer.moving_mean),
        np.array(layer.moving_variance),
    )
    call = lambda x: layer(x, step=tf.constant(1), training=True)  # noqa: E731
    got = (tf.function(call) if mode == "graph" else call)(tf.constant(x))
    mean, variance = loop_statistics(x)
    gamma, beta = np.array(layer.gamma)[1], np.array(layer.beta)[1]
    expected = gamma * (x - mean) / np.sqrt(variance + EPSILON) + beta
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)
    for moving, old, batch in [
        (layer.moving_mean, old_mean, mean),
        (layer.moving_variance, old_variance, variance),
    ]:
        new = old.copy()
        new[1] = 0.9 * old[1] + 0.1 * batch
        np.testing.assert_allclose(moving, new, rtol=1e-5)


@pytest.mark.parametrize("kind", ["batch", "batch_per_step"])
def test_inference_meets_training_after_many_updates(random, kind):
    layer = norm_layer(kind, steps=2)
    x = tf.constant(random.normal(2.0, 3.0, size=(4, 4, 5, 2)).astype(np.float32))
    for _ in range(120):
        trained = layer(x, step=1, training=True)
    np.testing.assert_allclose(layer(x, step=1), trained, rtol=1e-3, atol=1e-3)


def test_one_set_of_statistics_for_all_steps(random):
    layer = norm_layer("batch", steps=3, random=random)
    assert layer.gamma.shape == (1, 2)
    x = tf.constant(random.normal(size=(2, 4, 5, 2)).astype(np.float32))
    np.testing.assert_array_equal(layer(x, step=0), layer(x, step=2))


def test_an_untrained_shared_normalization_changes_little(random):
    x = random.normal(size=(2, 4, 5, 2)).astype(np.float32)
    np.testing.assert_allclose(norm_layer("batch")(tf.constant(x)), x, rtol=1e-3)


def test_group_normalization(random):
    layer = norm_layer("group", channels=16)
    x = random.normal(2.0, 3.0, size=(2, 4, 5, 16)).astype(np.float32)
    got = layer(tf.constant(x), step=1, training=True)
    np.testing.assert_array_equal(got, layer(tf.constant(x), step=2))
    assert not layer.non_trainable_weights
    for b in range(2):
        for group in range(8):  # of 2 channels each
            part = x[b, ..., 2 * group : 2 * group + 2].astype(np.float64)
            mean = part.sum() / part.size
            variance = ((part - mean) ** 2).sum() / part.size
            np.testing.assert_allclose(
                got[b, ..., 2 * group : 2 * group + 2],
                (part - mean) / np.sqrt(variance + EPSILON),
                rtol=1e-4,
                atol=1e-5,
            )


def test_gradients_reach_the_parameters_of_the_step(random):
    layer = norm_layer(random=random)
    x = tf.constant(random.normal(size=(2, 4, 5, 2)).astype(np.float32))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(x, step=2, training=True) ** 2)
    for gradient in tape.gradient(loss, [layer.gamma, layer.beta]):
        rows = np.abs(gradient).sum(axis=1)
        assert rows[2] > 0
        assert rows[0] == rows[1] == 0


def test_parameters_are_picked_to_the_last_bit(random, monkeypatch):
    round_products(monkeypatch)
    layer = norm_layer(random=random)
    for got, weights in zip(layer.at_step(1), layer.weights, strict=True):
        np.testing.assert_array_equal(got, np.array(weights)[1])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_gradient_where_the_kernel_has_none_that_is_deterministic(
    random, monkeypatch, dtype
):
    """On a GPU, by given statistics; here the kernel's own is there to compare."""
    x = tf.cast(random.normal(size=(2, 4, 5, 2)), dtype)
    upstream = tf.cast(random.normal(size=x.shape), dtype)
    given = [tf.constant(random.uniform(0.5, 2.0, 2), tf.float32) for _ in range(4)]

    def gradients(gpu):
        monkeypatch.setattr(fused_normalization, "has_gpu", lambda: gpu)
        with tf.GradientTape() as tape:
            watched = [x, *given[:2]]
            tape.watch(watched)
            y = fused_normalization.normalize_with_gradient(x, *given)
        return y, *tape.gradient(y, watched, upstream)

    tolerance = 1e-5 if dtype == "float32" else 2e-2
    for ours, kernels in zip(gradients(True), gradients(False), strict=True):
        assert ours.dtype == kernels.dtype
        ours, kernels = (tf.cast(v, tf.float32) for v in (ours, kernels))
        np.testing.assert_allclose(ours, kernels, tolerance, tolerance)
