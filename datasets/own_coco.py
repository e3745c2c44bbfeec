"""Own data: one file of COCO annotations, as annotation tools export it.

Read are the benchmark's format and what LabelMe, CVAT and Label Studio make of it: ids
as numbers or text, categories from 0, no ids, iscrowd, area or sizes, names of pictures
with folders or addresses before them. CVAT's masks with iscrowd = 1 are objects. What
becomes of the objects is as in `datasets.coco`; only the images that have one are
taken.
"""

import json
import os
from collections import Counter, defaultdict
from functools import partial
from pathlib import Path

from datasets.annotated_pictures import PictureFinder, check_size, stated_size
from datasets.coco import ALL, canonical_category
from datasets.coco_masks import draw_objects
from datasets.errors import DataError
from datasets.example import Example
from datasets.images import read_image
from datasets.readable import readable
from datasets.source import Item, Source, file_sizes
from datasets.survey import Survey, unique_names
from keras_recattend.near_names import near_names
from keras_recattend.paths import from_the_root

__all__ = ["find_own_coco", "survey_own_coco"]

# What datumaro writes, by which CVAT exports. To it iscrowd says how an object is
# stored: 1 = run lengths, of a painted one, 0 = polygons.
_DATUMARO_LICENSES = [{"name": "", "id": 0, "url": ""}]


def find_own_coco(
    data_dir: str | Path | None,
    annotations: str | Path | None = None,
    images: str | Path | None = None,
    category: str = ALL,
) -> Source:
    """Find the images that a file of annotations describes.

    Args:
        data_dir: where the images are, unless `images` is given.
        annotations: the JSON file.
        images: where the images are; None = `data_dir`, or the file's own folder.
        category: a name, several with commas, or "all".

    Raises:
        DataError: the file cannot be read, has no such category, or something in it
            does not fit together or names a picture that is missing.
    """
    return survey_own_coco(data_dir, annotations, images, category).complete()


@readable()
def survey_own_coco(
    data_dir: str | Path | None,
    annotations: str | Path | None = None,
    images: str | Path | None = None,
    category: str = ALL,
) -> Survey:
    """`find_own_coco` that collects what is wrong with single entries.

    Raises:
        DataError: the file or folder is not there, is no COCO, or lacks the category.
    """
    if annotations is None:
        raise DataError("--annotations FILE.json is needed: the exported COCO file.")
    file = Path(from_the_root(annotations))
    root = Path(from_the_root(images or data_dir or file.parent))
    if not root.is_dir():
        raise DataError(f"There is no folder {root}; give the images with --images.")
    category = canonical_category(category)
    values = _load(file)
    classes = _classes(file, values["categories"], category)
    problems, left_out = [], Counter()
    objects = _objects(file, values, classes, problems, left_out)
    finder, found = PictureFinder(root), []
    for image in values["images"]:
        own = objects.get(str(image.get("id")), [])
        if not own:
            left_out["images without an object of the categories, left out"] += 1
            continue
        try:
            found.append((finder.find(str(image.get("file_name"))), image, own))
        except DataError as error:
            problems.append(f"{file}: {error}")
    names = unique_names(path.relative_to(root) for path, *_ in found)
    items = [
        Item(
            name=name,
            files=file_sizes([path], root),
            data={"size": stated_size(image, "height", "width"), "objects": own},
        )
        for name, (path, image, own) in zip(names, found, strict=True)
    ]
    source = Source(
        dataset="own_coco",
        location=str(root),
        options={
            "annotations": str(file),
            "category": category,
            "images": str(root),
        },
        items=tuple(items),
        read=partial(_read, root, str(file)),
        shared_files=((_seen_from(root, file), file.stat().st_size),),
        class_names=tuple(dict.fromkeys(classes.values())),
        left_out=dict(left_out),
        own=True,
    )
    return Survey(source, tuple(problems))


def _seen_from(root, file):
    """The file's path from the images' folder: they are moved together."""
    try:
        return Path(os.path.relpath(file, root)).as_posix()
    except ValueError:  # on another drive of Windows
        return str(file)


def _load(file):
    try:
        values = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"{file} is no JSON that can be read ({error}).") from error
    for section in ("images", "annotations", "categories"):
        entries = values.get(section) if isinstance(values, dict) else None
        if not isinstance(entries, list) or not all(
            isinstance(entry, dict) for entry in entries
        ):
            raise DataError(
                f"{file} has no list {section!r} of entries; expected COCO's lists "
                "images, annotations and categories. Export it as COCO; LabelMe's own "
                "files are read with --dataset labelme --data-dir DIR."
            )
    ids = Counter(str(image.get("id")) for image in values["images"])
    twice = [number for number, count in ids.items() if count > 1]
    if twice:
        raise DataError(f"{file} has the image id {twice[0]} twice; ids must differ.")
    return values


def _classes(file, categories, category):
    """{id as text: name} of the chosen categories, in the file's order."""
    known = {str(c.get("id")): str(c.get("name", "")).lower() for c in categories}
    if category == ALL:
        return known
    names = category.split(",")
    for name in names:
        if name not in known.values():
            raise DataError(
                f"{file} has no category {name!r}." + near_names(name, known.values())
            )
    return {number: name for number, name in known.items() if name in names}


def _objects(file, values, classes, problems, left_out):
    """{image id as text: [class, segmentation, number of the annotation]}."""
    images = {str(image.get("id")) for image in values["images"]}
    every = {str(c.get("id")) for c in values["categories"]}
    numbers = {name: i for i, name in enumerate(dict.fromkeys(classes.values()), 1)}
    objects = defaultdict(list)
    crowds = 0
    # Nothing tells a true crowd from a painted object there; CVAT has no crowds.
    no_crowds = values.get("licenses") == _DATUMARO_LICENSES
    for i, entry in enumerate(values["annotations"], start=1):
        number = entry.get("id", i)
        image, kind = str(entry.get("image_id")), str(entry.get("category_id"))
        if image not in images or kind not in every:
            what = "image_id" if image not in images else "category_id"
            problems.append(
                f"{file}: annotation {number} has the {what} {entry.get(what)!r}, "
                "which the file does not have."
            )
        elif kind not in classes:
            left_out["objects of other categories, left out"] += 1
        elif entry.get("iscrowd") and not no_crowds:
            crowds += 1
        else:
            shape = _nested(entry.get("segmentation"))
            objects[image].append([numbers[classes[kind]], shape, number])
    if crowds and not objects:
        raise DataError(
            f"All {crowds} annotations of {file} have iscrowd = 1, which stands for "
            "regions that are no single objects. Some tools write it for masks that "
            "were painted with a brush: export polygons, or set iscrowd to 0."
        )
    if crowds:
        left_out["crowd regions, not objects"] = crowds
    return objects


def _nested(segmentation):
    """Some tools write the only polygon without the list around it."""
    if isinstance(segmentation, list) and segmentation:
        flat = all(isinstance(value, (int, float)) for value in segmentation)
        return [segmentation] if flat else segmentation
    return segmentation


def _read(root, file, item):
    path = root / item.files[0][0]
    image = read_image(path)
    size = image.shape[:2]
    check_size(path, size, item.data["size"], file)
    classes, segmentations, ids = zip(*item.data["objects"], strict=True)
    try:
        labels, notes = draw_objects(segmentations, size, ids)
    except DataError as error:
        raise DataError(f"{file}, image {path.name}, {error}") from None
    return Example(item.name, image, labels, classes), notes
