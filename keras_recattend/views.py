"""An image flipped and turned: the eight ways to see a square."""

import typing

import numpy as np

__all__ = ["VIEWS", "View"]


class View(typing.NamedTuple):
    """One way to see an image.

    Attributes:
        mirrored: whether left and right are exchanged, before it is turned.
        turns: quarter turns to the left.
    """

    mirrored: bool
    turns: int

    def of(self, image):
        """Return an array [H, W, ...] as it is seen; odd turns exchange H and W."""
        image = image[:, ::-1] if self.mirrored else image
        return np.ascontiguousarray(np.rot90(image, self.turns))

    def back(self, seen):
        """Return what was seen as it was."""
        image = np.rot90(seen, -self.turns)
        return np.ascontiguousarray(image[:, ::-1] if self.mirrored else image)

    def window(self, window, shape):
        """Return where a `Window` of an image of this shape (H, W) lies as it is seen.

        Its `input_size` stays: quarter turns are for inputs that are square.
        """
        (height, width), top, left = shape, window.top, window.left
        size = window.height, window.width
        if self.mirrored:
            left = width - left - size[1]
        for _ in range(self.turns):
            # What was on the right is above, and what was above on the left.
            top, left = width - left - size[1], top
            height, width, size = width, height, size[::-1]
        return window._replace(top=top, left=left, height=size[0], width=size[1])


# The image as it is, its mirror image, both upside down, and all four on their sides.
VIEWS = tuple(
    View(mirrored, turns) for turns in (0, 2, 1, 3) for mirrored in (False, True)
)
