"""One image with its instance label map, and the hygiene of label maps."""

import dataclasses
from dataclasses import dataclass

import numpy as np

from datasets.errors import DataError

__all__ = ["Example", "clean"]

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
        small: so many of the last ids, after those of the `count` objects, are objects
            under the least area: they do not train, but a benchmark scores them.
    """

    name: str
    image: np.ndarray
    labels: np.ndarray | None
    classes: tuple[int, ...] = ()
    small: int = 0

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
        """Number of objects that are not small (0 when unlabelled)."""
        if self.labels is None:
            return 0
        return int(np.count_nonzero(np.unique(self.labels))) - self.small


def clean(example: Example, min_area: int) -> tuple[Example, list[tuple[int, int]]]:
    """Number the objects 1..n in the order of their ids, the small ones after them.

    Args:
        example: where it has classes, its ids index them: id i has `classes[i - 1]`.
            Ids are integers of any size, 0 = background.
        min_area: objects with fewer pixels are small.

    Returns:
        The new example, with the classes of the n objects, and the small ones as (id,
        area).

    Raises:
        DataError: negative ids, or more objects than 16 bits can number.
    """
    if example.labels is None:
        return example, []
    try:
        labels, kept, small = _numbered(example.labels, min_area)
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
    cleaned = dataclasses.replace(
        example, labels=labels, classes=classes, small=len(small)
    )
    return cleaned, small


def _numbered(labels, min_area):
    """The label map of `clean`, ids of its n objects, (id, area) of the small ones."""
    if not np.issubdtype(labels.dtype, np.integer) or labels.ndim != 2:
        raise ValueError(
            f"labels must be integers [H, W], got {labels.dtype} {list(labels.shape)}."
        )
    ids, inverse, areas = _counted(labels)
    if ids.size and ids[0] < 0:
        raise DataError(f"label ids must be 0 (background) or more, got {ids[0]}.")
    is_object = (ids > 0) & (areas > 0)
    large = is_object & (areas >= min_area)
    order = np.concatenate([np.flatnonzero(large), np.flatnonzero(is_object & ~large)])
    if len(order) > MAX_OBJECTS:
        raise DataError(
            f"the label map has {len(order)} objects, at most {MAX_OBJECTS} are "
            "possible. Does it hold instance ids, or grey values of a photo?"
        )
    table = np.zeros(ids.shape, np.uint16)
    table[order] = np.arange(1, len(order) + 1)
    count = np.count_nonzero(large)
    kept = [int(ids[place]) for place in order[:count]]
    small = [(int(ids[place]), int(areas[place])) for place in order[count:]]
    return table[inverse].reshape(labels.shape), kept, small


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
