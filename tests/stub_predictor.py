"""In place of a network: rectangles where a picture's own colours say so."""

import numpy as np

from keras_recattend.postprocess import Found


def found(labels, scores):
    """A `Found` from a label map whose ids are 1 to n."""
    labels = np.asarray(labels, np.uint16)
    places = [np.nonzero(labels == i + 1) for i in range(len(scores))]
    boxes = [(y.min(), x.min(), y.max(), x.max()) for y, x in places]
    return Found(
        labels,
        np.float32(scores),
        np.float32(boxes).reshape(-1, 4),
    )


class Stub:
    """Finds red (object 1) and green (object 2) pixels. Remembers its batches."""

    def __init__(self, batch_size=4):
        self.batch_size = batch_size
        self.batches = []

    def __call__(self, images):
        self.batches.append(len(images))
        return [self._one(image) for image in images]

    @staticmethod
    def _one(image):
        assert image.dtype == np.uint8
        red, green = image[..., 0], image[..., 1]
        masks = [red > 128, (green > 128) & (red <= 128)]
        masks = [mask for mask in masks if mask.any()]
        labels = np.zeros(image.shape[:2], np.uint16)
        for i, mask in enumerate(masks):
            labels[mask] = i + 1
        return found(labels, [0.9, 0.6][: len(masks)])


def picture(height=24, width=32, red=(2, 3, 8, 9), green=(12, 20, 21, 29)):
    """Blue with a red and a green rectangle: (top, left, bottom, right), inclusive."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 2] = 60  # without, one that is empty would be grey
    for channel, place in enumerate((red, green)):
        if place:
            top, left, bottom, right = place
            image[top : bottom + 1, left : right + 1, channel] = 255
    return image
