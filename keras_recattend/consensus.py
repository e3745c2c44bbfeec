"""One label map of several of the same image: what most of them agree on."""

import itertools

import numpy as np
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

from keras_recattend.metrics.label_maps import numbered, overlap_of
from keras_recattend.postprocess import collected

__all__ = ["consensus"]

# Objects of two label maps with a smaller IoU are two objects.
LEAST_IOU = 0.5
# A pixel is an object's where so many of the label maps that have the object say so.
LEAST_SHARE = 0.5


def consensus(label_maps, scores, min_area=0):
    """Return the objects that most of the label maps have.

    The label maps' objects are grouped, one of each map at most, beginning with the map
    that agrees best with the others (mean SBD). A group of more than half the maps is
    an object, and so is one of half of them if the best map has it. A pixel belongs to
    the object that the greatest share of its maps has there, from a half on.

    Args:
        label_maps: V integer arrays [H, W], 0 = background, 1..n.
        scores: V arrays [n], of the objects of each.
        min_area: objects with fewer pixels are dropped.

    Returns:
        A `Found`, its objects in the order of the best map. Scores are means over all
        V maps: 0 counts where an object was not found. `steps` are the numbers, from 0,
        of the objects in the first map, -1 where that has none.
    """
    places = [ndimage.find_objects(np.asarray(m, np.int32)) for m in label_maps]
    ious, order = _compared(label_maps, places)
    groups = [
        group
        for group in _groups([len(values) for values in scores], ious, order)
        if 2 * len(group) > len(label_maps)
        or (2 * len(group) == len(label_maps) and order[0] in group)
    ]
    means = [
        sum(scores[v][k] for v, k in group.items()) / len(label_maps)
        for group in groups
    ]
    labels = _painted(label_maps, places, groups)
    found = collected(labels, means, np.zeros(len(groups)), min_area)
    first = np.array([group.get(0, -1) for group in groups], int)
    return found._replace(steps=first[found.steps])


def _compared(label_maps, places):
    """Return (ious, order) of V label maps.

    `places` are the slices of each map's objects. ious[v][w] is [n of v, n of w];
    order [V] begins with the map that agrees best with all others.
    """
    count = len(label_maps)
    # Nothing but background lies outside, in a large picture most of it.
    area = _around(itertools.chain.from_iterable(places))
    maps = [numbered(labels[area]) for labels in label_maps]
    ious = [[None] * count for _ in range(count)]
    agreement = np.zeros(count)
    for v in range(count):
        for w in range(v):
            table = overlap_of(maps[v], maps[w])
            ious[v][w], ious[w][v] = table.iou, table.iou.T
            agreement[[v, w]] += table.symmetric_best_dice()
    return ious, np.argsort(-agreement, kind="stable")


def _groups(counts, ious, order):
    """Group the label maps' objects, [{number of map: number of object from 0}]."""
    groups = []
    for v in order:
        # How like each group every object is: its mean IoU with the group's objects.
        likeness = np.zeros((len(groups), counts[v]))
        for row, group in zip(likeness, groups, strict=True):
            row[:] = np.mean([ious[w][v][k] for w, k in group.items()], axis=0)
        likeness[likeness < LEAST_IOU] = 0.0
        alone = set(range(counts[v]))
        for g, k in zip(*linear_sum_assignment(likeness, maximize=True), strict=True):
            if likeness[g, k]:
                groups[g][v] = int(k)
                alone.remove(k)
        groups += [{v: k} for k in sorted(alone)]
    return groups


def _painted(label_maps, places, groups):
    """Return uint16 [H, W], the number of the group (from 1) that has each pixel."""
    labels = np.zeros(label_maps[0].shape, np.uint16)
    greatest = np.zeros(label_maps[0].shape, np.float32)
    for number, group in enumerate(groups, start=1):
        area = _around([places[v][k] for v, k in group.items()])
        votes = sum(label_maps[v][area] == k + 1 for v, k in group.items())
        share = np.float32(votes / len(group))
        take = (share >= LEAST_SHARE) & (share > greatest[area])
        labels[area][take] = number
        greatest[area][take] = share[take]
    return labels


def _around(places):
    """The slices (rows, columns) round several such pairs, () = everything of none."""
    return tuple(
        slice(min(s.start for s in slices), max(s.stop for s in slices))
        for slices in zip(*places, strict=True)
    )
