"""MS-COCO: photographs with polygons or run lengths for each object.

```
DIR/annotations/instances_train2017.json, instances_val2017.json
DIR/train2017/*.jpg, DIR/val2017/*.jpg
```
DIR may also be one of the folders inside, or the folder that holds `coco`; the images
may lie in DIR/images/train2017. Of several years the latest that has images is read.
Where only one of train and val is there, it is used alone; val alone belongs to no
split. With `all_images` those of test are read as well, without labels:
```
DIR/annotations/image_info_test-dev2017.json (or image_info_test2017.json)
DIR/test2017/*.jpg
```

What becomes of the annotations:

- objects are those of the chosen categories; images without any are left out, unless
  `all_images` is set: the benchmark counts what is found on them as wrong;
- where objects overlap, the smaller one (by its pixels) lies on top: it is mostly the
  one in front, and would otherwise be lost; of equals the later one;
- crowd regions are no objects: their pixels are background;
- polygons are cut off at the image's edge; objects without a pixel are dropped.
"""

import logging
import re
from collections import Counter
from functools import partial
from pathlib import Path

from datasets.coco_annotations import CocoFile
from datasets.coco_masks import draw_objects
from datasets.errors import DataError
from datasets.example import Example
from datasets.images import read_image
from datasets.readable import readable
from datasets.source import Item, Source, file_sizes
from keras_recattend.near_names import near_names

__all__ = ["ALL", "canonical_category", "find_coco"]

ALL = "all"
# The images that the server scores; the first of them that is there.
_TEST_FILES = ("image_info_test-dev{}.json", "image_info_test{}.json")
_FILE = re.compile(r"instances_(train|val)(\d{4})?\.json")
_HELP = (
    "Expected DIR/annotations/instances_train2017.json and instances_val2017.json (one "
    "is enough) and the images in DIR/train2017 and DIR/val2017. All are at "
    "https://cocodataset.org/#download (2017 Train images, 2017 Val images, 2017 "
    "Train/Val annotations); unpack them into DIR and give it with --data-dir DIR."
)
_LOG = logging.getLogger(__name__)


@readable()
def find_coco(
    data_dir: str | Path | None, category: str = ALL, all_images: bool = False
) -> Source:
    """Find annotations and images under a folder.

    Args:
        data_dir: a folder as shown above.
        category: a name ("zebra"), several with commas ("zebra,horse"), or "all".
        all_images: also images without an object of the categories, and test images.

    Returns:
        The source; images are named by their id with 12 digits ("000000397133", as
        the benchmark's files are). Classes are numbered in the order of the
        categories' ids.

    Raises:
        DataError: nothing there, unknown categories, ids that do not match, images
            that are missing, or annotations that are not in COCO's format.
    """
    if data_dir is None:
        raise DataError("The coco data set needs its raw files. " + _HELP)
    root = Path(data_dir).expanduser().resolve()
    if not root.is_dir():
        raise DataError(f"There is no folder {root}. " + _HELP)
    category = canonical_category(category)
    root, files = _base(root)
    parts = {split: CocoFile(path) for split, (path, _) in files.items()}
    categories = _chosen(parts, category)
    items, left_out = [], Counter()
    for split, part in parts.items():
        folder = files[split][1]
        split_name = split if "train" in parts else ""
        items += _items(
            part, folder, root, categories, split_name, left_out, all_images
        )
    if not any(item.data["objects"] for item in items):
        raise DataError(
            f"No image of {root} has an object of {category}. Choose other categories "
            "with --category."
        )
    shared = [path for path, _ in files.values()]
    if all_images and (test := _test_files(root, files)):
        items += _test_items(*test, root)
        shared.append(test[0])
    return Source(
        dataset="coco",
        location=str(root),
        # Only where it is set: records of before it was there stay what they are.
        options={"category": category} | ({"all_images": True} if all_images else {}),
        items=tuple(items),
        read=partial(_read, root),
        shared_files=file_sizes(shared, root),
        class_names=tuple(categories.values()),
        left_out=dict(left_out),
    )


def canonical_category(category: str) -> str:
    """Return one form of what means the same: "Zebra , horse" is "horse,zebra".

    Raises:
        DataError: no name at all.
    """
    names = {" ".join(name.lower().split()) for name in str(category).split(",")}
    names.discard("")
    if not names:
        raise DataError(
            f"--category takes a name, several with commas, or all; got {category!r}."
        )
    return ALL if ALL in names else ",".join(sorted(names))


def _base(root):
    """(folder, {split: (annotation file, folder of its images)})."""
    for folder in (root, root / "coco", root.parent, root.parent.parent):
        if folder in root.parents and not re.fullmatch(
            r"annotations|images|(images/)?(train|val|test)(\d{4})?",
            root.relative_to(folder).as_posix(),
        ):
            continue
        years = _annotation_files(folder)
        if years:
            return folder, _with_images(folder, years)
    seen = sorted(path.name for path in root.iterdir())[:5]
    raise DataError(
        f"{root} holds no COCO annotations: there is no annotations/instances_*.json "
        f"(it has: {', '.join(seen) or 'nothing'}). " + _HELP
    )


def _annotation_files(folder):
    """{year: {split: file}}, the latest first; the year is "" where there is none."""
    found = {}
    for path in sorted((folder / "annotations").glob("instances_*.json")):
        match = _FILE.fullmatch(path.name)
        if match:
            found.setdefault(match[2] or "", {})[match[1]] = path
    return dict(sorted(found.items(), reverse=True))


def _with_images(folder, years):
    """{split: (file, folder of images)} of the latest year that has images."""
    lacking = []
    for year, files in years.items():
        complete = {}
        for split, path in files.items():
            places = [folder / f"{split}{year}", folder / "images" / f"{split}{year}"]
            images = next((place for place in places if place.is_dir()), None)
            if images:
                complete[split] = (path, images)
            else:
                lacking.append(f"{path.name} without a folder {places[0]}")
        if complete:
            for text in lacking:
                _LOG.warning("%s: these annotations are left out.", text)
            others = [name for name in years if name < year]
            if others:
                _LOG.info("%s is read, not %s.", year, ", ".join(others))
            return complete
    raise DataError(f"There are annotations but no images: {lacking[0]}. " + _HELP)


def _chosen(parts, category):
    """{category id: name} of the chosen ones, the same in every file."""
    known = {}
    for part in parts.values():
        for number, name in part.categories.items():
            if known.setdefault(number, name) != name:
                raise DataError(
                    f"Category {number} is {known[number]!r} in one file and {name!r} "
                    f"in {part.path}: they do not belong together."
                )
    if category == ALL:
        return dict(sorted(known.items()))
    names = category.split(",")
    for name in names:
        if name not in known.values():
            raise DataError(
                f"COCO has no category {name!r}." + near_names(name, known.values())
            )
    return {number: name for number, name in sorted(known.items()) if name in names}


def _test_files(root, files):
    """(list of the test images, their folder), or None where there are none."""
    annotations, _ = next(iter(files.values()))
    year = _FILE.fullmatch(annotations.name)[2] or ""
    for name in _TEST_FILES:
        path = annotations.with_name(name.format(year))
        for folder in (root / f"test{year}", root / "images" / f"test{year}"):
            if path.is_file() and folder.is_dir():
                return path, folder
    return None


def _test_items(path, folder, root):
    """One item without labels for each test image."""
    part = CocoFile(path, labelled=False)
    images = part.images()
    _check_files(part, folder, [image["file_name"] for image in images])
    return [_item(part, folder, root, image, "test", None, 0) for image in images]


def _items(part, folder, root, categories, split, left_out, all_images):
    """One item for each image with an object, or for all; counts the others."""
    classes = {number: i for i, number in enumerate(categories, start=1)}
    wanted = []
    for image in part.images():
        annotations = part.annotations(image["id"], categories)
        if all_images or any(not a.get("iscrowd") for a in annotations):
            wanted.append((image, annotations))
        else:
            left_out["images without an object of the categories, left out"] += 1
            left_out["crowd regions of images left out"] += len(annotations)
    _check_files(part, folder, [image["file_name"] for image, _ in wanted])
    named = {Path(image["file_name"]).name for image in part.images()}
    unnamed = {path.name for path in folder.iterdir() if path.is_file()} - named
    left_out["image files without an entry in the annotations, left out"] += len(
        unnamed
    )
    for image, annotations in wanted:
        objects = [
            [classes[a["category_id"]], a.get("segmentation"), a["id"]]
            for a in annotations
            if not a.get("iscrowd")
        ]
        crowds = len(annotations) - len(objects)
        yield _item(part, folder, root, image, split, objects, crowds)


def _item(part, folder, root, image, split, objects, crowds):
    return Item(
        name=f"{image['id']:012d}",
        split=split,
        files=file_sizes([folder / image["file_name"]], root),
        data={
            "annotations": str(part.path),
            "size": [image["height"], image["width"]],
            "objects": objects,
            "crowds": crowds,
        },
    )


def _check_files(part, folder, names):
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise DataError(
            f"{part.path} names {len(missing)} images (of {len(names)} that are "
            f"needed) that are not in {folder}, as {missing[0]}. Unpack the images "
            "again, or take the annotations that belong to them."
        )


def _read(root, item):
    image = read_image(root / item.files[0][0])
    height, width = item.data["size"]
    if image.shape[:2] != (height, width):
        raise DataError(
            f"{root / item.files[0][0]} has (height, width) = {image.shape[:2]}, but "
            f"{item.data['annotations']} says {(height, width)}. They do not belong "
            "together, or the image was resized."
        )
    objects = item.data["objects"]
    if objects is None:
        return Example(item.name, image, None, ()), {}
    classes, segmentations, ids = zip(*objects, strict=True) if objects else ((),) * 3
    try:
        labels, notes = draw_objects(segmentations, (height, width), ids)
    except DataError as error:
        raise DataError(
            f"{item.data['annotations']}, image {item.name}, {error}"
        ) from None
    notes["crowd regions, not objects"] = item.data["crowds"]
    return Example(item.name, image, labels, classes), notes
