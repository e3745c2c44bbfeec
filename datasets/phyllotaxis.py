"""Where the leaves of a synthetic rosette grow, so that each can be seen."""

import numpy as np

from datasets.leaf_shapes import Leaf, coverage, grow_leaf

GOLDEN_ANGLE = np.pi * (3.0 - np.sqrt(5.0))
_MIN_AREA_SHARE = 20 / (256 * 256)  # 20 px of a 256 x 256 image
_MIN_AREA_FLOOR = 3  # px, for images so small that the share is below it
_REPAIRS = 25
_REPLANTS = 12

Mask = tuple[np.ndarray, int, int]  # coverage [h, w], top, left


def min_visible_area(size: tuple[int, int]) -> int:
    """Fewest visible pixels of a labelled leaf, in an image of this size."""
    return max(_MIN_AREA_FLOOR, round(_MIN_AREA_SHARE * size[0] * size[1]))


def paint_labels(masks: list[Mask], size: tuple[int, int]) -> np.ndarray:
    """Visible instance labels of leaves that lie on one another.

    Args:
        masks: (coverage [h, w] float32, top, left) of each leaf, lowest first.
        size: (height, width).

    Returns:
        [H, W] uint8: 0, or 1 + the index of the last leaf that covers at least
        half of the pixel.
    """
    labels = np.zeros(size, np.uint8)
    for index, (alpha, top, left) in enumerate(masks, start=1):
        view = labels[top : top + alpha.shape[0], left : left + alpha.shape[1]]
        view[alpha >= 0.5] = index
    return labels


def _arrange(
    rng: np.random.Generator,
    size: tuple[int, int],
    count: int,
    centre: tuple[float, float],
    reach: float,
    crowding: float,
) -> tuple[list[Leaf], list[Mask]] | None:
    """Grow `count` leaves, oldest first; `crowding` above 1 makes them slender.

    A leaf that the younger ones hide is grown again, elsewhere and longer.
    Returns None when `_REPAIRS` rounds were not enough.
    """
    unit = min(size)
    shortest = 2.6 * np.sqrt(min_visible_area(size)) / crowding
    start = rng.uniform(0.0, 2.0 * np.pi)
    slenderness = rng.normal(1.85, 0.22) * crowding
    serration = rng.uniform(0.02, 0.24)
    petiole_width = unit * rng.uniform(0.008, 0.0125)
    peak = rng.uniform(0.5, 0.8)  # the age of the longest leaves
    ages = [0.0, 0.4 * peak, 0.8 * peak, peak, 1.0]

    def grow(index: int, stretch: float, jitter: float) -> Leaf:
        age = 1.0 - index / max(count - 1, 1)
        grown = np.interp(age, ages, [0.16, 0.5, 0.95, 1.0, 0.5])
        length = reach * grown * np.exp(rng.normal(0.0, 0.1)) * stretch
        longest = max(1.35 * reach, shortest)
        # Cotyledons are opposite; from then on each leaf avoids all others.
        turn = np.pi * index if index < 2 else index * GOLDEN_ANGLE
        foot = rng.normal(0.0, 0.006 * unit, 2)
        return grow_leaf(
            rng,
            base=(centre[0] + foot[0], centre[1] + foot[1]),
            angle=start + turn + rng.normal(0.0, jitter),
            length=float(np.clip(length, shortest, longest)),
            age=age,
            slenderness=slenderness,
            serration=serration,
            petiole_width=petiole_width,
        )

    plan = [grow(index, 1.0, 0.17) for index in range(count)]
    masks = [coverage(leaf, size) for leaf in plan]
    for attempt in range(_REPAIRS):
        areas = np.bincount(paint_labels(masks, size).ravel(), minlength=count + 1)
        hidden = np.flatnonzero(areas[1:] < min_visible_area(size))
        if hidden.size == 0:
            return plan, masks
        for index in hidden:
            plan[index] = grow(index, 1.0 + 0.06 * (attempt + 1), 0.4 + 0.1 * attempt)
            masks[index] = coverage(plan[index], size)
    return None


def plant_rosette(
    rng: np.random.Generator,
    size: tuple[int, int],
    count: int,
    growth: float = 1.0,
) -> tuple[list[Leaf], list[Mask], tuple[float, float]]:
    """Grow a rosette near the middle of the image.

    Args:
        rng: source of randomness.
        size: (height, width).
        count: number of leaves.
        growth: factor on the leaves' lengths, for plants that grow.

    Returns:
        (leaves, masks, centre): `count` leaves from the lowest to the topmost,
        their coverages for `paint_labels`, and the (y, x) of the stem. Each leaf
        shows at least `min_visible_area(size)` pixels.

    Raises:
        ValueError: so many leaves do not fit.
    """
    unit = min(size)
    centre = tuple(side * 0.5 + unit * rng.uniform(-0.1, 0.1) for side in size)
    reach = growth * unit * rng.triangular(0.2, 0.36, 0.52)
    for replant in range(_REPLANTS):
        crowding = 1.0 + 0.12 * replant
        spread = min(reach * crowding, 0.6 * unit)
        found = _arrange(rng, size, count, centre, spread, crowding)
        if found is not None:
            return *found, centre
    raise ValueError(
        f"{count} leaves of at least {min_visible_area(size)} visible pixels do not "
        f"fit in an image of size {size}; ask for fewer leaves or a larger image."
    )
