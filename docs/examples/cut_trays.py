"""From photographs of trays to photographs of single plants, for predict.py.

    PYTHONPATH=. python docs/examples/cut_trays.py trays photos --rows 4 --columns 5
    PYTHONPATH=. python docs/examples/cut_trays.py trays photos --rows 4 --columns 5 \\
        --region 120,80,2900,3900 --margin 0.1

Every photograph is cut along the same grid: of the whole picture, or of the --region
that the pots fill. tray1_day03.jpg becomes tray1-r1c1_day03.png, tray1-r1c2_day03.png,
...: plants by row and column, with names that docs/examples/growth.py knows. Look at
photos-grid.png, the first tray with the grid drawn over it, before anything else.
"""

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np
from name_pattern import name_pattern

from keras_recattend.errors import UserError
from keras_recattend.image_files import SUFFIXES, read_image
from keras_recattend.lettering import write_text
from keras_recattend.png import encoded_png
from keras_recattend.visualize import reduced
from keras_recattend.whole_files import write_atomically

PATTERN = r"(?P<tray>.+)_day(?P<day>.+)"
# Pixels: the longer side of the picture of the grid; the least of a plant to look at.
GRID_SIDE, LEAST_SIDE = 1600, 64
LETTERS, RED = 14, (255, 0, 0)


def cells_of(shape, rows, columns, region=None, margin=0.0):
    """Return where each plant is: {(row, column): (top, left, bottom, right)}.

    Rows and columns count from 1; the last two edges are exclusive, all in pixels.

    Args:
        shape: (height, width, ...) of the photograph.
        rows, columns: of the grid.
        region: that it divides, as a cell is told; None = the whole photograph.
        margin: by which a cell is larger on each side, as a share of its own side. It
            ends with the photograph.

    Raises:
        UserError: the region is not inside, or the cells are too small.
    """
    height, width = shape[:2]
    top, left, bottom, right = region or (0, 0, height, width)
    if not (0 <= top < bottom <= height and 0 <= left < right <= width):
        raise UserError(
            f"--region {top},{left},{bottom},{right} (top, left, bottom, right) is not "
            f"inside the photograph, which has {height} rows and {width} columns of "
            "pixels."
        )
    y, x = (bottom - top) / rows, (right - left) / columns
    if min(y, x) < LEAST_SIDE:
        raise UserError(
            f"A plant would have {y:.0f} x {x:.0f} pixels (height x width); expected "
            f"{LEAST_SIDE} or more. --rows {rows} and --columns {columns} count plants."
        )

    def edges(number, start, step, end):
        low = round(start + (number - margin) * step)
        high = round(start + (number + 1 + margin) * step)
        return max(low, 0), min(high, end)

    cells = {}
    for row, column in np.ndindex(rows, columns):
        upper, lower = edges(row, top, y, height)
        first, last = edges(column, left, x, width)
        cells[row + 1, column + 1] = upper, first, lower, last
    return cells


def trays_of(photographs, pattern):
    """Return {photograph: (tray, day)}, as the names say.

    Raises:
        UserError: a name does not fit, or two are of one tray and day.
        ValueError: as of `name_pattern`.
    """
    expression = name_pattern(pattern, ("tray", "day"), PATTERN)
    found = {}
    for photograph in photographs:
        match = expression.fullmatch(photograph.stem)
        if match is None or None in (match["tray"], match["day"]):
            raise UserError(
                f"{photograph.name} does not fit --pattern {pattern}; expected tray "
                "and day, as in tray1_day03.jpg."
            )
        tray = match["tray"], match["day"]
        if tray in found.values():
            raise UserError(
                f"{photograph.name} is of tray {tray[0]} on day {tray[1]}, as another "
                "one is; expected one photograph a day."
            )
        found[photograph] = tray
    return found


def drawn(image, cells):
    """Return the photograph, reduced, with the cells' edges and names."""
    picture = reduced(GRID_SIDE, image)[0].copy()
    scale = picture.shape[0] / image.shape[0]
    for (row, column), edges in cells.items():
        top, left, bottom, right = (round(scale * edge) for edge in edges)
        cv2.rectangle(picture, (left, top), (right - 1, bottom - 1), RED, 2)
        name = f"r{row}c{column}"
        write_text(picture, name, (left + 6, top + 6 + LETTERS), LETTERS, halo=True)
    return picture


def cut(folder, out, rows, columns, region=None, margin=0.0, pattern=PATTERN):
    """Write every plant of every photograph in a folder.

    What cannot be read or cut is told and left out.

    Args:
        folder: of photographs of trays. out: the folder of plants.
        rows, columns, region, margin: as for `cells_of`. pattern: as for `trays_of`.

    Returns:
        The numbers of plants that were written, and of photographs left out.

    Raises:
        UserError: there is no photograph, names do not fit, or `out` is not empty.
        ValueError: as of `name_pattern`.
    """
    photographs = [path for path in _files(folder) if path.suffix.lower() in SUFFIXES]
    if not photographs:
        raise UserError(f"{folder} has no photograph.")
    trays = trays_of(photographs, pattern)
    grid = out.with_name(out.name + "-grid.png")
    for path in (out, grid):
        if path.is_file() or (path.is_dir() and any(path.iterdir())):
            raise UserError(f"{path} is there already; name another folder.")
    plants = left_out = 0
    for photograph, (tray, day) in trays.items():
        try:
            image = read_image(photograph)
            cells = cells_of(image.shape, rows, columns, region, margin)
        except UserError as error:
            left_out += 1
            print(f"left out: {photograph.name}: {error}", file=sys.stderr)
            continue
        if not plants:
            write_atomically(grid, encoded_png(drawn(image, cells)))
        for (row, column), (top, left, bottom, right) in cells.items():
            plant = encoded_png(image[top:bottom, left:right])
            write_atomically(out / f"{tray}-r{row}c{column}_day{day}.png", plant)
            plants += 1
    return plants, left_out


def _files(folder):
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}.")
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _count(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is no number of plants; 1 or more")
    return number


def _share(text):
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return number


def _region(text):
    edges = tuple(map(int, text.split(",")))
    if len(edges) != 4:
        raise argparse.ArgumentTypeError(f"{text} is not TOP,LEFT,BOTTOM,RIGHT")
    return edges


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("trays", type=Path, help="folder of photographs of trays")
    add("out", type=Path, help="folder to write the plants to; new or empty")
    add("--rows", type=_count, required=True, metavar="N", help="plants of a column")
    add("--columns", type=_count, required=True, metavar="N", help="plants of a row")
    add(
        "--region",
        type=_region,
        metavar="TOP,LEFT,BOTTOM,RIGHT",
        help="what the grid divides, in pixels; default: the whole photograph",
    )
    add(
        "--margin",
        type=_share,
        default=0.0,
        metavar="M",
        help="by which a plant's picture is larger on each side, as a share of its "
        "cell; for leaves that reach over the edge. Neighbours' are seen then, too",
    )
    add("--pattern", default=PATTERN, help=f"of the names; default {PATTERN}")
    options = parser.parse_args(arguments)
    try:
        plants, left_out = cut(
            options.trays,
            options.out,
            options.rows,
            options.columns,
            options.region,
            options.margin,
            options.pattern,
        )
    except (UserError, ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    print(f"{plants} plants in {options.out}, {left_out} photographs left out")
    if left_out:
        sys.exit(1)


if __name__ == "__main__":
    main()
