"""Whether something can be written where a user wants it."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from keras_recattend.errors import UserError

__all__ = ["check_place", "first_line", "is_refused", "writing"]


def check_place(path: str | os.PathLike, option: str) -> None:
    """Refuse a folder that cannot be made, or not be written to; nothing is made.

    Args:
        path: the folder, there or not.
        option: of the command line, that names another.

    Raises:
        UserError: it is a file or below one, or it, or the nearest folder above it that
            is there, cannot be written to.
    """
    path = Path(path).absolute()
    # Not Path.exists, which raises where a folder above may not be entered.
    place = next(p for p in (path, *path.parents) if os.path.exists(p))
    if not place.is_dir():
        raise UserError(f"{place} is a file; name another folder with {option}.")
    if not os.access(place, os.W_OK | os.X_OK):
        raise UserError(
            f"{place} cannot be written to (permission denied, or the disk is "
            f"read-only). Name another folder with {option}."
        )


def is_refused(error: OSError, folder: str | os.PathLike) -> bool:
    """Tell whether an error is of writing into a folder: the disk is full, say.

    Others are of files that are read meanwhile.
    """
    inside = error.filename and Path(error.filename).is_relative_to(folder)
    return bool(inside) or error.errno in (errno.ENOSPC, errno.EDQUOT)


@contextlib.contextmanager
def writing(
    what: str | os.PathLike, remedy: str, kind: type[UserError] = UserError
) -> Iterator[None]:
    """Turn a full disk, and what else writing meets, into an error of some kind.

    Args:
        what: is written, as the message calls it. remedy: what to do.
        kind: of the error.
    """
    try:
        yield
    except OSError as error:
        raise kind(
            f"{what} cannot be written ({error.strerror or first_line(error)}). "
            f"{remedy}"
        ) from error


def first_line(error: Exception) -> str:
    """Return the first line of an error's text, which may have many or none."""
    return (str(error).strip() or repr(error)).splitlines()[0]
