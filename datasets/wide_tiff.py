"""TIFFs with 64 bits a pixel, which neither Pillow nor OpenCV 4 reads.

napari writes labels so where the layer has 64 bits: shapes that were converted to
labels, or what scripts made.
"""

import os
import struct
import zlib

import numpy as np
from PIL import TiffImagePlugin as tiff

from datasets.errors import DataError

__all__ = ["read_wide_tiff"]

_DAMAGED = (OSError, SyntaxError, ValueError, KeyError, struct.error, zlib.error)
# By SampleFormat; a file that does not say means 1.
_DTYPES = {1: "u8", 2: "i8", 3: "f8"}
# Of Compression.
_NONE, _DEFLATE = 1, (8, 32_946)


def read_wide_tiff(path: str | os.PathLike) -> np.ndarray | None:
    """Read one channel of 64 bits.

    Args:
        path: a file of any kind, or none.

    Returns:
        uint64, int64 or float64 [H, W]; None = the file is no TIFF of 64 bits and one
        channel.

    Raises:
        DataError: it is one, but damaged, or holds several pages or tiles.
    """
    try:
        order, tags = _directory(path)
    except _DAMAGED:
        return None
    if not tags or tags.get(tiff.BITSPERSAMPLE) != (64,):
        return None
    if tags.next:
        raise DataError(
            f"{path} holds several pages; expected one. Save each as a file of its own."
        )
    (kind,) = tags.get(tiff.SAMPLEFORMAT, (1,))
    compression = tags.get(tiff.COMPRESSION, _NONE)
    if (
        kind not in _DTYPES
        or compression not in (_NONE, *_DEFLATE)
        or tags.get(tiff.PREDICTOR, 1) != 1
        or tiff.STRIPOFFSETS not in tags
    ):
        raise DataError(
            f"{path} has 64 bits a pixel in a form that is not read; expected strips, "
            "uncompressed or deflated. Save it with 8, 16 or 32 bits."
        )
    try:
        size = tags[tiff.IMAGELENGTH], tags[tiff.IMAGEWIDTH]
        data = _strips(path, tags, compression != _NONE, size[0] * size[1] * 8)
    except _DAMAGED as error:
        raise DataError(
            f"{path} cannot be read, it is damaged or cut short ({error}). Copy or "
            "save it again."
        ) from error
    values = np.frombuffer(data, order + _DTYPES[kind]).reshape(size)
    return values.astype(_DTYPES[kind], copy=False)


def _directory(path):
    """Byte order and tags of the first page; no tags = the file is no TIFF."""
    with open(path, "rb") as file:
        header = file.read(8)
        if header[:4] not in tiff.PREFIXES:
            return "", {}
        # TIFFs of more than 4 GB have a longer header.
        header += file.read(8) if header[2] == 43 else b""
        tags = tiff.ImageFileDirectory_v2(header)
        file.seek(tags.next)
        tags.load(file)
    return "<" if header[:2] == b"II" else ">", tags


def _strips(path, tags, deflated, size):
    """The image's bytes, exactly `size` of them."""
    data = bytearray()
    places = zip(tags[tiff.STRIPOFFSETS], tags[tiff.STRIPBYTECOUNTS], strict=True)
    with open(path, "rb") as file:
        for offset, count in places:
            file.seek(offset)
            strip = file.read(count)
            if deflated:
                # A small file may be made to fill the memory: not beyond the size.
                strip = zlib.decompressobj().decompress(strip, size - len(data) + 1)
            data += strip
    if len(data) != size:
        raise ValueError(f"{len(data)} bytes of {size}")
    return data
