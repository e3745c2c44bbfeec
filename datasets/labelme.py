"""Own data: LabelMe's own files, one JSON beside each picture.

```
DIR/a.jpg, a.json, b.jpg, b.json, ...
```
or DIR/train, DIR/val, DIR/test with such files, which then are the splits (val without
train belongs to no split). The picture is the one that `imagePath` names, else the one
beside the JSON with its stem, else what `imageData` holds. Shapes of one label with the
same group number are one object; points and lines are none. A JSON without shapes is an
image without objects.
"""

import base64
import binascii
import io
import json
from collections import Counter
from pathlib import Path, PurePosixPath

from datasets.coco import ALL, canonical_category
from datasets.coco_masks import draw_objects
from datasets.errors import DataError
from datasets.example import Example
from datasets.images import read_image
from datasets.labelme_shapes import NO_AREA, segmentation_of
from datasets.source import Item, Source, file_sizes
from datasets.survey import (
    IMAGE_SUFFIXES,
    SPLITS,
    Survey,
    existing_folder,
    unique_names,
)
from keras_recattend.config import near_names

__all__ = ["find_labelme", "survey_labelme"]

LAYOUT = (
    "Expected pictures with LabelMe's JSON of the same name beside each, in DIR, or in "
    "DIR/train, DIR/val and DIR/test."
)


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


def survey_labelme(
    data_dir: str | Path | None, category: str = ALL, skip_unlabelled: bool = False
) -> Survey:
    """`find_labelme` that collects what is wrong with single files.

    Raises:
        DataError: there is no such folder, no JSON in it, or no such label.
    """
    root = existing_folder(data_dir, "labelme", LAYOUT)
    category = canonical_category(category)
    splits = {s: root / s for s in SPLITS if any((root / s).glob("*.json"))}
    problems, left_out, found = [], Counter(), []
    for split, folder in (splits or {"": root}).items():
        used = set()
        for path in sorted(folder.glob("*.json")):
            try:
                values = _load(path)
                picture = _picture(path, values)
            except DataError as error:
                problems.append(str(error))
                # Its picture is not one without JSON besides.
                used.update(_beside(path))
                continue
            used.add(picture or path)
            found.append((split, path, picture, values["shapes"]))
        alone = sorted(
            path
            for path in folder.iterdir()
            if path.suffix.lower() in IMAGE_SUFFIXES and path not in used
        )
        if skip_unlabelled:
            left_out["images without labels, left out"] += len(alone)
        else:
            problems += [
                f"{path} has no JSON of LabelMe that names it. Label it, or leave such "
                "images out with --skip-unlabelled."
                for path in alone
            ]
    if not found and not problems:
        raise DataError(f"There is no JSON of LabelMe in {root}. {LAYOUT}")
    if all(split != "train" for split, *_ in found):
        found = [("" if s == "val" else s, *rest) for s, *rest in found]
    classes = _classes(root, found, category)
    names = unique_names(path.relative_to(root) for _, path, *_ in found)
    items = [
        Item(
            name,
            split,
            _files([path for path in (json_file, picture) if path], root),
            {
                "json": str(json_file),
                "picture": str(picture) if picture else None,
                "shapes": shapes,
                "classes": classes,
            },
        )
        for name, (split, json_file, picture, shapes) in zip(names, found, strict=True)
    ]
    source = Source(
        dataset="labelme",
        location=str(root),
        options={"category": category, "skip_unlabelled": bool(skip_unlabelled)},
        items=tuple(items),
        read=_read,
        class_names=tuple(classes),
        left_out=dict(left_out),
    )
    return Survey(source, tuple(problems))


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
        for other in sorted(path.parent.iterdir())
        if other.stem == path.stem and other.suffix.lower() in IMAGE_SUFFIXES
    ]


def _classes(root, found, category):
    """Labels of the chosen categories, sorted."""
    known = {_label(shape) for *_, shapes in found for shape in shapes}
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
            raise DataError(f"{item.data['json']}, shape {number}: {error}") from None
    numbers = [number for _, number, _ in groups.values()]
    try:
        labels, drawn = draw_objects(segmentations, size, numbers)
    except DataError as error:
        what = str(error).replace("annotation", "shape", 1)
        raise DataError(f"{item.data['json']}, {what}") from None
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
