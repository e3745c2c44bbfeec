"""TensorFlow's fused kernel of batch normalisation: one pass over the activations."""

import typing

import tensorflow as tf

__all__ = ["EPSILON", "Normalized", "normalize", "normalize_by_batch"]

# Epsilon of the authors' batch normalisation (spec, section 4).
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
    """Normalise x [B, H, W, C] by given statistics; the others float32 [C]."""
    return tf.raw_ops.FusedBatchNormV3(
        x=x,
        scale=gamma,
        offset=beta,
        mean=mean,
        variance=variance,
        epsilon=EPSILON,
        is_training=False,
    ).y


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
    third = result.reserve_space_3 if _has_gpu() else empty
    reserved = (result.reserve_space_1, result.reserve_space_2, third)
    return Normalized(result.y, result.batch_mean, variance, reserved)


def _has_gpu():
    return bool(tf.config.list_physical_devices("GPU"))
