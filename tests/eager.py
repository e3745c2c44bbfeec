"""Training without graphs: building them takes longer than a few tiny steps."""

import contextlib

import tensorflow as tf


@contextlib.contextmanager
def eagerly(wanted=True):
    """Run all functions as they stand, or, where it is not `wanted`, change nothing."""
    tf.config.run_functions_eagerly(wanted)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)
