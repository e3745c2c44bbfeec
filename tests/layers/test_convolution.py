"""Normalisation and the stacks of convolutions (eq. 3, 17, 18)."""

import numpy as np
import pytest
import tensorflow as tf

from keras_recattend.layers import ConvolutionStack, Normalization, TransposedStack

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


def loop_convolution(x, kernel, bias):
    """3 x 3, stride 1, zero padding, of one image [H, W, C]."""
    height, width, _ = x.shape
    result = np.zeros((height, width, kernel.shape[-1]))
    for y in range(height):
        for column in range(width):
            total = bias.astype(np.float64)
            for j in range(3):
                for i in range(3):
                    v, u = y + j - 1, column + i - 1
                    if 0 <= v < height and 0 <= u < width:
                        total = total + x[v, u] @ kernel[j, i]
            result[y, column] = total
    return result


def loop_transposed(x, kernel, bias, factor):
    """Input i times tap k is added to output 2 i + k, or to i + k - 1 for stride 1."""
    height, width, _ = x.shape
    result = np.zeros((height * factor, width * factor, kernel.shape[2]))
    offset = 0 if factor == 2 else 1
    for y in range(height):
        for column in range(width):
            for j in range(3):
                for i in range(3):
                    v, u = factor * y + j - offset, factor * column + i - offset
                    if 0 <= v < result.shape[0] and 0 <= u < result.shape[1]:
                        result[v, u] += kernel[j, i] @ x[y, column]
    return result + bias


def loop_normalize(x, norm, step):
    gamma, beta, mean, variance = (
        np.array(v)[step]
        for v in (norm.gamma, norm.beta, norm.moving_mean, norm.moving_variance)
    )
    return gamma * (x - mean) / np.sqrt(variance + EPSILON) + beta


def loop_pool(x, factor):
    height, width, channels = x.shape
    result = np.zeros((height // factor, width // factor, channels))
    for y in range(height // factor):
        for column in range(width // factor):
            window = x[factor * y : factor * (y + 1), factor * column :][:, :factor]
            result[y, column] = window.max((0, 1))
    return result


def randomize(stack, random):
    for weight in stack.weights:
        is_variance = weight.path.endswith("moving_variance")
        low = 0.5 if is_variance else -0.7
        weight.assign(random.uniform(low, 1.0, size=weight.shape))


def test_convolution_stack(random):
    stack = ConvolutionStack((3, 4), (1, 2), "batch_per_step", 2)
    stack.build((None, 4, 6, 2))
    randomize(stack, random)
    x = random.normal(size=(1, 4, 6, 2)).astype(np.float32)
    maps = stack(tf.constant(x), step=1)
    expected = x[0]
    for i, pool in enumerate((1, 2)):
        layer = stack.convolutions[i]
        kernel, bias = np.array(layer.kernel), np.array(layer.bias)
        expected = loop_convolution(expected, kernel, bias)
        expected = loop_normalize(expected, stack.normalizations[i], 1)
        expected = loop_pool(np.maximum(expected, 0.0), pool)
        np.testing.assert_allclose(maps[i][0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("skips", [False, True])
@pytest.mark.parametrize("last", ["relu", "logits"])
def test_transposed_stack(random, skips, last):
    factors = (2, 1, 2)
    stack = TransposedStack((3, 2, 1), factors, skips, last, "batch_per_step", 2)
    patch = random.normal(size=(1, 8, 8, 2)).astype(np.float32)
    maps = [
        random.normal(size=(1, 4, 4, 3)).astype(np.float32),
        random.normal(size=(1, 2, 2, 4)).astype(np.float32),
    ]
    # Layer 1 takes the map of its input's size; the last one's input is 4 x 4 too.
    if skips:
        stack = TransposedStack((3, 1, 1), (2, 2, 1), True, last, "batch_per_step", 2)
        factors = (2, 2, 1)
    stack.build([m.shape for m in maps], patch.shape)
    randomize(stack, random)
    outputs = stack([tf.constant(m) for m in maps], tf.constant(patch), step=1)
    expected = maps[-1][0]
    for i, factor in enumerate(factors):
        if skips and i > 0:
            joined = maps[0][0] if i == 1 else patch[0]
            expected = np.concatenate([expected, joined], axis=-1)
        layer = stack.convolutions[i]
        kernel, bias = np.array(layer.kernel), np.array(layer.bias)
        expected = loop_transposed(expected, kernel, bias, factor)
        if i < 2 or last == "relu":
            expected = loop_normalize(expected, stack.normalizations[i], 1)
            expected = np.maximum(expected, 0.0)
        np.testing.assert_allclose(outputs[i][0], expected, rtol=1e-4, atol=1e-5)
    assert len(stack.normalizations) == (3 if last == "relu" else 2)
