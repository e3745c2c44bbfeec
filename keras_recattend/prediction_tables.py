"""`counts.csv` and `objects.csv`: a row a picture, and a row an object."""

import csv
import io
import typing
from pathlib import Path

from keras_recattend.prediction_folder import writing_to
from keras_recattend.prediction_record import Record
from keras_recattend.regions import Region
from keras_recattend.whole_files import write_atomically

__all__ = ["Row", "write_tables"]

COUNTS = (
    *("file", "name", "count", "mean_score", "status", "message"),
    *("height", "width"),
)
OBJECTS = ("file", "name", *Region._fields)
# Names and messages may begin with what a spreadsheet takes for a formula.
TEXTS = ("file", "name", "message")
FORMULA = ("=", "+", "-", "@")


class Row(typing.NamedTuple):
    """A picture that has results, as tables and report show it.

    Attributes:
        record: its `Record`.
        status: "ok"; "corrected": the numbers are those of a label map that somebody
            corrected; or "kept": they are not those of the label map, or not of the
            picture, as it is.
        message: what to know of it, or "".
    """

    record: Record
    status: str
    message: str


def write_tables(path, rows, failures):
    """Write both tables.

    Args:
        path: the folder. rows: `Row`s. failures: (file, message).

    Raises:
        OutputError: the file system refuses.
    """
    counts = [
        (
            *(r.file, r.name, r.count, _number(r.mean_score, 4), status, message),
            *(r.height, r.width),
        )
        for r, status, message in rows
    ]
    counts += [
        (file, "", "", "", "failed", message, "", "") for file, message in failures
    ]
    objects = [
        (
            *(r.file, r.name, *o[:6]),
            *(_number(o.centroid_y, 2), _number(o.centroid_x, 2)),
            _number(o.score, 4),
        )
        for r, *_ in rows
        for o in r.regions
    ]
    with writing_to(path):
        write_atomically(Path(path) / "counts.csv", _csv(COUNTS, counts))
        write_atomically(Path(path) / "objects.csv", _csv(OBJECTS, objects))


def _csv(columns, rows):
    texts = [columns.index(name) for name in TEXTS if name in columns]
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        cells = list(row)
        for i in texts:
            cells[i] = _no_formula(cells[i])
        writer.writerow(cells)
    # With a mark at its beginning: without it Excel takes a file for another encoding.
    return text.getvalue().encode("utf-8-sig")


def _no_formula(text):
    """The text with an apostrophe before what would be a formula.

    Also before apostrophes that are followed by one, so that whoever takes away the
    first gets the text again.
    """
    return f"'{text}" if text.lstrip("'").startswith(FORMULA) else text


def _number(value, digits):
    return "" if value is None else f"{value:.{digits}f}"
