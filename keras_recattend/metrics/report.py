"""From label maps to the rows, files and lines that a result is reported with."""

import csv
import dataclasses
import io
import json
import math
import os
from collections.abc import Iterable, Mapping

import numpy as np

from keras_recattend.metrics.label_maps import overlap_table
from keras_recattend.whole_files import write_atomically

__all__ = [
    "METRICS",
    "format_precisions",
    "format_summary",
    "read_csv",
    "score_image",
    "summarise",
    "write_csv",
    "write_json",
]

# The order of columns and keys in every report.
METRICS = (
    "sbd",
    "best_dice",
    "fbd",
    "dic",
    "abs_dic",
    "true_count",
    "predicted_count",
    "mucov",
    "mwcov",
    "false_positives",
    "false_negatives",
    "legacy_sbd",
)
# Means over true objects: an image without any has no value.
NEED_OBJECTS = ("mucov", "mwcov")
# Where many images have no object, their 100 and 0 say little of the others.
ALSO_WITH_OBJECTS = ("sbd", "fbd", "abs_dic")


def score_image(truth: np.ndarray, prediction: np.ndarray) -> dict[str, float]:
    """Score one image with every metric of the report.

    Args:
        truth: `[H, W]` label map, 0 = background; see `overlap_table`.
        prediction: `[H, W]` label map of the same shape.

    Returns:
        A dict of floats. In percent: `sbd`, `best_dice` (truth to prediction), `fbd`,
        `mucov`, `mwcov` (both 0 without true objects), `legacy_sbd` (how the paper's
        authors scored themselves: for comparison with their numbers, not SBD). In
        objects: `dic`, `abs_dic`, `true_count`, `predicted_count`, `false_positives`,
        `false_negatives`.

    Example:

    >>> row = {"name": "plant001", **score_image(truth, prediction)}
    """
    table = overlap_table(truth, prediction)
    difference = table.difference_in_count()
    row = {
        "sbd": 100.0 * table.symmetric_best_dice(),
        "best_dice": 100.0 * table.best_dice(),
        "fbd": 100.0 * table.foreground_dice(),
        "dic": difference,
        "abs_dic": abs(difference),
        "true_count": table.true_count,
        "predicted_count": table.predicted_count,
        "mucov": 100.0 * table.mean_unweighted_coverage(),
        "mwcov": 100.0 * table.mean_weighted_coverage(),
        "false_positives": table.false_positives(),
        "false_negatives": table.false_negatives(),
        "legacy_sbd": 100.0 * _in_order(table).legacy_sbd(),
    }
    return {key: float(row[key]) for key in METRICS}


def _in_order(table):
    """The table as if its predictions were the network's outputs 1, 2, ... in order."""
    outputs = np.arange(1, table.predicted_count + 1)
    return dataclasses.replace(table, prediction_ids=outputs)


def summarise(rows: Iterable[Mapping]) -> dict:
    """Average the rows of `score_image` over the images.

    Args:
        rows: one mapping an image with at least the keys of `score_image`.

    Returns:
        `{"n_images": .., "n_images_with_objects": .., "sbd": {"mean": .., "std": ..},
        ..}` with one entry for each key of `score_image`, always all of them and in
        that order. The standard deviation is the population's (ddof = 0). `mucov` and
        `mwcov` average over the images with objects only, and are 0 if there is none.
        Where only some images have none, "with_objects" has sbd, fbd and abs_dic of
        the others.

    Raises:
        ValueError: if there are no rows, or a row lacks a metric or has one that is not
            finite.
    """
    rows = list(rows)
    if not rows:
        raise ValueError("summarise needs the row of at least one image, received 0.")
    for index, row in enumerate(rows):
        missing = [key for key in METRICS if key not in row]
        if missing:
            raise ValueError(
                f"Row {row.get('name', index)!r} lacks {missing}; "
                "rows come from score_image."
            )
        wrong = [key for key in METRICS if not math.isfinite(row[key])]
        if wrong:
            raise ValueError(
                f"Row {row.get('name', index)!r} has a value that is not finite in "
                f"{wrong}; rows come from score_image."
            )
    with_objects = [row for row in rows if row["true_count"] > 0]
    summary = {"n_images": len(rows), "n_images_with_objects": len(with_objects)}
    for key in METRICS:
        summary[key] = _mean(with_objects if key in NEED_OBJECTS else rows, key)
    if 0 < len(with_objects) < len(rows):
        summary["with_objects"] = {
            key: _mean(with_objects, key) for key in ALSO_WITH_OBJECTS
        }
    return summary


def _mean(rows, key):
    values = np.array([row[key] for row in rows] or [0.0], np.float64)
    return {"mean": float(values.mean()), "std": float(values.std())}


def format_summary(summary: Mapping) -> str:
    """Return the summary as one line: mean (standard deviation) of the main metrics.

    Args:
        summary: the result of `summarise`.

    Returns:
        For example `SBD 84.7 (4.1)  |DiC| 1.43 (1.20)  DiC -0.52 (1.80)
        FBD 96.1 (1.3)  MUCov 74.0 (5.2)  MWCov 80.1 (4.4)  FP 0.30  FN 0.87
        23 images`, without the line breaks; where some have no object, also the scores
        of those that have.
    """

    def entry(title, key, digits, sign="", values=summary):
        mean, std = values[key]["mean"], values[key]["std"]
        mean = round(mean, digits) + 0.0  # no "-0.00"
        return f"{title} {mean:{sign}.{digits}f} ({std:.{digits}f})"

    images = summary["n_images"]
    parts = [
        entry("SBD", "sbd", 1),
        entry("|DiC|", "abs_dic", 2),
        entry("DiC", "dic", 2, "+"),
        entry("FBD", "fbd", 1),
        entry("MUCov", "mucov", 1),
        entry("MWCov", "mwcov", 1),
        f"FP {summary['false_positives']['mean']:.2f}",
        f"FN {summary['false_negatives']['mean']:.2f}",
        f"{images} image{'' if images == 1 else 's'}",
    ]
    others = summary.get("with_objects")
    if others:
        parts += [
            f"of {summary['n_images_with_objects']} with objects:",
            entry("SBD", "sbd", 1, values=others),
            entry("|DiC|", "abs_dic", 2, values=others),
            entry("FBD", "fbd", 1, values=others),
        ]
    return "  ".join(parts)


def format_precisions(summary: Mapping) -> str:
    """Return the average precisions of a summary as one line, "" if it has none.

    Args:
        summary: content of `metrics.json`.

    Returns:
        For example `AP 9.5  AP50 18.9  AP50m 10.9  AP100m 16.8`; `-` for a precision
        that has no value.
    """
    titles = {"ap": "AP", "ap50": "AP50", "ap75": "AP75"}
    titles |= {"ap50m": "AP50m", "ap100m": "AP100m"}
    values = {title: summary[k] for k, title in titles.items() if k in summary}
    return "  ".join(
        f"{title} {'-' if value is None else format(value, '.1f')}"
        for title, value in values.items()
    )


def write_csv(rows: Iterable[Mapping], path: str | os.PathLike) -> None:
    """Write one line an image, replacing the file in one step.

    Args:
        rows: mappings with a `name` and further columns, the same in every row. Floats
            are written so that reading them back gives the same number.
        path: the file; missing folders are made.

    Raises:
        ValueError: if there are no rows, one has no `name`, or the columns differ.
    """
    rows = list(rows)
    if not rows:
        raise ValueError("write_csv needs at least one row, received 0.")
    columns = ["name", *(key for key in rows[0] if key != "name")]
    lines = []
    for index, row in enumerate(rows):
        if "name" not in row:
            raise ValueError(
                f"Row {index} has no 'name'; write "
                "{'name': name, **score_image(truth, prediction)}."
            )
        if set(row) != set(columns):
            raise ValueError(
                f"Row {row['name']!r} has the columns {sorted(row)}, the first row "
                f"{sorted(columns)}; all rows need the same."
            )
        lines.append([_cell(row[key]) for key in columns])
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([columns, *lines])
    write_atomically(path, text.getvalue().encode())


def read_csv(path: str | os.PathLike) -> list[dict]:
    """Read what `write_csv` wrote: a list of rows, numbers as floats.

    Args:
        path: the file.

    Returns:
        One dict an image; `name` and cells that are no numbers stay strings.
    """
    with open(path, newline="", encoding="utf-8") as file:
        return [
            {key: cell if key == "name" else _number(cell) for key, cell in row.items()}
            for row in csv.DictReader(file)
        ]


def write_json(summary: Mapping, path: str | os.PathLike) -> None:
    """Write a summary as indented JSON, replacing the file in one step.

    Args:
        summary: the result of `summarise`, or any mapping that JSON can hold.
        path: the file; missing folders are made.

    Raises:
        ValueError: if a value is NaN or infinite, which JSON does not know.
    """
    text = json.dumps(summary, indent=2, allow_nan=False) + "\n"
    write_atomically(path, text.encode())


def _cell(value):
    if isinstance(value, float | np.floating):
        value = float(value)
        return int(value) if value.is_integer() else repr(value)
    return value


def _number(cell):
    try:
        return float(cell)
    except ValueError:
        return cell
