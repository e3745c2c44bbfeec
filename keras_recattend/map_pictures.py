"""Pictures of what a pre-processing network says: foreground and angles."""

import colorsys

import cv2
import numpy as np

from keras_recattend.angles import ANGLES, angle_classes, direction_classes
from keras_recattend.panels import caption, centred, margined
from keras_recattend.visualize import PAPER

__all__ = ["direction_wheel", "map_panels", "maps_figure", "true_maps"]

DIRECTIONS = "side of centroid"
# RGB in [0, 1]: hues at equal distances.
COLOURS = np.array([colorsys.hsv_to_rgb(i / ANGLES, 1.0, 1.0) for i in range(ANGLES)])


def map_panels(foreground, angles, size):
    """Return {name: picture uint8 [h, w, 3]} of one image's maps.

    Args:
        foreground: float32 [H, W], probability.
        angles: float32 [H, W, 8], probabilities; without channels, as of a network
            that says no angles, there is no picture of them.
        size: (h, w) of the pictures.

    The directions have one hue each, see `direction_wheel`, and are as bright as the
    foreground is probable.
    """
    levels = np.uint8(np.rint(255 * np.clip(foreground, 0.0, 1.0)))
    pictures = {"foreground": cv2.cvtColor(levels, cv2.COLOR_GRAY2RGB)}
    if angles.shape[-1]:
        pictures[DIRECTIONS] = _coloured(angles.argmax(axis=-1), levels)
    # By area: a map may be larger than its picture, and a class has no mean.
    return {
        name: cv2.resize(picture, size[::-1], interpolation=cv2.INTER_AREA)
        for name, picture in pictures.items()
    }


def direction_wheel(extent):
    """Return the colours of the directions, a disc on paper, uint8 [extent, extent, 3].

    A pixel of an object has the colour that the disc has on the same side of its
    centre as the pixel of the object's centroid.
    """
    offset = np.arange(extent, dtype=np.float32) - (extent - 1) / 2
    dy, dx = np.meshgrid(offset, offset, indexing="ij")
    classes = direction_classes(dy, dx).numpy()
    disc = _coloured(classes, np.full(classes.shape, 255, np.uint8))
    outside = dy**2 + dx**2 > (extent / 2) ** 2
    return np.where(outside[..., np.newaxis], np.uint8(PAPER), disc)


def maps_figure(view, found, truth):
    """Return an image's maps, and below them the true ones, uint8 [h, w, 3].

    Args:
        view: uint8 [h, w, 3], the image.
        found, truth: (foreground, angles), see `map_panels`; of the truth what was not
            found, as angles may be, is left out.
    """
    size = view.shape[:2]
    found, truth = map_panels(*found, size), map_panels(*truth, size)
    legend = np.full_like(view, PAPER[0])
    if DIRECTIONS in found:
        legend = centred(direction_wheel(min(size) // 2), *size)
    above = {"image": view} | found
    below = {"": legend} | {f"true {name}": truth[name] for name in found}
    return np.vstack([_row(above), _row(below)])


def _row(panels):
    cells = [np.vstack([caption(n, p.shape[1]), p]) for n, p in panels.items()]
    return np.hstack([margined(cell) for cell in cells])


def true_maps(labels):
    """Return what a perfect network would say, (foreground, angles), float32.

    Args:
        labels: integers [H, W], 0 = background.
    """
    most = max(1, int(labels.max(initial=0)))
    classes = angle_classes(np.int32(labels)[np.newaxis], most)[0].numpy()
    return np.float32(labels > 0), np.eye(ANGLES, dtype=np.float32)[classes]


def _coloured(classes, levels):
    """Directions [H, W] in their colours, as bright as `levels` (0 to 255)."""
    return np.uint8(np.rint(COLOURS[classes] * levels[..., np.newaxis]))
