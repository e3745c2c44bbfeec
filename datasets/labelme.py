"""Own data: LabelMe's own files, one JSON beside each picture.

```
DIR/a.jpg, a.json, b.jpg, b.json, ...
```
or DIR/train, DIR/val, DIR/test with such files, which then are the splits (val without
train belongs to no split; test may have pictures alone). The picture is the one that
`imagePath` names, else the one beside the JSON with its stem, else what `imageData`
holds. Shapes of one label with the same group number are one object; points and lines
are none. A JSON without shapes is an image without objects.
"""

import base64
import binascii
import io
import json
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from datasets.annotated_pictures import check_size, stated_size
from datasets.coco import ALL, canonical_category
from datasets.coco_masks import draw_objects
from datasets.errors import DataError
from datasets.example import Example
from datasets.images import read_image
from datasets.labelme_shapes import NO_AREA, segmentation_of
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
from keras_recattend.near_names import near_names

__all__ = ["find_labelme", "survey_labelme"]

LAYOUT = (
    "Expected pictures with LabelMe's JSON of the same name beside each, in DIR, or in "
    "DIR/train, DIR/val and DIR/test."
)


class _Found(NamedTuple):
    """A JSON and its picture.

    Attributes:
        split: of the folder.
        file: the JSON, None = the picture is unlabelled.
        picture: its path, None = it is inside the JSON.
        size: [height, width] as the JSON has it, or None.
        shapes: entries of the JSON.
    """

    split: str
    file: Path | None
    picture: Path | None
    size: list | None = None
    shapes: tuple = ()


def find_labelme(
    data_dir: str | Path | None, category: str = ALL, skip_unlabelled: bool = False
) -> Source:
    """Find LabelMe's files in a folder.

    Args:
        data_dir: a folder as shown above.
        category: a label, several with commas, or "all".
        skip_unlabelled: leave pictures without a JSON out, counted, instead of
            refusing them.

    Raises:
        DataError: nothing there, a JSON that cannot be used, a picture without JSON
            or JSON without picture, or a label that no file has.
    """
    return survey_labelme(data_dir, category, skip_unlabelled).complete()


@readable()
def survey_labelme(
    data_dir: str | Path | None, category: str = ALL, skip_unlabelled: bool = False
) -> Survey:
    """`find_labelme` that collects what is wrong with single files.

    Raises:
        DataError: there is no such folder, no JSON in it, or no such label.
    """
    root = existing_folder(data_dir, "labelme", LAYOUT)
    category = canonical_category(category)
    problems, left_out, found = [], Counter(), []
    parts = _parts(root)
    tell_unread(root, parts, lambda f: bool(_visible(f, [".json"])), problems, left_out)
    for split, folder in parts.items():
        labelled, alone = _in_folder(folder, split, problems)
        found += labelled
        if split == "test" and not _visible(folder, [".json"]):
            found += [_Found(split, None, path) for path in alone]
        elif skip_unlabelled:
            left_out["images without labels, left out"] += len(alone)
        else:
            problems += [
                f"{path} has no JSON of LabelMe that names it. Label it, or leave such "
                "images out with --skip-unlabelled."
                for path in alone
            ]
    if not any(one.file for one in found) and not problems:
        raise DataError(f"There is no JSON of LabelMe in {root}. {LAYOUT}")
    if all(one.split != "train" for one in found):
        found = [one._replace(split="") if one.split == "val" else one for one in found]
    classes = _classes(root, found, category)
    names = unique_names((one.file or one.picture).relative_to(root) for one in found)
    items = [
        Item(
            name,
            one.split,
            _files([path for path in (one.file, one.picture) if path], root),
            {
                "json": str(one.file) if one.file else None,
                "picture": str(one.picture) if one.picture else None,
                "size": one.size,
                "shapes": one.shapes,
                "classes": classes,
            },
        )
        for name, one in zip(names, found, strict=True)
    ]
    source = Source(
        dataset="labelme",
        location=str(root),
        options={"category": category, "skip_unlabelled": bool(skip_unlabelled)},
        items=tuple(items),
        read=_read,
        class_names=tuple(classes),
        left_out=dict(left_out),
        own=True,
    )
    return Survey(source, tuple(problems))


def _parts(root):
    """{split: folder}, "" = the folder itself."""
    kinds = [".json", *IMAGE_SUFFIXES]
    splits = {s: root / s for s in SPLITS if _visible(root / s, kinds)}
    if splits and any(_beside(path) for path in _visible(root, [".json"])):
        raise DataError(
            f"{root} has labelled pictures as well as {', '.join(splits)}: it is not "
            "clear which are meant. Take one of them away."
        )
    return splits or {"": root}


def _visible(folder, suffixes):
    """Files of these kinds in a folder, sorted; hidden ones are the system's own."""
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in suffixes and not path.name.startswith(".")
    )


def _in_folder(folder, split, problems):
    """Return the JSONs that can be used, and the pictures that none names."""
    found, used = [], set()
    for path in _visible(folder, [".json"]):
        try:
            values = _load(path)
            picture = _picture(path, values)
        except DataError as error:
            problems.append(str(error))
            # Its picture is not one without JSON besides.
            used.update(map(Path.resolve, _beside(path)))
            continue
        if picture:
            used.add(picture.resolve())
        size = stated_size(values, "imageHeight", "imageWidth")
        found.append(_Found(split, path, picture, size, values["shapes"]))
    pictures = _visible(folder, IMAGE_SUFFIXES)
    return found, [path for path in pictures if path.resolve() not in used]


def _files(paths, root):
    """Sizes by name; a picture may lie outside the folder."""
    return tuple(
        entry
        for path in paths
        for entry in (
            file_sizes([path], root)
            if path.is_relative_to(root)
            else [(str(path), path.stat().st_size)]
        )
    )


def _load(path):
    try:
        values = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is no JSON that can be read ({error}).") from error
    shapes = values.get("shapes") if isinstance(values, dict) else None
    if not isinstance(shapes, list) or not all(isinstance(s, dict) for s in shapes):
        raise DataError(
            f"{path} is no file of LabelMe: it has no list of shapes. Files of COCO "
            "are read with --dataset coco --annotations FILE.json --images DIR."
        )
    return values


def _picture(path, values):
    """The picture's file; None = it is inside the JSON."""
    name = str(values.get("imagePath") or "").replace("\\", "/")
    # Paths of another computer: the name alone may be beside the JSON.
    for place in (name, PurePosixPath(name).name):
        if place and (path.parent / place).is_file():
            return (path.parent / place).resolve()
    beside = _beside(path)
    if len(beside) == 1:
        return beside[0]
    if values.get("imageData"):
        return None
    raise DataError(
        f"{path} names the picture {name!r}, which is not beside it, and has no "
        "imageData. Put the picture into the same folder."
    )


def _beside(path):
    """Pictures in the folder of a JSON that have its stem."""
    return [
        other
        for other in _visible(path.parent, IMAGE_SUFFIXES)
        if other.stem == path.stem and other.is_file()
    ]


def _classes(root, found, category):
    """Labels of the chosen categories, sorted."""
    known = {_label(shape) for one in found for shape in one.shapes}
    if category == ALL:
        return sorted(known)
    names = category.split(",")
    for name in names:
        if name not in known:
            raise DataError(
                f"No file in {root} has the label {name!r}." + near_names(name, known)
            )
    return sorted(names)


def _label(shape):
    return " ".join(str(shape.get("label", "")).lower().split())


def _read(item):
    image = _image(item)
    size = image.shape[:2]
    file = item.data["json"]
    if file is None:
        return Example(item.name, image, None), {}
    check_size(item.data["picture"] or "Its imageData", size, item.data["size"], file)
    groups, notes = {}, Counter()
    for i, shape in enumerate(item.data["shapes"], start=1):
        label, group = _label(shape), shape.get("group_id")
        if label not in item.data["classes"]:
            notes["shapes of other labels, left out"] += 1
        elif shape.get("shape_type") in NO_AREA:
            notes["points and lines, not objects"] += 1
        else:
            # Without a group, each shape is an object.
            key = (label, group) if group is not None else i
            groups.setdefault(key, (label, i, []))[2].append(shape)
    segmentations = []
    for _, number, shapes in groups.values():
        try:
            segmentations.append(segmentation_of(shapes, size))
        except DataError as error:
            raise DataError(f"{file}, shape {number}: {error}") from None
    numbers = [number for _, number, _ in groups.values()]
    try:
        labels, drawn = draw_objects(segmentations, size, numbers)
    except DataError as error:
        what = str(error).replace("annotation", "shape", 1)
        raise DataError(f"{file}, {what}") from None
    classes = [item.data["classes"].index(label) + 1 for label, *_ in groups.values()]
    return Example(item.name, image, labels, tuple(classes)), dict(
        notes + Counter(drawn)
    )


def _image(item):
    path = item.data["json"]
    if item.data["picture"]:
        return read_image(item.data["picture"])
    try:
        data = base64.b64decode(_load(Path(path))["imageData"], validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise DataError(f"{path}: imageData cannot be read ({error}).") from None
    return read_image(io.BytesIO(data), f"imageData of {path}")
