"""A predicted box: what every box head gives."""

import typing

import tensorflow as tf

__all__ = ["Box"]


class Box(typing.NamedTuple):
    """A predicted box and all that the head says, in pixels, float32.

    Attributes:
        center, size: [N, 2], order (y, x).
        log_variance: [N, 2], of the Gaussian filters.
        log_gamma_patch, log_gamma_box, log_gamma_mask: [N].
        state: [N, S], for the score.
        attention: [N, G, P], of every glimpse (and of the final place, if any).
        heat: [N, P] logits of the heat map, or None.
        cells: [N, P, 4] boxes (center, size) of the heat map's cells, or None.
        place: [N, P], 1 at the cell whose box was chosen, or None.
        raw: [N, 9] the linear head's output, or None.
    """

    center: tf.Tensor
    size: tf.Tensor
    log_variance: tf.Tensor
    log_gamma_patch: tf.Tensor
    log_gamma_box: tf.Tensor
    log_gamma_mask: tf.Tensor
    state: tf.Tensor
    attention: tf.Tensor
    heat: tf.Tensor | None = None
    cells: tf.Tensor | None = None
    place: tf.Tensor | None = None
    raw: tf.Tensor | None = None
