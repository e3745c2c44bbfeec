"""Image and label files to arrays, with errors that name the file."""

import contextlib
import io
import os
import warnings

import numpy as np
from PIL import Image, UnidentifiedImageError

from datasets.errors import DataError
from keras_recattend import label_files
from keras_recattend.image_files import FORMATS, ImageError, as_shown

__all__ = ["opened", "read_image", "read_labels"]

# No others are tried: some of Pillow's readers start other programs (EPS).
_FORMATS = (*FORMATS, "JPEG2000")
# Of these kinds a file may be a film or a book. (JPEGs of cameras may carry a preview.)
_SEVERAL = ("TIFF", "GIF", "PNG", "WEBP")


def read_image(path: str | os.PathLike | io.BytesIO, name: str = "") -> np.ndarray:
    """Read a picture as RGB.

    Grey, palette and 16-bit files are converted (65535 becomes 255), an alpha channel
    is left out, and the orientation that cameras note in EXIF is applied.

    Args:
        path: a file that Pillow can read (PNG, JPEG, TIFF, ...), or its bytes.
        name: what messages call it; "" = the path.

    Returns:
        uint8 [H, W, 3].

    Raises:
        DataError: the file is missing, empty, damaged, of an unknown kind, or holds
            several pictures (an animated GIF, a TIFF of many pages).
    """
    source, path = path, name or path
    with opened(source, path) as file:
        try:
            return as_shown(file, path)
        except ImageError as error:
            raise DataError(str(error)) from error


def read_labels(path: str | os.PathLike) -> np.ndarray:
    """`keras_recattend.label_files.read_labels`, with errors of data sets.

    Raises:
        DataError: the file is missing, empty, damaged, or holds colours, fractions or
            numbers below 0 or above 2147483647.
    """
    try:
        return label_files.read_labels(path)
    except ImageError as error:
        raise DataError(str(error)) from error


@contextlib.contextmanager
def opened(source, path=None):
    """Open with Pillow; whatever goes wrong inside becomes a DataError.

    Args:
        source: a path, or a file's bytes.
        path: what messages call it; None = the path.
    """
    path = path or source
    if not isinstance(source, io.BytesIO):
        if not os.path.exists(path):
            raise DataError(f"{path} does not exist.")
        if os.path.getsize(path) == 0:
            raise DataError(f"{path} is empty (0 bytes). Copy or download it again.")
    try:
        with warnings.catch_warnings():
            # They are about metadata and size; what matters becomes an error.
            warnings.simplefilter("ignore")
            with Image.open(source, formats=_FORMATS) as file:
                if file.format in _SEVERAL and getattr(file, "n_frames", 1) > 1:
                    raise DataError(
                        f"{path} holds {file.n_frames} pages or frames; expected one. "
                        "Save each as a file of its own."
                    )
                yield file
    except DataError:
        raise
    except UnidentifiedImageError:
        raise DataError(
            f"{path} is not an image that can be read (damaged or of an unknown "
            "kind); expected PNG, JPEG or TIFF. Copy or download it again."
        ) from None
    except Image.DecompressionBombError:
        most = 2 * Image.MAX_IMAGE_PIXELS // 1_000_000
        raise DataError(
            f"{path} has more than {most} million pixels. Reduce it or cut it into "
            "parts, its labels as well."
        ) from None
    except PermissionError as error:
        raise DataError(f"{path} may not be read ({error.strerror}).") from error
    except MemoryError as error:
        raise DataError(
            f"{path} does not fit into memory. Reduce it or cut it into parts, its "
            "labels as well."
        ) from error
    except Exception as error:
        # Decoders of damaged files raise nearly every kind of exception.
        raise DataError(
            f"{path} cannot be read, it is damaged or cut short ({error}). Copy or "
            "download it again."
        ) from error
