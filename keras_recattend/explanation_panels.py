"""The panels of a step: where it looked, what it saw, what it drew."""

import cv2
import numpy as np
from PIL import Image

from keras_recattend.panels import centred
from keras_recattend.visualize import colour_of, overlay

__all__ = ["panel_names", "step_colour", "step_panels", "view_of"]

LEAST_SIDE = 24  # of a panel of a very long picture, in pixels
FAINT = (140, 140, 140)  # what is not in the result
DIM = 0.4  # brightness of what a panel is not about
INSIDE = 0.5  # a pixel above it is the segment's


def panel_names(explanation):
    """Return the names of a step's panels, in order."""
    names = ["attention", "heat map", "box", "segment", "all so far"]
    if explanation.heat is None:
        names.remove("heat map")
    return names


def step_panels(explanation, step, view):
    """Return {name: picture} of one step.

    Args:
        explanation: an `Explanation`. step: from 0.
        view: from `view_of`; all panels have its size.
    """
    size = view.shape[:2]
    masks = [cv2.resize(mask, size[::-1]) for mask in explanation.masks[: step + 1]]
    glimpses = explanation.attention[step]
    if explanation.heat is not None:
        glimpses = glimpses[:-1]
    attention = glimpses.mean(axis=0)
    panels = {"attention": _glow(view, attention / max(attention.max(), 1e-12))}
    if explanation.heat is not None:
        panels["attention"] = _marked(panels["attention"], explanation.attention[step])
        panels["heat map"] = _glow(view, explanation.heat[step])
    panels["box"] = _box_panel(explanation, view, masks, step)
    panels["segment"] = _segment_panel(explanation, step, size)
    panels["all so far"] = _objects_panel(explanation, view, masks)
    return panels


def view_of(explanation, longest):
    """Return what the network saw, uint8 [h, w, 3], its longer side `longest`."""
    window = explanation.window
    scale = longest / max(window.height, window.width)
    size = (
        max(LEAST_SIDE, round(window.height * scale)),
        max(LEAST_SIDE, round(window.width * scale)),
    )
    low = np.array([window.top, window.left])
    return _cropped(explanation.image, low, low + (window.height, window.width), size)


def _cropped(values, low, high, size):
    """Return values [H, W, ...] from edge `low` to edge `high`, as (h, w) = `size`.

    Args:
        values: uint8 [H, W, 3], or float32 [H, W].
        low, high: (y, x) in pixels, (0, 0) being the outer edge of the first pixel;
            what lies outside is black.
    """
    picture = np.zeros((*size, *values.shape[2:]), values.dtype)
    start, stop = np.maximum(low, 0), np.minimum(high, values.shape[:2])
    if (stop <= start).any():
        return picture
    scale = np.array(size) / (high - low)
    top, left = np.rint((start - low) * scale).astype(int)
    bottom, right = np.rint((stop - low) * scale).astype(int)
    inner = max(bottom - top, 1), max(right - left, 1)
    first, last = np.floor(start).astype(int), np.ceil(stop).astype(int)
    part = np.ascontiguousarray(values[first[0] : last[0], first[1] : last[1]])
    (y0, x0), (y1, x1) = start - first, stop - first
    shown = Image.fromarray(part).resize(
        inner[::-1], Image.Resampling.BICUBIC, box=(x0, y0, x1, y1)
    )
    place = picture[top : top + inner[0], left : left + inner[1]]
    place[:] = np.asarray(shown)[: place.shape[0], : place.shape[1]]
    return picture


def _grey(picture):
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return np.repeat(grey[..., np.newaxis], 3, axis=2)


def _glow(view, values):
    """Lay values [h', w'] in [0, 1] over the darkened picture, black to yellow."""
    values = cv2.resize(np.float32(values), view.shape[1::-1])
    values = np.clip(values, 0.0, 1.0)
    colours = cv2.applyColorMap(np.uint8(255 * values), cv2.COLORMAP_INFERNO)
    # A faint value must still be seen.
    alpha = np.sqrt(values)[..., np.newaxis]
    mixed = alpha * colours[..., ::-1] + (1.0 - alpha) * DIM * _grey(view)
    return np.uint8(np.rint(mixed))


def _marked(picture, reads):
    """Ring the cell that the last read attends to most."""
    place = np.unravel_index(reads[-1].argmax(), reads[-1].shape)
    scale = np.array(picture.shape[:2]) / reads[-1].shape
    y, x = np.rint((np.array(place) + 0.5) * scale - 0.5).astype(int).tolist()
    picture = np.ascontiguousarray(picture)
    radius = max(4, round(0.045 * max(picture.shape[:2])))
    cv2.circle(picture, (x, y), radius, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.circle(picture, (x, y), radius, (255, 255, 255), 1, cv2.LINE_AA)
    return picture


def step_colour(explanation, step):
    """Return the RGB of the object of a step; grey where it is not in the result."""
    number = int(explanation.objects[step])
    return colour_of(number) if number else FAINT


def _box_panel(explanation, view, masks, step):
    """What the patch shows, over the canvas as the step found it."""
    canvas = np.zeros(view.shape[:2], np.float32)
    for mask in masks[:-1]:
        canvas = np.maximum(canvas, mask)
    shade = 1.0 - (1.0 - DIM) * canvas[..., np.newaxis]
    picture = np.uint8(np.rint(view * shade))
    low, high = _edges(explanation, step)
    scale = np.array(view.shape[:2]) / explanation.window.input_size
    corners = np.rint(np.stack([low, high]) * scale).astype(int)
    (top, left), (bottom, right) = corners.tolist()
    for colour, thickness in (((0, 0, 0), 4), (step_colour(explanation, step), 2)):
        cv2.rectangle(picture, (left, top), (right - 1, bottom - 1), colour, thickness)
    return picture


def _segment_panel(explanation, step, size):
    """The patch, enlarged, with its segment."""
    low, high = _edges(explanation, step)
    window = explanation.window
    scale = np.array([window.height, window.width]) / window.input_size
    corner = np.array([window.top, window.left])
    # The patch keeps its aspect.
    extent = (high - low) * scale
    shown = np.maximum(
        LEAST_SIDE, np.rint(extent * min(np.array(size) / extent))
    ).astype(int)
    shown = np.minimum(shown, size)
    patch = _cropped(
        explanation.image, low * scale + corner, high * scale + corner, tuple(shown)
    )
    mask = _cropped(explanation.masks[step], low, high, tuple(shown))
    colour = step_colour(explanation, step)
    light = np.where((mask > INSIDE)[..., np.newaxis], 1.0, DIM)
    picture = np.uint8(np.rint(patch * light))
    _outline(picture, mask > INSIDE, colour, 2)
    return centred(picture, *size)


def _objects_panel(explanation, view, masks):
    """All segments of the result so far; those that were dropped as outlines."""
    labels = np.zeros(view.shape[:2], np.int64)
    best = np.full(view.shape[:2], INSIDE, np.float32)
    for step, mask in enumerate(masks):
        number = int(explanation.objects[step])
        if number:
            labels = np.where(mask > best, number, labels)
            best = np.maximum(best, mask)
    picture = overlay(view, labels, min_height=None)
    for step, mask in enumerate(masks):
        passed = explanation.scores[step] >= explanation.threshold
        if passed and not explanation.objects[step]:
            _outline(picture, mask > INSIDE, FAINT, 1)
    return picture


def _outline(picture, inside, colour, thickness):
    contours, _ = cv2.findContours(
        np.uint8(inside), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    cv2.drawContours(picture, contours, -1, colour, thickness, cv2.LINE_AA)


def _edges(explanation, step):
    """The outer edges (low, high) of what the patch showed, in the network's pixels.

    A network that has learnt little may ask for a patch of no size, or of a size far
    beyond the image: what is drawn of it is bounded.
    """
    window = explanation.window
    extent = np.array(window.input_size)
    scale = np.array([window.height, window.width]) / extent
    corner = np.array([window.top, window.left])
    box = np.nan_to_num(explanation.boxes[step].reshape(2, 2).astype(np.float64))
    low, high = (box + 0.5 - corner) / scale
    low, high = np.clip(low, -extent, 2 * extent), np.clip(high, -extent, 2 * extent)
    return low, np.maximum(high, low + 1.0)
