"""One image of a source to the parts of its record; runs in any process."""

import hashlib
import json
import time
from collections.abc import Callable
from typing import NamedTuple

from datasets.example import clean
from datasets.records import Encoded, compress
from datasets.source import Item, Reading

__all__ = ["Converted", "convert", "fingerprint"]


class Converted(NamedTuple):
    """One image, ready to be written.

    Attributes:
        encoded: what the record holds.
        split: native split.
        small: (id, area) of objects under the least area.
        notes: {what: how many} that was not taken over.
        fingerprint: of the item that it was made from.
        began_ns: the time before its files were read.
    """

    encoded: Encoded
    split: str
    small: list[tuple[int, int]]
    notes: dict[str, int]
    fingerprint: str
    began_ns: int


def convert(read: Callable[[Item], Reading], min_area: int, item: Item) -> Converted:
    """Read, clean and compress one image.

    Args:
        read: of the source.
        min_area: objects with fewer pixels do not train.
        item: the image.

    Raises:
        DataError: whatever is wrong with its files.
    """
    began = time.time_ns()
    example, notes = read(item)
    if example.name != item.name:
        raise ValueError(f"{item.name} was read as {example.name}.")
    example, small = clean(example, min_area)
    notes = {what: count for what, count in notes.items() if count}
    return Converted(
        compress(example), item.split, small, notes, fingerprint(item), began
    )


def fingerprint(item: Item) -> str:
    """Hexadecimal digits that change with the item, its files' sizes and its data."""
    described = json.dumps([item.name, item.split, item.files, item.data])
    return hashlib.sha256(described.encode()).hexdigest()
