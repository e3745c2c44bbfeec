"""TIFFs with 64 bits a pixel, which neither Pillow nor OpenCV 4 reads.

napari writes labels so where the layer has 64 bits: shapes that were converted to
labels, or what scripts made.
"""

import math
import os

import numpy as np
import tifffile

from keras_recattend.image_files import MOST_PIXELS, ImageError

__all__ = ["read_wide_tiff"]

BITS = 64
# SampleFormat: unsigned, signed, float; not complex.
NUMBERS = (1, 2, 3)


def read_wide_tiff(path: str | os.PathLike) -> np.ndarray | None:
    """Read one channel of 64 bits.

    Args:
        path: a file of any kind, or none.

    Returns:
        uint64, int64 or float64 [H, W]; None = the file is no TIFF of 64 bits and one
        channel.

    Raises:
        ImageError: it is one, but damaged, compressed as few are, too large, or has
            several pages.
    """
    try:
        file = tifffile.TiffFile(path)
    except Exception:
        # Of many kinds where the header is damaged: whoever reads it next tells that.
        return None
    with file:
        return _read(path, file)


def _read(path, file):
    try:
        page = file.pages.first
        if (page.bitspersample, page.samplesperpixel) != (BITS, 1):
            return None
        if page.sampleformat not in NUMBERS:
            return None
        pages, size = len(file.pages), (page.imagewidth, page.imagelength)
        # A file of a few kB may be made to fill the memory.
        fits = math.prod(size) <= MOST_PIXELS
        values = page.asarray() if pages == 1 and fits else None
    except Exception as error:
        raise ImageError(
            f"{path} cannot be read: {error}. If it is damaged or cut short, copy or "
            "save it again; otherwise save it uncompressed, with 8, 16 or 32 bits."
        ) from error
    if pages != 1:
        raise ImageError(
            f"{path} holds {pages} pages; expected one. Save each as a file of its own."
        )
    if values is None:
        raise ImageError(
            f"{path} has too many pixels ({size[0]} x {size[1]}): at most "
            f"{MOST_PIXELS // 10**6} million are read. Reduce it or cut it into parts."
        )
    return values
