"""Starting a training from the weights of another model (`train.py --init`)."""

import logging
import typing

import tensorflow as tf

from keras_recattend.run_folder import RunError
from keras_recattend.shipped_weights import find_weights

__all__ = ["Transfer", "start_from", "transfer_weights"]

_LOG = logging.getLogger(__name__)
# Names of fresh variables that the log line tells.
MOST_NAMES = 4
# What reads the canvas and, where there is one, the centre map: its last channel.
CANVAS_CODE = "controller/canvas_code/kernel"


class Transfer(typing.NamedTuple):
    """What became of a model's variables.

    Attributes:
        taken: names of those that were copied.
        fresh: names of those that stay as they were made: the source has none of that
            name, or another shape.
    """

    taken: list[str]
    fresh: list[str]


def transfer_weights(source, model):
    """Copy every weight of `source` that `model` has, too, by name and shape.

    Moving statistics go with the normalisation they belong to. A centre map that the
    source does not have counts for nothing at first: the model does what the source
    did, and learns to read it.

    Args:
        source, model: two `RecurrentAttention`.

    Returns:
        A `Transfer`.
    """
    values = {_name(v): v for v in source.weights}
    taken, fresh = [], []
    for variable in model.weights:
        name = _name(variable)
        other = values.get(name)
        if name == CANVAS_CODE and other is not None:
            other = _with_center_map(other, variable.shape)
        if other is not None and other.shape == variable.shape:
            variable.assign(other)
            taken.append(name)
        else:
            fresh.append(name)
    return Transfer(taken, fresh)


def start_from(model, weights):
    """Start a model from shipped weights or a run folder, and tell what was taken.

    Args:
        model: a `RecurrentAttention`, built.
        weights: name of shipped weights, or a run folder.

    Returns:
        A `Transfer`.

    Raises:
        RunError: there are no such weights, or none of them fits the model.
    """
    from keras_recattend.model import RecurrentAttention

    folder = find_weights(weights)
    config, _ = folder.read()
    source = RecurrentAttention(config)
    file = folder.load_weights(source)
    result = transfer_weights(source, model)
    if not result.taken:
        raise RunError(
            f"None of the weights in {file} (preset {config.name}) has the name and "
            f"shape of one in the preset {model.config.name}: there is nothing to "
            "start from. Choose another --init or --preset."
        )
    _LOG.info(
        "Started from %s: %d of %d variables taken.",
        file,
        len(result.taken),
        len(result.taken) + len(result.fresh),
    )
    if result.fresh:
        names = ", ".join(result.fresh[:MOST_NAMES])
        more = len(result.fresh) - MOST_NAMES
        _LOG.info("Fresh: %s%s.", names, f" and {more} more" if more > 0 else "")
    return result


def _with_center_map(kernel, shape):
    """A kernel [1, 1, C, D] as it is, or with zeros for the channel that `shape` adds.

    As it is, too, where more than that channel differs.
    """
    height, width, channels, depth = kernel.shape
    if tuple(shape) != (height, width, channels + 1, depth):
        return kernel
    return tf.pad(tf.convert_to_tensor(kernel), [[0, 0], [0, 0], [0, 1], [0, 0]])


def _name(variable):
    """Its path without the model's own name, which Keras numbers as it pleases."""
    return variable.path.split("/", 1)[1]
