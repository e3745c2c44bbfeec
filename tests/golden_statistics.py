"""Statistics that the authors' loss stage printed, in plain numpy."""

import numpy as np

EPSILON = 1e-5


def iou_and_dice(a, b):
    """Return (soft IoU, dice), each [B, N, M], of masks [B, N, H, W], [B, M, H, W].

    `sum(a b) / sum(a + b - a b + e)` and `2 sum(a b) / (sum(a + e) + sum(b + e))`.
    """
    a, b = a[:, :, np.newaxis].astype(np.float64), b[:, np.newaxis].astype(np.float64)
    both = (a * b).sum((-2, -1))
    iou = both / (a + b - a * b + EPSILON).sum((-2, -1))
    dice = 2 * both / ((a + EPSILON).sum((-2, -1)) + (b + EPSILON).sum((-2, -1)))
    return iou, dice


def matched_statistics(masks, truth, match):
    """Return the means over the batch of the matched IoU and dice."""
    count = np.maximum(1.0, match.sum((1, 2)))
    iou, dice = iou_and_dice(masks, truth)
    return {
        "iou": np.mean((iou * match).sum((1, 2)) / count),
        "dice": np.mean((dice * match).sum((1, 2)) / count),
    }


def coverage(iou, truth, count):
    """Return (weighted, unweighted) coverage of IoUs [B, N, M] with truths [B, M].

    The best IoU of every true object, averaged by area or over the objects.
    """
    best = iou.max(axis=1)
    area = truth.astype(np.float64).sum((-2, -1))
    share = area / np.maximum(area.sum(-1, keepdims=True), EPSILON)
    weighted = (best * share).sum(-1).mean()
    return weighted, (best.sum(-1) / np.maximum(1.0, count)).mean()


def counts(scores, exists):
    """Return the authors' counting statistics: outputs above 1/2 against objects."""
    difference = (scores > 0.5).sum(-1) - exists.sum(-1)
    return {
        "count_difference": difference.mean(),
        "count_difference_abs": np.abs(difference).mean(),
        "count_accuracy": (difference == 0).mean(),
    }
