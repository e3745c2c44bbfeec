"""From the network's patches or masks to a label map at the image's own size."""

import typing

import cv2
import numpy as np
from scipy import ndimage

from keras_recattend.layers.gaussian import LEAST_DEVIATION

__all__ = [
    "Found",
    "Window",
    "collected",
    "label_map_of_masks",
    "label_map_of_patches",
    "upsampled",
    "within_foreground",
]

# The authors' bilateral filter on upsampled masks.
BILATERAL = {"d": 5, "sigmaColor": 10, "sigmaSpace": 10}
# An object that keeps less than this of its own mask was found twice.
LEAST_KEPT = 0.3


class Window(typing.NamedTuple):
    """Where the network's input lies in the original image, in its pixels.

    Attributes:
        top, left: the corner. height, width: the extent that was resized to the input.
        input_size: (H, W) of the network's input.
    """

    top: float
    left: float
    height: float
    width: float
    input_size: tuple[int, int]

    @classmethod
    def whole(cls, shape, input_size):
        """The window that is the whole image of this shape."""
        return cls(0.0, 0.0, float(shape[0]), float(shape[1]), tuple(input_size))

    def on_whole_pixels(self):
        """The least window on whole pixels that has all of this one."""
        top, left = np.floor([self.top, self.left])
        low = np.ceil([self.top + self.height, self.left + self.width])
        return self._replace(
            top=float(top),
            left=float(left),
            height=float(low[0] - top),
            width=float(low[1] - left),
        )

    def to_image(self, boxes):
        """Map boxes [T, 4] (y0, x0, y1, x1) from input pixels to image pixels."""
        scale = np.array([self.height, self.width]) / self.input_size
        corner = np.array([self.top, self.left])
        # Pixel a covers a - 1/2 to a + 1/2: centres align only with the half added.
        points = (boxes.reshape(-1, 2, 2) + 0.5) * scale + corner - 0.5
        return points.reshape(-1, 4)


class Found(typing.NamedTuple):
    """Objects of one image.

    Attributes:
        labels: uint16 [H, W], 0 = background, 1..n in the order they were found.
        scores: float32 [n].
        boxes: float32 [n, 4], (y0, x0, y1, x1): the least and greatest pixel of each
            object, both inclusive.
        foreground: float32 [h, w] of the network's input, the foreground probability
            of the pre-processing network, or None without one.
        semantic: float32 [h, w, K], the probabilities of background and classes, or
            None where that network has no classes.
        steps: int [n], the network's step (from 0) that found each object, -1 where
            only other views of the image had it, or None where there were no steps.
    """

    labels: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray
    foreground: np.ndarray | None = None
    semantic: np.ndarray | None = None
    steps: np.ndarray | None = None

    @property
    def count(self):
        """The number of objects."""
        return len(self.scores)


def label_map_of_patches(
    patches,
    boxes,
    scores,
    shape,
    threshold=0.5,
    min_area=0,
    least_kept=LEAST_KEPT,
):
    """Paste patches straight into an image of any size (`filters="normalized"`).

    A mask scaled up from the network's resolution would lose the fine edges.

    Args:
        patches: [T, h, w] probabilities.
        boxes: [T, 4] what they show, in the image's pixels.
        scores: [T]; steps with 0 are not used.
        shape: (H, W) of the image.
        threshold: a pixel belongs to an object above it.
        min_area: objects with fewer pixels are dropped.
        least_kept: as for `label_map_of_masks`.

    Returns:
        A `Found`.
    """
    best = np.zeros(shape, np.float32)
    labels = np.zeros(shape, np.uint16)
    own_area = np.zeros(len(scores))
    for t in np.flatnonzero(np.asarray(scores) > 0):
        (rows, write_y), (columns, write_x) = (
            _write_filter(boxes[t, axis], boxes[t, axis + 2], length, extent)
            for axis, (length, extent) in enumerate(
                zip(patches.shape[1:], shape, strict=True)
            )
        )
        mask = write_y @ patches[t] @ write_x.T
        inside = mask > threshold
        own_area[t] = inside.sum()
        known = best[rows, columns]
        take = inside & (mask > known)
        labels[rows, columns][take] = t + 1
        known[take] = mask[take]
    return collected(labels, scores, least_kept * own_area, min_area)


def label_map_of_masks(
    masks,
    scores,
    shape,
    threshold,
    min_area=0,
    bilateral=False,
    least_kept=LEAST_KEPT,
    weighted=True,
):
    """The authors' way: weigh masks by score, scale them up, one label a pixel.

    A pixel goes to the step with the greatest value there (the first of equal ones), if
    that is above the threshold.

    Args:
        masks: [T, H, W] at the network's resolution. Others: see
            `label_map_of_patches`.
        bilateral: smooth with the authors' bilateral filter.
        least_kept: an object that keeps a smaller share of its own mask was found
            twice and is dropped (0: none is, as with the authors).
        weighted: False takes the masks as they are, where the score has decided
            already which there are.

    Returns:
        A `Found`.
    """
    best = np.full(shape, threshold, np.float32)
    labels = np.zeros(shape, np.uint16)
    own_area = np.zeros(len(scores))
    for t in np.flatnonzero(np.asarray(scores) > 0):
        weight = scores[t] if weighted else 1.0
        mask = upsampled(masks[t] * weight, shape, bilateral)
        own_area[t] = (mask > threshold).sum()
        take = mask > best
        labels[take] = t + 1
        best[take] = mask[take]
    return collected(labels, scores, least_kept * own_area, min_area)


def upsampled(mask, shape, bilateral=False):
    """Scale a mask up as the authors do: OpenCV's bilinear, then a bilateral filter.

    Args:
        mask: [h, w], at the network's resolution.
        shape: (H, W) of the image.
        bilateral: whether to smooth (diameter 5, both sigmas 10).

    Returns:
        float32 [H, W].
    """
    mask = cv2.resize(np.float32(mask), (shape[1], shape[0]))
    return cv2.bilateralFilter(mask, **BILATERAL) if bilateral else mask


def within_foreground(found, threshold, dilation=0, min_area=0):
    """Take from the objects all pixels that the foreground lacks (authors, KITTI).

    Args:
        found: a `Found` with its `foreground`.
        threshold: the foreground is where its probability is above this.
        dilation: side of the square by which that area grows first, in pixels.
        min_area: objects with fewer pixels left are dropped.

    Returns:
        A `Found` with the same maps.
    """
    probability = cv2.resize(found.foreground, found.labels.shape[::-1])
    mask = np.uint8(probability > threshold)
    if dilation:
        mask = cv2.dilate(mask, np.ones((dilation, dilation), np.uint8))
    labels = np.where(mask > 0, found.labels, 0)
    kept = collected(labels, found.scores, np.zeros(found.count), min_area)
    steps = None if found.steps is None else found.steps[kept.steps]
    return kept._replace(
        foreground=found.foreground, semantic=found.semantic, steps=steps
    )


def _write_filter(low, high, length, extent):
    """One axis' write filter for the image's pixels inside the box (gaussian.py)."""
    first = int(np.clip(np.ceil(low), 0, extent))
    last = int(np.clip(np.floor(high) + 1, first, extent))
    size, center = high - low, (low + high) / 2
    means = center + size / length * (np.arange(length) - (length - 1) / 2)
    deviation = max(0.5 * size / length, LEAST_DEVIATION)
    distance = (np.arange(first, last)[:, np.newaxis] - means) / deviation
    value = np.exp(-0.5 * distance**2)
    value /= np.maximum(value.sum(axis=1, keepdims=True), 1e-6)
    return slice(first, last), value.astype(np.float32)


def collected(labels, scores, least_area, min_area):
    """Drop objects below either area (each its own, and all) and number the rest.

    Args:
        labels: uint16 [H, W] of objects 1 to n. scores: [n]. least_area: [n].

    Returns:
        A `Found`; its `steps` are the numbers, from 0, of the objects that were kept.
    """
    area = np.bincount(labels.ravel(), minlength=len(scores) + 1)[1:]
    least = np.maximum(max(min_area, 1), least_area)
    kept = np.flatnonzero(area >= least)
    table = np.zeros(len(scores) + 1, np.uint16)
    table[kept + 1] = np.arange(1, len(kept) + 1)
    labels = table[labels]
    boxes = np.zeros((len(kept), 4), np.float32)
    for i, (rows, columns) in enumerate(ndimage.find_objects(labels)):
        boxes[i] = rows.start, columns.start, rows.stop - 1, columns.stop - 1
    return Found(labels, np.asarray(scores, np.float32)[kept], boxes, steps=kept)
