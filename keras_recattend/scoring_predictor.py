"""Validation as the weights will be used: in float32, whatever they train in."""

import dataclasses

from keras_recattend.model import RecurrentAttention
from keras_recattend.prediction import Predictor

__all__ = ["ScoringPredictor"]


class ScoringPredictor:
    """A `Predictor` in float32 of a model that may train in 16 bits.

    16 bits have moved the SBD of some twenty plants by a point, and the count by half a
    leaf: the best epoch of the one is not that of the other. Only the image as it is is
    looked at, whatever `inference.views` says: every epoch would take its time.

    Args:
        model: a `RecurrentAttention`. One of mixed precision is copied, and the copy
            given its weights before every batch.
    """

    def __init__(self, model):
        self._trained = model
        self._scored = model
        if model.dtype_policy.compute_dtype != "float32":
            self._scored = RecurrentAttention(model.config, dtype="float32")
        inference = dataclasses.replace(model.config.inference, views=1)
        self._predictor = Predictor(self._scored, inference)

    @property
    def batch_size(self):
        """Images that run together."""
        return self._predictor.batch_size

    def __call__(self, images):
        """Return one `Found` for each image (uint8 [H, W, 3], RGB)."""
        if self._scored is not self._trained:
            for mine, theirs in zip(
                self._scored.weights, self._trained.weights, strict=True
            ):
                mine.assign(theirs)
        return self._predictor(images)
