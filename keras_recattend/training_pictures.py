"""What the model makes of a few validation images, for TensorBoard."""

import dataclasses
import itertools

import cv2
import tensorflow as tf

from keras_recattend.explanation import explain
from keras_recattend.explanation_pictures import figure
from keras_recattend.map_pictures import maps_figure, true_maps
from keras_recattend.postprocess import Window
from keras_recattend.prediction import Predictor, network_input

__all__ = ["MapPictures", "StepPictures"]

# Pixels: every scored epoch keeps its own pictures.
PANEL = 112  # of a step
MAP_PANEL = 224


class StepPictures:
    """Takes some images apart, step by step, whenever it is called.

    One look at the whole image, without the closer second one: it would show another
    part every time.

    Args:
        model: a `RecurrentAttention`.
        examples: objects with `name` and `image` (uint8 [H, W, 3]).
        count: how many of them, the first ones.
    """

    kind = "steps"

    def __init__(self, model, examples, count):
        inference = dataclasses.replace(model.config.inference, zoom=1.0)
        self._predictor = Predictor(model, inference)
        self._examples = list(itertools.islice(examples, count))

    def __call__(self):
        """Yield (name, picture uint8 [h, w, 3]) for each image."""
        for example in self._examples:
            (explanation,) = explain(self._predictor, [example.image])
            yield example.name, figure(explanation, PANEL)


class MapPictures:
    """Draws the pre-processing network's maps of some images, and the true ones.

    Args:
        model: a `RecurrentAttention` that has such a network.
        examples: objects with `name`, `image` (uint8 [H, W, 3]) and `labels` [H, W].
        count: how many of them, the first ones.
    """

    kind = "maps"

    def __init__(self, model, examples, count):
        self._model = model
        self._examples = list(itertools.islice(examples, count))

    def __call__(self):
        """Yield (name, picture uint8 [h, w, 3]) for each image."""
        for example in self._examples:
            yield example.name, self._picture(example.image, example.labels)

    def _picture(self, image, labels):
        window = Window.whole(image.shape, self._model.config.image_size)
        maps = self._model.maps(tf.constant(network_input(image, window)[None]))
        found = maps.foreground[0].numpy(), maps.angles[0].numpy()
        scale = MAP_PANEL / max(labels.shape)
        size = [max(1, round(scale * extent)) for extent in labels.shape]
        view = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)
        return maps_figure(view, found, true_maps(labels))
