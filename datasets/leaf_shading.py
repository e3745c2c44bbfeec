"""The look of one synthetic leaf: colour, veins, light and shadow."""

import dataclasses

import cv2
import numpy as np

from datasets.leaf_shapes import Leaf, half_widths, leaf_coordinates
from datasets.soil import blend

_YELLOWED = (0.78, 0.72, 0.25)
_MARGIN = (0.55, 0.75, 0.25)  # the thin edge lets the light through


@dataclasses.dataclass(frozen=True)
class Palette:
    """What the leaves of one plant share. Colours are RGB in [0, 1].

    Args:
        leaf: [3] colour of a fully grown blade.
        young: [3] colour of the youngest leaves.
        rib: [3] colour of midrib and petiole.
        light: (y, x) direction from which the light comes, length up to 1.
        roughness: strength of the bumps between the veins.
        gloss: strength of the highlights.
        veins: strength of the side veins.
        shadow: darkness of the shadow a leaf casts, 0 to 1.
        shadow_offset: (y, x) pixels by which the shadow falls away.
        shadow_blur: pixels, standard deviation of the penumbra.
    """

    leaf: np.ndarray
    young: np.ndarray
    rib: np.ndarray
    light: tuple[float, float]
    roughness: float
    gloss: float
    veins: float
    shadow: float
    shadow_offset: tuple[float, float]
    shadow_blur: float


def _from_hsv(hue: float, saturation: float, value: float) -> np.ndarray:
    """RGB in [0, 1] from hue in degrees, saturation and value in [0, 1]."""
    pixel = np.array([[[hue % 360.0, saturation, value]]], np.float32)
    return cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB)[0, 0]


def draw_palette(rng: np.random.Generator, unit: float) -> Palette:
    """Draw the colours and the light of one plant.

    Args:
        rng: source of randomness.
        unit: the image's shorter side in pixels; scales the shadows.

    Returns:
        The palette.
    """
    hue = np.clip(rng.normal(90.0, 6.0), 72.0, 120.0)
    if rng.uniform() < 0.12:
        hue = rng.uniform(74.0, 118.0)
    saturation = np.clip(rng.normal(0.76, 0.07), 0.45, 0.95)
    value = np.clip(rng.normal(0.65, 0.05), 0.48, 0.82)
    rib = _from_hsv(hue - 6.0, saturation * rng.uniform(0.45, 0.8), value * 1.15)
    if rng.uniform() < 0.15:
        purple = _from_hsv(rng.uniform(330.0, 370.0), 0.35, value * 0.85)
        rib = rib + (purple - rib) * rng.uniform(0.2, 0.6)
    azimuth = rng.uniform(0.0, 2.0 * np.pi)
    strength = rng.uniform(0.25, 1.0)
    light = (strength * np.sin(azimuth), strength * np.cos(azimuth))
    reach = unit * rng.uniform(0.002, 0.014)
    return Palette(
        leaf=_from_hsv(hue, saturation, value),
        young=_from_hsv(
            hue + rng.normal(-2.0, 5.0),
            saturation * rng.uniform(0.75, 1.0),
            value * rng.uniform(0.95, 1.12),
        ),
        rib=rib,
        light=light,
        roughness=rng.uniform(0.3, 1.0),
        gloss=max(0.0, rng.uniform(-0.1, 0.25)),
        veins=rng.uniform(0.2, 1.0),
        shadow=rng.uniform(0.25, 0.6),
        shadow_offset=(-light[0] * reach, -light[1] * reach),
        shadow_blur=unit * rng.uniform(0.004, 0.014),
    )


def cast_shadow(
    image: np.ndarray, mask: tuple[np.ndarray, int, int], palette: Palette
) -> None:
    """Darken, in place, what lies under a leaf and beside it.

    Args:
        image: [3, H, W] float32, changed.
        mask: (coverage [h, w], top, left), from `leaf_shapes.coverage`.
        palette: gives the shadow's depth, offset and softness.
    """
    alpha, top, left = mask
    offset_y, offset_x = (round(v) for v in palette.shadow_offset)
    pad = int(np.ceil(2.5 * palette.shadow_blur))
    y0, x0 = top - pad + offset_y, left - pad + offset_x
    padded = cv2.copyMakeBorder(alpha, pad, pad, pad, pad, cv2.BORDER_CONSTANT)
    soft = cv2.GaussianBlur(padded, (0, 0), palette.shadow_blur)
    height, width = image.shape[1:]
    rows = slice(max(y0, 0), min(y0 + soft.shape[0], height))
    columns = slice(max(x0, 0), min(x0 + soft.shape[1], width))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return
    soft = soft[
        rows.start - y0 : rows.stop - y0, columns.start - x0 : columns.stop - x0
    ]
    image[:, rows, columns] *= 1.0 - np.float32(palette.shadow) * soft


@dataclasses.dataclass(frozen=True)
class _Surface:
    """Where on the leaf each of N pixels lies; [N] float32 each.

    `heading` is the midline's direction there, `across` the pixels from it,
    `edge` 0 on the midrib and 1 on the margin, `side` the same with a sign,
    `blade` 0 where the blade begins and 1 at its tip, `on_blade` 0 on the
    petiole and 1 a little way into the blade, `rough` the bumps.
    """

    heading: np.ndarray
    across: np.ndarray
    edge: np.ndarray
    side: np.ndarray
    blade: np.ndarray
    on_blade: np.ndarray
    rough: np.ndarray


def _locate(
    leaf: Leaf, rows: np.ndarray, columns: np.ndarray, rough: np.ndarray
) -> _Surface:
    ys, xs = np.float32(rows + 0.5), np.float32(columns + 0.5)
    along, across = leaf_coordinates(leaf, ys, xs)
    grid = np.linspace(0.0, 1.0, 128)
    left_edge = np.interp(along, grid, half_widths(leaf, grid, 0))
    right_edge = np.interp(along, grid, half_widths(leaf, grid, 1))
    inner = np.where(across < 0.0, left_edge, right_edge).astype(np.float32)
    edge = np.clip(np.abs(across) / (inner + 0.5), 0.0, 1.0)
    blade = np.clip((along - leaf.petiole) / (1.0 - leaf.petiole), 0.0, 1.0)
    on_blade = np.clip(blade * 6.0, 0.0, 1.0)
    return _Surface(
        heading=leaf.angle + leaf.bend * np.clip(along, 0.0, 1.0),
        across=across,
        edge=edge,
        side=np.sign(across) * edge,
        blade=blade,
        on_blade=on_blade,
        rough=rough * on_blade,
    )


def _shade(
    rng: np.random.Generator, leaf: Leaf, at: _Surface, palette: Palette
) -> np.ndarray:
    """[N] float32: how much more (or less) light than a flat leaf receives."""
    # Light in the leaf's frame: folds lift the halves, a curl drops the tip.
    cos, sin = np.cos(at.heading), np.sin(at.heading)
    light_along = palette.light[0] * sin + palette.light[1] * cos
    light_across = palette.light[0] * cos - palette.light[1] * sin
    fold, curl = rng.normal(0.2, 0.35), rng.normal(0.3, 0.4)
    dome, gloom = rng.uniform(0.0, 0.6), rng.uniform(0.0, 0.1)
    shade = light_across * (dome * at.side - fold * np.tanh(3.0 * at.side))
    shade += light_along * (curl * (2.0 * at.blade - 0.9))
    shade = 0.14 * shade + 0.04 * palette.roughness * at.rough
    pairs = 3.0 + 3.0 * leaf.wave[1]
    phase = leaf.wave[0] + 0.5 * (at.across < 0.0)
    vein = np.mod(pairs * (at.blade - 0.32 * at.edge) + phase, 1.0)
    sharpness = (0.18 * leaf.width + 2.0) / pairs
    vein = np.clip(1.0 - np.abs(vein - 0.5) * sharpness, 0.0, 1.0)
    shade += 0.07 * palette.veins * vein * (1.0 - at.edge)
    shade = (shade - 0.06 * (1.0 - at.blade) ** 3) * at.on_blade
    # The petiole is round, and older leaves lie in the others' gloom.
    return shade + 0.12 * (1 - at.on_blade) * (1 - 2 * at.edge**2) - gloom * leaf.age


def _pigment(
    rng: np.random.Generator, leaf: Leaf, at: _Surface, palette: Palette
) -> np.ndarray:
    """[3, N] float32: the leaf's own colours."""
    youth = np.clip(1.0 - 1.6 * leaf.age, 0.0, 1.0) ** 1.5
    colour = palette.leaf + youth * (palette.young - palette.leaf)
    colour = colour * rng.normal(1.0, 0.05) * rng.normal(1.0, 0.015, 3)
    pixels = np.repeat(colour.astype(np.float32)[:, None], at.blade.size, axis=1)
    if leaf.age > 0.5 and rng.uniform() < 0.05:  # an old leaf yellows from its tip
        fading = np.clip(1.6 * at.blade * at.edge, 0.0, 1.0)
        blend(pixels, _YELLOWED, rng.uniform(0.3, 0.9) * fading)
    rib_width = 0.45 * leaf.petiole_width * (1.1 - 0.8 * at.blade) + 0.3
    rib = 0.8 * np.exp(-((at.across / rib_width) ** 2)) * (1.0 - 0.7 * at.blade)
    stalk = 0.85 * np.clip(1.0 - 5.0 * at.blade, 0.0, 1.0)
    blend(pixels, palette.rib, np.maximum(rib, stalk))
    blend(pixels, _MARGIN, 0.22 * np.clip(4 * at.edge - 3, 0, 1) * at.on_blade)
    return pixels


def paint_leaf(
    rng: np.random.Generator,
    image: np.ndarray,
    leaf: Leaf,
    mask: tuple[np.ndarray, int, int],
    palette: Palette,
    texture: np.ndarray,
) -> None:
    """Lay one shaded leaf over the picture, in place.

    Args:
        rng: source of randomness.
        image: [3, H, W] float32, changed.
        leaf: the leaf.
        mask: (coverage [h, w], top, left), from `leaf_shapes.coverage`.
        palette: colours and light of the plant.
        texture: [H, W] float32 noise of zero mean and unit variance; a random
            part of it roughens the blade.
    """
    alpha, top, left = mask
    rows, columns = np.nonzero(alpha)
    if rows.size == 0:
        return
    cast_shadow(image, mask, palette)
    shift_y = rng.integers(0, texture.shape[0] - alpha.shape[0] + 1)
    shift_x = rng.integers(0, texture.shape[1] - alpha.shape[1] + 1)
    rough = texture[rows + shift_y, columns + shift_x]
    at = _locate(leaf, rows + top, columns + left, rough)
    shade = _shade(rng, leaf, at, palette)
    pixels = _pigment(rng, leaf, at, palette)
    pixels *= np.clip(1.0 + shade, 0.3, 1.7)
    gloss = np.clip(4.0 * shade + 0.1 * at.rough - 0.2, 0.0, 1.0) * at.on_blade
    pixels += (palette.gloss * rng.uniform()) * gloss
    view = image[:, top : top + alpha.shape[0], left : left + alpha.shape[1]]
    below = view[:, rows, columns]
    view[:, rows, columns] = below + alpha[rows, columns] * (pixels - below)
