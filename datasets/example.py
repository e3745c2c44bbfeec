"""One image with its instance label map, and the hygiene of label maps."""

import dataclasses
from dataclasses import dataclass

import numpy as np

from datasets.errors import DataError

__all__ = ["Example", "clean", "relabel"]

# Records keep ids in a 16-bit PNG; 0 is the background.
MAX_OBJECTS = 65_535
# Pixels that are counted at a time.
BLOCK = 4_000_000


@dataclass(frozen=True, eq=False)
class Example:
    """An image and, where it is known, which pixel belongs to which object.

    Attributes:
        name: identifies the image in its data set ("plant001").
        image: uint8 [H, W, 3], RGB.
        labels: integers [H, W], 0 = background and one id per object (uint16 and
            1..n in records); None = unlabelled.
        classes: class of each object, in the order of ids 1..n; () = one class only.
    """

    name: str
    image: np.ndarray
    labels: np.ndarray | None
    classes: tuple[int, ...] = ()

    def __post_init__(self):
        image, labels = self.image, self.labels
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(
                f"{self.name}: image must be uint8 [H, W, 3], got {image.dtype} "
                f"{list(image.shape)}."
            )
        if labels is not None and labels.shape != image.shape[:2]:
            raise DataError(
                f"{self.name}: the label map has (height, width) = {labels.shape}, the "
                f"image {image.shape[:2]}. Both must have the same size: check that "
                "they belong together and that neither was resized."
            )

    @property
    def count(self) -> int:
        """Number of different ids in the label map (0 when unlabelled)."""
        if self.labels is None:
            return 0
        return int(np.count_nonzero(np.unique(self.labels)))


def relabel(
    labels: np.ndarray, min_area: int = 0
) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Drop objects smaller than `min_area` and number the rest 1..n.

    The order of ids is kept. Pixels of dropped objects become background.

    Args:
        labels: [H, W], integer ids of any size, 0 = background.
        min_area: least pixels of an object.

    Returns:
        The new label map, uint16 [H, W], and the dropped objects as (id, area).

    Raises:
        DataError: negative ids, or more objects than 16 bits can number.
    """
    new, _, dropped = _relabel(labels, min_area)
    return new, dropped


def clean(example: Example, min_area: int) -> tuple[Example, list[tuple[int, int]]]:
    """Return the example with `relabel`ed labels and the classes that go with them.

    Args:
        example: where it has classes, its ids index them: id i has `classes[i - 1]`.
        min_area: least pixels of an object.

    Returns:
        The new example and the dropped objects as (id, area).
    """
    if example.labels is None:
        return example, []
    try:
        labels, kept, dropped = _relabel(example.labels, min_area)
    except DataError as error:
        raise DataError(f"{example.name}: {error}") from None
    classes = example.classes
    if classes:
        highest = int(example.labels.max(initial=0))
        if highest > len(classes):
            raise ValueError(
                f"{example.name}: {len(classes)} classes for ids up to {highest}."
            )
        classes = tuple(classes[i - 1] for i in kept)
    return dataclasses.replace(example, labels=labels, classes=classes), dropped


def _relabel(labels, min_area):
    if not np.issubdtype(labels.dtype, np.integer) or labels.ndim != 2:
        raise ValueError(
            f"labels must be integers [H, W], got {labels.dtype} {list(labels.shape)}."
        )
    ids, inverse, areas = _counted(labels)
    if ids.size and ids[0] < 0:
        raise DataError(f"label ids must be 0 (background) or more, got {ids[0]}.")
    keep = (ids > 0) & (areas >= max(min_area, 1))
    kept = [int(i) for i in ids[keep]]
    if len(kept) > MAX_OBJECTS:
        raise DataError(
            f"the label map has {len(kept)} objects, at most {MAX_OBJECTS} are "
            "possible. Does it hold instance ids, or grey values of a photo?"
        )
    small = (ids > 0) & (areas > 0) & ~keep
    dropped = [
        (int(i), int(area)) for i, area in zip(ids[small], areas[small], strict=True)
    ]
    table = np.zeros(ids.shape, np.uint16)
    table[keep] = np.arange(1, len(kept) + 1)
    return table[inverse].reshape(labels.shape), kept, dropped


def _counted(labels):
    """(ids in ascending order, each pixel's place among them, their areas).

    Numbers of 16 bits are counted without sorting, which takes seconds and gigabytes
    for the largest photographs: all of them are ids, of which most have no pixel.
    """
    if labels.dtype not in (np.uint8, np.uint16):
        return np.unique(labels, return_inverse=True, return_counts=True)
    areas = np.zeros(np.iinfo(labels.dtype).max + 1, np.int64)
    for rows in np.array_split(labels, -(-labels.size // BLOCK) or 1):
        areas += np.bincount(rows.ravel(), minlength=len(areas))
    return np.arange(len(areas)), labels, areas
