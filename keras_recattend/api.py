"""Weights in one line, objects of a picture in another."""

import os
from pathlib import Path

import numpy as np
from PIL import Image

from keras_recattend.errors import UserError
from keras_recattend.explanation import explain
from keras_recattend.image_files import as_rgb, as_shown, read_image
from keras_recattend.model import RecurrentAttention
from keras_recattend.png import encoded_png
from keras_recattend.prediction import Predictor
from keras_recattend.regions import regions_of
from keras_recattend.result_pictures import picture_of
from keras_recattend.shipped_weights import find_weights
from keras_recattend.whole_files import write_atomically

__all__ = ["Result", "Segmenter", "load"]


class Result:
    """The objects of one picture.

    Attributes:
        image: uint8 [H, W, 3], RGB, as it was segmented.
        labels: uint16 [H, W], 0 = background, 1..n in the order they were found.
        count: n.
        scores: float32 [n], from 0 to 1.
        boxes: float32 [n, 4], (y0, x0, y1, x1): first and last row and column of each
            object, both inclusive, in pixels.
    """

    def __init__(self, image, found):
        self.image = image
        self.labels = found.labels
        self.count = found.count
        self.scores = found.scores
        self.boxes = found.boxes

    def __repr__(self):
        height, width = self.labels.shape
        return f"Result({self.count} objects in {width} x {height} pixels)"

    def regions(self):
        """Return a `Region` (id, area, box, centroid, score) for each object."""
        return regions_of(self.labels, self.scores)

    def plot(self, path=None, longest=1600):
        """Draw the objects over the picture, with outlines and numbers.

        Args:
            path: a PNG file to write, besides.
            longest: side in pixels; larger pictures are reduced to it.

        Returns:
            uint8 [h, w, 3], RGB.

        Raises:
            ValueError: the path is no PNG's.
        """
        if path is not None and Path(path).suffix.lower() != ".png":
            raise ValueError(f"The picture is a PNG; name it so: got {str(path)!r}.")
        picture = picture_of(self.image, self.labels, longest)
        if path is not None:
            write_atomically(path, encoded_png(picture))
        return picture


class Segmenter:
    """A model with its weights, ready for pictures. `load` makes it.

    Attributes:
        model: the `RecurrentAttention`, a keras.Model.
        weights: path of its file of weights.
        predictor: the `Predictor` that is asked.
    """

    def __init__(self, model, weights, predictor):
        self.model = model
        self.weights = weights
        self.predictor = predictor

    def segment(self, images):
        """Find the objects of a picture, or of each picture of a list.

        Args:
            images: uint8 [H, W, 3] RGB or [H, W] grey, of any size; or the path of a
                picture, or Pillow's image of it; or a list of these. For thousands of
                files, `predict.py` keeps only a batch in memory.

        Returns:
            A `Result`, or a list of them.

        Raises:
            ImageError: a file cannot be read, or an array is no picture.
        """
        if not isinstance(images, list | tuple):
            return self.segment([images])[0]
        images = [_picture(image) for image in images]
        found = self.predictor(images)
        return [Result(*pair) for pair in zip(images, found, strict=True)]

    def explain(self, images):
        """Segment a picture, or each picture of a list, and keep every step.

        Args:
            images: as for `segment`.

        Returns:
            An `Explanation`, or a list of them: attention, boxes, segments and scores
            of all steps; `.plot(path)` and `.animate(path)` draw them.

        Raises:
            ImageError: a file cannot be read, or an array is no picture.
        """
        if not isinstance(images, list | tuple):
            return self.explain([images])[0]
        return explain(self.predictor, [_picture(image) for image in images])


def load(weights, batch_size=8, **inference):
    """Return a `Segmenter`; see `keras_recattend.load`."""
    folder = find_weights(weights)
    config, _ = folder.read()
    config = config.replace(inference=inference)
    if "score_threshold" in inference and not config.inference.stop:
        raise UserError(
            f"{weights} draws all its steps whatever their score (inference.stop is "
            "false, as in the paper's experiments): there is no score_threshold."
        )
    model = RecurrentAttention(config)
    file = folder.load_weights(model)
    return Segmenter(model, file, Predictor(model, batch_size=batch_size))


def _picture(image):
    if isinstance(image, str | os.PathLike):
        return read_image(image)
    if isinstance(image, Image.Image):
        return as_shown(image)
    return as_rgb(np.asarray(image))
