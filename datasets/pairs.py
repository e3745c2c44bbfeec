"""An image file and its label file, read together."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from datasets.errors import DataError
from datasets.example import Example
from datasets.images import read_image

__all__ = ["read_pair"]


def read_pair(
    name: str,
    image: Path,
    labels: Path | None,
    read: Callable[[Path], np.ndarray],
) -> Example:
    """Read an image and, unless `labels` is None, its label map with `read`.

    Raises:
        DataError: naming the files, also where only both together are wrong.
    """
    try:
        return Example(
            name, read_image(image), None if labels is None else read(labels)
        )
    except DataError as error:
        if str(image) in str(error) or str(labels) in str(error):
            raise
        raise DataError(f"{image}, {Path(labels).name}: {error}") from None
