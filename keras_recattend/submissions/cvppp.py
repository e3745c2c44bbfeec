"""The leaf segmentation challenge's submission: one HDF5 file with all label maps.

```
A1/plant003/label    integers [H, W], 0 = background, 1..n the leaves
```
"""

import os

import h5py
import numpy as np

from keras_recattend.errors import UserError
from keras_recattend.submissions.target import check_target, temporary_beside

__all__ = ["CvpppSubmission", "group_of"]

ENDINGS = (".h5", ".hdf5")
# How the data set calls a test image whose name a training image has, too.
TEST_PREFIX = "test_"


def group_of(name: str, subset: str = "A1") -> str:
    """Return the challenge's group of an image.

    Args:
        name: "plant003", "test_plant003" or, with its subset, "A1/plant003".
        subset: of names without one.
    """
    *folders, plant = name.split("/")
    return f"{folders[-1] if folders else subset}/{plant.removeprefix(TEST_PREFIX)}"


class CvpppSubmission:
    """Writes label maps one by one; the file appears under its name when finished.

    Call `discard` in the end in any case.

    Args:
        path: NAME.h5, not there yet.
        subset: of images whose name does not say it.

    Raises:
        UserError: another ending, or the file exists.
    """

    def __init__(self, path: str | os.PathLike, subset: str = "A1"):
        self.path = check_target(path, ENDINGS, "CVPPP")
        self.subset = subset
        self._temporary, self._file = None, None

    def add(self, name: str, labels: np.ndarray) -> None:
        """Write one image's label map, 8 bit where that is enough.

        Raises:
            UserError: two images of one name.
        """
        group = group_of(name, self.subset)
        file = self._opened()
        if group in file:
            raise UserError(
                f"Two images are {group} in the submission (one of them {name!r}). "
                "Write training and test images to files of their own: choose --split."
            )
        narrow = labels.max(initial=0) <= np.iinfo(np.uint8).max
        values = labels.astype(np.uint8 if narrow else np.uint16)
        file.create_dataset(f"{group}/label", data=values, compression="gzip")

    def finish(self) -> None:
        """Give the file its name."""
        self._opened().close()
        os.replace(self._temporary, self.path)

    def discard(self) -> None:
        """Remove what is not finished."""
        if self._file is not None:
            self._file.close()
            self._temporary.unlink(missing_ok=True)

    def _opened(self):
        # Only now: a mistake that is told before the first image leaves nothing behind.
        if self._file is None:
            self._temporary = temporary_beside(self.path)
            self._file = h5py.File(self._temporary, "w")
        return self._file
