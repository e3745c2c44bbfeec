"""The leaf segmentation challenge's submission: one HDF5 file with all label maps.

```
A1/plant003/label    integers [H, W], 0 = background, 1..n the leaves
```
The server takes one file, `answer.h5`, with the groups A1 to A5. Subsets are evaluated
one after another: each is added to what is there.
"""

import io
import os

import h5py
import numpy as np

from keras_recattend.errors import UserError
from keras_recattend.submissions.target import check_target, writing
from keras_recattend.whole_files import write_atomically

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
    """Collects label maps one by one; the file appears, whole, when finished.

    An earlier submission of other subsets is added to: its groups stay.

    Call `discard` in the end in any case.

    Args:
        path: NAME.h5, not there yet or an earlier submission.
        subset: of images whose name does not say it.

    Raises:
        UserError: another ending, or a file that has the subset already, or that is no
            submission.
    """

    def __init__(self, path: str | os.PathLike, subset: str = "A1"):
        self.path = check_target(path, ENDINGS, "CVPPP", may_exist=True)
        self.subset = subset
        self._check_lacks({subset})
        self._data, self._file = None, None

    def add(self, name: str, labels: np.ndarray) -> None:
        """Take one image's label map in, 8 bit where that is enough.

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
        """Write the file, with the groups that are there already.

        Raises:
            UserError: it cannot be written, or has a group of these by now.
        """
        file = self._opened()
        # Another subset may have been evaluated meanwhile.
        self._check_lacks(set(file))
        with writing(self.path):
            if self.path.exists():
                with h5py.File(self.path) as there:
                    for subset in there:
                        there.copy(subset, file)
            file.close()
            write_atomically(self.path, self._data.getvalue())

    def discard(self) -> None:
        """Let go of what is not finished."""
        if self._file is not None:
            self._file.close()

    def _opened(self):
        if self._file is None:
            # In memory: on a full disk HDF5 crashes the process that closes a file.
            self._data = io.BytesIO()
            self._file = h5py.File(self._data, "w")
        return self._file

    def _check_lacks(self, subsets):
        """Raise UserError where a file is there that these cannot be added to."""
        if not self.path.exists():
            return
        twice = sorted(subsets & _subsets(self.path))
        if twice:
            raise UserError(
                f"{self.path} has the group {twice[0]} already, which is not "
                "overwritten. Delete the file, or give another name with --submission."
            )


def _subsets(path):
    """Groups of an earlier submission. Raises UserError where it is something else."""
    try:
        with h5py.File(path) as file:
            other, subsets = file.visititems(_other), set(file)
        reason = f"it has {other}" if other else None if subsets else "it is empty"
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        reason = error
    if reason:
        raise UserError(
            f"{path} exists already and is no submission that a subset can be added to "
            f"({reason}). Delete it, or give another name with --submission."
        )
    return subsets


def _other(name, item):
    """Return the name unless it is SUBSET, SUBSET/PLANT or SUBSET/PLANT/label."""
    parts = name.split("/")
    if isinstance(item, h5py.Group):
        return None if len(parts) < 3 else name
    is_map = len(parts) == 3 and parts[-1] == "label" and item.dtype.kind in "iu"
    return None if is_map else name
