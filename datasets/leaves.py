"""The data set `leaves`: rendered rosettes, so everything runs with no download."""

import numpy as np

from datasets.errors import DataError
from datasets.example import Example
from datasets.source import Item, Source

__all__ = ["COMPANIONS", "rendered_leaves"]

# Plants of different `seed`s never share a plant's seed below this many plants.
SEED_STRIDE = 1_000_000
# Raise it when the same seed comes to give another plant: old records then say so.
RENDERER = 1
# Plants that training mixes in: enough that none is learnt by heart, few enough for
# the memory.
COMPANIONS = 600


def rendered_leaves(
    data_dir: None = None,
    train: int = 400,
    val: int = 40,
    test: int = 40,
    size: tuple[int, int] = (256, 256),
    leaves: tuple[int, int] = (5, 20),
    seed: int = 0,
) -> Source:
    """Describe a set of rendered plants; rendering happens when they are read.

    Plant number k has the seed `seed * 1,000,000 + k`, counted through train, val and
    test, so that no two plants are alike and each can be rendered by itself.

    Args:
        data_dir: has no meaning here and must be None.
        train, val, test: number of plants of each split.
        size: (height, width) in pixels.
        leaves: (fewest, most) leaves of a plant.
        seed: of the whole set.

    Returns:
        The source; images are named "leaves00000" and so on.
    """
    if data_dir is not None:
        raise DataError(
            f"The leaves data set is rendered and reads no files, got {data_dir}. "
            "Leave out --data-dir, or choose another --dataset."
        )
    counts = {"train": train, "val": val, "test": test}
    if min(counts.values()) < 0 or sum(counts.values()) < 1:
        raise DataError(f"The number of plants must be 0 or more, got {counts}.")
    if sum(counts.values()) > SEED_STRIDE:
        raise DataError(f"At most {SEED_STRIDE} plants are possible, got {counts}.")
    splits = [name for name, count in counts.items() for _ in range(count)]
    size, leaves = tuple(size), tuple(leaves)
    return Source(
        dataset="leaves",
        location="",
        options={
            **counts,
            "size": list(size),
            "leaves": list(leaves),
            "seed": seed,
            "renderer": RENDERER,
        },
        items=tuple(
            Item(
                f"leaves{k:05d}",
                split,
                data=[seed * SEED_STRIDE + k, list(size), list(leaves)],
            )
            for k, split in enumerate(splits)
        ),
        read=_render,
    )


def _render(item):
    from datasets.synthetic_leaves import render_rosette

    seed, size, leaves = item.data
    image, labels = render_rosette(seed, size=tuple(size), leaves=tuple(leaves))
    return Example(item.name, image, labels.astype(np.uint16)), {}
