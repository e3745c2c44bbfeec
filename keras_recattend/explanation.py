"""What the network did at every step of a picture: the paper's Figure 1, as arrays."""

import dataclasses
import os
from pathlib import Path

import numpy as np

from keras_recattend.explanation_pictures import animation, encoded_gif, figure
from keras_recattend.png import encoded_png
from keras_recattend.postprocess import Found, Window
from keras_recattend.whole_files import write_atomically

__all__ = ["Explanation", "explain"]


@dataclasses.dataclass(frozen=True, eq=False)
class Explanation:
    """The S steps behind one result.

    The last one's score ended the sequence, or there were no more steps.
    Where the preset looks twice (`inference.zoom`), these are the steps of the second,
    closer look, if there was one: the pass that made the result. Where it looks at
    several views (`inference.views`), they are those of the image as it is, and the
    result is what all views agree on: it may have objects that none of these steps has.

    Where the masks are drawn anew at the end (`inference.revisions`), boxes and masks
    are those that the steps had drawn, and the label map has the new ones.

    Attributes:
        image: uint8 [H, W, 3], RGB.
        found: the result, a `Found`: label map, scores and boxes of the objects.
        window: the `Window` of the image that the network saw, h x w pixels to it.
        attention: float32 [S, R, h', w'], where each glimpse looked; each adds up to 1.
            With a heat map, the last of the R reads is the place of the box.
        heat: float32 [S, h', w'], the heat map: the probability of each cell that it is
            the centre of an object not yet found. None where the model has none.
        boxes: float32 [S, 4], (y0, x0, y1, x1) of what the patch showed, in the image's
            pixels; it may reach beyond the image.
        masks: float32 [S, h, w] in [0, 1], the segments, over the window.
        scores: float32 [S], from 0 to 1.
        threshold: a score below it ended the sequence; 0 where none does.
        objects: int [S], the number of each step's object in the label map; 0 = none:
            the score was too low, or the object was dropped (too small, found before,
            or not in most of the views).
        foreground: float32 [h, w], what the pre-processing network said of the window
            before the first step, a probability. None where the model has no such
            network.
        angles: float32 [h, w, 8], its probabilities of the directions from the object's
            centroid (left, up and left, up, ...), without channels where it says none.
    """

    image: np.ndarray
    found: Found
    window: Window
    attention: np.ndarray
    heat: np.ndarray | None
    boxes: np.ndarray
    masks: np.ndarray
    scores: np.ndarray
    threshold: float
    objects: np.ndarray
    foreground: np.ndarray | None = None
    angles: np.ndarray | None = None

    def __repr__(self):
        height, width = self.labels.shape
        return (
            f"Explanation({len(self.scores)} steps, {self.count} objects in {width} x "
            f"{height} pixels)"
        )

    @property
    def labels(self):
        """The result's label map, uint16 [H, W], 0 = background."""
        return self.found.labels

    @property
    def count(self):
        """The number of objects in the result."""
        return self.found.count

    @property
    def enlarged(self):
        """How much closer than the whole image the network looked, 1 or more."""
        return self.image.shape[0] / self.window.height

    def plot(self, path=None):
        """Draw all steps below one another.

        Args:
            path: a PNG file to write, besides.

        Returns:
            uint8 [h, w, 3], RGB.

        Raises:
            ValueError: the path is no PNG's.
        """
        _check_suffix(path, ".png", "picture is a PNG")
        picture = figure(self)
        if path is not None:
            write_atomically(path, encoded_png(picture))
        return picture

    def animate(self, path=None):
        """Draw one frame a step.

        Args:
            path: an animated GIF to write, besides.

        Returns:
            A list of uint8 [h, w, 3], RGB.

        Raises:
            ValueError: the path is no GIF's.
        """
        _check_suffix(path, ".gif", "animation is a GIF")
        frames = animation(self)
        if path is not None:
            write_atomically(path, encoded_gif(frames))
        return frames


def explain(predictor, images):
    """Return the `Explanation` of each image's result.

    Args:
        predictor: a `Predictor`.
        images: list of uint8 [H, W, 3], RGB, of any size.
    """
    looks = predictor.watch(images)
    grid, settings = predictor.model.grid, predictor.inference
    return [
        _explanation(image, look, grid, settings)
        for image, look in zip(images, looks, strict=True)
    ]


def _explanation(image, look, grid, settings):
    outputs = look.outputs
    low = np.flatnonzero(outputs["scores"] < settings.score_threshold)
    steps = len(outputs["scores"])
    if settings.stop and len(low):
        steps = int(low[0]) + 1
    # Masks drawn anew come from another graph, whose scores may be rounded otherwise.
    steps = max(steps, 1 + look.found.steps.max(initial=-1))
    objects = np.zeros(steps, np.int64)
    seen = look.found.steps >= 0
    objects[look.found.steps[seen]] = np.flatnonzero(seen) + 1
    heat = outputs.get("heat")
    return Explanation(
        image=image,
        found=look.found,
        window=look.window,
        attention=outputs["attention"][:steps].reshape(steps, -1, *grid),
        heat=None if heat is None else heat[:steps].reshape(steps, *grid),
        boxes=np.float32(look.window.to_image(outputs["boxes"][:steps])),
        masks=outputs["masks"][:steps],
        scores=outputs["scores"][:steps],
        threshold=settings.score_threshold if settings.stop else 0.0,
        objects=objects,
        foreground=outputs.get("foreground"),
        angles=outputs.get("angles"),
    )


def _check_suffix(path, suffix, what):
    if path is not None and Path(path).suffix.lower() != suffix:
        raise ValueError(f"The {what}; name it so: got {os.fspath(path)!r}.")
