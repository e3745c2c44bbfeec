"""The scores of a cross-validation: of every image, every fold, and all together."""

import dataclasses
import json
from pathlib import Path

import numpy as np

from keras_recattend.history import last_scores, stage_ends
from keras_recattend.markdown_table import markdown_table
from keras_recattend.metrics.report import (
    METRICS,
    NEED_OBJECTS,
    read_csv,
    summarise,
    write_csv,
    write_json,
)
from keras_recattend.run_folder import RunError, RunFolder
from keras_recattend.whole_files import write_atomically

__all__ = ["Fold", "combine", "markdown", "read_fold", "write_scores"]

# Heading of the table, metric, digits.
_COLUMNS = (
    ("SBD", "sbd", 1),
    ("\\|DiC\\|", "abs_dic", 2),
    ("DiC", "dic", 2),
    ("FBD", "fbd", 1),
    ("MUCov", "mucov", 1),
)
_LAST = (("sbd", 1), ("abs_dic", 2))


@dataclasses.dataclass(frozen=True)
class Fold:
    """What a finished run of a fold left.

    Attributes:
        number: from 1.
        preset: its name.
        rows: of the fold's images, as `images.csv` has them.
        summary: of `summarise`.
        last: "sbd" and "abs_dic" of the last epoch, or None.
        steps: of every stage. minutes: what the stages took together.
    """

    number: int
    preset: str
    rows: list
    summary: dict
    last: dict | None
    steps: list
    minutes: float


def read_fold(number, path):
    """Read a finished fold.

    Args:
        number: of the fold, from 1. path: its run folder.

    Raises:
        RunError: a file is missing, or not what `train.py` writes.
    """
    folder = RunFolder(path)
    try:
        preset = json.loads(folder.metrics_file.read_text())["preset"]
        rows = read_csv(folder.images_file)
        summary = summarise(rows)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{folder.metrics_file} and {folder.images_file.name} are not what a "
            f"training of labelled images leaves ({error!r}). Move {folder.path} away "
            "to train it again."
        ) from error
    ends = stage_ends(folder.history.path)
    return Fold(
        number=number,
        preset=preset,
        rows=rows,
        summary=summary,
        last=last_scores(folder.history.path),
        steps=[steps for steps, _ in ends],
        minutes=round(sum(minutes for _, minutes in ends), 3),
    )


def combine(folds, count):
    """Put the scores of all finished folds together.

    Args:
        folds: a list of `Fold`, in the order of their numbers. count: of all folds.

    Returns:
        A dict for `metrics.json`. "n_images" and every metric's "mean" and "std" over
        all images, as `summarise` has them; "mean_of_folds", the mean of the folds'
        means and the deviation between them (population's, ddof = 0); "last_epoch",
        SBD and |DiC| by the weights that each fold's training ended with, over the
        images that were scored while it trained, where all folds have them;
        "missing_folds"; "folds", a summary each; and "images", a row each.

    Raises:
        ValueError: there is no fold.
        RunError: an image is in two folds, or the presets differ.
    """
    rows = _rows(folds)
    if len({fold.preset for fold in folds}) > 1:
        presets = ", ".join(f"fold {f.number}: {f.preset}" for f in folds)
        raise RunError(f"The folds are runs of several presets: {presets}.")
    finished = {fold.number for fold in folds}
    combined = summarise(rows) | {
        "split": "cross-validation",
        "preset": folds[0].preset,
        "n_folds": count,
        "missing_folds": [k for k in range(1, count + 1) if k not in finished],
        "mean_of_folds": _mean_of_folds(folds),
    }
    if all(fold.last for fold in folds):
        sizes = [len(fold.rows) for fold in folds]
        combined["last_epoch"] = {
            name: float(np.average([fold.last[name] for fold in folds], weights=sizes))
            for name, _ in _LAST
        }
    combined["folds"] = [_summary_of(fold) for fold in folds]
    combined["images"] = rows
    return combined


def _rows(folds):
    """Rows of all images with their fold, sorted by name."""
    where, rows = {}, []
    for fold in folds:
        for row in fold.rows:
            name = row["name"]
            if name in where:
                raise RunError(
                    f"The image {name} is in the folds {where[name]} and "
                    f"{fold.number}: they are not folds of one split. Move one of the "
                    "runs away to train it again."
                )
            where[name] = fold.number
            rows.append({"name": name, "fold": fold.number, **row})
    return sorted(rows, key=lambda row: row["name"])


def _mean_of_folds(folds):
    result = {}
    for name in METRICS:
        means = [
            fold.summary[name]["mean"]
            for fold in folds
            if name not in NEED_OBJECTS or fold.summary["n_images_with_objects"]
        ]
        values = np.array(means or [0.0], np.float64)
        result[name] = {"mean": float(values.mean()), "std": float(values.std())}
    return result


def _summary_of(fold):
    last = {"last_epoch": fold.last} if fold.last else {}
    times = {"steps": fold.steps, "minutes": fold.minutes}
    return {"fold": fold.number, **fold.summary, **last, **times}


def markdown(combined, about):
    """Return the table as Markdown: a line a fold, then all images, then the folds.

    Args:
        combined: of `combine`. about: lines to stand above it.
    """
    headings = ["Fold", "Images", *(heading for heading, _, _ in _COLUMNS)]
    headings += ["SBD, last epoch", "\\|DiC\\|, last epoch", "Steps", "Minutes"]
    lines = []
    folds = {summary["fold"]: summary for summary in combined["folds"]}
    for number in range(1, combined["n_folds"] + 1):
        if number not in folds:
            lines.append([str(number), "missing", *[""] * (len(headings) - 2)])
            continue
        fold = folds[number]
        steps = " + ".join(str(step) for step in fold["steps"])
        line = [str(number), str(fold["n_images"]), *_scores(fold), *_last(fold)]
        lines.append([*line, steps, f"{fold['minutes']:.1f}"])
    minutes = sum(fold["minutes"] for fold in folds.values())
    line = ["**all images**", str(combined["n_images"]), *_scores(combined)]
    lines.append([*line, *_last(combined), "", f"{minutes:.1f}"])
    line = ["mean of folds", "", *_scores(combined["mean_of_folds"])]
    lines.append([*line, *[""] * 4])
    return "\n".join([*about, "", *markdown_table(headings, lines)]) + "\n"


def _scores(summary):
    """Cells of the columns of scores: mean (standard deviation)."""
    values = [(summary[name], digits) for _, name, digits in _COLUMNS]
    return [f"{v['mean']:.{digits}f} ({v['std']:.{digits}f})" for v, digits in values]


def _last(summary):
    last = summary.get("last_epoch")
    return [f"{last[name]:.{digits}f}" if last else "" for name, digits in _LAST]


def write_scores(combined, about, out):
    """Write `cross-validation.md`, `metrics.json` and `images.csv`, each in one step.

    Args:
        combined: of `combine`. about: lines above the table. out: the folder.

    Returns:
        Their paths.
    """
    folder, table = RunFolder(out), Path(out) / "cross-validation.md"
    write_csv(combined["images"], folder.images_file)
    write_json(combined, folder.metrics_file)
    write_atomically(table, markdown(combined, about).encode())
    return [table, folder.metrics_file, folder.images_file]
