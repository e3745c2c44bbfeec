"""The geometry of one synthetic leaf: petiole, blade, teeth and bend."""

import dataclasses

import cv2
import numpy as np

_OUTLINE_POINTS = 72  # per side; a serrated blade of 250 px still looks smooth
_SUPERSAMPLE = 4  # coverage in sixteenths of a pixel


@dataclasses.dataclass(frozen=True)
class Leaf:
    """One leaf seen from above. Lengths in pixels, angles in radians.

    The midline is an arc of constant curvature that starts at `base`, so the
    leaf's own coordinates (along, across) have a closed form both ways.

    Args:
        base: (y, x) where the petiole meets the stem.
        angle: direction of the midline at its base; 0 points right, pi/2 down.
        length: of the midline, petiole and blade.
        petiole: fraction of `length` that is petiole, in [0, 1).
        width: of the blade, at its widest.
        petiole_width: of the petiole, at its middle.
        bend: angle through which the midline turns, base to tip.
        taper: (base, tip) exponents of the blade's profile; a larger base
            exponent gives a spatulate blade, a smaller tip exponent a blunt one.
        teeth: number of teeth on each side.
        tooth_depth: fraction of the half width that a tooth cuts away.
        wave: (left, right) phases of the teeth and undulations.
        age: 1 for the oldest leaf of its rosette, 0 for the youngest.
    """

    base: tuple[float, float]
    angle: float
    length: float
    petiole: float
    width: float
    petiole_width: float
    bend: float
    taper: tuple[float, float]
    teeth: float
    tooth_depth: float
    wave: tuple[float, float]
    age: float


def half_widths(leaf: Leaf, along: np.ndarray, side: int) -> np.ndarray:
    """Distance from the midline to the margin.

    Args:
        leaf: the leaf.
        along: [N] float positions on the midline, 0 at the base, 1 at the tip.
        side: 0 for the left half, 1 for the right half.

    Returns:
        [N] float half widths in pixels.
    """
    blade = np.clip((along - leaf.petiole) / (1.0 - leaf.petiole), 0.0, 1.0)
    rise, fall = leaf.taper
    peak = rise / (rise + fall)
    profile = (blade / peak) ** rise * ((1.0 - blade) / (1.0 - peak)) ** fall
    phase = leaf.wave[side]
    saw = np.mod(leaf.teeth * blade + phase, 1.0)
    tooth = np.where(saw < 0.8, saw / 0.8, (1.0 - saw) / 0.2)
    fade = np.clip((1.0 - blade) * 3.0, 0.0, 1.0)
    undulation = 0.05 * np.sin(2.0 * np.pi * (1.3 * blade + phase))
    profile = profile * (1.0 - leaf.tooth_depth * (1.0 - tooth) * fade + undulation)
    stalk = 0.5 * leaf.petiole_width * (1.25 - 0.4 * along)
    stalk = stalk * np.clip((1.0 - blade) * 8.0, 0.0, 1.0)
    return np.maximum(0.5 * leaf.width * profile, stalk)


def outline(leaf: Leaf) -> np.ndarray:
    """The leaf's margin as a closed polygon.

    Args:
        leaf: the leaf.

    Returns:
        [N, 2] float64 points (y, x).
    """
    # Points crowd towards the tip, where the margin turns fastest.
    along = np.sin(np.linspace(0.0, 0.5 * np.pi, _OUTLINE_POINTS))
    turn = leaf.bend * along
    # sinc keeps the arc's closed form finite as the bend goes to zero.
    chord = leaf.length * along * np.sinc(turn / (2.0 * np.pi))
    middle_y = leaf.base[0] + chord * np.sin(leaf.angle + 0.5 * turn)
    middle_x = leaf.base[1] + chord * np.cos(leaf.angle + 0.5 * turn)
    normal_y, normal_x = np.cos(leaf.angle + turn), -np.sin(leaf.angle + turn)
    left = half_widths(leaf, along, 0)
    right = half_widths(leaf, along, 1)
    ys = np.r_[middle_y - left * normal_y, (middle_y + right * normal_y)[::-1]]
    xs = np.r_[middle_x - left * normal_x, (middle_x + right * normal_x)[::-1]]
    return np.stack([ys, xs], axis=1)


def coverage(leaf: Leaf, size: tuple[int, int]) -> tuple[np.ndarray, int, int]:
    """The share of each pixel that the leaf covers, inside its bounding box.

    Args:
        leaf: the leaf.
        size: (height, width) of the image.

    Returns:
        ([h, w] float32 coverage in [0, 1], top, left). Empty outside the image.
    """
    points = outline(leaf)
    top, left = np.maximum(np.floor(points.min(axis=0)).astype(int), 0)
    bottom, right = np.minimum(np.ceil(points.max(axis=0)).astype(int), size)
    if bottom <= top or right <= left:
        return np.zeros((0, 0), np.float32), 0, 0
    shape = (int(bottom - top), int(right - left))
    fine = np.zeros((shape[0] * _SUPERSAMPLE, shape[1] * _SUPERSAMPLE), np.uint8)
    # fillPoly wants (x, y), 4 fractional bits, with integers at pixel centres.
    shifted = (points[:, ::-1] - (left, top)) * _SUPERSAMPLE - 0.5
    cv2.fillPoly(fine, [np.round(shifted * 16).astype(np.int32)], 255, shift=4)
    small = cv2.resize(fine, shape[::-1], interpolation=cv2.INTER_AREA)
    return small.astype(np.float32) / 255.0, int(top), int(left)


def leaf_coordinates(
    leaf: Leaf, ys: np.ndarray, xs: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """From image coordinates to the leaf's own.

    Args:
        leaf: the leaf.
        ys: [N] float rows.
        xs: [N] float columns.

    Returns:
        (along, across): [N] float arrays. `along` is 0 at the base and 1 at the
        tip; `across` is in pixels, negative on side 0 and positive on side 1.
    """
    dy, dx = ys - leaf.base[0], xs - leaf.base[1]
    cos, sin = np.cos(leaf.angle), np.sin(leaf.angle)
    forward, sideways = dx * cos + dy * sin, dy * cos - dx * sin
    curvature = leaf.bend / leaf.length
    if abs(leaf.bend) < 1e-3:
        return forward / leaf.length, sideways
    radius = 1.0 / abs(curvature)
    mirrored = sideways * np.sign(curvature)
    along = np.arctan2(forward, radius - mirrored) * radius / leaf.length
    across = radius - np.hypot(forward, radius - mirrored)
    return along, across * np.sign(curvature)


def grow_leaf(
    rng: np.random.Generator,
    base: tuple[float, float],
    angle: float,
    length: float,
    age: float,
    slenderness: float,
    serration: float,
    petiole_width: float,
) -> Leaf:
    """Draw the shape of one leaf from the distribution for its age.

    Args:
        rng: source of randomness.
        base: (y, x) of the stem.
        angle: direction in which the leaf grows.
        length: of the whole leaf, pixels.
        age: 0 (youngest) to 1 (oldest).
        slenderness: blade length over blade width, for this plant; about 2.
        serration: tooth depth of this plant's fully grown leaves, about 0.1.
        petiole_width: pixels.

    Returns:
        The leaf.
    """
    # First leaves are round on a clear stalk; the youngest hide theirs.
    petiole = np.interp(age, [0.0, 0.25, 0.7, 1.0], [0.12, 0.28, 0.4, 0.48])
    petiole = np.clip(petiole + rng.normal(0.0, 0.06), 0.08, 0.6)
    ratio = slenderness * np.interp(age, [0.0, 0.3, 0.75, 1.0], [0.76, 1.02, 0.9, 0.65])
    ratio = np.clip(ratio * rng.lognormal(0.0, 0.09), 1.05, 4.0)
    blade = length * (1.0 - petiole)
    grown = np.interp(age, [0.0, 0.3, 0.7, 1.0], [0.6, 1.0, 0.7, 0.1])
    return Leaf(
        base=base,
        angle=angle,
        length=length,
        petiole=float(petiole),
        width=blade / ratio,
        petiole_width=petiole_width * np.interp(age, [0.0, 0.4, 1.0], [0.8, 1.0, 0.7]),
        bend=float(np.clip(rng.normal(0.0, 0.22), -0.7, 0.7)),
        taper=(rng.uniform(0.6, 1.15), rng.uniform(0.38, 0.58)),
        teeth=rng.uniform(2.5, 6.5),
        tooth_depth=float(np.clip(serration * grown * rng.uniform(0.5, 1.5), 0.0, 0.3)),
        wave=(rng.uniform(), rng.uniform()),
        age=age,
    )
