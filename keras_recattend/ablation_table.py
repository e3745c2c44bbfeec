"""The table of the ablations (the paper's Table 4), from the runs' files."""

import csv
import io
import json
from pathlib import Path

import h5py

from keras_recattend.history import stage_ends
from keras_recattend.markdown_table import markdown_table
from keras_recattend.run_folder import RunError, RunFolder
from keras_recattend.whole_files import write_atomically

__all__ = ["COLUMNS", "FULL", "markdown", "row_of", "write_table"]

# The model that nothing was taken from.
FULL = "full"
# Name in the CSV -> (heading, metric of metrics.json or None, digits).
COLUMNS = {
    "set": ("Set", None, None),
    "mwcov": ("MWCov", "mwcov", 1),
    "mucov": ("MUCov", "mucov", 1),
    "avg_fp": ("AvgFP", "false_positives", 3),
    "avg_fn": ("AvgFN", "false_negatives", 3),
    "sbd": ("SBD", "sbd", 1),
    "abs_dic": ("\\|DiC\\|", "abs_dic", 2),
    "parameters": ("Parameters", None, 0),
    "steps": ("Steps", None, None),
    "minutes": ("Minutes", None, 1),
}
_TITLES = {
    "no_preprocessing": "No Pre Proc.",
    "no_box_net": "No Box Net",
    "no_angles": "No Angle",
    "no_scheduled_sampling": "No Sched. Samp.",
    "glimpses_1": "Iter-1",
    "glimpses_3": "Iter-3",
}


def row_of(name, path):
    """Return the table's row of a finished run.

    Args:
        name: the ablation's, or `FULL`.
        path: its run folder.

    Returns:
        A dict: "name", "title" and every name of `COLUMNS`. Means over the images, in
        percent or objects; "parameters" counts every stored number; "steps" are those
        of every stage in turn, "minutes" what the stages took together.

    Raises:
        RunError: a file is missing, or not what `train.py` writes.
    """
    folder = RunFolder(path)
    config, _ = folder.read()
    try:
        metrics = json.loads(folder.metrics_file.read_text())
        row = {"name": name, "title": _title(name, config), "set": metrics["split"]}
        for column, (_, metric, _) in COLUMNS.items():
            if metric is not None:
                row[column] = float(metrics[metric]["mean"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{folder.metrics_file} is not what a training of labelled images leaves "
            f"({error!r}). Move {folder.path} away to train it again."
        ) from error
    row["parameters"] = _parameters(folder.last_weights)
    ends = stage_ends(folder.history.path)
    row["steps"] = " + ".join(str(step) for step, _ in ends)
    row["minutes"] = round(sum(minutes for _, minutes in ends), 3)
    return row


def _title(name, config):
    if name == FULL:
        return f"Full (Iter-{config.box_network.glimpses})"
    return _TITLES[name]


def _parameters(weights):
    """Numbers in a file of weights."""
    sizes = []

    def visit(_, item):
        if isinstance(item, h5py.Dataset):
            sizes.append(item.size)

    try:
        with h5py.File(weights) as file:
            file.visititems(visit)
    except OSError as error:
        raise RunError(f"{weights} cannot be read: {error}") from error
    return int(sum(sizes))


def markdown(rows, about):
    """Return the table as Markdown; in every column of scores the best is bold.

    Args:
        rows: of `row_of`. about: lines to stand above it.
    """
    headings = ["", *(heading for heading, _, _ in COLUMNS.values())]
    titles = [row["title"] for row in rows]
    columns = [titles, *(_cells(rows, column) for column in COLUMNS)]
    table = markdown_table(headings, zip(*columns, strict=True), left=2)
    return "\n".join([*about, "", *table]) + "\n"


def _cells(rows, column):
    _, metric, digits = COLUMNS[column]
    values = [row[column] for row in rows]
    if digits is None:
        return values
    # Ties, as they are shown, are all bold.
    shown = [f"{value:,.{digits}f}".replace(",", " ") for value in values]
    if metric is None or not values:
        return shown
    high = metric in ("mwcov", "mucov", "sbd")
    best = shown[values.index(max(values) if high else min(values))]
    return [f"**{text}**" if text == best else text for text in shown]


def write_table(rows, about, out):
    """Write `ablations.md` and `ablations.csv` into a folder, each in one step.

    Args:
        rows: of `row_of`, in the table's order. about: lines above the table.
        out: the folder.

    Returns:
        Their paths.
    """
    text = io.StringIO(newline="")
    columns = ["name", *COLUMNS]
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    files = Path(out) / "ablations.md", Path(out) / "ablations.csv"
    write_atomically(files[0], markdown(rows, about).encode())
    write_atomically(files[1], text.getvalue().encode())
    return files
