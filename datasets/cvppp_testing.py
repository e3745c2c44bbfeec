"""The leaf challenge's test images, which come in one HDF5 file.

```
CVPPP2017_testing_images.h5     any name with "test" in it
    A1/plant003/rgb             uint8 [H, W, 3], or [H, W, 4]: alpha is left out
```
A submission has the same groups (`keras_recattend/submissions/cvppp.py`).
"""

from collections.abc import Iterable
from pathlib import Path

import h5py
import numpy as np

from datasets.errors import DataError

__all__ = ["find_test_images", "read_test_image"]

_ENDINGS = (".h5", ".hdf5")
_IMAGE = "rgb"


def find_test_images(
    folders: Iterable[Path], subset: str
) -> tuple[Path, list[str]] | None:
    """Find the file that has test images of a subset, directly in one of the folders.

    Args:
        folders: to look in; those that are not there are passed over.
        subset: "A1" to "A5", the name of the group.

    Returns:
        The file and the names of its plants, sorted; None where there is no such file.

    Raises:
        DataError: a damaged file, or several that have the subset.
    """
    found = []
    for path in _candidates(folders):
        names = _plants(path, subset)
        if names:
            found.append((path, names))
    if len(found) > 1:
        raise DataError(
            f"{found[0][0]} and {found[1][0]} both have test images of {subset}; one "
            "file is expected. Take the other away."
        )
    return found[0] if found else None


def read_test_image(path: Path, group: str) -> np.ndarray:
    """Read one image as uint8 [H, W, 3]. group: as "A1/plant003".

    Raises:
        DataError: a damaged file, or something else than a picture.
    """
    try:
        with h5py.File(path) as file:
            image = file[f"{group}/{_IMAGE}"][()]
    except (OSError, KeyError) as error:
        raise DataError(_unreadable(path, f"{group}/{_IMAGE}: {error}")) from error
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (3, 4):
        raise DataError(
            f"{path}: {group}/{_IMAGE} is {image.dtype} {list(image.shape)}; expected "
            "uint8 [height, width, 3 or 4]. Download the file again."
        )
    return np.ascontiguousarray(image[..., :3])


def _candidates(folders):
    paths = (path for folder in folders if folder.is_dir() for path in folder.iterdir())
    return sorted(
        path
        for path in paths
        if path.suffix.lower() in _ENDINGS and "test" in path.stem.lower()
    )


def _plants(path, subset):
    try:
        with h5py.File(path) as file:
            plants = file.get(subset)
            if not isinstance(plants, h5py.Group):
                return []
            return sorted(name for name in plants if f"{name}/{_IMAGE}" in plants)
    except OSError as error:
        raise DataError(_unreadable(path, error)) from error


def _unreadable(path, reason):
    return (
        f"{path} is no HDF5 file of test images that can be read ({reason}). Download "
        "it again, or take it away."
    )
