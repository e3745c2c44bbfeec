"""How a few validation images are taken apart, for TensorBoard: step by step."""

import dataclasses
import itertools

from keras_recattend.explanation import explain
from keras_recattend.explanation_pictures import figure
from keras_recattend.prediction import Predictor

__all__ = ["TrainingPictures"]

PANEL = 112  # pixels: every scored epoch keeps its own pictures


class TrainingPictures:
    """Draws what the model does with some images, whenever it is called.

    One look at the whole image, without the closer second one: it would show another
    part every time.

    Args:
        model: a `RecurrentAttention`.
        examples: objects with `name` and `image` (uint8 [H, W, 3]).
        count: how many of them, the first ones.
    """

    def __init__(self, model, examples, count):
        inference = dataclasses.replace(model.config.inference, zoom=1.0)
        self._predictor = Predictor(model, inference)
        self._examples = list(itertools.islice(examples, count))

    def __call__(self):
        """Yield (name, picture uint8 [h, w, 3]) for each image."""
        for example in self._examples:
            (explanation,) = explain(self._predictor, [example.image])
            yield example.name, figure(explanation, PANEL)
