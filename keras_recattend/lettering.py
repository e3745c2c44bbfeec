"""Text in pictures that looks alike under every version of OpenCV."""

import functools
import math

import cv2
import numpy as np

__all__ = ["INK", "text_size", "text_width", "write_text"]

FONT = cv2.FONT_HERSHEY_SIMPLEX
INK = (32, 32, 32)
HALO = (16, 16, 16)


def text_size(rows):
    """Return the height of a digit, in pixels, that suits a picture of `rows` rows."""
    return float(np.clip(rows / 32, 10, 40))


def write_text(picture, text, place, size, *, anchor="left", halo=False):
    """Write text with digits `size` pixels high, in place; (x, y) is on its baseline.

    Args:
        picture: uint8 [h, w, 3], RGB.
        place: (x, y) in pixels. anchor: what it is of the text, "left", "centre" or
            "right".
        halo: white with a dark surround, for photographs.

    Drawn through a mask: OpenCV 4 and 5 have different fonts behind the same constants,
    and only a mask's own extent and dilation centre and surround both alike.
    """
    mask, ascent = _text_mask(text, size)
    edge = max(1, round(size / 8)) if halo else 0
    mask = np.pad(mask, edge)
    height, width = mask.shape
    x, y = place
    x -= {"left": 0, "centre": width / 2, "right": width}[anchor]
    # Numbers stay inside the picture, whatever hugs its edge.
    x = min(max(round(x), 0), picture.shape[1] - width)
    y = min(max(round(y) - ascent - edge, 0), picture.shape[0] - height)
    if x < 0 or y < 0:
        return  # the picture is smaller than the text
    target = picture[y : y + height, x : x + width]
    layers = [(mask, (255, 255, 255) if halo else INK)]
    if halo:
        kernel = cv2.getStructuringElement(
            cv2.MORPH_ELLIPSE, (2 * edge + 1, 2 * edge + 1)
        )
        layers.insert(0, (cv2.dilate(mask, kernel), HALO))
    for layer, colour in layers:
        alpha = layer[..., None].astype(np.float32) / 255.0
        target[:] = np.rint(target * (1 - alpha) + np.float32(colour) * alpha)


@functools.lru_cache(maxsize=1024)
def _text_mask(text, size):
    """Return the text's coverage, uint8, and how many of its rows lie above the base.

    The rows span a digit's height and whatever hangs below it.
    """
    scale = size / _digit_height()
    thickness = max(1, round(size / 8))
    (width, _), _ = cv2.getTextSize(text, FONT, scale, thickness)
    margin = math.ceil(size)
    mask = np.zeros((4 * margin, width + 2 * margin), np.uint8)
    base = (margin, 3 * margin)
    cv2.putText(mask, text, base, FONT, scale, 255, thickness, cv2.LINE_AA)
    left, top, width, height = cv2.boundingRect(mask)
    mask = mask[top : top + height, left : left + width]
    return mask, base[1] - top


@functools.cache
def _digit_height():
    """Return the height of a digit at font scale 1, in pixels."""
    mask = np.zeros((400, 400), np.uint8)
    cv2.putText(mask, "0", (100, 300), FONT, 5, 255, 1, cv2.LINE_AA)
    return cv2.boundingRect(mask)[3] / 5


def text_width(text, size):
    """Return the width in pixels of a text with digits `size` pixels high."""
    return _text_mask(text, size)[0].shape[1]
