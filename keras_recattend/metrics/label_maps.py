"""Instance metrics of a pair of label maps, in numpy.

A label map is a 2-D integer array: 0 is background, every other id is one object. The
ids may have gaps, and those of the two maps need not correspond. All metrics come from
one contingency table, so an image is read once whatever the number of its objects.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

__all__ = [
    "NumberedMap",
    "OverlapTable",
    "best_dice",
    "difference_in_count",
    "false_negatives",
    "false_positives",
    "foreground_dice",
    "foreground_iou",
    "legacy_sbd",
    "mean_unweighted_coverage",
    "mean_weighted_coverage",
    "numbered",
    "overlap_of",
    "overlap_table",
    "symmetric_best_dice",
]


@dataclass(frozen=True, eq=False)
class OverlapTable:
    """How many pixels every true object shares with every predicted one.

    With N true and M predicted objects, ids in ascending order, background left out:

    Attributes:
        truth_ids: `[N]` int64.
        prediction_ids: `[M]` int64.
        truth_areas: `[N]` int64, in pixels.
        prediction_areas: `[M]` int64, in pixels.
        intersection: `[N, M]` int64, in pixels.
    """

    truth_ids: np.ndarray
    prediction_ids: np.ndarray
    truth_areas: np.ndarray
    prediction_areas: np.ndarray
    intersection: np.ndarray

    @property
    def true_count(self) -> int:
        """Number of true objects, N."""
        return len(self.truth_ids)

    @property
    def predicted_count(self) -> int:
        """Number of predicted objects, M."""
        return len(self.prediction_ids)

    @property
    def dice(self) -> np.ndarray:
        """Dice of every pair, `2 |A & B| / (|A| + |B|)`, `[N, M]` float64."""
        total = self.truth_areas[:, None] + self.prediction_areas[None, :]
        return 2.0 * self.intersection / total

    @property
    def iou(self) -> np.ndarray:
        """Intersection over union of every pair, `[N, M]` float64."""
        total = self.truth_areas[:, None] + self.prediction_areas[None, :]
        return self.intersection / (total - self.intersection)

    @property
    def object_recall(self) -> np.ndarray:
        """Whether a prediction overlaps each true object by an IoU above 1/2, `[N]`."""
        return self._best_iou() > 0.5

    @property
    def pixel_recall(self) -> np.ndarray:
        """Share of each true object's pixels that any prediction has, `[N]` float64."""
        return self.intersection.sum(axis=1) / self.truth_areas

    def swapped(self) -> "OverlapTable":
        """Return the table with truth and prediction exchanged."""
        return OverlapTable(
            self.prediction_ids,
            self.truth_ids,
            self.prediction_areas,
            self.truth_areas,
            self.intersection.T,
        )

    def best_dice(self) -> float:
        """Return the mean over true objects of the best Dice; see `best_dice`."""
        if not self.true_count or not self.predicted_count:
            return float(self.true_count == self.predicted_count)
        return float(self.dice.max(axis=1).mean())

    def symmetric_best_dice(self) -> float:
        """Return the worse direction of best Dice; see `symmetric_best_dice`."""
        return min(self.best_dice(), self.swapped().best_dice())

    def legacy_sbd(self) -> float:
        """Return the score of the paper's released scorer; see `legacy_sbd`."""
        if not self.true_count or not self.predicted_count:
            return 0.0
        slots = self.prediction_ids <= self.true_count
        by_truth = self.dice.max(axis=1).sum()
        by_prediction = self.dice.max(axis=0)[slots].sum()
        return float(min(by_truth, by_prediction) / self.true_count)

    def foreground_dice(self) -> float:
        """Return the Dice of the two foregrounds; see `foreground_dice`."""
        total = int(self.truth_areas.sum() + self.prediction_areas.sum())
        return 2.0 * int(self.intersection.sum()) / total if total else 1.0

    def foreground_iou(self) -> float:
        """Return the IoU of the two foregrounds; see `foreground_iou`."""
        shared = int(self.intersection.sum())
        union = int(self.truth_areas.sum() + self.prediction_areas.sum()) - shared
        return shared / union if union else 1.0

    def difference_in_count(self) -> int:
        """Return predicted minus true count."""
        return self.predicted_count - self.true_count

    def mean_unweighted_coverage(self) -> float:
        """Return MUCov of this image; see `mean_unweighted_coverage`."""
        return float(self._best_iou().mean()) if self.true_count else 0.0

    def mean_weighted_coverage(self) -> float:
        """Return MWCov of this image; see `mean_weighted_coverage`."""
        if not self.true_count:
            return 0.0
        return float(np.average(self._best_iou(), weights=self.truth_areas))

    def false_positives(self) -> int:
        """Return how many predictions touch no true object."""
        return int((self.intersection.sum(axis=0) == 0).sum())

    def false_negatives(self) -> int:
        """Return how many true objects no prediction touches."""
        return int((self.intersection.sum(axis=1) == 0).sum())

    def _best_iou(self):
        # initial: an empty prediction covers every object by 0.
        return self.iou.max(axis=1, initial=0.0)


def overlap_table(truth: np.ndarray, prediction: np.ndarray) -> OverlapTable:
    """Count the pixels that true and predicted objects have and share, in one pass.

    Args:
        truth: `[H, W]` label map, 0 = background. Any integer type, bool, or floats
            that hold whole numbers.
        prediction: `[H, W]` label map of the same shape.

    Returns:
        An `OverlapTable`; compute it once where several metrics of an image are wanted.

    Raises:
        ValueError: if a map is not 2-D, holds negative, fractional or non-numeric
            labels, or if the shapes differ.

    Example:

    >>> table = overlap_table([[0, 7], [7, 7]], [[0, 1], [1, 2]])
    >>> table.intersection
    array([[2, 1]])
    """
    return overlap_of(
        numbered(truth, "truth"),
        numbered(prediction, "prediction"),
    )


class NumberedMap(NamedTuple):
    """A label map made ready to be compared with several others.

    Attributes:
        ids: `[N]` int64, of the objects, in ascending order.
        places: `[H, W]` int64, for every pixel 0 (background) or 1 + its id's place.
    """

    ids: np.ndarray
    places: np.ndarray


def numbered(labels: np.ndarray, name: str = "labels") -> NumberedMap:
    """Number the objects of a label map from 1 on, whatever their ids.

    Args:
        labels: `[H, W]` label map; see `overlap_table`.
        name: what errors call it.

    Raises:
        ValueError: as `overlap_table`.
    """
    labels = _label_map(name, labels)
    ids, index = _ids_and_index(labels)
    return NumberedMap(ids, index.reshape(labels.shape))


def overlap_of(truth: NumberedMap, prediction: NumberedMap) -> OverlapTable:
    """Return `overlap_table` of maps that are numbered already.

    Raises:
        ValueError: if the shapes differ.
    """
    if truth.places.shape != prediction.places.shape:
        raise ValueError(
            "truth and prediction must have one shape, received "
            f"{truth.places.shape} and {prediction.places.shape}; resize the "
            "prediction to the size of the true label map first (nearest neighbour)."
        )
    # Row and column 0 are background; flat pair numbers make one bincount enough.
    rows, columns = len(truth.ids) + 1, len(prediction.ids) + 1
    pairs = (truth.places * columns + prediction.places).ravel()
    table = np.bincount(pairs, minlength=rows * columns).reshape(rows, columns)
    return OverlapTable(
        truth_ids=truth.ids,
        prediction_ids=prediction.ids,
        truth_areas=table.sum(axis=1)[1:],
        prediction_areas=table.sum(axis=0)[1:],
        intersection=table[1:, 1:],
    )


def best_dice(a: np.ndarray, b: np.ndarray) -> float:
    """Best Dice of the objects of `a`, in one direction.

    `BD(a, b) = mean_i max_j 2 |a_i & b_j| / (|a_i| + |b_j|)`, where an object of `b`
    may serve several of `a`. `best_dice(truth, prediction)` is "BestDice" of the
    literature; it does not punish surplus predictions and is not SBD.

    Args:
        a: `[H, W]` label map whose objects are averaged over.
        b: `[H, W]` label map in which the best partner is sought.

    Returns:
        A float from 0 to 1: 0 if exactly one of the maps is empty. Two empty maps agree
        and give 1 (the challenge's own script gives 0 there, but its data hold no
        image without objects).
    """
    return overlap_table(a, b).best_dice()


def symmetric_best_dice(a: np.ndarray, b: np.ndarray) -> float:
    """Symmetric best Dice (SBD), the score of the leaf segmentation challenge.

    `SBD(a, b) = min(BD(a, b), BD(b, a))` with `best_dice` as BD: missing, merged and
    surplus objects all cost.

    Args:
        a: `[H, W]` label map.
        b: `[H, W]` label map; the order does not matter.

    Returns:
        A float from 0 to 1; empty maps as in `best_dice`.
    """
    return overlap_table(a, b).symmetric_best_dice()


def legacy_sbd(truth: np.ndarray, prediction: np.ndarray) -> float:
    """SBD as the paper's released scorer computes it: comparison only, not SBD.

    The ids of the prediction are taken as the network's output slots 1, 2, ... Both
    directions are divided by the number of true objects n, and the direction from the
    prediction adds up slots 1 to n only. So surplus predictions are free, an empty slot
    among the first n counts 0, and two empty maps give 0.

    Args:
        truth: `[H, W]` label map.
        prediction: `[H, W]` label map, id = output slot, counted from 1.

    Returns:
        A float from 0 to 1.
    """
    return overlap_table(truth, prediction).legacy_sbd()


def foreground_dice(a: np.ndarray, b: np.ndarray) -> float:
    """Dice of the two foregrounds (FBD): all objects against background.

    `FBD(a, b) = 2 |A & B| / (|A| + |B|)` with A, B the pixels with any object.

    Args:
        a: `[H, W]` label map.
        b: `[H, W]` label map; the order does not matter.

    Returns:
        A float from 0 to 1; two empty maps give 1.
    """
    return overlap_table(a, b).foreground_dice()


def foreground_iou(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of the two foregrounds: all objects against background.

    Args:
        a: `[H, W]` label map.
        b: `[H, W]` label map; the order does not matter.

    Returns:
        A float from 0 to 1; two empty maps give 1.
    """
    return overlap_table(a, b).foreground_iou()


def difference_in_count(truth: np.ndarray, prediction: np.ndarray) -> int:
    """Predicted minus true number of objects (DiC); positive means too many.

    Args:
        truth: `[H, W]` label map.
        prediction: `[H, W]` label map.

    Returns:
        An int. |DiC| is its absolute value.
    """
    return overlap_table(truth, prediction).difference_in_count()


def mean_unweighted_coverage(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Mean over true objects of the best IoU with any prediction (MUCov).

    Args:
        truth: `[H, W]` label map.
        prediction: `[H, W]` label map.

    Returns:
        A float from 0 to 1. An image without true objects has no coverage: it gives 0
        here and has to be left out of a mean over images, as `summarise` does.
    """
    return overlap_table(truth, prediction).mean_unweighted_coverage()


def mean_weighted_coverage(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Like `mean_unweighted_coverage`, weighted by the true objects' areas (MWCov).

    Args:
        truth: `[H, W]` label map.
        prediction: `[H, W]` label map.

    Returns:
        A float from 0 to 1; without true objects as in `mean_unweighted_coverage`.
    """
    return overlap_table(truth, prediction).mean_weighted_coverage()


def false_positives(truth: np.ndarray, prediction: np.ndarray) -> int:
    """Number of predictions without one pixel on a true object.

    Args:
        truth: `[H, W]` label map.
        prediction: `[H, W]` label map.

    Returns:
        An int; its mean over images is AvgFP.
    """
    return overlap_table(truth, prediction).false_positives()


def false_negatives(truth: np.ndarray, prediction: np.ndarray) -> int:
    """Number of true objects without one pixel of a prediction.

    Args:
        truth: `[H, W]` label map.
        prediction: `[H, W]` label map.

    Returns:
        An int; its mean over images is AvgFN.
    """
    return overlap_table(truth, prediction).false_negatives()


def _label_map(name, labels):
    labels = np.asarray(labels)
    if labels.ndim != 2:
        raise ValueError(
            f"{name} must be a 2-D label map [H, W], received shape {labels.shape}; "
            "binary masks [T, H, W] have to be merged into one map of ids first."
        )
    if not labels.size:
        raise ValueError(f"{name} has no pixels: shape {labels.shape}.")
    if labels.dtype.kind not in "biuf":
        raise ValueError(f"{name} must hold integers, received dtype {labels.dtype}.")
    if labels.dtype.kind == "f" and not (
        np.isfinite(labels).all() and (labels == np.rint(labels)).all()
    ):
        raise ValueError(
            f"{name} must hold integer ids, received dtype {labels.dtype} with "
            "fractional or non-finite values; soft masks have to be thresholded first."
        )
    if labels.min() < 0:
        raise ValueError(
            f"{name} must hold ids from 0 (background) upwards, received "
            f"{labels.min()}; set pixels to be ignored to 0."
        )
    if labels.dtype.kind in "uf" and labels.max() > np.iinfo(np.int64).max:
        raise ValueError(f"{name} holds an id beyond int64: {labels.max()}.")
    return labels.astype(np.int64)


def _ids_and_index(labels):
    """Return the sorted ids without 0, and for every pixel 0 or 1 + its id's place."""
    labels = labels.ravel()
    if labels.max() <= labels.size:
        present = np.bincount(labels) > 0
        present[0] = False
        places = np.cumsum(present) * present
        return np.flatnonzero(present), places[labels]
    # Ids far apart (panoptic encodings): sorting costs less than a long table.
    ids, index = np.unique(labels, return_inverse=True)
    index = index.reshape(-1)
    if ids[0] == 0:
        return ids[1:], index
    return ids, index + 1
