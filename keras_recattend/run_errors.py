"""What goes wrong with the files of a run, told with what to do about it."""

import contextlib
import os
from collections.abc import Iterator

from keras_recattend.errors import UserError

__all__ = ["RunError", "first_line", "reading", "writing"]


class RunError(UserError):
    """A run folder, or what is asked of it, is not as it should be."""


@contextlib.contextmanager
def writing(path: str | os.PathLike, remedy: str) -> Iterator[None]:
    """Turn a full disk, and what else writing meets, into a `RunError`.

    Args:
        path: of what is written.
        remedy: what to do.
    """
    try:
        yield
    except OSError as error:
        raise RunError(
            f"{path} cannot be written ({error.strerror or first_line(error)}). "
            f"{remedy}"
        ) from error


@contextlib.contextmanager
def reading(path: str | os.PathLike, remedy: str) -> Iterator[None]:
    """Turn what a damaged file raises into a `RunError`.

    Args:
        path: of the file.
        remedy: what to do.
    """
    try:
        yield
    except PermissionError as error:
        raise RunError(
            f"{path} may not be read ({error.strerror}). Ask its owner to allow it."
        ) from error
    except Exception as error:
        # Damaged archives raise nearly every kind of exception.
        raise RunError(f"{path} is damaged ({first_line(error)}). {remedy}") from error


def first_line(error: Exception) -> str:
    """Return the first line of an error's text, which may have many or none."""
    return (str(error).strip() or repr(error)).splitlines()[0]
