"""The folder of an exported model: never half written, never replaced by mistake."""

import contextlib
import dataclasses
import fnmatch
import json
import logging
import os
import shutil
from pathlib import Path

from keras_recattend.errors import UserError
from keras_recattend.versions import installed_versions

__all__ = ["ExportError", "check_free", "write"]

_LOG = logging.getLogger(__name__)

FORMAT = 1
# Every SavedModel has the first, and those that were exported here the second.
MARKS = ("saved_model.pb", "export.json")
# All that an export is made of; the assets are none.
PARTS = (*MARKS, "fingerprint.pb", "assets", "variables", "variables/variables.*")


class ExportError(UserError):
    """A model cannot be exported to where it should be."""


def check_free(path, overwrite=False):
    """Raise ExportError where an export may not be written.

    Args:
        path: a folder that is to be made, or is empty.
        overwrite: whether it may be an earlier export, too. Other folders with files
            in them are refused in any case, and so is an export with something else in
            it, which would be deleted.
    """
    path = Path(path)
    with _told(path):
        if path.exists() and not path.is_dir():
            raise ExportError(f"{path} is a file; an export is a folder. Name another.")
        if not path.exists() or not any(path.iterdir()):
            return
        is_export = all((path / mark).is_file() for mark in MARKS)
        other = _other(path) if is_export else None
    if not is_export:
        raise ExportError(
            f"{path} has files in it that are no model exported from here "
            f"({' and '.join(MARKS)}). Nothing was changed; name another folder."
        )
    if not overwrite:
        raise ExportError(
            f"{path} holds an exported model already. Replace it with --overwrite (in "
            "Python: overwrite=True), or name another folder."
        )
    if other:
        raise ExportError(
            f"{path / other} is no part of an export, and would be deleted with it. "
            "Take it away, or name another folder."
        )


def _other(path):
    """The first of the entries that no export has, relative to its folder, or None."""
    names = sorted(entry.relative_to(path).as_posix() for entry in path.rglob("*"))
    others = (n for n in names if not any(fnmatch.fnmatchcase(n, p) for p in PARTS))
    return next(others, None)


def write(model, path, overwrite=False, inference=None, weights=None):
    """Write a model as a SavedModel that needs nothing but TensorFlow.

    It is written under another name beside `path` and then renamed. It looks at images
    as they are: `inference.views` is 1 in `export.json`, and what more views agree on
    is `Predictor`'s alone.

    Args:
        model: a `RecurrentAttention`.
        path: the folder; those above it are made.
        overwrite: whether a SavedModel that is there is replaced.
        inference: an `Inference` in place of the model's own.
        weights: what the weights are called, for `export.json`.

    Raises:
        ExportError: see `check_free`; or the file system refuses.
        UserError: the model cannot be served, see `serving.ServedModel`.
    """
    import tensorflow as tf

    from keras_recattend.serving import ServedModel

    check_free(path, overwrite)
    path = Path(path).resolve()
    inference = _of_one_view(inference or model.config.inference)
    served = ServedModel(model, inference)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with _told(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                tf.saved_model.save(served, temporary, signatures=served.signatures)
            except tf.errors.OpError as error:
                raise OSError(None, error.message) from error
            about = json.dumps(_about(model, inference, weights), indent=2) + "\n"
            (temporary / "export.json").write_text(about)
            _put(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _of_one_view(inference):
    if inference.views > 1:
        _LOG.warning(
            "The export looks at each image once, as it is: the %d views of the "
            "weights are not in it. (evaluate.py --inference views=1 tells what it "
            "finds.)",
            inference.views,
        )
    return dataclasses.replace(inference, views=1)


def _about(model, inference, weights):
    """What `export.json` says: what the export was made of, and with what."""
    return {
        "format": FORMAT,
        "weights": weights,
        "config": model.config.replace(inference=inference).to_dict(),
        "versions": installed_versions(),
    }


def _put(temporary, path):
    """Rename the finished folder; what it replaces goes only when it is there."""
    old = temporary.with_suffix(".old")
    if path.exists():
        os.replace(path, old)
    try:
        os.replace(temporary, path)
    except OSError:
        if old.exists():
            os.replace(old, path)
        raise
    shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def _told(path):
    """Turn what the file system says into an `ExportError` that says what to do."""
    try:
        yield
    except OSError as error:
        raise ExportError(
            f"{path} cannot be written ({error.strerror or error}). Nothing was "
            "changed; make room, or name another place."
        ) from error
