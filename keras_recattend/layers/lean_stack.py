"""A stack of convolutions whose backward pass keeps little and reads it once.

Of convolution, normalisation, ReLU and max pooling, TensorFlow's own gradient keeps
each one's result for every step of the instance loop, and finds the greatest pixel of
every pool again by a slow kernel. Here a layer keeps what its convolution gave (the
first `recompute` layers nothing); the rest is computed again in the backward pass,
where pooling and its gradient meet in one graph and take oneDNN's fast kernels. The
numbers are those of the ordinary gradient, but for rounding.
"""

import typing

import tensorflow as tf

from keras_recattend.layers.fused_normalization import (
    EPSILON,
    gradient_of_normalize,
    has_gpu,
    normalize,
    normalize_by_batch,
)

__all__ = ["LayerWeights", "lean_stack"]


class LayerWeights(typing.NamedTuple):
    """What one layer computes with.

    Attributes:
        kernel: [3, 3, C, D]. bias: [D], or None (it is in what is added).
        gamma, beta: float32 [D].
        mean, variance: float32 [D], moving statistics.
    """

    kernel: tf.Tensor
    bias: tf.Tensor | None
    gamma: tf.Tensor
    beta: tf.Tensor
    mean: tf.Tensor
    variance: tf.Tensor


def lean_stack(x, layers, pools, training, added=None, every=True, recompute=0):
    """Run `relu(norm(conv(x)))` and max pooling, layer by layer.

    Args:
        x: [B, H, W, C].
        layers: a `LayerWeights` each.
        pools: max-pooling factors.
        training: normalise by the batch's statistics instead of the moving ones.
        added: [B, H, W, D] added to the first convolution's result, or None.
        every: return all layers' maps; False = the last alone.
        recompute: the first so many layers keep nothing for the backward pass but the
            stack's input; their convolutions run again there.

    Returns:
        (maps, statistics): lists; the maps after pooling, and in training the batch's
        (mean, population variance) of every layer, without gradient.
    """
    stack = _Stack(layers, pools, training, every, recompute)
    tensors = [x] if added is None else [x, added]
    for layer in layers:
        tensors += [layer.kernel, layer.gamma, layer.beta]
        if layer.bias is not None:
            tensors.append(layer.bias)
    outputs = tf.custom_gradient(stack.run)(*tensors)
    count = len(layers) if every else 1
    statistics = [tf.stop_gradient(value) for value in outputs[count:]]
    return list(outputs[:count]), list(
        zip(statistics[::2], statistics[1::2], strict=True)
    )


class _Stack:
    """The forward and the backward pass."""

    def __init__(self, layers, pools, training, every, recompute):
        self.biased = [layer.bias is not None for layer in layers]
        self.fixed = [(layer.mean, layer.variance) for layer in layers]
        self.pools = pools
        self.training = training
        self.every = every
        self.recompute = recompute

    def _unpack(self, tensors):
        """Return (x, added or None, [(kernel, gamma, beta, bias or None)])."""
        tensors = list(tensors)
        x = tensors.pop(0)
        added = None if self.biased[0] else tensors.pop(0)
        layers = []
        for biased in self.biased:
            layer = [tensors.pop(0) for _ in range(3 + biased)]
            layers.append(layer if biased else [*layer, None])
        return x, added, layers

    def run(self, *tensors):
        # Tensors of this graph: the gradient of a loop cannot capture those outside.
        self.fixed = tf.nest.map_structure(tf.identity, self.fixed)
        x, added, layers = self._unpack(tensors)
        source, maps, convolved, statistics, saved = x, [], [], [], []
        for i, (kernel, gamma, beta, bias) in enumerate(layers):
            c = _convolve(source, kernel, bias, added if i == 0 else None)
            y, own, kept = self._normalize(c, gamma, beta, self.fixed[i])
            source = _pool(tf.nn.relu(y), self.pools[i])
            maps.append(source)
            convolved.append(c)
            statistics.append(own)
            saved.append(kept)
        # The first layers' are the largest.
        convolved[: self.recompute] = [None] * self.recompute
        shown = maps if self.every else maps[-1:]
        outputs = list(shown)
        if self.training:
            outputs += [value for pair in statistics for value in pair]

        def gradient(*upstream):
            return self._gradient(
                tensors, convolved, statistics, saved, upstream[: len(shown)]
            )

        return outputs, gradient

    def _normalize(self, c, gamma, beta, fixed):
        """Return (y, (mean, variance) that were used, reserved space)."""
        if not self.training:
            return normalize(c, gamma, beta, *fixed), fixed, None
        result = normalize_by_batch(c, gamma, beta)
        return result.y, (result.mean, result.variance), result.reserved

    def _again(self, x, added, layers, statistics, after):
        """Compute the convolutions' results again, once the gradient `after` came."""
        with tf.control_dependencies([after]):
            source = tf.identity(x)
        convolved = []
        for i, (kernel, gamma, beta, bias) in enumerate(layers):
            c = _convolve(source, kernel, bias, added if i == 0 else None)
            convolved.append(c)
            y = normalize(c, gamma, beta, *statistics[i])
            source = _pool(tf.nn.relu(y), self.pools[i])
        return convolved

    def _gradient(self, tensors, convolved, statistics, saved, upstream):
        x, added, layers = self._unpack(tensors)
        # The gradient of a graph may be asked for more than once.
        convolved = list(convolved)
        if self.recompute == len(layers):
            convolved = self._again(x, added, layers, statistics, upstream[-1])
        d, found = None, []
        # y and p: a layer's activations before and after pooling.
        y, p = self._activations(len(layers) - 1, convolved, layers, statistics)
        for i in reversed(range(len(layers))):
            kernel, gamma, _, bias = layers[i]
            if self.every or d is None:
                d = upstream[i if self.every else 0] + (0.0 if d is None else d)
            if self.pools[i] > 1:
                d = _pool_gradient(y, p, d, self.pools[i])
            d = tf.raw_ops.ReluGrad(gradients=d, features=y)
            d, d_gamma, d_beta = self._normalization_gradient(
                d, convolved[i], gamma, self.fixed[i], saved[i]
            )
            if i > 0:
                if i == self.recompute:
                    convolved[:i] = self._again(x, added, layers[:i], statistics, d)
                y, p = self._activations(i - 1, convolved, layers, statistics)
            source = p if i > 0 else x
            own = [_kernel_gradient(source, kernel, d), d_gamma, d_beta]
            if bias is not None:
                own.append(self._bias_gradient(d, bias))
            found = own + found
            d_convolved = d
            d = tf.raw_ops.Conv2DBackpropInput(
                input_sizes=tf.shape(source),
                filter=kernel,
                out_backprop=d,
                strides=[1, 1, 1, 1],
                padding="SAME",
            )
        return [d, *([] if added is None else [d_convolved]), *found]

    def _activations(self, i, convolved, layers, statistics):
        _, gamma, beta, _ = layers[i]
        y = normalize(convolved[i], gamma, beta, *statistics[i])
        y = tf.nn.relu(y)
        return y, _pool(y, self.pools[i])

    def _normalization_gradient(self, d, c, gamma, fixed, saved):
        if not self.training and has_gpu():
            return gradient_of_normalize(d, c, gamma, *fixed)
        first, second, third = saved or (*fixed, tf.zeros([0], tf.float32))
        return tf.raw_ops.FusedBatchNormGradV3(
            y_backprop=d,
            x=c,
            scale=gamma,
            reserve_space_1=first,
            reserve_space_2=second,
            reserve_space_3=third,
            epsilon=EPSILON,
            is_training=self.training,
        )[:3]

    def _bias_gradient(self, d, bias):
        # The batch's mean takes the bias away again: its gradient is zero.
        return tf.zeros_like(bias) if self.training else tf.reduce_sum(d, [0, 1, 2])


def _convolve(x, kernel, bias, added):
    c = tf.nn.conv2d(x, kernel, 1, "SAME")
    if bias is not None:
        c = tf.nn.bias_add(c, bias)
    return c if added is None else c + added


def _pool(x, factor):
    return tf.nn.max_pool2d(x, factor, factor, "SAME") if factor > 1 else x


def _pool_gradient(x, pooled, gradient, factor):
    return tf.raw_ops.MaxPoolGrad(
        orig_input=x,
        orig_output=pooled,
        grad=gradient,
        ksize=[1, factor, factor, 1],
        strides=[1, factor, factor, 1],
        padding="SAME",
    )


def _kernel_gradient(x, kernel, gradient):
    return tf.raw_ops.Conv2DBackpropFilter(
        input=x,
        filter_sizes=tf.shape(kernel),
        out_backprop=gradient,
        strides=[1, 1, 1, 1],
        padding="SAME",
    )
