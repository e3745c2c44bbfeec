"""Which of Cityscapes' eight classes an object is: the rule of the paper.

The network outlines objects without naming them. A semantic segmentation, made
elsewhere or by the pre-processing network, is averaged over an object's pixels; the
object gets the best of the eight classes, or is dropped where it is mostly background.
"""

import cv2
import numpy as np

__all__ = ["CLASSES", "classes_of_objects", "mean_by_object"]

# Name: the benchmark's label id. Class 1 is the first, ...; class 0 is background.
CLASSES = {
    "person": 24,
    "rider": 25,
    "car": 26,
    "truck": 27,
    "bus": 28,
    "train": 31,
    "motorcycle": 32,
    "bicycle": 33,
}
LABEL_IDS = np.array([0, *CLASSES.values()])
# An object with more background than this on average is dropped.
MOST_BACKGROUND = 0.7


def mean_by_object(labels: np.ndarray, semantic: np.ndarray, count: int) -> np.ndarray:
    """Average a semantic segmentation over every object.

    Args:
        labels: `[H, W]` label map, ids 1..count.
        semantic: probabilities, float `[h, w, 9]`: background, then the classes; or
            classes, integers `[h, w]`, 0 = background, 1..8. Scaled to the size of
            the labels where it differs.

    Returns:
        float64 `[count, 9]`; zeros for an id without pixels.

    Raises:
        ValueError: another number of channels.
    """
    if semantic.ndim == 3 and semantic.shape[2] != len(LABEL_IDS):
        raise ValueError(
            "semantic must have 9 channels, background and the eight classes, received "
            f"shape {semantic.shape}."
        )
    size = labels.shape[::-1]
    flat = labels.ravel().astype(np.intp)
    total = np.zeros((count + 1, len(LABEL_IDS)))
    if semantic.ndim == 2:
        if semantic.shape != labels.shape:
            semantic = cv2.resize(
                semantic.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST
            )
        pairs = flat * len(LABEL_IDS) + semantic.ravel()
        total += np.bincount(pairs, minlength=total.size).reshape(total.shape)
    else:
        for channel in range(len(LABEL_IDS)):
            plane = np.float32(semantic[..., channel])
            if plane.shape != labels.shape:
                plane = cv2.resize(plane, size)
            total[:, channel] = np.bincount(flat, plane.ravel(), count + 1)
    area = np.bincount(flat, minlength=count + 1)[:, np.newaxis]
    return (total / np.maximum(area, 1))[1:]


def classes_of_objects(
    labels: np.ndarray, semantic: np.ndarray, count: int
) -> np.ndarray:
    """Return the benchmark's label id of every object.

    Args:
        labels, semantic, count: as for `mean_by_object`.

    Returns:
        integers `[count]`; 0 = dropped, because its mean background is above 0.7.
    """
    mean = mean_by_object(labels, semantic, count)
    classes = LABEL_IDS[1 + mean[:, 1:].argmax(axis=1)]
    dropped = (mean[:, 0] > MOST_BACKGROUND) | ~mean[:, 1:].any(axis=1)
    return np.where(dropped, 0, classes)
