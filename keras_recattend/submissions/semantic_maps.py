"""Semantic segmentations of Cityscapes images, made elsewhere, from a folder.

For the image CITY_SEQ_FRAME, anywhere below the folder, one of

- `CITY_SEQ_FRAME*.npz`: one array of probabilities, [H, W, 9] (background, person,
  rider, car, truck, bus, train, motorcycle, bicycle) or [H, W, 19] (all train ids);
- `CITY_SEQ_FRAME*labelTrainIds.png`: train ids (11 = person, ..., 18 = bicycle);
- any other `CITY_SEQ_FRAME*.png`: label ids (24 = person, ..., 33 = bicycle), as the
  benchmark's server takes them.

The first kind that is there is used; colour and instance images are passed over.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from keras_recattend.errors import UserError
from keras_recattend.submissions.cityscapes_classes import CLASSES

__all__ = ["SemanticMaps"]

_NAME = re.compile(r"([^_]+_[^_]+_[0-9]+)(?=[._])")
_OTHER = re.compile(r"color|instance(Train)?Ids", re.IGNORECASE)
_TRAIN_IDS = "labelTrainIds.png"
FIRST_TRAIN_ID = 11
TRAIN_CLASSES = 19
# What a PNG of 16 bits can hold.
_VALUES = 2**16


class SemanticMaps:
    """Gives the segmentation of an image by its name.

    Args:
        folder: see the table above.

    Raises:
        UserError: no folder, or no such file in it.
    """

    def __init__(self, folder: str | os.PathLike):
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise UserError(f"There is no folder {folder} with semantic maps.")
        self._files = {}
        for path in sorted(self.folder.rglob("*")):
            match = _NAME.match(path.name)
            if match and path.suffix in (".npz", ".png"):
                self._files.setdefault(match[1], []).append(path)
        if not self._files:
            raise UserError(
                f"{folder} holds no semantic map: expected CITY_SEQ_FRAME*.png with "
                "label ids, ...labelTrainIds.png with train ids, or ....npz with "
                "probabilities."
            )

    def check(self, names: Iterable[str]) -> None:
        """Raise UserError unless every one of the images has one file."""
        for name in names:
            self._file(name)

    def __call__(self, name: str) -> np.ndarray:
        """Return classes, uint8 [H, W], or probabilities [H, W, 9].

        Raises:
            UserError: no file or several for the image, or one of another content.
        """
        path = self._file(name)
        if path.suffix == ".npz":
            return _probabilities(path)
        return _classes(path, path.name.endswith(_TRAIN_IDS))

    def _file(self, name):
        files = self._files.get(name, [])
        arrays = [path for path in files if path.suffix == ".npz"]
        train = [path for path in files if path.name.endswith(_TRAIN_IDS)]
        other = [p for p in files if p not in train and not _OTHER.search(p.name)]
        chosen = arrays or train or other
        if len(chosen) != 1:
            seen = ", ".join(str(p.relative_to(self.folder)) for p in chosen) or "none"
            raise UserError(
                f"{name} needs one semantic map in {self.folder}, {name}*.png or .npz; "
                f"found: {seen}."
            )
        return chosen[0]


def _classes(path, train_ids):
    try:
        # Pillow gives the indices of a palette image, OpenCV its colours.
        # No other kind is tried: some of Pillow's readers start other programs (EPS).
        with Image.open(path, formats=["PNG"]) as file:
            ids = np.asarray(file)
    except Exception as error:
        # Decoders of damaged files raise nearly every kind of exception.
        raise UserError(f"{path} cannot be read as an image ({error}).") from error
    if ids.ndim != 2 or ids.dtype.kind not in "ui" or ids.max() >= _VALUES:
        raise UserError(
            f"{path} must hold one id a pixel, received {ids.dtype} {list(ids.shape)}; "
            "save ids as a grey or palette PNG, not their colours."
        )
    first = range(FIRST_TRAIN_ID, FIRST_TRAIN_ID + len(CLASSES))
    table = np.zeros(_VALUES, np.uint8)
    table[list(first) if train_ids else list(CLASSES.values())] = range(1, 9)
    return table[ids]


def _probabilities(path):
    try:
        with np.load(path) as file:
            (array,) = (file[key] for key in file.files)
    except Exception as error:
        # Damaged headers and compressed bytes raise nearly every kind of exception.
        raise UserError(f"{path} must hold one array ({error}).") from error
    if (
        array.dtype.kind not in "fiu"
        or array.ndim != 3
        or array.shape[2] not in (len(CLASSES) + 1, TRAIN_CLASSES)
        or not array.size
    ):
        raise UserError(
            f"{path} must hold probabilities [H, W, 9] or [H, W, 19], received "
            f"{array.dtype} {list(array.shape)}."
        )
    # Asked for what must hold: of NaN, no comparison is true.
    if not (array.min() >= 0 and abs(array.sum(axis=2) - 1).max() <= 0.05):
        raise UserError(
            f"{path} must hold probabilities that add up to 1 in every pixel; apply "
            "softmax first."
        )
    if array.shape[2] == TRAIN_CLASSES:
        background = array[..., :FIRST_TRAIN_ID].sum(axis=2, keepdims=True)
        return np.concatenate([background, array[..., FIRST_TRAIN_ID:]], axis=2)
    return array
