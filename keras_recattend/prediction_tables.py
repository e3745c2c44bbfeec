"""`counts.csv` and `objects.csv`: a row a picture, and a row an object."""

import csv
import io
import typing
from pathlib import Path

from keras_recattend.prediction_record import Record
from keras_recattend.predictions import writing_to
from keras_recattend.regions import Region
from keras_recattend.whole_files import write_atomically

__all__ = ["Row", "write_tables"]

COUNTS = ("file", "name", "count", "mean_score", "status", "message")
OBJECTS = ("file", "name", *Region._fields)


class Row(typing.NamedTuple):
    """A picture that has results, as tables and report show it.

    Attributes:
        record: its `Record`.
        status: "ok", or "kept": the numbers are not those of these settings, or of the
            picture as it is.
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
        (r.file, r.name, r.count, _number(r.mean_score, 4), status, message)
        for r, status, message in rows
    ]
    counts += [(file, "", "", "", "failed", message) for file, message in failures]
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
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([columns, *rows])
    return text.getvalue().encode()


def _number(value, digits):
    return "" if value is None else f"{value:.{digits}f}"
