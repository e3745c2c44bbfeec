"""Label maps as people and programs save them, to arrays of numbers."""

import os

import numpy as np

from keras_recattend.image_files import SIXTEEN_BITS, ImageError, opened, white_is_zero
from keras_recattend.wide_tiff import read_wide_tiff

__all__ = ["read_labels"]


def read_labels(path: str | os.PathLike) -> np.ndarray:
    """Read an instance label map: pixel value = id of the object, 0 = background.

    Args:
        path: a PNG or TIFF with one channel: 8, 16, 32 or 64 bits, floats that are
            whole numbers (ImageJ's 32 bits), or a palette, of which the indices count
            and not the colours.

    Returns:
        Integers [H, W]: uint8, uint16 or int32, as the numbers need.

    Raises:
        ImageError: the file is missing, empty, damaged, or holds colours, fractions or
            numbers below 0 or above 2147483647.
    """
    wide = read_wide_tiff(path)
    if wide is not None:
        return _ids(path, wide)
    with opened(path) as file:
        file.load()
        if file.mode == "1":
            return np.asarray(file).astype(np.uint8)
        if file.mode in ("P", "L"):
            values = np.array(file)
            # Pillow turns such greys round: ids are what is in the file.
            turned = file.mode == "L" and white_is_zero(file)
            return 255 - values if turned else values
        if file.mode in (*SIXTEEN_BITS, "F"):
            return _ids(path, np.asarray(file))
        raise ImageError(
            f"{path} is no index image: its mode is {file.mode} "
            f"({len(file.getbands())} channels). Expected one channel with pixel value "
            "= number of the object (palette, 8-bit or 16-bit PNG or TIFF); colours "
            "cannot be told from blended edges. Write each object's number instead of "
            "its colour."
        )


def _ids(path, values):
    """Whole numbers [H, W] from 0 on as uint16 or int32."""
    if values.dtype.kind == "f" and not np.array_equal(values, np.trunc(values)):
        raise ImageError(
            f"{path} holds fractions (it is a picture of floats); expected whole "
            "numbers, of each object its own. Was it smoothed, scaled or turned? Save "
            "the label map as 8 or 16 bits, without any of that."
        )
    if values.min(initial=0) < 0:
        raise ImageError(f"{path} holds negative ids; expected 0 or more.")
    # As a number of Python: float32 has no 2147483647 to compare with.
    most = values.max(initial=0).item()
    if most > np.iinfo(np.int32).max:
        raise ImageError(f"{path} holds the id {most}; expected at most 2147483647.")
    return values.astype(np.int32 if most > 65_535 else np.uint16)
