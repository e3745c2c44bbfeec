"""Scores of a split on disk: metrics, one CSV row an image, label maps, pictures."""

import contextlib
import logging
import os
import platform
from pathlib import Path

import tqdm

from keras_recattend.ahead import grouped
from keras_recattend.errors import UserError
from keras_recattend.image_files import MOST_PIXELS_A_BATCH
from keras_recattend.metrics.report import (
    format_precisions,
    format_summary,
    score_image,
    summarise,
    write_csv,
    write_json,
)
from keras_recattend.places import check_place, is_refused
from keras_recattend.png import png_of_labels
from keras_recattend.prediction import Predictor
from keras_recattend.versions import installed_versions
from keras_recattend.visualize import comparison, sheet
from keras_recattend.whole_files import replacing

__all__ = [
    "check_free",
    "evaluate_run",
    "leave_unscored",
    "score_examples",
    "versions",
]

_LOG = logging.getLogger(__name__)
# In the folder of an evaluation until it is whole, so that it can be made again.
UNFINISHED = "evaluation.unfinished"
# Side of an image in `overlays.png`: of twenty megapixels each, six fill the memory.
LONGEST = 1000


def versions():
    """Return what a result depends on: versions and machine, one line."""
    packages = [f"{name} {number}" for name, number in installed_versions().items()]
    return (
        f"{', '.join(packages)}, python {platform.python_version()}, "
        f"{os.cpu_count()} cores"
    )


def score_examples(predictor, examples):
    """Predict and score images; yield (example, `Found`, row) one by one.

    Args:
        predictor: a `Predictor`.
        examples: iterable of objects with `name`, `image` (uint8) and `labels` (None =
            unlabelled), at their original size.

    Yields:
        row: "name" and what `score_image` returns; None where there are no labels.
    """
    for batch in grouped(examples, predictor.batch_size, MOST_PIXELS_A_BATCH, _pixels):
        found = predictor([example.image for example in batch])
        for example, f in zip(batch, found, strict=True):
            row = None
            if example.labels is not None:
                row = {"name": example.name, **score_image(example.labels, f.labels)}
            yield example, f, row


def _pixels(example):
    return example.image.shape[0] * example.image.shape[1]


def check_free(out: Path) -> None:
    """Raise UserError where an evaluation would replace something.

    That is an earlier one, or label maps and tables of somebody else: a data set's own
    `labels/` have just the names that an evaluation's have. What an interrupted
    evaluation left is in nobody's way.
    """
    check_place(out, "--out")
    if (out / "metrics.json").exists():
        raise UserError(
            f"{out} holds an evaluation already. Name another folder with --out, or "
            "delete that one."
        )
    if (out / UNFINISHED).exists():
        return
    foreign = [n for n in ("images.csv", "overlays.png") if (out / n).exists()]
    if (out / "labels").exists():
        foreign.append("labels")
    if foreign:
        raise UserError(
            f"{out} has {', '.join(foreign)} already, which evaluate.py did not write. "
            "Nothing was changed; name another folder with --out."
        )


def evaluate_run(
    model,
    examples,
    out,
    split,
    overlays=0,
    labels=False,
    about=None,
    benchmark=None,
    total=None,
    remedy="Make room and start again, or name another folder with --out.",
):
    """Score a model on examples and write what was found.

    Images without labels are predicted, but not scored; where there are no others,
    `metrics.json` has no scores and there is no `images.csv`.

    Args:
        model: a `RecurrentAttention` with weights.
        examples: iterable, with `name`, `image`, `labels`, at their original size.
        out: folder for `metrics.json`, `images.csv`, `overlays.png`, `labels/`.
        split: its name, for the record.
        overlays: images to show side by side in `overlays.png`.
        labels: whether to write every predicted label map as PNG.
        about: further values for `metrics.json`.
        benchmark: an `official.Benchmark`, for its average precision and submission.
        total: number of examples, for a progress bar; None = no bar.
        remedy: what to do where the disk is full.

    Returns:
        The summary, as `metrics.json` has it.

    Raises:
        UserError: there cannot be written.
    """
    with _writing_to(Path(out), remedy):
        return _evaluate(
            model, examples, Path(out), split, overlays, labels, about, benchmark, total
        )


@contextlib.contextmanager
def _writing_to(out, remedy):
    """Turn a full disk, and what else writing meets, into a `UserError`."""
    try:
        yield
    except OSError as error:
        if not is_refused(error, out):
            raise
        raise UserError(
            f"{error.filename or out} cannot be written ({error.strerror}). {remedy}"
        ) from error


def _evaluate(model, examples, out, split, overlays, labels, about, benchmark, total):
    out.mkdir(parents=True, exist_ok=True)
    if (out / UNFINISHED).exists():
        _clear(out)
    (out / UNFINISHED).touch()
    if labels:
        (out / "labels").mkdir(exist_ok=True)
    rows, pictures, unlabelled = [], [], 0
    with benchmark or contextlib.nullcontext():
        scored = score_examples(Predictor(model), examples)
        # None: no bar where the output is no terminal.
        hidden = True if total is None else None
        for example, found, row in tqdm.tqdm(scored, split, total, disable=hidden):
            if row is None:
                unlabelled += 1
            else:
                rows.append(row)
            if labels:
                file = example.name.replace("/", "_") + ".png"
                with replacing(out / "labels" / file) as temporary:
                    temporary.write_bytes(png_of_labels(found.labels))
            if len(pictures) < overlays:
                pictures.append(
                    comparison(
                        example.image,
                        example.labels,
                        found.labels,
                        title=example.name,
                        longest=LONGEST,
                    )
                )
            if benchmark:
                benchmark.add(example, found)
        if rows:
            write_csv(rows, out / "images.csv")
        if pictures:
            sheet(pictures, out / "overlays.png")
        official = benchmark.finish() if benchmark else {}
    summary = summarise(rows) if rows else {"n_images": 0}
    summary |= official
    extra = {
        "n_images_without_labels": unlabelled,
        "split": split,
        "preset": model.config.name,
        **(about or {}),
    }
    write_json(summary | extra, out / "metrics.json")
    (out / UNFINISHED).unlink()
    _report(split, summary, unlabelled)
    return summary


def _clear(out):
    """Take away what an evaluation that was interrupted left: it may be of others."""
    for path in (*out.glob("labels/*.png"), out / "images.csv", out / "overlays.png"):
        path.unlink(missing_ok=True)


def leave_unscored(preset, out):
    """Write a `metrics.json` that says that no image validated, and tell it.

    Whoever waits for the file finds it, and no scores in it.

    Args:
        preset: its name. out: the run folder.
    """
    summary = {"n_images": 0, "n_images_without_labels": 0}
    write_json(summary | {"split": "val", "preset": preset}, Path(out) / "metrics.json")
    _LOG.info(
        "Every labelled image trained: no scores, and no images.csv. The best weights "
        "are the last ones. What to expect of them, python -m "
        "keras_recattend.cross_validation measures with the same options."
    )


def _report(split, summary, unlabelled):
    if summary["n_images"]:
        _LOG.info("%s: %s", split, format_summary(summary))
    if unlabelled:
        _LOG.info("%s: %d images have no labels, so no scores.", split, unlabelled)
    precisions = format_precisions(summary)
    if precisions:
        _LOG.info("%s: %s", split, precisions)
