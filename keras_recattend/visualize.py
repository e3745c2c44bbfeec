"""Pictures of label maps: overlays, truth beside prediction."""

import functools
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from keras_recattend.lettering import text_size, text_width, write_text
from keras_recattend.metrics.label_maps import OverlapTable, overlap_table
from keras_recattend.png import encoded_png
from keras_recattend.whole_files import write_atomically

__all__ = ["colour_of", "comparison", "height_within", "overlay", "reduced", "sheet"]

COLOURS = 96  # before the colours repeat
LEAF = (90, 150, 45)
FILL = 0.58  # opacity of an object's fill
LIGHTEN = 0.4  # how much paler than the fill an outline is
MIN_HEIGHT = 320  # below, numbers are hard to read and outlines hide small objects
PAPER = (255, 255, 255)


def colour_of(instance: int) -> tuple[int, int, int]:
    """Return the RGB colour of an instance id: always the same, distinct from near ids.

    Args:
        instance: the id, from 1. Colours repeat after 96 ids.

    Returns:
        Three ints from 0 to 255.
    """
    return tuple(_palette()[(instance - 1) % COLOURS].tolist())


@functools.cache
def _palette():
    """Return `[COLOURS, 3]` uint8: each colour the farthest from all those before it.

    Distance is Euclidean in CIELAB, where hues of one step (golden-ratio ones, say) are
    not: they crowd in the greens and blues. A leaf's own green is kept away from too.
    """
    steps = np.linspace(0, 1, 18, dtype=np.float32)
    rgb = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 1, 3)
    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)[:, 0]
    chroma = np.hypot(lab[:, 1], lab[:, 2])
    # Neither dark, pale nor grey: visible on a photograph, and under white digits.
    good = (lab[:, 0] > 52) & (lab[:, 0] < 90) & (chroma > 56)
    rgb, lab = rgb[good, 0], lab[good]
    chosen = [int(np.argmax(lab[:, 1]))]
    leaf = cv2.cvtColor(np.float32([[LEAF]]) / 255, cv2.COLOR_RGB2LAB)[0, 0]
    distance = np.square(lab - leaf).sum(axis=1)
    for _ in range(COLOURS - 1):
        distance = np.minimum(distance, np.square(lab - lab[chosen[-1]]).sum(axis=1))
        chosen.append(int(np.argmax(distance)))
    return np.rint(255 * rgb[chosen]).astype(np.uint8)


def overlay(
    image: np.ndarray,
    labels: np.ndarray,
    scores: Mapping[int, float] | Sequence[float] | None = None,
    numbers: bool = True,
    *,
    min_height: int | None = MIN_HEIGHT,
) -> np.ndarray:
    """Draw the instances of a label map over an image.

    Every object gets a translucent fill, an outline and, at its innermost point, its
    id. Colours depend on the id alone.

    Args:
        image: `[H, W, 3]` RGB or `[H, W]` grey; uint8, or float from 0 to 1.
        labels: `[H, W]` label map, 0 = background.
        scores: optional score of each object, written below its number where there is
            room: a mapping from id to score, or a sequence in ascending order of ids.
        numbers: whether to write the ids.
        min_height: smaller images are enlarged by the whole factor that brings them to
            this height (labels by nearest neighbour); `None` keeps the size.

    Returns:
        `[K H, K W, 3]` uint8 RGB with K = 1 for images of at least `min_height` rows.

    Raises:
        ValueError: if shapes or types do not fit.

    Example:

    >>> picture = overlay(image, result.labels)
    >>> Image.fromarray(picture).save("leaves.png")
    """
    image = _rgb(image)
    labels = _same_size("labels", labels, image)
    return _draw(image, labels, _scores_by_id(scores, labels), numbers, min_height)


def comparison(
    image: np.ndarray,
    truth: np.ndarray | None,
    prediction: np.ndarray,
    title: str | None = None,
    *,
    min_height: int | None = MIN_HEIGHT,
    longest: int | None = None,
) -> np.ndarray:
    """Draw one row: the image, the true and the predicted objects, with their counts.

    A predicted object has the colour of the true object that it matches best (greedily,
    one to one, by Dice), so that missing, split and surplus objects stand out; the
    numbers are the maps' own ids.

    Args:
        image: `[H, W, 3]` RGB or `[H, W]` grey; uint8, or float from 0 to 1.
        truth: `[H, W]` label map; None = not known, and not drawn.
        prediction: `[H, W]` label map.
        title: optional caption of the input, its file name for instance.
        min_height: as in `overlay`.
        longest: larger images are drawn reduced to this side, and smaller ones not
            enlarged beyond it; counts and score are those of the maps as they came.

    Returns:
        `[h, w, 3]` uint8 RGB.

    Raises:
        ValueError: if shapes or types do not fit.
    """
    image = _rgb(image)
    known = truth is not None
    prediction = _same_size("prediction", prediction, image)
    truth = _same_size("truth", truth, image) if known else prediction
    table = overlap_table(truth, prediction)
    if longest is not None:
        image, truth, prediction = reduced(longest, image, truth, prediction)
        min_height = height_within(longest, image, min_height)
    plain = _enlarge(image, _factor(image, min_height), cv2.INTER_CUBIC)
    true = _draw(image, truth, {}, True, min_height)
    found = _draw(image, prediction, {}, True, min_height, _matched_colours(table))
    counts = f"found {table.predicted_count}"
    score = f"SBD {100.0 * table.symmetric_best_dice():.1f}" if known else ""
    size = text_size(plain.shape[0])
    # Tall images are narrower than the longest caption.
    width = text_width(counts, size) + text_width("SBD 100.0", size) + round(size)
    width = max(width, plain.shape[1])
    gap = max(4, round(0.35 * size))
    panels = [
        _panel(plain, title or "input", "", size, width, gap),
        _panel(true, f"truth {table.true_count}", "", size, width, gap),
        _panel(found, counts, score, size, width, gap),
    ]
    row = np.hstack(panels if known else [panels[0], panels[2]])
    return cv2.copyMakeBorder(row, 0, gap, 0, gap, cv2.BORDER_CONSTANT, value=PAPER)


def reduced(longest: int, image: np.ndarray, *labels: np.ndarray) -> list[np.ndarray]:
    """Return image and label maps with no side longer than that, in pixels."""
    height, width = image.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return [image, *labels]
    size = max(1, round(width * scale)), max(1, round(height * scale))
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    # OpenCV has no labels of 64 bits, and those of 32 are exact as float64.
    nearest = [
        cv2.resize(np.float64(one), size, interpolation=cv2.INTER_NEAREST).astype(
            one.dtype
        )
        for one in labels
    ]
    return [image, *nearest]


def height_within(
    longest: int, image: np.ndarray, min_height: int | None = MIN_HEIGHT
) -> int:
    """Return the `min_height` that enlarges an image no further than to a side.

    Args:
        longest: of the enlarged image's sides, in pixels.
        image: `[H, W, ...]`, no side longer than that, see `reduced`.
        min_height: as in `overlay`.
    """
    height, width = image.shape[:2]
    most = longest // max(height, width)
    return height * max(1, min(_factor(image, min_height), most))


def sheet(rows: Iterable[np.ndarray], path: str | os.PathLike) -> np.ndarray:
    """Stack pictures, such as several `comparison`s, and write them as one PNG.

    Args:
        rows: `[h, w, 3]` uint8 RGB pictures; narrower ones are padded on the right.
        path: the PNG file, replaced in one step.

    Returns:
        The `[sum of h, largest w, 3]` uint8 picture that was written.

    Raises:
        ValueError: if there are no rows or `path` does not end in `.png`.
    """
    rows = [_rgb(row) for row in rows]
    if not rows:
        raise ValueError("sheet needs at least one picture, received 0.")
    width = max(row.shape[1] for row in rows)
    picture = np.vstack(
        [
            cv2.copyMakeBorder(
                row, 0, 0, 0, width - row.shape[1], cv2.BORDER_CONSTANT, value=PAPER
            )
            for row in rows
        ]
    )
    _check_png(path)
    write_atomically(path, encoded_png(picture))
    return picture


def _draw(image, labels, scores, numbers, min_height, colours=None):
    factor = _factor(image, min_height)
    image = _enlarge(image, factor, cv2.INTER_CUBIC)
    ids, index = np.unique(labels, return_inverse=True)
    index = index.reshape(labels.shape).astype(np.uint16)
    if ids[0] != 0:
        ids, index = np.r_[0, ids], index + np.uint16(1)
    index = _enlarge(index, factor, cv2.INTER_NEAREST)
    fills = np.array(
        [
            (0, 0, 0),
            *((colours or {}).get(i) or colour_of(i) for i in ids[1:].tolist()),
        ],
        np.float32,
    )
    lines = fills + (255 - fills) * LIGHTEN
    inside = (index > 0)[..., None]
    # Objects lose their own colour, which would make mud of the fills.
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]
    picture = np.where(inside, FILL * fills[index] + (1 - FILL) * grey, image)
    outline = _outline(index, max(1, round(min(image.shape[:2]) / 250)))
    picture = np.where(outline[..., None], lines[index], picture)
    picture = np.rint(picture).astype(np.uint8)
    if numbers:
        for place, instance in enumerate(ids[1:].tolist(), start=1):
            lines = [str(instance)]
            if instance in scores:
                lines.append(f"{scores[instance]:.2f}")
            _write_inside(picture, index == place, lines)
    return picture


def _outline(index, thickness):
    """Return the pixels of objects within `thickness` of another object or none."""
    side = 2 * thickness + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    # The image's edge is no outline: replicate it.
    border = {"borderType": cv2.BORDER_REPLICATE}
    highest = cv2.dilate(index, kernel, **border)
    lowest = cv2.erode(index, kernel, **border)
    return (highest != lowest) & (index > 0)


def _write_inside(picture, mask, lines):
    """Write lines of text, the first one larger, centred on the mask's inner point."""
    left, top, width, height = cv2.boundingRect(mask.astype(np.uint8))
    # One pixel of background all round, so that the image's edge counts as a border.
    crop = np.pad(mask[top : top + height, left : left + width], 1).astype(np.uint8)
    distance = cv2.distanceTransform(crop, cv2.DIST_L2, cv2.DIST_MASK_5)
    radius = float(distance.max())
    # Of several inner points, as in a long strip, the one nearest to the centre.
    rows, columns = np.nonzero(distance >= 0.95 * radius)
    middle_row, middle_column = (np.mean(place) for place in np.nonzero(crop))
    nearest = np.hypot(rows - middle_row, columns - middle_column).argmin()
    row, column = int(rows[nearest]), int(columns[nearest])
    largest = text_size(picture.shape[0])
    size = float(np.clip(0.9 * radius, 0.55 * largest, largest))
    heights = [size] + [0.7 * size] * (len(lines) - 1)
    gap = 0.4 * size
    if sum(heights) + gap * (len(lines) - 1) > 2.0 * radius:
        lines, heights = lines[:1], heights[:1]
    y = top + row - 1 - (sum(heights) + gap * (len(lines) - 1)) / 2
    for line, height in zip(lines, heights, strict=True):
        y += height
        write_text(
            picture, line, (left + column - 1, y), height, anchor="centre", halo=True
        )
        y += gap


def _panel(picture, left, right, size, width, gap):
    """Return the picture below a caption, with a gap of paper on its left."""
    height = round(2.2 * size)
    panel = np.full((height + picture.shape[0], gap + width, 3), PAPER, np.uint8)
    panel[height:, gap : gap + picture.shape[1]] = picture
    baseline = round(1.6 * size)
    shown = left
    while len(left) > 1 and text_width(shown, size) > width:
        left = left[:-1]
        shown = left + "..."
    write_text(panel, shown, (gap, baseline), size)
    if right:
        write_text(panel, right, (gap + width, baseline), size, anchor="right")
    return panel


def _matched_colours(table: OverlapTable):
    """Give predictions the colour of their true object, the others unused colours."""
    dice = table.dice
    colours = {}
    while dice.size and dice.max() > 0:
        row, column = np.unravel_index(dice.argmax(), dice.shape)
        prediction = int(table.prediction_ids[column])
        colours[prediction] = colour_of(int(table.truth_ids[row]))
        dice[row, :] = 0
        dice[:, column] = 0
    unused = int(table.truth_ids.max(initial=0))
    for prediction in table.prediction_ids.tolist():
        if prediction not in colours:
            unused += 1
            colours[prediction] = colour_of(unused)
    return colours


def _rgb(image):
    image = np.asarray(image)
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[..., 0]
    if image.ndim == 2:
        image = np.stack([image] * 3, axis=-1)
    if image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ValueError(
            "image must be [H, W, 3] RGB or [H, W] grey, received shape "
            f"{image.shape}; drop an alpha channel with image[..., :3]."
        )
    if image.dtype == np.uint8:
        return image
    if image.dtype.kind != "f" or not (image.min() >= 0 and image.max() <= 1):
        raise ValueError(
            "image must be uint8 or float from 0 to 1, received "
            f"{image.dtype} from {image.min()} to {image.max()}."
        )
    return np.rint(255.0 * image).astype(np.uint8)


def _same_size(name, labels, image):
    labels = np.asarray(labels)
    if labels.shape != image.shape[:2]:
        raise ValueError(
            f"{name} must have the image's size {image.shape[:2]}, received shape "
            f"{labels.shape}; resize the image, or the labels by nearest neighbour."
        )
    # The check of types and signs is overlap_table's own.
    overlap_table(labels, labels)
    return labels.astype(np.int64)


def _scores_by_id(scores, labels):
    if scores is None:
        return {}
    if isinstance(scores, Mapping):
        return scores
    ids = [int(i) for i in np.unique(labels) if i]
    scores = np.asarray(scores, np.float64).ravel()
    if len(scores) != len(ids):
        raise ValueError(
            f"scores must have one value for each of the {len(ids)} objects, received "
            f"{len(scores)}; pass a dict from id to score where they differ."
        )
    return dict(zip(ids, scores.tolist(), strict=True))


def _factor(image, min_height):
    return max(1, math.ceil((min_height or 0) / image.shape[0]))


def _enlarge(array, factor, interpolation):
    if factor == 1:
        return array
    size = (array.shape[1] * factor, array.shape[0] * factor)
    return cv2.resize(array, size, interpolation=interpolation)


def _check_png(path):
    if Path(path).suffix.lower() != ".png":
        raise ValueError(f"The picture is a PNG; name it so: received {str(path)!r}.")
