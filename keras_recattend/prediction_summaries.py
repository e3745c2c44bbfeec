"""What a folder of predictions says of all its pictures: tables, report and COCO json,
and in a few lines on the screen what is to be known of them.
"""

import logging
import os

from keras_recattend.coco_export import write_coco
from keras_recattend.corrections import corrected
from keras_recattend.html_report import html_report
from keras_recattend.image_files import ImageError
from keras_recattend.input_files import readable
from keras_recattend.prediction_failures import keep_failures
from keras_recattend.prediction_folder import writing_to
from keras_recattend.prediction_tables import Row, write_tables
from keras_recattend.whole_files import write_atomically

__all__ = ["write_summaries"]

_LOG = logging.getLogger(__name__)

# Why a row is not what the label map, or the picture, says as it is now.
UNREADABLE = "count of what was predicted; the label map was changed since: "
CHANGED = "count of the picture as it was before it was changed"
# And what to know of one that is.
FULL = "as many objects as these weights can find: there may be more"
GREY = "a grey picture: weights that were trained on colours may find nothing in it"
DARK = "its 16 bits come out dark, as those of a 12-bit camera do: stretch it first"


def write_summaries(folder, outcome, *, weights="", most=None, coco=None):
    """Write tables and report of all pictures that the folder has.

    Args:
        folder: a `PredictionFolder`.
        outcome: the call's `Outcome`; what failed takes the place of older results,
            unless the picture is gone.
        weights: how they are called in the report.
        most: objects that they can find in a picture, to tell where more may be.
        coco: file to write COCO json to, or None.

    Raises:
        UserError: they cannot be written, or COCO lacks a label map.
    """
    records = folder.records()
    failed = keep_failures(folder, outcome.failed, outcome.settled, records)
    rows, left_out = [], []
    for source, record in records.items():
        if source in failed:
            continue  # results of a picture that cannot be read any more
        row = _row_of(folder, record, most)
        if row is None:
            left_out.append(record)
        else:
            rows.append(row)
    rows.sort(key=lambda row: (row.record.file, row.record.name))
    left_out.sort(key=lambda record: (record.file, record.name))
    _tell_gone([row.record for row in rows])
    _tell_earlier(left_out)
    _tell_unreadable(rows)
    _tell_full(rows, most)
    _tell_grey_and_dark(rows)
    _tell_failed_before([f for s, f in failed.items() if s not in outcome.failed])
    failures = sorted(failed.values())
    write_tables(folder.path, rows, failures)
    with writing_to(folder.path):
        page = html_report(rows, failures, weights)
        write_atomically(folder.path / "report.html", page.encode())
    if coco is not None:
        with writing_to(coco):
            write_coco(folder, [row.record for row in rows], coco)


def _row_of(folder, record, most):
    """The `Row` of a record; None = other settings made it, and nobody corrected it."""
    is_corrected = folder.was_corrected(record)
    if folder.is_earlier(record) and not is_corrected:
        return None
    if is_corrected:
        try:
            record = corrected(folder, record)
        except ImageError as error:
            return Row(record, "kept", UNREADABLE + readable(str(error)))
    if folder.is_changed(record):
        return Row(record, "kept", CHANGED)
    if is_corrected:
        return Row(record, "corrected", "")
    notes = {
        FULL: most is not None and record.count >= most,
        GREY: record.grey,
        DARK: record.dark,
    }
    return Row(record, "ok", "; ".join(note for note, true in notes.items() if true))


def _tell_gone(records):
    """Tell of rows whose pictures were moved or deleted: they stay, perhaps twice."""
    gone = [record for record in records if not os.path.lexists(record.source)]
    if gone:
        _LOG.warning(
            "%d pictures in the tables are no longer where they were (%s); if they "
            "were moved, they may be there twice. Their rows stay until their files "
            "in records/ are deleted (%s.json).",
            len(gone),
            gone[0].file,
            gone[0].name,
        )


def _tell_failed_before(failures):
    """Tell of pictures that failed before this call, which did not name them."""
    if failures:
        _LOG.warning(
            "%d pictures that failed in earlier calls are in the tables as failed "
            "(%s), until they are given again or deleted.",
            len(failures),
            failures[0][0],
        )


def _tell_earlier(left_out):
    """Tell of results of other settings, after an --overwrite that was interrupted."""
    if left_out:
        _LOG.warning(
            "%d pictures have results of earlier settings alone and are in no table "
            "(%s). Give them, too.",
            len(left_out),
            left_out[0].file,
        )


def _tell_unreadable(rows):
    """Tell of label maps that were changed into none."""
    unreadable = [row for row in rows if row.message.startswith(UNREADABLE)]
    if unreadable:
        _LOG.warning(
            "%d label maps were changed and cannot be read; the tables have what was "
            "predicted. The first: %s",
            len(unreadable),
            unreadable[0].message.removeprefix(UNREADABLE),
        )


def _tell_full(rows, most):
    """Tell of pictures that may have more objects than the weights can find."""
    _tell_noted(
        rows,
        FULL,
        "%d pictures have %d objects, as many as these weights can find, or more "
        "(%s): their counts may be too low. train.py --max-instances N makes "
        "weights that find more.",
        most,
    )


def _tell_grey_and_dark(rows):
    """Tell of pictures that the weights may never have seen the like of."""
    _tell_noted(
        rows,
        GREY,
        "%d pictures are grey (%s): weights that were trained on colours, as those "
        "that come with the package, may find nothing in them.",
    )
    _tell_noted(
        rows,
        DARK,
        "%d pictures have 16 bits and use 12 of them at most (%s): they come out "
        "dark. Stretch them to the whole range, 0 to 65535, first.",
    )


def _tell_noted(rows, note, text, *values):
    """Warn of rows with a note; the text takes their number, values, and a file."""
    files = [row.record.file for row in rows if note in row.message]
    if files:
        _LOG.warning(text, len(files), *values, files[0])
