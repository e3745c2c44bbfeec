"""Panels of a figure: captions, paper round them, margins between."""

import cv2
import numpy as np

from keras_recattend.lettering import write_text
from keras_recattend.visualize import PAPER

__all__ = ["GAP", "TEXT", "caption", "centred", "indented", "margined"]

# Pixels.
GAP = 8
TEXT = 11  # height of a digit


def caption(text, width):
    """Return a line of text, to stand above a panel."""
    picture = np.full((round(2.4 * TEXT), width, 3), PAPER[0], np.uint8)
    write_text(picture, text, (0, round(1.7 * TEXT)), TEXT)
    return picture


def centred(picture, height, width=None):
    """Return the picture in the middle of paper of this size; None = its own width."""
    below = height - picture.shape[0]
    beside = (width or picture.shape[1]) - picture.shape[1]
    top, left = below // 2, beside // 2
    return _on_paper(picture, top, below - top, left, beside - left)


def margined(cell):
    """Return the cell with a gap below it and on its right."""
    return _on_paper(cell, 0, GAP, 0, GAP)


def indented(picture, margin):
    """Return the picture with a margin on its left."""
    return _on_paper(picture, 0, 0, margin, 0)


def _on_paper(picture, top, bottom, left, right):
    return cv2.copyMakeBorder(
        picture, top, bottom, left, right, cv2.BORDER_CONSTANT, value=PAPER
    )
