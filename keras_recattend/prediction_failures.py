"""Pictures that failed, from call to call: a later one may not name them again."""

import json
import os
from pathlib import Path

from keras_recattend.input_files import is_unread
from keras_recattend.prediction_folder import writing_to
from keras_recattend.whole_files import write_atomically

__all__ = ["keep_failures"]


def keep_failures(folder, failed, done, pictures):
    """Bring `failures.json` up to date.

    What failed stays there until the picture has results, is deleted, or was converted
    to a kind that can be read and is found in its place (HEIC). What was named
    and is no file (a glob, a folder without pictures) is its own call's alone.

    Args:
        folder: a `PredictionFolder`.
        failed: {source: (file, message)} of this call.
        done: sources of this call's pictures that have results.
        pictures: sources of all pictures that have results.

    Returns:
        {source: (file, message)} of this call, and of earlier ones, for the tables: one
        row a picture, so none where only its explanation failed, or where it is gone
        and the row is that of its results.

    Raises:
        OutputError: the file system refuses.
    """
    known = _read(folder.failures_file) | failed
    converted = {source.with_suffix("") for source in pictures}
    kept = {
        source: failure
        for source, failure in known.items()
        if source not in done
        and _is_file(source)
        and not (is_unread(source) and source.with_suffix("") in converted)
    }
    with writing_to(folder.failures_file):
        if kept:
            values = {str(s): {"file": f, "message": m} for s, (f, m) in kept.items()}
            text = json.dumps(values, indent=2) + "\n"
            write_atomically(folder.failures_file, text.encode())
        else:
            folder.failures_file.unlink(missing_ok=True)
    return kept | {
        source: failure
        for source, failure in failed.items()
        if source not in done and (source not in pictures or os.path.lexists(source))
    }


def _read(path):
    try:
        values = json.loads(path.read_bytes())
        return {Path(s): (v["file"], v["message"]) for s, v in values.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}  # none yet, or damaged: what fails will fail again


def _is_file(path):
    return os.path.lexists(path) and not os.path.isdir(path)
