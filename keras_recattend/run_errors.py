"""What goes wrong with the files of a run, told with what to do about it."""

import contextlib
import os
from collections.abc import Iterator

from keras_recattend import places
from keras_recattend.errors import UserError
from keras_recattend.places import first_line

__all__ = ["RunError", "first_line", "reading", "writing"]


class RunError(UserError):
    """A run folder, or what is asked of it, is not as it should be."""


def writing(
    path: str | os.PathLike, remedy: str
) -> contextlib.AbstractContextManager[None]:
    """`places.writing` that raises a `RunError`."""
    return places.writing(path, remedy, RunError)


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
