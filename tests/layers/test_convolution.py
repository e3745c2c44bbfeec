"""The stacks of convolutions (eq. 3, 17, 18)."""

import numpy as np
import pytest
import tensorflow as tf

from keras_recattend.layers import ConvolutionStack, TransposedStack

EPSILON = 1e-3


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
