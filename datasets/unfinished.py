"""The folder of an unfinished conversion: locked, described, gone on with later.

Records of DIR/NAME grow in DIR/.NAME-partial. What only the conversion needs (lock,
description, rows of the shards) lies there in `progress/`, which is deleted after the
rename to DIR/NAME.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from datasets.errors import DataError
from keras_recattend import file_lock, places
from keras_recattend.whole_files import replacing

__all__ = ["PROGRESS", "finish", "unfinished"]

PROGRESS = "progress"


@contextlib.contextmanager
def unfinished(directory: Path, description: dict) -> Iterator[Path]:
    """Open the unfinished folder of `directory`, alone.

    Args:
        directory: where the records will lie in the end.
        description: JSON values that must be equal for a conversion to go on.

    Yields:
        The unfinished folder. It is deleted afterwards if it holds no record.

    Raises:
        DataError: another process converts to the same folder, what lies there was
            made differently, or nothing can be written there.
    """
    folder = directory.parent / f".{directory.name}-partial"
    progress = folder / PROGRESS
    with _writing(progress):
        progress.mkdir(parents=True, exist_ok=True)
    with _locked(progress / "lock", directory):
        _check(progress / "description.json", description, directory, folder)
        try:
            yield folder
        finally:
            if folder.exists() and not any(folder.glob("*.tfrecord")):
                shutil.rmtree(folder, ignore_errors=True)


def finish(folder: Path, directory: Path) -> None:
    """Give a complete folder its final name: the last step of a conversion.

    Raises:
        DataError: something else came into being there.
    """
    # An empty folder may be there; Windows does not rename over it.
    with contextlib.suppress(OSError):
        directory.rmdir()
    try:
        os.replace(folder, directory)
    except OSError as error:
        if not directory.exists():
            raise DataError(
                f"{folder} is complete and cannot be renamed to {directory} ({error}). "
                "Close what uses it, and start again."
            ) from error
        raise DataError(
            f"{directory} came into being during the conversion, which is complete in "
            f"{folder}. Take away what is there and start again."
        ) from None
    shutil.rmtree(directory / PROGRESS, ignore_errors=True)


@contextlib.contextmanager
def _locked(path, directory):
    """Hold an exclusive lock, which ends with the process however that ends."""
    if file_lock.fcntl is None:
        # Windows, where the folder could not be renamed around an open file either.
        yield
        return
    with _writing(path):
        try:
            opened = open(path, "w")  # noqa: SIM115
        except PermissionError as error:
            raise DataError(
                f"Somebody else's conversion to {directory} is in "
                f"{path.parent.parent}, which cannot be written to. Choose another "
                "folder."
            ) from error
    with opened as file:
        if not file_lock.take(file):
            raise DataError(
                f"Another process is converting to {directory} just now. Wait until "
                "it has ended, or choose another folder."
            )
        # The other process may have finished and renamed between open and lock.
        if not path.exists() or os.stat(path).st_ino != os.fstat(file.fileno()).st_ino:
            raise DataError(
                f"Another process has just converted to {directory}. Start again to "
                "use what is there."
            )
        yield


def _check(path, description, directory, folder):
    description = json.loads(json.dumps(description))
    if not path.exists():
        with _writing(path), replacing(path) as temporary:
            temporary.write_text(json.dumps(description, indent=1) + "\n", "utf-8")
        return
    try:
        stored = dict(json.loads(path.read_text("utf-8")))
    except (ValueError, TypeError, OSError) as error:
        raise DataError(
            f"{path} of an unfinished conversion cannot be read ({error}). Delete "
            f"{folder} to start anew."
        ) from error
    differences = [
        f"{name} {stored.get(name)}, not {description.get(name)}"
        for name in sorted({*stored, *description})
        if stored.get(name) != description.get(name)
    ]
    if differences:
        raise DataError(
            f"An unfinished conversion to {directory} lies in {folder}, but it was "
            f"made differently: {'; '.join(differences)}. Ask for the same to go on "
            f"with it, or delete {folder} to start anew."
        )


def _writing(path):
    remedy = "Make room and start again, or choose another place for the records."
    return places.writing(path, remedy, DataError)
