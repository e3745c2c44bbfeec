"""Nuclei of the 2018 Data Science Bowl (BBBC038) as images/ and labels/ folders.

    python docs/examples/dsb2018.py stage1_train nuclei
    python -m datasets.check nuclei --out nuclei-check

The competition has one folder an image, with one binary mask for each nucleus:
stage1_train/ID/images/ID.png and stage1_train/ID/masks/*.png. Where two masks share
pixels, the smaller one gets them. A pattern for other data of that kind.
"""

import os
import sys
from pathlib import Path

import numpy as np
from PIL import Image


def label_map(masks: list[np.ndarray]) -> np.ndarray:
    """Return one uint16 map of binary masks [H, W]: mask i has the number i + 1."""
    if len({mask.shape for mask in masks}) != 1:
        raise ValueError("needs one mask or more, all of one size")
    labels = np.zeros(masks[0].shape, np.uint16)
    for i in sorted(range(len(masks)), key=lambda i: -masks[i].sum()):
        labels[masks[i]] = i + 1
    return labels


def convert(source: Path, target: Path) -> int:
    """Write images/ID.png and labels/ID.png for every ID; return their number.

    Raises:
        FileExistsError: `target` is there already.
        FileNotFoundError: there are no such folders in `source`.
    """
    folders = sorted(path.parent for path in source.glob("*/images"))
    if not folders:
        raise FileNotFoundError(f"no ID/images/*.png in {source}")
    if target.exists():
        raise FileExistsError(f"{target} exists already; choose another folder")
    unfinished = target.with_name(target.name + "-unfinished")
    for name in ("images", "labels"):
        (unfinished / name).mkdir(parents=True, exist_ok=True)
    for folder in folders:
        (picture,) = (folder / "images").glob("*.png")
        masks = [
            np.asarray(Image.open(path).convert("L")) > 0
            for path in sorted((folder / "masks").glob("*.png"))
        ]
        # Some pictures have a fourth channel, without meaning.
        image = Image.open(picture).convert("RGB")
        image.save(unfinished / "images" / f"{folder.name}.png")
        labels = Image.fromarray(label_map(masks))
        labels.save(unfinished / "labels" / f"{folder.name}.png")
    os.rename(unfinished, target)
    return len(folders)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        number = convert(Path(sys.argv[1]), Path(sys.argv[2]))
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    print(f"{number} images in {sys.argv[2]}")
