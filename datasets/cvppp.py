"""CVPPP 2017 leaf segmentation challenge: palette PNGs of rosette plants.

```
DIR/CVPPP2017_LSC_training/training/A1/plant001_rgb.png, plant001_label.png, ...
```
DIR may also be the folder `CVPPP2017_LSC_training`, `training`, `A1`, or any folder
that holds such pairs directly. Images of a testing folder (`CVPPP2017_LSC_testing`)
have no labels and become the split "test", as do those of the challenge's HDF5 file
(`cvppp_testing`), which lies in DIR or where the testing folder would. The group A5,
plants of all subsets, is tested only: it has such images and no labelled ones.
"""

from functools import partial
from pathlib import Path

from datasets.cvppp_testing import find_test_images, read_test_image
from datasets.errors import DataError
from datasets.example import Example
from datasets.images import read_labels
from datasets.pairs import read_pair
from datasets.readable import readable
from datasets.source import Item, Source, file_sizes, visible

__all__ = ["SUBSETS", "TESTED_ONLY", "USUAL_SUBSET", "find_cvppp"]

SUBSETS = ("A1", "A2", "A3", "A4")
TESTED_ONLY = "A5"
USUAL_SUBSET = "A1"
_IMAGE, _LABEL = "_rgb.png", "_label.png"
_TRAINING = ("CVPPP2017_LSC_training/training", "CVPPP2017_LSC_training", "training")
_TESTING = ("CVPPP2017_LSC_testing/testing", "CVPPP2017_LSC_testing", "testing")
_HELP = (
    "Expected DIR/CVPPP2017_LSC_training/training/{subset}/plantNNN_rgb.png and "
    "plantNNN_label.png; DIR may be any folder on that path. The benchmark is free "
    "for research after registration at https://www.plant-phenotyping.org/datasets "
    "(CVPPP 2017 Leaf Segmentation Challenge); unpack CVPPP2017_LSC_training into DIR "
    "and give it with --data-dir DIR."
)
_TEST_HELP = (
    "Expected test images in DIR/CVPPP2017_testing_images.h5, or as "
    "DIR/CVPPP2017_LSC_testing/testing/{subset}/plantNNN_rgb.png; they come from where "
    "the training images do, https://www.plant-phenotyping.org/datasets."
)


@readable()
def find_cvppp(data_dir: str | Path | None, subset: str = USUAL_SUBSET) -> Source:
    """Find the raw benchmark under a folder.

    Args:
        data_dir: a folder on the path shown above.
        subset: "A1" (Arabidopsis, 500 x 530), "A2", "A3" (tobacco), "A4", or "A5" (of
            all of them), which has test images alone.

    Returns:
        The source; its examples are read one by one on demand.

    Raises:
        DataError: nothing there, an image without label or a label without image, or a
            damaged file of test images.
    """
    known = (*SUBSETS, TESTED_ONLY)
    if subset not in known:
        raise DataError(f"subset must be one of {', '.join(known)}, got {subset!r}.")
    if data_dir is None:
        raise DataError("The cvppp data set needs its raw files. " + _help(subset))
    root = Path(data_dir).expanduser().resolve()
    if not root.is_dir():
        raise DataError(f"There is no folder {root}. " + _help(subset))
    labelled = []
    if subset != TESTED_ONLY:
        labelled = _labelled_pairs(_training_folder(root, subset))
    testing = _first_folder(root, [f"{part}/{subset}" for part in _TESTING])
    unlabelled = _images(testing) if testing else []
    taken = {_name(image) for image, _ in labelled}

    def item(name, split, *files):
        return Item(name, split, file_sizes(files, root))

    items = [item(_name(image), "", image, label) for image, label in labelled]
    for image in unlabelled:
        label = image.with_name(_name(image) + _LABEL)
        name = _name(image) if _name(image) not in taken else f"test_{_name(image)}"
        items.append(item(name, "test", image, *([label] if label.exists() else [])))
    if not unlabelled:
        items += _packed_items(root, subset, taken)
    if not items:
        help_ = _TEST_HELP.format(subset=subset)
        raise DataError(f"{root} has no test images of {subset}. {help_}")
    return Source(
        dataset="cvppp",
        location=str(root),
        options={"subset": subset},
        items=tuple(items),
        read=partial(_read, root),
    )


def _packed_items(root, subset, taken):
    """Items of the HDF5 file's images; what they are called there is their data."""
    found = find_test_images((root, *(root / part for part in _TESTING)), subset)
    if not found:
        return []
    path, names = found
    files = file_sizes([path], root)
    return [
        Item(
            name if name not in taken else f"test_{name}",
            "test",
            files,
            f"{subset}/{name}",
        )
        for name in names
    ]


def _help(subset):
    return _HELP.format(subset=subset)


def _training_folder(root, subset):
    found = _first_folder(root, [f"{part}/{subset}" for part in (*_TRAINING, ".")])
    if found:
        return found
    if _images(root):
        if root.name in SUBSETS and root.name != subset:
            raise DataError(
                f"{root} is subset {root.name}, but {subset} was asked for. Give the "
                "folder above it, or choose the other subset."
            )
        return root
    others = [
        name
        for name in SUBSETS
        if _first_folder(root, [f"{part}/{name}" for part in (*_TRAINING, ".")])
    ]
    if others:
        raise DataError(
            f"{root} has the subsets {', '.join(others)}, but no images of {subset}."
        )
    seen = sorted(path.name for path in root.iterdir())[:5]
    raise DataError(
        f"{root} holds no CVPPP images (it has: {', '.join(seen) or 'nothing'}). "
        + _help(subset)
    )


def _first_folder(root, parts):
    """The first of the folders that holds images."""
    for part in parts:
        if _images(root / part):
            return root / part
    return None


def _images(folder):
    return visible(folder.glob("*" + _IMAGE)) if folder.is_dir() else []


def _name(path):
    return path.name.removesuffix(_IMAGE).removesuffix(_LABEL)


def _labelled_pairs(folder):
    images = {_name(path): path for path in _images(folder)}
    labels = {_name(path): path for path in visible(folder.glob("*" + _LABEL))}
    for have, lack, suffix in ((images, labels, _LABEL), (labels, images, _IMAGE)):
        alone = sorted(set(have) - set(lack))
        if alone:
            raise DataError(
                f"{have[alone[0]]} has no partner: expected {alone[0]}{suffix} in the "
                f"same folder ({len(alone)} such files in {folder}). Add it, or take "
                "the file away."
            )
    return [(images[name], labels[name]) for name in sorted(images)]


def _read(root, item):
    if item.data:
        image = read_test_image(root / item.files[0][0], item.data)
        return Example(item.name, image, None), {}
    image, *labels = [root / path for path, _ in item.files]
    labels = labels[0] if labels else None
    return read_pair(item.name, image, labels, read_labels), {}
