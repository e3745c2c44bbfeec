"""KITTI cars: one mask file an image, each colour or grey value a car.

```
DIR/images/000000.png ...            or DIR/training/image_2/000000.png (KITTI object)
DIR/gt/000000.png ...
DIR/train.txt, DIR/valid.txt, DIR/test.txt
```
The lists have one id a line; they are the splits "train", "val" and "test". DIR may
also be one of the folders inside, or the folder that holds `kitti`. A mask is black
where there is no car; it may have colours, grey values (8 or 16 bits) or a palette, of
which the indices count and black ones are background.
"""

from functools import partial
from pathlib import Path

import numpy as np

from datasets.errors import DataError
from datasets.images import opened, read_labels
from datasets.pairs import read_pair
from datasets.readable import readable
from datasets.source import Item, Source, file_sizes

__all__ = ["find_kitti", "read_cars"]

LISTS = {"train": "train.txt", "val": "valid.txt", "test": "test.txt"}
_IMAGES = (
    "images",
    "training/image_2",
    "data_object_image_2/training/image_2",
    "object/training/image_2",
)
_HELP = (
    "Expected DIR/images/NNNNNN.png (or DIR/training/image_2/NNNNNN.png of the KITTI "
    "object benchmark), DIR/gt/NNNNNN.png with one colour or value for each car, and "
    "the lists of ids DIR/train.txt, DIR/valid.txt and DIR/test.txt. The images are "
    "the left colour images of https://www.cvlibs.net/datasets/kitti/eval_object.php, "
    "free for research after registration; masks and lists are those of Zhang, "
    "Schwing, Fidler and Urtasun (ICCV 2015), from their authors. Give the folder with "
    "--data-dir DIR."
)


@readable()
def find_kitti(data_dir: str | Path | None) -> Source:
    """Find images, masks and lists under a folder.

    Args:
        data_dir: a folder as shown above.

    Returns:
        The source; images are named by their ids. An image of the test list without
        a mask is unlabelled.

    Raises:
        DataError: a folder or list is missing, an id of the lists has no image or no
            mask, or is in two lists.
    """
    if data_dir is None:
        raise DataError("The kitti data set needs its raw files. " + _HELP)
    root = Path(data_dir).expanduser().resolve()
    if not root.is_dir():
        raise DataError(f"There is no folder {root}. " + _HELP)
    root = _base(root)
    images = _image_folder(root)
    splits = _read_lists(root)
    items = [_item(root, images, name, split) for name, split in sorted(splits.items())]
    unlisted = {path.stem for path in images.glob("*.png")} - splits.keys()
    masks = {path.stem for path in (root / "gt").glob("*.png")} - splits.keys()
    return Source(
        dataset="kitti",
        location=str(root),
        options={},
        items=tuple(items),
        read=partial(_read, root),
        shared_files=file_sizes([root / name for name in LISTS.values()], root),
        class_names=("car",),
        left_out={
            "images in no list, left out": len(unlisted),
            "masks in no list, left out": len(masks),
        },
    )


def read_cars(path: Path) -> np.ndarray:
    """Read a mask: every colour or value but black is a car.

    Returns:
        Integers [H, W], 0 = no car; numbers follow the order of the values.
    """
    with opened(path) as file:
        file.load()
        if file.mode == "P":
            colours = np.array(file.getpalette("RGB")).reshape(-1, 3)
            black = np.flatnonzero((colours == 0).all(1))
            indices = np.array(file).astype(np.uint16)
            return np.where(np.isin(indices, black), 0, indices + 1)
        if file.mode not in ("RGB", "RGBA"):
            return read_labels(path)
        red, green, blue = np.moveaxis(np.array(file.convert("RGB")), -1, 0)
    values = (red.astype(np.int32) << 16) | (green.astype(np.int32) << 8) | blue
    found, numbers = np.unique(values, return_inverse=True)
    # Without black in the picture the first colour is a car as well.
    return (numbers + (found[0] != 0)).reshape(values.shape).astype(np.int32)


def _base(root):
    """The folder that holds gt and the lists."""
    for folder in (root, root / "kitti", *list(root.parents)[:3]):
        if (folder / "gt").is_dir() and (
            folder in (root, root / "kitti") or _is_inside(root, folder)
        ):
            return folder
    seen = sorted(path.name for path in root.iterdir())[:5]
    raise DataError(
        f"{root} holds no KITTI masks: there is no folder gt (it has: "
        f"{', '.join(seen) or 'nothing'}). " + _HELP
    )


def _is_inside(root, folder):
    """Whether `root` is a folder of the benchmark inside `folder`."""
    return root.relative_to(folder).as_posix() in ("gt", "training", *_IMAGES)


def _image_folder(root):
    for part in _IMAGES:
        if (root / part).is_dir():
            return root / part
    raise DataError(f"{root} has masks, but no folder of images. " + _HELP)


def _read_lists(root):
    """{id: split} of the three lists."""
    splits = {}
    for split, name in LISTS.items():
        try:
            lines = (root / name).read_text(encoding="utf-8").split()
        except FileNotFoundError:
            raise DataError(
                f"The list {root / name} is missing: it has the ids of the images that "
                f"are for {split}, one a line. " + _HELP
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{root / name} is no list of ids ({error}).") from error
        for line in lines:
            number = line.removesuffix(".png")
            if number in splits:
                raise DataError(
                    f"The id {number} stands in {LISTS[splits[number]]} and again in "
                    f"{root / name}; an image belongs to one split. Take it out of one."
                )
            splits[number] = split
    return splits


def _item(root, images, name, split):
    image, mask = images / f"{name}.png", root / "gt" / f"{name}.png"
    if not image.is_file():
        raise DataError(
            f"{LISTS[split]} has the id {name}, but there is no image {image}. Add it, "
            "or take the id out of the list."
        )
    files = [image]
    if mask.is_file():
        files.append(mask)
    elif split != "test":
        raise DataError(
            f"{LISTS[split]} has the id {name}, but there is no mask {mask}. Add it, "
            "or take the id out of the list."
        )
    return Item(name, split, file_sizes(files, root))


def _read(root, item):
    image, *mask = [root / path for path, _ in item.files]
    return read_pair(item.name, image, mask[0] if mask else None, read_cars), {}
