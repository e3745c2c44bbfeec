"""What can be measured on a label map: area, box and centroid of every object."""

import typing

import numpy as np
from scipy import ndimage

__all__ = ["Region", "regions_of"]


# Above it ids are counted first: `find_objects` makes a list as long as the greatest.
MANY = 65_535


class Region(typing.NamedTuple):
    """One object, in pixels.

    (0, 0) is the centre of the top left pixel, x runs right, y down.

    Attributes:
        id: its value in the label map.
        area: number of pixels.
        top, left, bottom, right: first and last row and column, both inclusive.
        centroid_y, centroid_x: mean row and column of its pixels.
        score: from 0 to 1, or None where it is not known.
    """

    id: int
    area: int
    top: int
    left: int
    bottom: int
    right: int
    centroid_y: float
    centroid_x: float
    score: float | None


def regions_of(labels, scores=None):
    """Return the `Region` of each id in a label map, in ascending order.

    Args:
        labels: integers [H, W], 0 = background.
        scores: [n], of the ids 1 to n; None where they are not known.
    """
    ids = None
    if labels.max(initial=0) > MANY:
        ids, places = np.unique(labels, return_inverse=True)
        # The background has number 0 also where there is none.
        labels = places.reshape(labels.shape) + (ids[0] > 0)
        ids = ids[ids > 0]
    regions = []
    # Inside its slices only: a large picture is gone through once.
    for i, place in enumerate(ndimage.find_objects(np.asarray(labels, np.int32))):
        if place is None:
            continue
        rows, columns = np.nonzero(labels[place] == i + 1)
        top, left = place[0].start, place[1].start
        regions.append(
            Region(
                id=i + 1 if ids is None else int(ids[i]),
                area=len(rows),
                top=top,
                left=left,
                bottom=place[0].stop - 1,
                right=place[1].stop - 1,
                centroid_y=top + float(rows.mean()),
                centroid_x=left + float(columns.mean()),
                score=None if scores is None else float(scores[i]),
            )
        )
    return regions
