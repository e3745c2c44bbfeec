"""COCO's average precision of masks, computed by pycocotools' own `COCOeval`.

For MS-COCO itself (`evaluate`, with the benchmark's annotations), and for any data set
whose truth is a label map (`average_precision`).
"""

import contextlib
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from pycocotools import mask as masks
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from keras_recattend.run_lengths import columns_of, encoded_object

__all__ = [
    "LabelMapPrecision",
    "average_precision",
    "evaluate",
    "results_of_image",
]

# Predictions of an image that count, by the benchmark's rules.
MOST_PREDICTIONS = 100


def results_of_image(
    image_id: int, labels: np.ndarray, scores: Sequence[float], category_id: int = 1
) -> list[dict]:
    """Return the objects of an image as COCO's results format has them.

    Args:
        image_id: as in the annotations.
        labels: `[H, W]` label map, 0 = background, ids 1..n.
        scores: `[n]` confidences in the order of ids.
        category_id: of all objects, as in the annotations.

    Returns:
        One `{"image_id", "category_id", "segmentation", "score"}` an object.
    """
    if labels.max(initial=0) > len(scores):
        raise ValueError(
            f"Image {image_id} has labels up to {labels.max()} but {len(scores)} "
            "scores; ids have to be 1..n in the order of the scores."
        )
    columns = columns_of(labels)
    return [
        {
            "image_id": int(image_id),
            "category_id": int(category_id),
            # An object without a pixel lies in any column.
            "segmentation": encoded_object(labels, i, columns.get(i, slice(0, 1))),
            "score": float(score),
        }
        for i, score in enumerate(scores, start=1)
    ]


def evaluate(
    annotations: Mapping,
    results: Iterable[Mapping],
    image_ids: Iterable[int] | None = None,
    category_ids: Iterable[int] | None = None,
    by_category: bool = True,
    most: int = MOST_PREDICTIONS,
) -> dict[str, float | None]:
    """Score masks as the benchmark does.

    Crowd regions are ignored, at most 100 predictions an image count: COCO's own rules.

    Args:
        annotations: content of an `instances_*.json`: "images", "annotations",
            "categories".
        results: as `results_of_image` makes them.
        image_ids: the images to score; None = all.
        category_ids: the categories to score; None = all.
        by_category: False counts an object as found whatever its category
            (COCO's `useCats=0`), for networks that do not tell categories apart.
        most: predictions of an image that count, those of the greatest scores.

    Returns:
        "ap" (mean over IoU 0.50 to 0.95), "ap50" and "ap75", in percent; None where
        the chosen images hold no object of the chosen categories.

    Raises:
        ValueError: a result for an image that is not scored.
    """
    truth = _subset(annotations, image_ids, category_ids)
    known = {image["id"] for image in truth["images"]}
    results = [dict(result) for result in results]
    strange = sorted({r["image_id"] for r in results} - known)
    if strange:
        raise ValueError(
            f"There are results for {len(strange)} images that are not scored "
            f"({strange[:3]}); write results for the scored images only."
        )
    # Both print their progress.
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(_indexed(truth), _predictions(truth, results), "segm")
        evaluation.params.useCats = int(by_category)
        evaluation.params.maxDets = [1, 10, most]
        evaluation.evaluate()
        evaluation.accumulate()
    return _means(evaluation)


def _means(evaluation):
    """What `COCOeval.summarize` says of objects of all sizes, for any `maxDets`."""
    thresholds = np.asarray(evaluation.params.iouThrs)
    # [IoU threshold, recall, category] of all sizes and the most predictions.
    precision = evaluation.eval["precision"][:, :, :, 0, -1]
    chosen = {
        "ap": precision,
        "ap50": precision[np.isclose(thresholds, 0.5)],
        "ap75": precision[np.isclose(thresholds, 0.75)],
    }
    # -1 is COCO's sign for "no object to find".
    known = {name: values[values > -1] for name, values in chosen.items()}
    return {k: 100.0 * float(v.mean()) if v.size else None for k, v in known.items()}


def average_precision(
    truths: Iterable[np.ndarray],
    predictions: Iterable[np.ndarray],
    scores: Iterable[Sequence[float]],
) -> dict[str, float | None]:
    """COCO's average precision of label maps, of any data set and one class.

    All predictions count: the benchmark's bound of 100 an image is for its own images.

    Args:
        truths: `[H, W]` label maps, 0 = background; ids may have gaps.
        predictions: label maps of the same shapes, ids 1..n.
        scores: `[n]` confidences for each image, in the order of ids.

    Returns:
        As `evaluate`.
    """
    precision = LabelMapPrecision()
    for truth, labels, values in zip(truths, predictions, scores, strict=True):
        precision.add(truth, labels, values)
    return precision.result()


class LabelMapPrecision:
    """`average_precision` image by image; keeps run lengths, not label maps."""

    def __init__(self):
        self._images, self._truth, self._results = [], [], []

    def add(
        self, truth: np.ndarray, labels: np.ndarray, scores: Sequence[float]
    ) -> None:
        """Take one image in; arguments as for `average_precision`."""
        if truth.shape != labels.shape:
            raise ValueError(
                "truth and prediction must have one shape, received "
                f"{truth.shape} and {labels.shape}."
            )
        image_id = len(self._images) + 1
        height, width = truth.shape
        self._images.append({"id": image_id, "height": height, "width": width})
        columns = columns_of(truth)
        for i in sorted(columns.keys() - {0}):
            code = encoded_object(truth, i, columns[i])
            self._truth.append(
                {
                    "id": len(self._truth) + 1,
                    "image_id": image_id,
                    "category_id": 1,
                    "segmentation": code,
                    "area": int(masks.area(code)),
                    "iscrowd": 0,
                }
            )
        self._results += results_of_image(image_id, labels, scores)

    def result(self) -> dict[str, float | None]:
        """Return the score of all images so far, as `evaluate` does."""
        truth = {
            "images": self._images,
            "annotations": self._truth,
            "categories": [{"id": 1, "name": "object"}],
        }
        numbers = Counter(result["image_id"] for result in self._results)
        most = max([MOST_PREDICTIONS, *numbers.values()])
        return evaluate(truth, self._results, most=most)


def _subset(annotations, image_ids, category_ids):
    """Copies of what is scored; COCOeval writes into what it is given."""
    images = None if image_ids is None else set(image_ids)
    categories = None if category_ids is None else set(category_ids)

    def chosen(key, wanted, entries):
        return [dict(e) for e in entries if wanted is None or e[key] in wanted]

    of_images = chosen("image_id", images, annotations["annotations"])
    return {
        "images": chosen("id", images, annotations["images"]),
        "annotations": chosen("category_id", categories, of_images),
        "categories": chosen("id", categories, annotations["categories"]),
    }


def _indexed(dataset):
    coco = COCO()
    coco.dataset = dataset
    coco.createIndex()
    return coco


def _predictions(truth, results):
    if results:
        return _indexed(truth).loadRes(results)
    # loadRes looks at the first result, and fails where there is none.
    return _indexed({**truth, "annotations": []})
