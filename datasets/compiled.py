"""Functions of tensors compiled by XLA, where it is there.

What TensorFlow does in ten passes over an image, each a kernel that writes it anew, is
one pass when compiled. It pays where pixels are looked up one by one; convolutions are
slower.
"""

import functools
import logging
from collections.abc import Callable

import tensorflow as tf

__all__ = ["available", "compiled"]

_LOG = logging.getLogger(__name__)


def compiled(function: Callable) -> Callable:
    """Return `function`, compiled; as it was where XLA is not there.

    The two agree to float rounding. It is compiled once for each shape and dtype of the
    tensors and each value of the other arguments; in `tf.data` too it runs on several
    threads at once.

    Args:
        function: of tensors whose shapes are known; made of operations that XLA has.
    """
    fast = tf.function(function, jit_compile=True, autograph=False)

    @functools.wraps(function)
    def call(*arguments):
        return fast(*arguments) if available() else function(*arguments)

    return call


@functools.cache
def available() -> bool:
    """Whether XLA compiles for this machine's processor; tried once."""
    try:
        # Also when asked while a graph is built.
        with tf.init_scope(), tf.device("/CPU:0"):
            _probe(tf.constant([1.0, 2.0]))
    except (tf.errors.OpError, ValueError) as error:
        _LOG.warning(
            "XLA cannot compile here, images are augmented more slowly: %s", error
        )
        return False
    return True


@tf.function(jit_compile=True, autograph=False)
def _probe(values):
    return tf.gather(values, tf.cast(values, tf.int32) - 1)
