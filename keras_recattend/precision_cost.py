"""Do 16 bits pay here? Measured, since no list of processors stays complete."""

import logging
import time

import keras
import tensorflow as tf

__all__ = ["slowdown", "warn_if_slow"]

_LOG = logging.getLogger(__name__)
_REPETITIONS = 3
# Beyond what other work on the machine does to the measurement.
_WORTH_TELLING = 2.0


def slowdown(dtype):
    """Return how many times as long a convolution's gradients take as in float32.

    A small one's, on TensorFlow's default device, the quickest of a few: a tenth of a
    second, a second where there are no kernels made for `dtype`. Processors without
    16-bit instructions may well be quick forwards and ten times slower backwards.
    """
    return _seconds(dtype) / _seconds("float32")


def warn_if_slow(precision):
    """Log a warning if a precision trains slower than float32 on this machine.

    Args:
        precision: a Keras dtype policy's name, as "mixed_bfloat16".
    """
    dtype = keras.dtype_policies.get(precision).compute_dtype
    if dtype == "float32":
        return
    times = slowdown(dtype)
    if times > _WORTH_TELLING:
        _LOG.warning(
            "On this machine the gradients of a convolution take %.0f times as long in "
            "%s as in float32: it trains faster without --precision %s.",
            times,
            dtype,
            precision,
        )


def _seconds(dtype):
    image = tf.ones((1, 56, 56, 32), dtype)
    kernel = tf.ones((3, 3, 32, 32), dtype)
    # The first call prepares what later ones use.
    return min(_timed(image, kernel) for _ in range(1 + _REPETITIONS))


def _timed(image, kernel):
    start = time.perf_counter()
    with tf.GradientTape() as tape:
        tape.watch((image, kernel))
        output = tf.nn.conv2d(image, kernel, 1, "SAME")
    for gradient in tape.gradient(output, (image, kernel)):
        gradient.numpy()
    return time.perf_counter() - start
