"""The stack's own backward pass against TensorFlow's."""

import numpy as np
import pytest
import tensorflow as tf

from keras_recattend.layers import fused_normalization
from keras_recattend.layers import lean_stack as lean_stack_module
from keras_recattend.layers.lean_stack import LayerWeights, lean_stack

EPSILON = 1e-3
DEPTHS = (3, 4, 5)


def tensors(random, added):
    """Return (x, added or None, layers): the last layer's map is not even."""
    x = random.normal(size=(2, 12, 16, 1 if added else 2)).astype(np.float32)
    # A flat part: all pixels of its pools are equal, and one of them gets the gradient.
    x[:, :6, :8] = 0.5
    layers, channels = [], x.shape[-1]
    for i, depth in enumerate(DEPTHS):
        kernel = random.normal(0.0, 0.4, (3, 3, channels, depth))
        gamma, variance = random.uniform(0.5, 1.5, (2, depth))
        bias, beta, mean = random.normal(0.0, 0.3, (3, depth))
        values = [kernel, bias, gamma, beta, mean, variance]
        values = [tf.constant(v.astype(np.float32)) for v in values]
        if added and i == 0:
            values[1] = None
        layers.append(LayerWeights(*values))
        channels = depth
    image_part = random.normal(size=(2, 12, 16, DEPTHS[0])).astype(np.float32)
    return tf.constant(x), tf.constant(image_part) if added else None, layers


def ordinary(x, layers, pools, training, added):
    """The same from TensorFlow's own functions."""
    maps, statistics = [], []
    for i, layer in enumerate(layers):
        x = tf.nn.conv2d(x, layer.kernel, 1, "SAME")
        x += added if layer.bias is None else layer.bias
        mean, variance = layer.mean, layer.variance
        if training:
            mean, variance = tf.nn.moments(x, [0, 1, 2])
            statistics.append((mean, variance))
        x = tf.nn.batch_normalization(
            x, mean, variance, layer.beta, layer.gamma, EPSILON
        )
        x = tf.nn.relu(x)
        if pools[i] > 1:
            x = tf.nn.max_pool2d(x, pools[i], pools[i], "SAME")
        maps.append(x)
    return maps, statistics


def gradients(run, x, added, layers, weights):
    """Gradients of a weighted sum of the maps in all that has one."""
    watched = [x, *([] if added is None else [added])]
    for layer in layers:
        watched += [v for v in layer[:4] if v is not None]
    with tf.GradientTape() as tape:
        tape.watch(watched)
        maps, statistics = run()
        parts = [tf.reduce_sum(m * w) for m, w in zip(maps, weights, strict=True)]
        loss = tf.add_n(parts)
    return maps, statistics, tape.gradient(loss, watched)


@pytest.fixture(params=["kernel's gradient", "own gradient"])
def by_given_statistics(request, monkeypatch):
    """A GPU's kernel has no deterministic gradient there; ours takes its place."""
    gpu = request.param == "own gradient"
    for module in (fused_normalization, lean_stack_module):
        monkeypatch.setattr(module, "has_gpu", lambda: gpu)


@pytest.mark.usefixtures("by_given_statistics")
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("added", [True, False])
@pytest.mark.parametrize("every", [True, False])
@pytest.mark.parametrize("recompute", [0, 1, 2, 3])
def test_equals_tensorflows_own_gradient(random, training, added, every, recompute):
    x, image_part, layers = tensors(random, added)
    pools = (1, 2, 3)
    expected_maps, _ = ordinary(x, layers, pools, training, image_part)
    shown = expected_maps if every else expected_maps[-1:]
    weights = [random.normal(size=m.shape).astype(np.float32) for m in shown]

    def lean():
        return lean_stack(x, layers, pools, training, image_part, every, recompute)

    def plain():
        maps, statistics = ordinary(x, layers, pools, training, image_part)
        return (maps if every else maps[-1:]), statistics

    got = tf.function(lambda: gradients(lean, x, image_part, layers, weights))()
    expected = gradients(plain, x, image_part, layers, weights)
    for a, b in zip(tf.nest.flatten(got), tf.nest.flatten(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4)
    assert np.abs(got[2][0]).max() > 0.01


@pytest.mark.parametrize("recompute", [0, 1, 2, 3])
def test_so_many_convolutions_run_twice(random, recompute):
    x, _, layers = tensors(random, False)

    @tf.function
    def gradient():
        def run():
            return lean_stack(x, layers, (1, 2, 3), True, recompute=recompute)

        return gradients(run, x, None, layers, [1.0, 1.0, 1.0])[2]

    graph = gradient.get_concrete_function().graph
    kinds = [operation.type for operation in graph.get_operations()]
    assert kinds.count("Conv2D") == len(DEPTHS) + recompute


def test_in_a_loop_each_step_has_its_own_gradient(random):
    """The backward pass reads what its own step kept."""
    x, _, layers = tensors(random, False)
    kernel = layers[0].kernel

    def total(steps):
        def body(t, total):
            seen = x * tf.cast(t + 1, tf.float32)
            maps, _ = lean_stack(seen, layers, (1, 2, 2), False, every=False)
            return t + 1, total + tf.reduce_sum(maps[0] ** 2)

        return tf.while_loop(
            lambda t, _: t < steps, body, (0, 0.0), maximum_iterations=steps
        )[1]

    @tf.function
    def gradient():
        with tf.GradientTape() as tape:
            tape.watch(kernel)
            loss = total(3)
        return tape.gradient(loss, kernel)

    with tf.GradientTape() as tape:
        tape.watch(kernel)
        loss = 0.0
        for t in range(3):
            maps, _ = ordinary(x * (t + 1.0), layers, (1, 2, 2), False, None)
            loss += tf.reduce_sum(maps[-1] ** 2)
    np.testing.assert_allclose(
        gradient(), tape.gradient(loss, kernel), rtol=1e-3, atol=1e-2
    )
