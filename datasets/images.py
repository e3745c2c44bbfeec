"""Image and label files to arrays, with errors that name the file."""

import contextlib
import io
import os

import numpy as np

from datasets.errors import DataError
from keras_recattend import image_files, label_files
from keras_recattend.image_files import ImageError, as_shown

__all__ = ["opened", "read_image", "read_labels"]

_FORMATS = (*image_files.FORMATS, "JPEG2000")
# Of these kinds a file may be a film or a book. (JPEGs of cameras may carry a preview.)
_OF_ONE_FRAME = ("TIFF", "GIF", "PNG", "WEBP")


def read_image(path: str | os.PathLike | io.BytesIO, name: str = "") -> np.ndarray:
    """Read a picture as RGB, as `keras_recattend.image_files.read_image` does.

    Args:
        path: a file that Pillow can read (PNG, JPEG, TIFF, ...), or its bytes.
        name: what messages call it; "" = the path.

    Returns:
        uint8 [H, W, 3].

    Raises:
        DataError: the file is missing, empty, damaged, of an unknown kind, or holds
            several pictures (an animated GIF, a TIFF of many pages).
    """
    with opened(path, name) as file:
        return as_shown(file, name or path)


def read_labels(path: str | os.PathLike) -> np.ndarray:
    """`keras_recattend.label_files.read_labels`, with errors of data sets.

    Raises:
        DataError: the file is missing, empty, damaged, or holds colours, fractions or
            numbers below 0 or above 2147483647.
    """
    with _data_errors():
        return label_files.read_labels(path)


@contextlib.contextmanager
def opened(source, name=None):
    """`keras_recattend.image_files.opened`, with errors of data sets.

    Args:
        source: a path, or a file's bytes.
        name: what messages call it; None = the path.
    """
    with (
        _data_errors(),
        image_files.opened(source, name, _FORMATS, _OF_ONE_FRAME) as file,
    ):
        yield file


@contextlib.contextmanager
def _data_errors():
    try:
        yield
    except ImageError as error:
        raise DataError(str(error)) from error
