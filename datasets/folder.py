"""Own data: a folder of images and a folder of label maps.

```
DIR/images/a.jpg, b.png, ...    any usual kind of picture
DIR/labels/a.png, b.tif, ...    one channel, pixel value = number of the object
```
Names are matched by stem. With DIR/train, DIR/val, DIR/test, each with images and
labels, those are the splits; test may lack the folder of labels. Without val, the
seeded split takes it from train; val without train belongs to no split.
"""

from collections import Counter
from functools import partial
from pathlib import Path

from datasets.errors import DataError
from datasets.images import read_labels
from datasets.pairs import read_pair
from datasets.readable import readable
from datasets.source import Item, Source, file_sizes
from datasets.survey import (
    IMAGE_SUFFIXES,
    SPLITS,
    Survey,
    existing_folder,
    tell_unread,
    unique_names,
)

__all__ = ["find_folder", "survey_folder"]

LABEL_SUFFIXES = (".png", ".tif", ".tiff")
LAYOUT = (
    "Expected DIR/images with pictures and DIR/labels with one PNG or TIFF of the same "
    "name for each (pixel value = number of the object, 0 = background); or DIR/train, "
    "DIR/val and DIR/test with those two folders each."
)


def find_folder(data_dir: str | Path | None, skip_unlabelled: bool = False) -> Source:
    """Find pairs of image and label map under a folder.

    Args:
        data_dir: a folder as shown above.
        skip_unlabelled: leave images without a label map out, counted, instead of
            refusing them.

    Raises:
        DataError: nothing there, an image or label map without partner, or two files
            of one name.
    """
    return survey_folder(data_dir, skip_unlabelled).complete()


@readable()
def survey_folder(data_dir: str | Path | None, skip_unlabelled: bool = False) -> Survey:
    """`find_folder` that collects what is wrong instead of refusing it.

    Raises:
        DataError: there is no such folder, or no images in it.
    """
    root = existing_folder(data_dir, "folder", LAYOUT)
    problems, left_out, found = [], Counter(), []
    parts = _parts(root)
    tell_unread(root, parts, lambda f: (f / "images").is_dir(), problems, left_out)
    for split, folder in parts.items():
        found += [
            (split, *pair)
            for pair in _pairs(folder, split, skip_unlabelled, problems, left_out)
        ]
    if not found and not problems:
        raise DataError(f"There is no picture in {root}. {LAYOUT}")
    if all(split != "train" for split, *_ in found):
        found = [("" if split == "val" else split, *pair) for split, *pair in found]
    names = unique_names(
        # Without the folder "images", which is the same for all.
        image.parent.parent.relative_to(root) / image.name
        for _, image, _ in found
    )
    items = [
        Item(name, split, file_sizes([path for path in pair if path], root))
        for name, (split, *pair) in zip(names, found, strict=True)
    ]
    source = Source(
        dataset="folder",
        location=str(root),
        options={"skip_unlabelled": bool(skip_unlabelled)},
        items=tuple(items),
        read=partial(_read, root),
        left_out=dict(left_out),
        own=True,
    )
    return Survey(source, tuple(problems))


def _parts(root):
    """{split: folder with images}, "" = the folder itself."""
    splits = {s: root / s for s in SPLITS if (root / s / "images").is_dir()}
    whole = (root / "images").is_dir()
    if splits and whole:
        raise DataError(
            f"{root} has images as well as {', '.join(splits)}: it is not clear which "
            "are meant. Take one of them away."
        )
    if not splits and not whole:
        seen = sorted(path.name for path in root.iterdir())[:5]
        raise DataError(
            f"{root} has no folder images (it has: {', '.join(seen) or 'nothing'}). "
            + LAYOUT
        )
    return splits or {"": root}


def _pairs(folder, split, skip_unlabelled, problems, left_out):
    """(image, label map or None), by name."""
    images = _by_stem(folder / "images", IMAGE_SUFFIXES, problems, left_out)
    if split == "test" and not (folder / "labels").is_dir():
        return [(image, None) for image in images.values()]
    if not (folder / "labels").is_dir():
        raise DataError(f"There is no folder {folder / 'labels'}. {LAYOUT}")
    labels = _by_stem(folder / "labels", LABEL_SUFFIXES, problems, left_out)
    for stem in sorted(labels.keys() - images.keys()):
        problems.append(f"{labels[stem]} has no image of that name in images/.")
    alone = sorted(images.keys() - labels.keys())
    if skip_unlabelled:
        left_out["images without labels, left out"] += len(alone)
    else:
        problems += [
            f"{images[stem]} has no label map labels/{stem}.png (or .tif). Draw its "
            "objects (of an image without any, the map is all 0), or leave such "
            "images out with --skip-unlabelled."
            for stem in alone
        ]
    both = sorted(images.keys() & labels.keys())
    return [(images[stem], labels[stem]) for stem in both]


def _by_stem(folder, suffixes, problems, left_out):
    """{stem: file}, without those that share a stem."""
    found = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            left_out[f"folders inside {folder.name}, left out"] += 1
        elif not path.exists():
            problems.append(f"{path} is a link to a file that is not there.")
        elif path.suffix.lower() in suffixes:
            found.setdefault(path.stem, []).append(path)
        elif folder.name == "labels" and path.suffix.lower() in IMAGE_SUFFIXES:
            problems.append(
                f"{path} cannot be a label map: that kind of file blends or reduces "
                "the objects' numbers. Save it as PNG or TIFF."
            )
        else:
            left_out["files that are no pictures, left out"] += 1
    for paths in found.values():
        if len(paths) > 1:
            problems.append(
                f"{paths[0]} and {paths[1].name} have the same name; which belongs to "
                "the pair is not clear. Rename one, or take it away."
            )
    return {stem: paths[0] for stem, paths in found.items() if len(paths) == 1}


def _read(root, item):
    image, *labels = [root / path for path, _ in item.files]
    return read_pair(item.name, image, labels[0] if labels else None, read_labels), {}
