"""Leaf counts and leaf areas of plants over time, from what predict.py wrote.

    python docs/examples/growth.py results growth
    python docs/examples/growth.py results growth --mm-per-pixel 0.16

Photographs are named after plant and day, such as plantA_day03.png; --pattern tells
other names: a regular expression with the groups "plant" and "day". Writes
growth/growth.csv (one row a plant and day) and growth/growth.png.
"""

import argparse
import csv
import datetime
import re
import sys
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

PATTERN = r"(?P<plant>.+)_day(?P<day>\d+)"
COLUMNS = ("plant", "day", "leaves", "area", "unit", "mean_score", "name")


def rows_of(results: Path, pattern: str, mm_per_pixel: float | None) -> list[dict]:
    """Return one row for each photograph, ordered by plant and day.

    Args:
        results: the folder that predict.py wrote.
        pattern: of the names, with the groups "plant" and "day".
        mm_per_pixel: None = areas stay in pixels.

    Raises:
        ValueError: a name does not fit, or two are of one plant and day.
    """
    expression = re.compile(pattern)
    if {"plant", "day"} - set(expression.groupindex):
        raise ValueError(f"--pattern needs (?P<plant>...) and (?P<day>...): {pattern}")
    areas = {}
    for leaf in _table(results / "objects.csv"):
        areas[leaf["name"]] = areas.get(leaf["name"], 0) + int(leaf["area"])
    rows = {}
    for photo in _table(results / "counts.csv"):
        if photo["status"] == "failed":
            print(f"left out, unreadable: {photo['file']}", file=sys.stderr)
            continue
        match = expression.fullmatch(photo["name"])
        if match is None:
            raise ValueError(f"{photo['name']} does not fit the pattern {pattern}")
        key = match["plant"], day_of(match["day"])
        if key in rows:
            raise ValueError(f"{rows[key]['name']} and {photo['name']}: the same day")
        area = areas.get(photo["name"], 0)
        rows[key] = {
            "plant": key[0],
            "day": key[1],
            "leaves": int(photo["count"]),
            "area": area if mm_per_pixel is None else area * mm_per_pixel**2,
            "unit": "pixels" if mm_per_pixel is None else "mm2",
            "mean_score": photo["mean_score"],
            "name": photo["name"],
        }
    if not rows:
        raise ValueError(f"there is no readable photograph in {results}/counts.csv")
    if len({isinstance(day, datetime.date) for _, day in rows}) > 1:
        raise ValueError("some days are dates (YYYYMMDD) and others are numbers")
    return [rows[key] for key in sorted(rows)]


def day_of(text: str) -> datetime.date | int | float:
    """Read a day: eight digits that make a date are one, others are a number."""
    if re.fullmatch(r"(19|20)\d{6}", text):
        try:
            return datetime.datetime.strptime(text, "%Y%m%d").date()
        except ValueError:
            pass
    day = float(text)
    return int(day) if day.is_integer() else day


def plot(rows: list[dict], path: Path) -> None:
    """Draw leaves and area over the days, a line for each plant."""
    figure = Figure(figsize=(10, 4), layout="constrained", dpi=120)
    FigureCanvasAgg(figure)
    unit = "pixels" if rows[0]["unit"] == "pixels" else "mm²"
    panels = (("leaves", "leaves"), ("area", f"leaf area seen from above ({unit})"))
    for axes, (column, title) in zip(figure.subplots(1, 2), panels, strict=True):
        for plant in dict.fromkeys(row["plant"] for row in rows):
            own = [row for row in rows if row["plant"] == plant]
            days = [row["day"] for row in own]
            axes.plot(days, [row[column] for row in own], marker="o", label=plant)
        axes.set_title(title)
        axes.set_xlabel("day")
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_locator(MaxNLocator(integer=column == "leaves"))
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path)


def _table(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path, help="folder that predict.py wrote")
    parser.add_argument("out", type=Path, help="folder to write to")
    parser.add_argument("--pattern", default=PATTERN, help="of the names")
    parser.add_argument("--mm-per-pixel", type=float, metavar="X")
    options = parser.parse_args(arguments)
    try:
        rows = rows_of(options.results, options.pattern, options.mm_per_pixel)
        options.out.mkdir(parents=True, exist_ok=True)
        with open(
            options.out / "growth.csv", "w", newline="", encoding="utf-8"
        ) as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
        plot(rows, options.out / "growth.png")
    except (OSError, ValueError, re.error) as error:
        sys.exit(f"error: {error}")
    plants = len({row["plant"] for row in rows})
    print(f"{len(rows)} photographs of {plants} plants: {options.out / 'growth.png'}")


if __name__ == "__main__":
    main()
