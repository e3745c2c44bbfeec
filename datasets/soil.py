"""Synthetic backgrounds: compost in a round pot, on a tray, with moss and dirt.

Pictures here are planar, [3, H, W], because numpy is several times faster when
the last axis is long.
"""

import cv2
import numpy as np

_TRAYS = (  # share of the pictures, colour
    (0.80, (0.71, 0.37, 0.25)),  # terracotta
    (0.07, (0.28, 0.40, 0.60)),  # blue
    (0.07, (0.76, 0.76, 0.74)),  # white
    (0.06, (0.20, 0.20, 0.21)),  # black
)


def smooth_noise(
    rng: np.random.Generator, size: tuple[int, int], cell: float
) -> np.ndarray:
    """Noise of zero mean and about unit variance, smooth over `cell` pixels.

    Args:
        rng: source of randomness.
        size: (height, width).
        cell: correlation length in pixels; 1 or less gives white noise.

    Returns:
        [H, W] float32.
    """
    if cell <= 1.0:
        return rng.standard_normal(size, dtype=np.float32)
    # Blurred on a grid twice as fine as the cell, or the grid itself would show.
    step = max(1.0, 0.5 * cell)
    sigma = 0.5 * cell / step
    rows, columns = (int(side / step) + 6 for side in size)
    coarse = rng.standard_normal((rows, columns), dtype=np.float32)
    coarse = cv2.GaussianBlur(coarse, (0, 0), sigma) * np.float32(3.5 * sigma)
    if step == 1.0:
        return coarse[: size[0], : size[1]]
    to_coarse = np.array([[1.0 / step, 0, 2.0], [0, 1.0 / step, 2.0]], np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(coarse, to_coarse, size[::-1], flags=flags)


def blend(image: np.ndarray, colour, weight: np.ndarray) -> None:
    """Move `image` [3, ...] towards `colour` [3] by `weight` [...], in place."""
    for plane, value in zip(image, colour, strict=True):
        plane += weight * (np.float32(value) - plane)


def _step(values: np.ndarray, softness: float) -> np.ndarray:
    """0 below zero, 1 above, with a linear ramp `softness` wide."""
    return np.clip(values * (1.0 / softness) + 0.5, 0.0, 1.0)


def _grid(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Rows [H, 1] and columns [1, W] of the pixel centres, float32."""
    rows = np.arange(size[0], dtype=np.float32)[:, None] + np.float32(0.5)
    columns = np.arange(size[1], dtype=np.float32)[None, :] + np.float32(0.5)
    return rows, columns


def _draw_walls(rng, image, fine) -> None:
    """Ribbed side walls of a tray, up to two, and the bench beyond its lip."""
    size = image.shape[1:]
    unit = min(size)
    rows, columns = _grid(size)
    for edge in rng.permutation(4)[: rng.integers(0, 3)]:
        along = columns if edge < 2 else rows
        depth = (rows, size[0] - rows, columns, size[1] - columns)[edge]
        # A little out of true, and measured from the image's border inwards.
        depth = (depth + np.float32(rng.normal(0.0, 0.02)) * along) / unit
        wall = rng.uniform(0.04, 0.28)
        phase = rng.uniform(1.5, 4.0) * (wall - depth) / wall
        ribs = np.clip(np.sin(2.0 * np.pi * phase) * rng.uniform(1.2, 3.0), -1.0, 1.0)
        inside = _step(wall - depth, rng.uniform(0.008, 0.03))
        crease = np.exp(-(((depth - wall) / rng.uniform(0.008, 0.03)) ** 2))
        image *= 1.0 + inside * rng.uniform(0.04, 0.22) * ribs - 0.22 * crease
        if rng.uniform() < 0.45:
            lip = wall * rng.uniform(0.2, 0.6)
            grey = np.array([0.36, 0.38, 0.42]) * rng.uniform(0.7, 1.3)
            shade = 1.0 + 0.05 * fine
            beyond = _step(lip - depth, 0.008)
            for plane, value in zip(image, grey, strict=True):
                plane += beyond * (np.float32(value) * shade - plane)


def _draw_slots(rng, image) -> None:
    """Long embossed slots in the floor of a tray."""
    size = image.shape[1:]
    unit = min(size)
    for _ in range(rng.integers(0, 3)):
        y, x = round(rng.uniform(0, size[0])), round(rng.uniform(0, size[1]))
        reach = round(rng.uniform(0.1, 0.4) * unit)
        end = (x + reach, y) if rng.uniform() < 0.5 else (x, y + reach)
        mask = np.zeros(size, np.uint8)
        cv2.line(mask, (x, y), end, 255, max(2, round(0.03 * unit)), cv2.LINE_AA)
        soft = cv2.GaussianBlur(mask, (0, 0), 0.004 * unit + 0.3)
        soft = soft.astype(np.float32) / 255.0
        relief = np.roll(soft, max(1, unit // 130), axis=(0, 1)) - soft
        image *= 1.0 + 0.25 * relief - 0.04 * soft


def draw_tray(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """A plastic tray: flat floor, ribbed sides, slots, dirt, sometimes water.

    Args:
        rng: source of randomness.
        size: (height, width).

    Returns:
        [3, H, W] float32 RGB, about [0, 1].
    """
    unit = min(size)
    shares, colours = zip(*_TRAYS, strict=True)
    colour = np.array(colours[rng.choice(len(colours), p=shares)])
    colour = colour * rng.normal(1.0, 0.07) * rng.normal(1.0, 0.04, 3)
    large, fine = smooth_noise(rng, size, 0.3 * unit), smooth_noise(rng, size, 1.5)
    floor = 1.0 + 0.05 * large + 0.015 * fine
    image = np.stack([np.float32(value) * floor for value in colour])
    _draw_walls(rng, image, fine)
    _draw_slots(rng, image)
    if rng.uniform() < 0.1:  # a film of water mirrors the lamps
        level = smooth_noise(rng, size, 0.4 * unit)
        level += np.float32(0.7) * np.sin(_grid(size)[0] / np.float32(0.12 * unit))
        white = np.minimum(colour * 0.35 + 0.6, 1.0)
        blend(image, white, 0.8 * _step(level - rng.uniform(-0.3, 0.8), 0.1))
    if rng.uniform() < 0.7:
        dirt = smooth_noise(rng, size, 0.014 * unit) + 0.6 * large
        blend(image, (0.2, 0.13, 0.11), 0.8 * _step(dirt - rng.uniform(2.8, 4), 0.7))
    if rng.uniform() < 0.6:
        stain = smooth_noise(rng, size, 0.07 * unit) + 0.25 * fine
        pale = np.minimum(colour + 0.14, 1.0)
        blend(image, pale, 0.5 * _step(stain - rng.uniform(1.2, 2.5), 1.5))
    return image


def draw_compost(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Dark compost with grains, clods and patches of moss.

    Args:
        rng: source of randomness.
        size: (height, width).

    Returns:
        [3, H, W] float32 RGB, about [0, 1].
    """
    unit = min(size)
    grain = smooth_noise(rng, size, max(1.0, 0.0048 * unit))
    clods = smooth_noise(rng, size, 0.018 * unit)
    patches = smooth_noise(rng, size, 0.14 * unit)
    base = np.array([0.27, 0.23, 0.19]) * rng.uniform(0.7, 1.3)
    base = base * rng.normal(1.0, 0.04, 3)
    relief = 1.0 + 0.20 * grain + 0.15 * clods + 0.12 * patches
    relief = np.clip(relief, 0.3, 2.0)
    image = np.stack([np.float32(value) * relief for value in base])
    crumbs = grain + 0.7 * clods + 0.6 * patches
    tan = np.array([0.55, 0.43, 0.31]) * rng.uniform(0.8, 1.15)
    blend(image, tan, 0.5 * _step(crumbs - rng.uniform(1.6, 2.8), 1.2))
    if rng.uniform() < 0.75:
        spread = smooth_noise(rng, size, 0.16 * unit) - rng.uniform(0.0, 1.4)
        speckle = _step(grain + 0.9 * clods + 0.9 * spread, 2.6)
        colour = np.array([0.40, 0.45, 0.08]) * rng.uniform(0.6, 1.15)
        blend(image, colour, rng.uniform(0.4, 0.9) * speckle * _step(spread, 1.8))
    return image


def place_pot(
    rng: np.random.Generator,
    image: np.ndarray,
    compost: np.ndarray,
    centre: tuple[float, float],
    radius: float,
) -> None:
    """Set a round pot full of compost on the tray, in place.

    Args:
        rng: source of randomness.
        image: [3, H, W] float32, changed.
        compost: [3, H, W] float32, shown inside the pot.
        centre: (y, x), may lie outside the image.
        radius: of the rim's outside, pixels.
    """
    size = image.shape[1:]
    unit = min(size)
    lean = rng.normal(0.0, 0.017, 2) * radius  # the camera is not quite overhead
    rim = radius * rng.uniform(0.025, 0.05)
    dark = np.array([0.24, 0.225, 0.235]) * rng.uniform(0.6, 1.25)
    shine_at, squash = rng.uniform(0.0, 2.0 * np.pi), rng.uniform(0.98, 1.02)
    halo = radius * 1.3
    window = tuple(
        slice(max(int(c - halo), 0), max(min(int(c + halo) + 1, side), 0))
        for c, side in zip(centre, size, strict=True)
    )
    image, compost = image[(slice(None), *window)], compost[(slice(None), *window)]
    if image.size == 0:
        return
    rows, columns = _grid(size)
    rows = rows[window[0]] - np.float32(centre[0])
    columns = (columns[:, window[1]] - np.float32(centre[1])) * np.float32(squash)
    lean_y, lean_x = np.float32(lean)
    top = np.hypot(rows, columns)
    foot = np.hypot(rows - 2 * lean_y, columns - 2 * lean_x) * 1.02
    image *= 1.0 - 0.4 * np.exp(np.minimum(radius - foot, 0) / (0.045 * unit))
    blend(image, dark * 0.8, _step(radius - foot, 2.0))
    blend(image, dark, _step(radius - top, 1.2))
    side_y, side_x = np.float32(np.sin(shine_at)), np.float32(np.cos(shine_at))
    shine = 0.65 + 0.35 * (rows * side_y + columns * side_x) / (top + 1.0)
    line = np.exp(-(((top - (radius - 0.3 * rim)) / (0.25 * rim + 0.3)) ** 2))
    blend(image, (0.55, 0.53, 0.55), 0.6 * line * shine)
    ragged = smooth_noise(rng, top.shape, 0.03 * unit) * (0.004 * unit)
    level = (radius - rim) - np.hypot(rows + lean_y, columns + lean_x) + ragged
    wall = np.clip(1.4 - np.exp(-level / (0.035 * radius)), 0.2, 1.0)
    inside = _step(level, 0.006 * unit + 0.8)
    image += inside * (compost * wall - image)
