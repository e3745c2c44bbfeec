"""COCO's segmentations to one label map."""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from datasets.errors import DataError

__all__ = ["draw_objects", "mask_of"]

# Polygons are often a fraction of a pixel outside, which cuts nothing off.
OUTSIDE = 1.0
# Beyond so many times the image's extent a polygon belongs to another image; drawing
# it would take memory without end.
ABSURD = 50
CLIPPED = "objects clipped at the image's edge"
EMPTY = "objects of 0 area, dropped"
HIDDEN = "objects hidden by smaller ones, dropped"
MISSING = "objects without a segmentation, dropped"
OUT = "objects outside the image, dropped"
OVERLAPPED = "objects partly under smaller ones"


def draw_objects(
    segmentations: Sequence, size: tuple[int, int], ids: Sequence[int]
) -> tuple[np.ndarray, dict[str, int]]:
    """Draw objects into one label map, smaller ones over larger ones.

    Args:
        segmentations: of each object: polygons, run lengths or None.
        size: (height, width) of the image.
        ids: numbers of the annotations, for messages.

    Returns:
        uint16 [H, W]: object i of the arguments, counted from 1, or 0; and how many
        objects were clipped, dropped or partly covered.

    Raises:
        DataError: a segmentation is malformed; the message begins with the number of
            the annotation.
    """
    notes, crops = Counter(), {}
    for i, (segmentation, number) in enumerate(zip(segmentations, ids, strict=True)):
        if not segmentation:
            notes[MISSING] += 1
            continue
        try:
            mask, clipped = mask_of(segmentation, size)
        except DataError as error:
            raise DataError(f"annotation {number}: {error}") from None
        if mask.any():
            notes[CLIPPED] += clipped
            crops[i] = _cropped(mask)
        else:
            notes[OUT if clipped else EMPTY] += 1
    areas = {i: int(mask.sum()) for i, (_, mask) in crops.items()}
    labels = np.zeros(size, np.uint16)
    for i in sorted(crops, key=lambda i: -areas[i]):
        place, mask = crops[i]
        labels[place][mask] = i + 1
    left = np.bincount(labels.ravel(), minlength=len(segmentations) + 1)[1:]
    for i in crops:
        notes[HIDDEN] += left[i] == 0
        notes[OVERLAPPED] += 0 < left[i] < areas[i]
    return labels, {what: int(count) for what, count in notes.items() if count}


def _cropped(mask):
    """(place, mask there): a hundred whole masks of a large picture are gigabytes."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    place = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return place, mask[place].copy()


def mask_of(segmentation, size: tuple[int, int]) -> tuple[np.ndarray, bool]:
    """Return one object's mask by pycocotools.

    Args:
        segmentation: a list of polygons [x0, y0, x1, y1, ...], of which those with
            fewer than 3 points are empty, or {"counts", "size"} with the run lengths
            as numbers or as COCO's text.
        size: (height, width).

    Returns:
        bool [H, W], and whether a polygon sticks out of the image.

    Raises:
        DataError: malformed, or made for an image of another size.
    """
    if isinstance(segmentation, list):
        return _of_polygons(segmentation, size)
    if isinstance(segmentation, dict) and {"counts", "size"} <= segmentation.keys():
        return _of_run_lengths(segmentation, size), False
    raise DataError(
        "the segmentation is neither a list of polygons nor run lengths with counts "
        f"and size: {str(segmentation)[:60]}"
    )


def _of_polygons(polygons, size):
    from pycocotools import mask as coco_mask

    height, width = size
    good, clipped = [], False
    for polygon in polygons:
        if not _is_polygon(polygon):
            raise DataError(
                "a polygon must be a list of numbers x0, y0, x1, y1, ..., got "
                f"{str(polygon)[:60]}"
            )
        x, y = polygon[::2], polygon[1::2]
        if not (
            -ABSURD * width <= min(x, default=0)
            and max(x, default=0) <= ABSURD * width
            and -ABSURD * height <= min(y, default=0)
            and max(y, default=0) <= ABSURD * height
        ):
            raise DataError(
                f"a polygon lies far outside the image of {height} x {width}: x from "
                f"{min(x)} to {max(x)}, y from {min(y)} to {max(y)}. Does it belong to "
                "another image? Mend that annotation or delete it."
            )
        if len(polygon) < 6:
            continue
        good.append([float(value) for value in polygon])
        clipped |= min(x) < -OUTSIDE or max(x) > width + OUTSIDE
        clipped |= min(y) < -OUTSIDE or max(y) > height + OUTSIDE
    if not good:
        return np.zeros(size, bool), False
    parts = coco_mask.frPyObjects(good, height, width)
    return coco_mask.decode(coco_mask.merge(parts)).astype(bool), clipped


def _is_polygon(polygon):
    return (
        isinstance(polygon, list)
        and len(polygon) % 2 == 0
        and all(
            isinstance(value, (int, float)) and math.isfinite(value)
            for value in polygon
        )
    )


def _of_run_lengths(segmentation, size):
    from pycocotools import mask as coco_mask

    counts = segmentation["counts"]
    if list(segmentation["size"]) != list(size):
        raise DataError(
            f"the run lengths are made for (height, width) = {segmentation['size']}, "
            f"the image has {list(size)}."
        )
    if isinstance(counts, str):
        counts = _numbers(counts)
    if not isinstance(counts, list) or not all(
        isinstance(count, int) and count >= 0 for count in counts
    ):
        raise DataError(f"counts must be run lengths or text, got {str(counts)[:60]}")
    # pycocotools would read or write past the image's memory.
    if sum(counts) != size[0] * size[1]:
        raise DataError(
            f"the run lengths cover {sum(counts)} pixels of {size[0] * size[1]}."
        )
    rle = coco_mask.frPyObjects({"counts": counts, "size": list(size)}, *size)
    return coco_mask.decode(rle).astype(bool)


def _numbers(text):
    """The run lengths that COCO's text stands for.

    Each number is written five bits a character from the lowest on, 48 added; bit 6
    says that more follow, the highest bit of the last is the sign. From the fourth on,
    it is the difference to the number two places before.
    """
    numbers, value, shift = [], 0, 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64:
            raise DataError(f"the run lengths have the character {character!r}.")
        value |= (code & 31) << shift
        shift += 5
        if code & 32:
            continue
        if code & 16:
            value -= 1 << shift
        numbers.append(value + (numbers[-2] if len(numbers) > 2 else 0))
        value, shift = 0, 0
    if shift:
        raise DataError("the run lengths end in the middle of a number.")
    return numbers
