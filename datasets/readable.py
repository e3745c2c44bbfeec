"""Files and folders that may not be read, told with what to do about them."""

import contextlib
from collections.abc import Iterator

from datasets.errors import DataError

__all__ = ["readable"]


@contextlib.contextmanager
def readable() -> Iterator[None]:
    """Turn what the file system refuses into a `DataError`.

    Example:

    >>> @readable()
    ... def find_pictures(folder):
    ...     return sorted(folder.iterdir())
    """
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{error.filename or 'A file'} cannot be read "
            f"({error.strerror or error}). See that you may read it, or take it away."
        ) from error
