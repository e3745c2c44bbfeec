"""The picture of docs/examples/growth.py: leaves and leaf area over the days."""

import datetime
import statistics
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

# Okabe and Ito's, which colour-blind people tell apart, without the yellow, which is
# pale on white.
COLOURS = (
    *("#0072B2", "#E69F00", "#009E73", "#D55E00"),
    *("#56B4E9", "#CC79A7", "#000000"),
)
MARKERS, LINES = "os^Dv<>PX*", ("-", "--", "-.", ":")
# More lines than that nobody tells apart.
MOST_PLANTS = len(MARKERS)
# Of a plant's name, in the legend.
MOST_LETTERS = 30


def plot(rows: list[dict], path: Path) -> None:
    """Draw leaves and area over the days: a PNG, and beside it a PDF.

    Up to `MOST_PLANTS` plants have a line each; of more, all are thin and grey, behind
    their median and quartiles. A point of which there is something to know is hollow.
    """
    figure = Figure(figsize=(10, 4), layout="constrained", dpi=120)
    FigureCanvasAgg(figure)
    unit = "pixels" if rows[0]["unit"] == "pixels" else "mm²"
    panels = (("leaves", "leaves"), ("area", f"leaf area seen from above ({unit})"))
    plants = {}
    for row in rows:
        plants.setdefault(row["plant"], []).append(row)
    draw = _draw_each if len(plants) <= MOST_PLANTS else _draw_all
    for axes, (column, title) in zip(figure.subplots(1, 2), panels, strict=True):
        draw(axes, plants, column)
        axes.set_title(title)
        axes.set_xlabel("day")
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_locator(MaxNLocator(integer=column == "leaves"))
        if isinstance(rows[0]["day"], datetime.date):
            dates = AutoDateLocator()
            axes.xaxis.set_major_locator(dates)
            axes.xaxis.set_major_formatter(ConciseDateFormatter(dates))
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    # Beside the panels: inside it hides points.
    handles = axes.get_legend_handles_labels()
    figure.legend(*handles, loc="outside right upper", frameon=False)
    figure.savefig(path)
    figure.savefig(path.with_suffix(".pdf"))


def spread(plants: dict[str, list[dict]], column: str):
    """Return the days, the quartiles [3, days] over the plants, and each day's plants.

    Of several photographs a day a plant has their mean, at noon.
    """
    values = {}
    for plant, rows in plants.items():
        for row in rows:
            day = row["day"]
            if isinstance(day, datetime.datetime):
                day = datetime.datetime.combine(day, datetime.time(12))
            values.setdefault(day, {}).setdefault(plant, []).append(row[column])
    days = sorted(values)
    means = [[statistics.fmean(v) for v in values[day].values()] for day in days]
    quartiles = np.array([np.percentile(m, (25, 50, 75)) for m in means]).T
    return days, quartiles, [len(m) for m in means]


def _draw_each(axes, plants, column):
    for i, (plant, rows) in enumerate(plants.items()):
        colour, marker = COLOURS[i % len(COLOURS)], MARKERS[i]
        known = [k for k, row in enumerate(rows) if not row["message"]]
        axes.plot(
            [row["day"] for row in rows],
            [row[column] for row in rows],
            color=colour,
            linestyle=LINES[i % len(LINES)],
            marker=marker,
            markevery=known,
            label=_label(plant),
        )
        _draw_hollow(axes, rows, column, marker, colour)


def _draw_all(axes, plants, column):
    for rows in plants.values():
        values = [row[column] for row in rows]
        axes.plot([row["day"] for row in rows], values, color="0.8", linewidth=0.7)
        _draw_hollow(axes, rows, column, "o", "0.6", size=3)
    days, (low, middle, high), numbers = spread(plants, column)
    least, most = min(numbers), max(numbers)
    n = f"{least}" if least == most else f"{least} to {most} a day"
    axes.fill_between(days, low, high, color=COLOURS[0], alpha=0.25, label="quartiles")
    axes.plot(days, middle, color=COLOURS[0], label=f"median of the plants\n(n = {n})")


def _draw_hollow(axes, rows, column, marker, colour, size=None):
    noted = [row for row in rows if row["message"]]
    axes.plot(
        [row["day"] for row in noted],
        [row[column] for row in noted],
        linestyle="none",
        marker=marker,
        markersize=size,
        markeredgecolor=colour,
        markerfacecolor="white",
    )


def _label(plant):
    """A plant's name without what Matplotlib takes for more than a name."""
    short = plant if len(plant) <= MOST_LETTERS else plant[: MOST_LETTERS - 1] + "…"
    text = short.replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text
