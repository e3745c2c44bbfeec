"""The official score and the submission of each benchmark, fed image by image.

| data set | average precision | submission |
| --- | --- | --- |
| `cvppp` | COCO's rules on the label maps | NAME.h5 |
| `cityscapes` | the benchmark's evaluator, on its own labels | a folder, or NAME.zip |
| `coco` | pycocotools, on the benchmark's annotations | NAME.json |
| any other | COCO's rules on the label maps | none: there is no server |
"""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from keras_recattend.errors import UserError
from keras_recattend.metrics import cityscapes, coco
from keras_recattend.metrics.cityscapes_distance import find_distances
from keras_recattend.submissions.cityscapes import CityscapesSubmission
from keras_recattend.submissions.cityscapes_classes import classes_of_objects
from keras_recattend.submissions.coco import (
    ENDINGS as COCO_ENDINGS,
)
from keras_recattend.submissions.coco import (
    category_ids,
    find_annotations,
    image_id,
    write_results,
)
from keras_recattend.submissions.cvppp import CvpppSubmission
from keras_recattend.submissions.semantic_maps import SemanticMaps
from keras_recattend.submissions.target import check_target

__all__ = ["Benchmark", "Cityscapes", "Coco", "Cvppp", "of_dataset", "of_records"]

_LOG = logging.getLogger(__name__)


def of_dataset(
    dataset: str,
    names: Sequence[str],
    unlabelled: Sequence[str] = (),
    data_dir: str | os.PathLike | None = None,
    class_names: Sequence[str] = (),
    subset: str = "A1",
    submission: str | os.PathLike | None = None,
    semantic_dir: str | os.PathLike | None = None,
) -> "Benchmark":
    """Return what `evaluate_run` does for a data set; mistakes are told at once.

    Args:
        dataset: its name in the catalog.
        names: of the images with labels, to be scored.
        unlabelled: names of the others, to be predicted only.
        data_dir: the raw benchmark's folder. Where it is not there any more, what
            needs the benchmark's own labels is left out.
        class_names: of COCO, the categories that the records have; () = all.
        subset: of CVPPP, for the names of the submission's groups.
        submission: what to write.
        semantic_dir: of Cityscapes, see `SemanticMaps`.

    Raises:
        UserError: options that do not go with the data set, or files that are missing.
    """
    if semantic_dir and dataset != "cityscapes":
        raise UserError(
            f"--semantic-dir goes with the data set cityscapes, not with {dataset}."
        )
    if dataset in ("cityscapes", "coco") and not (data_dir and Path(data_dir).is_dir()):
        _LOG.warning(
            "The raw files of %s are not at %s: no average precision. Give them with "
            "--data-dir.",
            dataset,
            data_dir,
        )
        data_dir = None
    if dataset == "cityscapes":
        return Cityscapes(names, unlabelled, data_dir, submission, semantic_dir)
    if dataset == "coco":
        return Coco(names, data_dir, class_names, submission)
    if dataset == "cvppp":
        return Cvppp(submission, subset)
    if submission:
        raise UserError(
            f"No server takes submissions of the data set {dataset}; --submission goes "
            "with cvppp, cityscapes and coco. The label maps are written to labels/."
        )
    return Benchmark()


def of_records(manifest, ids, submission=None, semantic_dir=None) -> "Benchmark":
    """`of_dataset` for images of a records folder.

    Args:
        manifest: the folder's `datasets.manifest.Manifest`.
        ids: names of the images to evaluate.
        submission, semantic_dir: as for `of_dataset`.
    """
    labelled = {i for i in ids if manifest.entry(i).objects is not None}
    return of_dataset(
        manifest.dataset,
        [i for i in ids if i in labelled],
        [i for i in ids if i not in labelled],
        data_dir=manifest.source["location"],
        class_names=manifest.class_names,
        subset=manifest.source["options"].get("subset", "A1"),
        submission=submission,
        semantic_dir=semantic_dir,
    )


class Benchmark:
    """COCO's average precision of the label maps; the base of the others.

    A context manager: what was not finished is removed on the way out.
    """

    def __init__(self):
        self._precision = coco.LabelMapPrecision()
        self._scored = 0

    def add(self, example, found) -> None:
        """Take one image in.

        Args:
            example: with `name` and `labels` (None = unlabelled: not scored).
            found: its `Found`.
        """
        if example.labels is not None:
            self._scored += 1
            self._precision.add(example.labels, found.labels, found.scores)

    def finish(self) -> dict[str, float | bool | None]:
        """Write the submission if there is one; return values for `metrics.json`."""
        return self._precision.result() if self._scored else {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """Nothing of its own to remove."""


class Cvppp(Benchmark):
    """The leaf challenge: with a submission as HDF5, if asked for."""

    def __init__(self, submission=None, subset="A1"):
        super().__init__()
        self._submission = CvpppSubmission(submission, subset) if submission else None

    def add(self, example, found):
        super().add(example, found)
        if self._submission:
            self._submission.add(example.name, found.labels)

    def finish(self):
        if self._submission:
            self._submission.finish()
            _LOG.info("Submission: %s.", self._submission.path)
        return super().finish()

    def __exit__(self, *_):
        if self._submission:
            self._submission.discard()


class Coco(Benchmark):
    """MS-COCO, against the benchmark's annotations.

    A network that was trained on one category finds that one. Trained on several it
    finds objects and does not say of which: they are scored whatever their category.
    """

    def __init__(self, names, data_dir, class_names=(), submission=None):
        super().__init__()
        self._path = submission and check_target(submission, COCO_ENDINGS, "COCO")
        self._annotations, self._results, self._ids = None, [], []
        if data_dir:
            self._annotations = find_annotations(data_dir, map(image_id, names))
            known = [c["name"] for c in self._annotations["categories"]]
            chosen = category_ids(self._annotations, class_names or known)
            self._categories, self._agnostic = chosen, len(chosen) > 1
        elif submission:
            raise UserError(
                "COCO's submission needs the numbers of the categories: give the "
                "benchmark's folder with --data-dir."
            )
        if self._annotations and self._agnostic:
            _LOG.info(
                "%d categories, which the network does not tell apart: objects are "
                "scored whatever their category (useCats=0).",
                len(chosen),
            )
            if submission:
                _LOG.warning(
                    "The submission calls all objects %d, the first category: it is of "
                    "no use to COCO's server, which scores by category.",
                    chosen[0],
                )

    def add(self, example, found):
        if not self._annotations:
            return
        number = image_id(example.name)
        self._results += coco.results_of_image(
            number, found.labels, found.scores, self._categories[0]
        )
        if example.labels is not None:
            self._ids.append(number)

    def finish(self):
        if self._path:
            write_results(self._results, self._path)
            _LOG.info("Submission: %s.", self._path)
        if not self._ids:
            return {}
        scored = set(self._ids)
        values = coco.evaluate(
            self._annotations,
            [r for r in self._results if r["image_id"] in scored],
            self._ids,
            self._categories,
            by_category=not self._agnostic,
        )
        total = self._annotations["total"]
        everywhere = len(scored) == total
        if not everywhere:
            _LOG.warning(
                "The average precision is that of %d of the %d images of the "
                "annotations: what would be found on the others costs nothing. The "
                "benchmark's own needs --all-images.",
                len(scored),
                total,
            )
        return {
            **values,
            "ap_class_agnostic": self._agnostic,
            "ap_all_images": everywhere,
        }


class Cityscapes(Benchmark):
    """Cityscapes: classes by a semantic segmentation, scored by its own evaluator."""

    def __init__(self, names, unlabelled, data_dir, submission=None, semantic_dir=None):
        super().__init__()
        self._maps = SemanticMaps(semantic_dir) if semantic_dir else None
        if self._maps:
            self._maps.check([*names, *unlabelled])
        self._data_dir = data_dir
        self._truth = cityscapes.find_truth(data_dir, names) if data_dir else {}
        self._submission = CityscapesSubmission(submission)
        self._without_classes = False

    def add(self, example, found):
        semantic = self._semantic(example, found)
        if semantic is None:
            self._without_classes = True
            return
        label_ids = classes_of_objects(found.labels, semantic, len(found.scores))
        self._submission.add(example.name, found.labels, label_ids, found.scores)
        self._scored += example.labels is not None

    def _semantic(self, example, found):
        if self._maps:
            return self._maps(example.name)
        if found.semantic is None and self._submission.path:
            raise UserError(
                "Cityscapes' submission needs the class of every object, and this "
                "network has no pre-processing stage that could tell. Give semantic "
                "maps with --semantic-dir."
            )
        return found.semantic

    def finish(self):
        if self._submission.path:
            self._submission.finish()
            _LOG.info("Submission: %s.", self._submission.path)
        if self._without_classes:
            _LOG.warning(
                "No average precision: it needs the class of every object. Give "
                "semantic maps with --semantic-dir."
            )
        if self._without_classes or not self._truth or not self._scored:
            return {}
        distances = find_distances(self._data_dir, self._truth, self._truth)
        if distances is None:
            _LOG.info(
                "No AP50m and AP100m: they need disparity/ and camera/ of the "
                "benchmark beside gtFine/."
            )
        _LOG.info("Cityscapes' evaluator scores %d images.", len(self._truth))
        results = {name: self._submission.text_file(name) for name in self._truth}
        return cityscapes.evaluate(
            results, self._truth, self._submission.folder, distances
        )

    def __exit__(self, *_):
        self._submission.discard()
