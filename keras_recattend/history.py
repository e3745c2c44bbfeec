"""A training's `history.csv`: what stages took, what came last, a picture of it."""

import io
import math
import os
from pathlib import Path

import numpy as np

from keras_recattend.metrics.report import read_csv
from keras_recattend.run_folder import RunError
from keras_recattend.whole_files import write_atomically

__all__ = ["last_scores", "plot_history", "stage_ends"]

# Panels: title, columns drawn in it.
_PANELS = (
    ("loss", ("loss", "val_loss")),
    ("SBD of the validation split (%)", ("sbd",)),
    ("|DiC| of the validation split", ("abs_dic",)),
)


def stage_ends(history_csv: str | os.PathLike) -> list[tuple[int, float]]:
    """Return (steps, minutes) of every stage, in order; each counts its own from zero.

    Raises:
        RunError: there is no such file, or it is not what `train.py` writes.
    """
    try:
        rows = read_csv(history_csv)
        ends = {row["stage"]: (int(row["step"]), float(row["minutes"])) for row in rows}
    except (OSError, KeyError, ValueError) as error:
        raise RunError(f"{history_csv} cannot be read: {error!r}") from error
    return list(ends.values())


def last_scores(history_csv: str | os.PathLike) -> dict[str, float] | None:
    """Return "sbd" and "abs_dic" of the last epoch, None where it was not scored.

    The last epoch of a stage always is, unless nothing validates or the stage does not
    train the whole chain.

    Raises:
        RunError: there is no such file, or it has no epoch.
    """
    try:
        last = read_csv(history_csv)[-1]
    except (OSError, IndexError) as error:
        raise RunError(f"{history_csv} cannot be read: {error!r}") from error
    scores = {name: last.get(name) for name in ("sbd", "abs_dic")}
    scored = all(isinstance(value, float) for value in scores.values())
    return scores if scored else None


def plot_history(history_csv: str | os.PathLike, path: str | os.PathLike) -> None:
    """Plot losses, SBD and |DiC| of a training, its stages one after another.

    Losses of different stages are different sums: their curves are not joined.

    Args:
        history_csv: the `history.csv` of a run folder: one row an epoch with "stage",
            "minutes" (since the stage began), "loss" and, where validation was scored,
            "val_loss", "sbd" and "abs_dic".
        path: the PNG file, replaced in one step.

    Raises:
        FileNotFoundError: if there is no `history_csv`.
        ValueError: if it lacks a column or has no row, or `path` is no `.png`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if Path(path).suffix.lower() != ".png":
        raise ValueError(f"The picture is a PNG; name it so: received {str(path)!r}.")
    stages = _stages(history_csv)
    # No pyplot: a library must not switch the user's backend.
    figure = Figure(figsize=(6.0 * len(_PANELS), 4.0), layout="constrained", dpi=120)
    FigureCanvasAgg(figure)
    for place, (title, names) in enumerate(_PANELS, start=1):
        axes = figure.add_subplot(1, len(_PANELS), place)
        _draw(axes, stages, names)
        axes.set_title(title)
        axes.set_xlabel("minutes")
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    data = io.BytesIO()
    figure.savefig(data, format="png")
    write_atomically(path, data.getvalue())


def _draw(axes, stages, names):
    """One panel: a colour for each column, a dotted line where a stage begins."""
    end, labelled = 0.0, set()
    for number, (stage, rows) in enumerate(stages):
        if number:
            axes.axvline(end, color="0.6", linestyle=":", linewidth=1.0)
        axes.annotate(
            stage.replace("_", " "),
            (end, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(3, -3),
            textcoords="offset points",
            va="top",
            fontsize="x-small",
            color="0.4",
        )
        for colour, name in enumerate(names):
            points = [(row["minutes"], row.get(name)) for row in rows]
            points = [p for p in points if isinstance(p[1], float)]
            if points:
                minutes, values = np.transpose(points)
                axes.plot(
                    end + minutes,
                    values,
                    marker="." if len(points) <= 40 else None,
                    color=f"C{colour}",
                    label=None if name in labelled else name,
                )
                labelled.add(name)
        end += max(row["minutes"] for row in rows)
    axes.set_xlim(0.0, 1.02 * end)
    if len(labelled) > 1:
        axes.legend(frameon=False, fontsize="small", loc="center right")


def _stages(history_csv):
    """Return [(stage, its rows)], in the order of training."""
    history_csv = Path(history_csv)
    if not history_csv.is_file():
        raise FileNotFoundError(
            f"No training history at {history_csv}; a run folder keeps it as "
            "history.csv from the end of the first epoch."
        )
    rows = read_csv(history_csv)
    needed = ("stage", "minutes", "loss")
    lacking = [name for name in needed if not rows or name not in rows[0]]
    if lacking:
        raise ValueError(
            f"{history_csv} is no training history: it has no column or no row of "
            f"{', '.join(lacking)}."
        )
    stages = {}
    for number, row in enumerate(rows, start=2):
        if not isinstance(row["minutes"], float) or not math.isfinite(row["minutes"]):
            raise ValueError(
                f"{history_csv}, line {number}: minutes must be a number, got "
                f"{row['minutes']!r}."
            )
        stages.setdefault(row["stage"], []).append(row)
    return list(stages.items())
