"""LabelMe's shapes as COCO's segmentations."""

import base64
import io
import math

import numpy as np
from PIL import Image

from datasets.coco_masks import mask_of
from datasets.errors import DataError
from keras_recattend.run_lengths import encoded

__all__ = ["NO_AREA", "segmentation_of"]

# Shapes that mark places and not objects.
NO_AREA = frozenset(("point", "points", "line", "linestrip"))
# Most distance, in pixels, between a circle and the polygon that stands for it.
DEVIATION = 0.1


def segmentation_of(shapes: list[dict], size: tuple[int, int]) -> list | dict:
    """Return one object's shapes as one segmentation.

    Args:
        shapes: entries of LabelMe's "shapes": polygon, rectangle (two corners, or
            four), oriented_rectangle (four), circle (centre and a point of it) or mask
            (corners of a box, and its PNG).
        size: (height, width) of the image.

    Returns:
        Polygons, or run lengths where a mask is among the shapes.

    Raises:
        DataError: a shape is malformed or of an unknown kind.
    """
    polygons = [_polygon(s) for s in shapes if _kind(s) != "mask"]
    masks = [_painted(s, size) for s in shapes if _kind(s) == "mask"]
    if not masks:
        return polygons
    if polygons:
        masks.append(mask_of(polygons, size)[0])
    return encoded(np.logical_or.reduce(masks))


def _kind(shape):
    return shape.get("shape_type") or "polygon"


def _points(shape):
    try:
        points = [(float(x), float(y)) for x, y in shape["points"]]
    except (KeyError, TypeError, ValueError):
        points = []
    if not points or not np.isfinite(points).all():
        raise DataError(
            f"a {_kind(shape)} needs points [[x, y], ...], got "
            f"{str(shape.get('points'))[:60]}"
        )
    return points


def _polygon(shape):
    kind, points = _kind(shape), _points(shape)
    if kind == "polygon":
        return [value for point in points for value in point]
    if kind not in ("rectangle", "oriented_rectangle", "circle"):
        raise DataError(
            f"the shape {kind!r} is not known; expected polygon, rectangle, "
            "oriented_rectangle, circle or mask."
        )
    if kind.endswith("rectangle") and len(points) == 4:
        return [value for point in points for value in point]
    if len(points) != 2 or kind == "oriented_rectangle":
        needed = 4 if kind == "oriented_rectangle" else 2
        raise DataError(f"a shape {kind} needs {needed} points, got {len(points)}.")
    (x0, y0), (x1, y1) = points
    if kind == "rectangle":
        return [x0, y0, x1, y0, x1, y1, x0, y1]
    radius = math.hypot(x1 - x0, y1 - y0)
    corners = 12
    if radius > DEVIATION:
        corners = max(corners, math.ceil(math.pi / math.acos(1 - DEVIATION / radius)))
    angles = [2 * math.pi * i / corners for i in range(corners)]
    return [
        value
        for angle in angles
        for value in (x0 + radius * math.cos(angle), y0 + radius * math.sin(angle))
    ]


def _painted(shape, size):
    """bool [H, W] of a mask that was painted."""
    points = _points(shape)
    try:
        data = base64.b64decode(shape.get("mask") or "", validate=True)
        # No other kind is tried: some of Pillow's readers start other programs (EPS).
        with Image.open(io.BytesIO(data), formats=["PNG"]) as file:
            inside = np.asarray(file.convert("L")) > 0
    except Exception as error:
        # Decoders of damaged files raise nearly every kind of exception.
        raise DataError(f"the mask of a shape cannot be read ({error}).") from None
    x, y = (round(min(values)) for values in zip(*points, strict=True))
    mask = np.zeros(size, bool)
    height, width = inside.shape
    # LabelMe lets a mask be dragged until its last row or column is outside.
    if x < 0 or y < 0 or y + height > size[0] + 1 or x + width > size[1] + 1:
        raise DataError(
            f"a mask of {height} x {width} at row {y}, column {x} does not fit into "
            f"the image of {size[0]} x {size[1]}."
        )
    mask[y : y + height, x : x + width] = inside[: size[0] - y, : size[1] - x]
    return mask
