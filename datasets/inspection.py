"""One image of a source, looked at without converting it; runs in any process."""

import hashlib
from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np

from datasets.errors import DataError
from datasets.example import clean
from datasets.source import Item, Reading

__all__ = ["Finding", "inspect_item"]


class Finding(NamedTuple):
    """What one image is like.

    Attributes:
        name: of the item.
        split: of the item.
        error: why it cannot be read; "" = it can, and the rest is known.
        size: (height, width).
        objects: number of objects that are large enough; None = unlabelled.
        areas: smallest and largest of them, in pixels; () where there is none.
        tiny: (id, area) of the objects under the least area.
        pieces: number of objects in several unconnected pieces.
        notes: {what: how many} that is not taken over.
        content: digits that are equal where all pixels are.
    """

    name: str
    split: str
    error: str = ""
    size: tuple[int, int] = (0, 0)
    objects: int | None = None
    areas: tuple[int, ...] = ()
    tiny: tuple[tuple[int, int], ...] = ()
    pieces: int = 0
    notes: dict[str, int] | None = None
    content: str = ""


def inspect_item(read: Callable[[Item], Reading], min_area: int, item: Item) -> Finding:
    """Read one image and describe it; a file that cannot be read is described, too.

    Args:
        read: of the source.
        min_area: objects with fewer pixels are tiny.
        item: the image.
    """
    try:
        example, notes = read(item)
        cleaned, tiny = clean(example, min_area)
    except DataError as error:
        return Finding(item.name, item.split, error=str(error))
    size = example.image.shape[:2]
    # The size, too: pixels in one row may be the same in another shape.
    content = hashlib.sha256(repr(size).encode() + example.image.tobytes()).hexdigest()
    finding = Finding(item.name, item.split, size=size, notes=notes, content=content)
    if cleaned.labels is None:
        return finding
    areas = np.bincount(cleaned.labels.ravel())[1 : cleaned.count + 1].tolist()
    return finding._replace(
        objects=len(areas),
        areas=(min(areas), max(areas)) if areas else (),
        tiny=tuple(tiny),
        pieces=_in_pieces(cleaned.labels, len(areas)),
    )


def _in_pieces(labels, count):
    """Number of ids 1..count whose pixels do not all touch, corners included."""
    number = 0
    for i in range(1, count + 1):
        # Two components: the background and the object.
        mask = (labels == i).astype(np.uint8)
        x, y, width, height = cv2.boundingRect(mask)
        crop = np.ascontiguousarray(mask[y : y + height, x : x + width])
        components, _ = cv2.connectedComponents(crop, connectivity=8)
        number += components > 2
    return number
