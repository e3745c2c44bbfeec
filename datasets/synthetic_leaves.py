"""Synthetic leaves: rosettes seen from above, with exact instance labels.

Used as demo data, as the tests' data, and to pre-train for real rosettes. No
pixel comes from a photograph: everything is drawn with numpy and OpenCV.
"""

from collections.abc import Sequence

import numpy as np

from datasets.camera import photograph
from datasets.leaf_shading import Palette, draw_palette, paint_leaf
from datasets.leaf_shapes import coverage, grow_leaf
from datasets.phyllotaxis import min_visible_area, paint_labels, plant_rosette
from datasets.soil import draw_compost, draw_tray, place_pot, smooth_noise

MAX_LEAVES = 255  # what a uint8 label image can hold
MIN_SIDE = 32
_FULL_SHARE = 0.15  # of the picture, in leaves of the smallest visible area


def _check(size: tuple[int, int], leaves: tuple[int, int]) -> None:
    if len(size) != 2 or min(size) < MIN_SIDE:
        raise ValueError(
            f"size must be (height, width), each {MIN_SIDE} or more; received {size}."
        )
    if len(leaves) != 2 or not 1 <= leaves[0] <= leaves[1] <= MAX_LEAVES:
        raise ValueError(
            "leaves must be (fewest, most) with 1 <= fewest <= most <= "
            f"{MAX_LEAVES}; received {leaves}."
        )
    most = int(_FULL_SHARE * size[0] * size[1] / min_visible_area(size))
    if leaves[1] > most:
        raise ValueError(
            f"An image of size {size} has room for {most} leaves that can be seen; "
            f"received leaves={leaves}. Ask for fewer leaves or a larger image."
        )


def _place_neighbour(
    rng: np.random.Generator,
    image: np.ndarray,
    compost: np.ndarray,
    centre: tuple[float, float],
    radius: float,
    palette: Palette,
    texture: np.ndarray,
) -> None:
    """Another pot at the border, a few of its leaves reaching in. Unlabelled."""
    size = image.shape[1:]
    unit = min(size)
    direction = rng.choice(4) * 0.5 * np.pi + rng.normal(0.0, 0.12)
    away = unit * rng.uniform(0.85, 1.0)
    stem_y = centre[0] + away * np.sin(direction)
    stem_x = centre[1] + away * np.cos(direction)
    place_pot(rng, image, compost, (stem_y, stem_x), radius)
    outside = max(-stem_y, stem_y - size[0], -stem_x, stem_x - size[1])
    if outside <= 0.05 * unit:  # its stem would show, and it would be a plant
        return
    for _ in range(rng.integers(0, 3)):
        leaf = grow_leaf(
            rng,
            base=(stem_y, stem_x),
            angle=direction + np.pi + rng.normal(0.0, 0.5),
            length=unit * rng.uniform(0.25, 0.5),
            age=rng.uniform(0.3, 0.8),
            slenderness=1.7,
            serration=0.1,
            petiole_width=0.01 * unit,
        )
        paint_leaf(rng, image, leaf, coverage(leaf, size), palette, texture)


def render_rosette(
    seed: int | Sequence[int],
    size: tuple[int, int] = (256, 256),
    leaves: tuple[int, int] = (5, 20),
) -> tuple[np.ndarray, np.ndarray]:
    """Draw one rosette and its instance labels.

    Args:
        seed: of `np.random.default_rng`; the same seed, size and range give the
            same picture.
        size: (height, width) in pixels, each 32 or more.
        leaves: (fewest, most) leaves, both included; their number is uniform in
            that range and counts only leaves that can be seen.

    Returns:
        image: [H, W, 3] uint8 RGB.
        labels: [H, W] uint8, 0 for the background, then 1 to n from the lowest
            leaf to the topmost; a later leaf hides an earlier one. Each leaf has
            at least `phyllotaxis.min_visible_area(size)` pixels.

    Raises:
        ValueError: the size or the range is not usable.

    Example:
        >>> image, labels = render_rosette(7, size=(128, 128), leaves=(6, 6))
        >>> image.shape, int(labels.max())
        ((128, 128, 3), 6)
    """
    _check(size, leaves)
    size = (int(size[0]), int(size[1]))
    rng = np.random.default_rng(seed)
    count = int(rng.integers(leaves[0], leaves[1] + 1))
    plan, masks, centre = plant_rosette(rng, size, count)
    unit = min(size)
    palette = draw_palette(rng, unit)
    compost = draw_compost(rng, size)
    texture = smooth_noise(rng, size, 0.012 * unit)
    texture += 0.7 * smooth_noise(rng, size, 0.035 * unit)
    if rng.uniform() < 0.06:  # a bed instead of a pot
        image = compost
    else:
        image = draw_tray(rng, size)
        pot = tuple(v + unit * rng.normal(0.0, 0.025) for v in centre)
        radius = unit * rng.uniform(0.35, 0.43)
        if rng.uniform() < 0.5:
            _place_neighbour(rng, image, compost, pot, radius, palette, texture)
        place_pot(rng, image, compost, pot, radius)
    for leaf, mask in zip(plan, masks, strict=True):
        paint_leaf(rng, image, leaf, mask, palette, texture)
    return photograph(rng, image), paint_labels(masks, size)
