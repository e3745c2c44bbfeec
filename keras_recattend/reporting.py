"""Scores of a split on disk: metrics, one CSV row an image, label maps, pictures."""

import logging
import os
import platform
from pathlib import Path

import cv2
import numpy as np

from keras_recattend.metrics.report import (
    format_summary,
    score_image,
    summarise,
    write_csv,
    write_json,
)
from keras_recattend.prediction import Predictor
from keras_recattend.visualize import comparison, sheet

__all__ = ["evaluate_run", "score_examples", "versions"]

_LOG = logging.getLogger(__name__)


def versions():
    """Return what a result depends on: versions and machine, one line."""
    import keras
    import tensorflow as tf

    import keras_recattend

    return (
        f"keras_recattend {keras_recattend.__version__}, tensorflow {tf.__version__}, "
        f"keras {keras.__version__}, numpy {np.__version__}, python "
        f"{platform.python_version()}, {os.cpu_count()} cores"
    )


def score_examples(predictor, examples):
    """Predict and score images; yield (example, `Found`, row) one by one.

    Args:
        predictor: a `Predictor`.
        examples: objects with `name`, `image` (uint8) and `labels`, original size.

    Yields:
        row: "name" and what `score_image` returns.
    """
    for start in range(0, len(examples), predictor.batch_size):
        batch = examples[start : start + predictor.batch_size]
        found = predictor([example.image for example in batch])
        for example, f in zip(batch, found, strict=True):
            yield (
                example,
                f,
                {"name": example.name, **score_image(example.labels, f.labels)},
            )


def evaluate_run(model, examples, out, split, overlays=0, labels=False, about=None):
    """Score a model on labelled examples and write what was found.

    Args:
        model: a `RecurrentAttention` with weights.
        examples: with `name`, `image`, `labels`, at their original size.
        out: folder for `metrics.json`, `images.csv`, `overlays.png`, `labels/`.
        split: its name, for the record.
        overlays: images to show side by side in `overlays.png`.
        labels: whether to write every predicted label map as PNG.
        about: further values for `metrics.json`.

    Returns:
        The summary, as `metrics.json` has it.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    if labels:
        (out / "labels").mkdir(exist_ok=True)
    rows, pictures = [], []
    for example, found, row in score_examples(Predictor(model), examples):
        rows.append(row)
        if labels:
            file = example.name.replace("/", "_") + ".png"
            _write_labels(out / "labels" / file, found.labels)
        if len(pictures) < overlays:
            pictures.append(
                comparison(
                    example.image, example.labels, found.labels, title=example.name
                )
            )
    summary = summarise(rows)
    write_csv(rows, out / "images.csv")
    extra = {"split": split, "preset": model.config.name, **(about or {})}
    write_json(summary | extra, out / "metrics.json")
    if pictures:
        sheet(pictures, out / "overlays.png")
    _LOG.info("%s: %s", split, format_summary(summary))
    return summary


def _write_labels(path, labels):
    """An index PNG, 8 bit where that is enough; never half a file."""
    values = labels.astype(np.uint8 if labels.max() < 256 else np.uint16)
    done, data = cv2.imencode(".png", values)
    if not done:
        raise OSError(f"{path} could not be encoded as PNG.")
    temporary = path.with_name("writing." + path.name)
    temporary.write_bytes(data.tobytes())
    os.replace(temporary, path)
