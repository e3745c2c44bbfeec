"""TensorFlow's fused kernel of batch normalisation: one pass over the activations."""

import typing

import tensorflow as tf

__all__ = [
    "EPSILON",
    "Normalized",
    "gradient_of_normalize",
    "has_gpu",
    "normalize",
    "normalize_by_batch",
    "normalize_with_gradient",
]

# Epsilon of the authors' batch normalisation.
EPSILON = 1e-3


class Normalized(typing.NamedTuple):
    """Activations normalised by their own batch.

    Attributes:
        y: as the input.
        mean, variance: float32 [C], the batch's; the variance of the population.
        reserved: three tensors that the kernel's gradient reads.
    """

    y: tf.Tensor
    mean: tf.Tensor
    variance: tf.Tensor
    reserved: tuple


def normalize(x, gamma, beta, mean, variance):
    """Normalise x [B, H, W, C] by given statistics; the others float32 [C].

    On a GPU TensorFlow refuses this kernel's gradient where results are to be
    deterministic: see `normalize_with_gradient`.
    """
    return tf.raw_ops.FusedBatchNormV3(
        x=x,
        scale=gamma,
        offset=beta,
        mean=mean,
        variance=variance,
        epsilon=EPSILON,
        is_training=False,
    ).y


def normalize_with_gradient(x, gamma, beta, mean, variance):
    """`normalize`, with a gradient by x, gamma and beta on all devices."""
    if not has_gpu():
        return normalize(x, gamma, beta, mean, variance)

    @tf.custom_gradient
    def normalized(x, gamma, beta):
        def gradient(d):
            return gradient_of_normalize(d, x, gamma, mean, variance)

        return normalize(x, gamma, beta, mean, variance), gradient

    return normalized(x, tf.convert_to_tensor(gamma), tf.convert_to_tensor(beta))


def gradient_of_normalize(d, x, gamma, mean, variance):
    """Return the gradients of `normalize` by x, gamma and beta, of d [B, H, W, C]."""
    d_y = tf.cast(d, tf.float32)
    rate = tf.math.rsqrt(variance + EPSILON)
    d_gamma = rate * tf.reduce_sum(d_y * (tf.cast(x, tf.float32) - mean), [0, 1, 2])
    d_beta = tf.reduce_sum(d_y, [0, 1, 2])
    return tf.cast(d_y * gamma * rate, x.dtype), d_gamma, d_beta


def normalize_by_batch(x, gamma, beta):
    """Normalise x [B, H, W, C] by its own statistics; return a `Normalized`."""
    empty = tf.zeros([0], tf.float32)
    result = tf.raw_ops.FusedBatchNormV3(
        x=x,
        scale=gamma,
        offset=beta,
        mean=empty,
        variance=empty,
        epsilon=EPSILON,
        is_training=True,
    )
    # The kernel returns the sample variance (n - 1); the authors kept the population's,
    # which is also what it normalised by.
    shape = tf.shape(x)
    n = tf.cast(shape[0] * shape[1] * shape[2], tf.float32)
    variance = result.batch_variance * (n - 1.0) / n
    # On a GPU, the gradient may need the third one; elsewhere it may hold a mask of the
    # activations' size that nothing reads.
    third = result.reserve_space_3 if has_gpu() else empty
    reserved = (result.reserve_space_1, result.reserve_space_2, third)
    return Normalized(result.y, result.batch_mean, variance, reserved)


def has_gpu():
    """Whether TensorFlow has a GPU, and its kernels of normalisation."""
    return bool(tf.config.list_physical_devices("GPU"))
