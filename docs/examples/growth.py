"""Leaf counts and leaf areas of plants over time, from what predict.py wrote.

    python docs/examples/growth.py results growth
    python docs/examples/growth.py results growth --mm-per-pixel 0.16
    python docs/examples/growth.py results growth \\
        --pattern ".*/(?P<day>[^/]+)/(?P<plant>[^/]+)"

Photographs are named after plant and day, such as plantA_day03.png; --pattern tells
other names: a regular expression with the groups "plant" and "day", of the name without
its suffix, or, where it has a "/", of the whole path. Writes growth/growth.csv (one row
a plant and day), growth/growth.png and growth/growth.pdf.
"""

import argparse
import csv
import datetime
import math
import re
import sys
from pathlib import Path, PurePosixPath

from growth_plot import plot
from name_pattern import name_pattern

PATTERN = r"(?P<plant>.+)_day(?P<day>\d+)"
COLUMNS = (
    *("plant", "day", "leaves", "area", "unit", "mean_score", "name"),
    *("status", "message"),
)
# What predict.py's tables must have; sizes of pictures came later.
COUNTS = ("file", "name", "count", "mean_score", "status", "message")
OBJECTS = ("name", "area")
ANEW = "Give the command of predict.py again: it writes its tables anew."
DATE = re.compile(
    r"([0-9]{4})(-?)([0-9]{2})\2([0-9]{2})"
    r"(?:[T_]?([0-9]{2})([:-]?)([0-9]{2})(?:\6([0-9]{2}))?)?"
)
NUMBER = re.compile(r"[+-]?([0-9]+)(\.[0-9]+)?")
# A text that begins so, after any apostrophes, has one more in predict.py's tables.
FORMULA = ("=", "+", "-", "@")


def rows_of(results: Path, pattern: str, mm_per_pixel: float | None) -> list[dict]:
    """Return one row for each photograph, ordered by plant and day.

    Args:
        results: the folder that predict.py wrote.
        pattern: of the files, with the groups "plant" and "day".
        mm_per_pixel: None = areas stay in pixels.

    Raises:
        ValueError: a file does not fit, two are of one plant and day, days are of
            several kinds, or a table is not as predict.py writes it.
    """
    expression = name_pattern(pattern, ("plant", "day"), PATTERN)
    areas = {}
    for leaf in _table(results / "objects.csv", OBJECTS):
        areas[leaf["name"]] = areas.get(leaf["name"], 0) + _whole(leaf, "area")
    rows, files, kinds, sizes = {}, {}, {}, {}
    for photo in _table(results / "counts.csv", COUNTS):
        file = photo["file"]
        if photo["status"] == "failed":
            print(f"left out, unreadable: {file}", file=sys.stderr)
            continue
        key = plant, day = _plant_and_day(file, expression)
        if key in rows:
            raise ValueError(
                f"{files[key]} and {file} are of plant {plant} on the same day, {day}; "
                "expected one photograph. Tell them apart with --pattern; where their "
                "folders do, it has a '/' (docs/growth.md)."
            )
        files[key] = file
        kinds.setdefault(_kind(day), file)
        if photo.get("height") and photo.get("width"):
            size = _whole(photo, "height"), _whole(photo, "width")
            # A camera that was turned is the same one.
            sizes.setdefault(tuple(sorted(size)), (size, file))
        rows[key] = {
            "plant": plant,
            "day": day,
            "leaves": _whole(photo, "count"),
            "area": _area(areas.get(photo["name"], 0), mm_per_pixel),
            "unit": "pixels" if mm_per_pixel is None else "mm2",
            **{k: photo[k] for k in ("mean_score", "name", "status", "message")},
        }
    if not rows:
        raise ValueError(f"there is no readable photograph in {results}/counts.csv")
    if len(kinds) > 1:
        (one, first), (other, second), *_ = kinds.items()
        raise ValueError(
            f"some days are {one} ({first}), others {other} ({second}); expected one "
            "kind. Let the group 'day' of --pattern take the same of each."
        )
    _tell_sizes(list(sizes.values()), mm_per_pixel)
    return [rows[key] for key in sorted(rows)]


def day_of(text: str) -> datetime.date | int | float:
    """Read a day: a date, a date with a time (`datetime.datetime`), or a number.

    Raises:
        ValueError: it is none; or a number that looks like a date, and is no date: as
            a number it would be a point far off all others.
    """
    match = DATE.fullmatch(text)
    if match and match[1][:2] in ("19", "20"):
        parts = [int(match[i]) for i in (1, 3, 4, 5, 7, 8) if match[i]]
        try:
            day = datetime.datetime(*parts)
            return day if len(parts) > 3 else day.date()
        except ValueError:
            pass  # the 45th, say
    match = NUMBER.fullmatch(text)
    if match and len(match[1]) not in (6, *range(8, len(match[1]) + 1)):
        return float(text) if match[2] else int(text)
    raise ValueError(
        f"{text!r} is no day; expected a date (YYYYMMDD or YYYY-MM-DD, with HHMM or "
        "HHMMSS behind it, T or _ between), or a number of 1 to 5 or of 7 digits. Let "
        "the group 'day' of --pattern take one of these, for example without leading "
        "zeros: 0*(?P<day>...)."
    )


def _plant_and_day(file, expression):
    """What a file's name says; or its path, where the pattern has folders.

    The names of results have a folder before them where two files have the same, and so
    would make plants that there are not.
    """
    path = file.replace("\\", "/")  # of Windows
    path = path.removesuffix(PurePosixPath(path).suffix)
    match = expression.fullmatch(PurePosixPath(path).name)
    what = PurePosixPath(path).name
    if match is None and "/" in expression.pattern:
        match, what = expression.fullmatch(path), path
    if match is None or None in (match["plant"], match["day"]):
        raise ValueError(
            f"{what} does not fit the pattern {expression.pattern}. Tell with "
            "--pattern where the name has plant and day (with a '/' in it, where the "
            "path has them), or give other pictures a results folder of their own."
        )
    try:
        return match["plant"], day_of(match["day"])
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error


def _kind(day):
    if isinstance(day, datetime.datetime):
        return "dates with a time"
    return "dates" if isinstance(day, datetime.date) else "numbers"


def _area(pixels, mm_per_pixel):
    """Whole pixels, or mm² to two digits of what one pixel has."""
    if mm_per_pixel is None:
        return pixels
    digits = max(0, 1 - math.floor(2 * math.log10(mm_per_pixel)))
    return round(pixels * mm_per_pixel**2, digits)


def _tell_sizes(sizes, mm_per_pixel):
    if len(sizes) < 2:
        return
    shown = "; ".join(f"{w} x {h}: {file}" for (h, w), file in sizes[:3])
    scale = ""
    if mm_per_pixel is not None:
        scale = f", and --mm-per-pixel {mm_per_pixel:g} holds,"
    print(
        f"pictures of {len(sizes)} sizes ({shown}): areas can be compared{scale} only "
        "where camera and zoom stay the same. Give each size a folder of its own.",
        file=sys.stderr,
    )


def _table(path, columns):
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restval="")
            rows, found = list(reader), reader.fieldnames or []
    except FileNotFoundError:
        raise ValueError(
            f"{path} does not exist; expected the folder that predict.py wrote (--out)."
        ) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(
            f"{path} is no table of predict.py ({error}); was it saved by another "
            f"program? {ANEW}"
        ) from error
    missing = [name for name in columns if name not in found]
    if missing:
        semicolons = ";" in "".join(found)
        raise ValueError(
            f"{path} lacks {', '.join(missing)}; expected the columns that predict.py "
            "writes, with commas between cells"
            f"{', not semicolons as Excel saves them' * semicolons}. {ANEW}"
        )
    return [{k: _plain(v) for k, v in row.items() if k} for row in rows]


def _whole(row, column):
    try:
        return int(row[column])
    except ValueError:
        raise ValueError(
            f"the {column} of {row['name']} is {row[column]!r}; expected a whole "
            f"number. Was the table saved by another program? {ANEW}"
        ) from None


def _plain(text):
    """A cell without the apostrophe that keeps it from being a formula."""
    rest = text[1:] if text.startswith("'") else text
    return rest if rest.lstrip("'").startswith(FORMULA) else text


def _no_formula(value):
    text = isinstance(value, str) and value.lstrip("'").startswith(FORMULA)
    return f"'{value}" if text else value


def _write(rows, path):
    with open(path, "w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows([{k: _no_formula(v) for k, v in row.items()} for row in rows])


def _length(text):
    """A pixel's, in mm: from a picometre to a thousand kilometres."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 1e-9 <= value <= 1e9:
        raise argparse.ArgumentTypeError(
            f"{text} is no length; expected the millimetres of a pixel's side, above "
            "0, such as 0.16"
        )
    return value


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path, help="folder that predict.py wrote")
    parser.add_argument("out", type=Path, help="folder to write to")
    parser.add_argument("--pattern", default=PATTERN, help="of the names, or paths")
    parser.add_argument("--mm-per-pixel", type=_length, metavar="X")
    options = parser.parse_args(arguments)
    try:
        rows = rows_of(options.results, options.pattern, options.mm_per_pixel)
        options.out.mkdir(parents=True, exist_ok=True)
        _write(rows, options.out / "growth.csv")
        plot(rows, options.out / "growth.png")
    except OSError as error:
        sys.exit(f"error: {error.filename} cannot be read or written: {error.strerror}")
    except ValueError as error:
        sys.exit(f"error: {error}")
    plants = len({row["plant"] for row in rows})
    print(f"{len(rows)} photographs of {plants} plants: {options.out / 'growth.png'}")
    noted = sum(bool(row["message"]) for row in rows)
    if noted:
        print(f"{noted} of them have a message in growth.csv, and are hollow points.")


if __name__ == "__main__":
    main()
