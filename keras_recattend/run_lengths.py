"""Masks and objects of label maps as COCO's run lengths (RLE), fit for JSON."""

import numpy as np
from pycocotools import mask as masks
from scipy import ndimage

__all__ = ["columns_of", "encoded", "encoded_object"]

# Ids up to which a list of all of them is no waste.
MOST_PLACES = 65_535


def encoded(mask: np.ndarray) -> dict:
    """Return COCO's run-length encoding of a binary mask [H, W], fit for JSON."""
    code = masks.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": list(code["size"]), "counts": code["counts"].decode("ascii")}


def encoded_object(labels: np.ndarray, number: int, columns: slice) -> dict:
    """Return `encoded(labels == number)` of an object that lies within some columns.

    Run lengths go down the columns: those beside them are two long runs. Of a large
    picture only the object's own columns are gone through.

    Args:
        labels: `[H, W]` label map. number: the object's. columns: start and stop.
    """
    height, width = labels.shape
    part = (labels[:, columns] == number).ravel(order="F")
    edges = np.flatnonzero(part[1:] != part[:-1]) + 1
    runs = np.diff(edges, prepend=0, append=part.size).tolist()
    # The first run is of zeros, if need be of none.
    if part[0]:
        runs.insert(0, 0)
    runs[0] += columns.start * height
    after = (width - columns.stop) * height
    if len(runs) % 2:
        runs[-1] += after
    elif after:
        runs.append(after)
    code = {"counts": runs, "size": [height, width]}
    code = masks.frPyObjects(code, height, width)
    return {"size": list(code["size"]), "counts": code["counts"].decode("ascii")}


def columns_of(labels: np.ndarray) -> dict[int, slice]:
    """Return {number of an object: slice of the columns that it lies in}.

    Args:
        labels: `[H, W]` label map, 0 = background.
    """
    if labels.max(initial=0) > MOST_PLACES:
        return dict.fromkeys(np.unique(labels).tolist(), slice(0, labels.shape[1]))
    places = ndimage.find_objects(np.asarray(labels, np.int32))
    return {i: place[1] for i, place in enumerate(places, start=1) if place}
