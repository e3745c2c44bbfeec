"""MS-COCO's results file, and the benchmark's annotations that it refers to.

```
[{"image_id": 42, "category_id": 24, "score": 0.9,
  "segmentation": {"size": [H, W], "counts": "..."}}, ...]
```
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path

from keras_recattend.errors import UserError
from keras_recattend.whole_files import write_atomically

__all__ = ["category_ids", "find_annotations", "image_id", "write_results"]

ENDINGS = (".json",)
_PATTERN = "instances_*.json"


def write_results(results: list[dict], path: str | os.PathLike) -> None:
    """Write results (see `metrics.coco.results_of_image`) as the server takes them."""
    write_atomically(path, json.dumps(results).encode())


def image_id(name: str) -> int:
    """Return the image's id: COCO's files are named by it ("000000000139").

    Raises:
        UserError: the name is no number.
    """
    try:
        return int(name.rsplit("/", 1)[-1])
    except ValueError:
        raise UserError(
            f"{name!r} is no image of COCO: their names are their ids, such as "
            "000000000139."
        ) from None


def find_annotations(folder: str | os.PathLike, image_ids: Iterable[int]) -> dict:
    """Read the benchmark's annotations of some images.

    Args:
        folder: the one that holds `annotations/`.
        image_ids: that are to be found.

    Returns:
        "images", "annotations" and "categories" of the file that has the images; where
        they are in several, what each has of those that no other gave: images of 2017
        are in the files of 2014, too. "total" is the number of all images of those
        files.

    Raises:
        UserError: no such file, one in another format, or images that none has.
    """
    missing, parts, read = set(image_ids), [], set()
    paths = sorted(Path(folder).glob(f"annotations/{_PATTERN}"))
    # The validation file is the last and by far the smaller one.
    for path in reversed(paths):
        if missing or not parts:
            content, known = _read(path)
            if missing & known or not missing:
                parts.append((content, missing & known))
                read |= known
                missing -= known
    if missing or not parts:
        seen = ", ".join(path.name for path in paths) or f"no {_PATTERN}"
        raise UserError(
            "COCO's average precision needs the annotations of all scored images in "
            f"{folder}/annotations/{_PATTERN}; {len(missing)} images are in none "
            f"({seen}). Give the benchmark's folder with --data-dir."
        )
    return _joined(parts) | {"total": len(read)}


def _read(path):
    """(content of an annotation file, ids of its images)."""
    try:
        content = json.loads(path.read_bytes())
        parts = {key: content[key] for key in ("images", "annotations", "categories")}
        return parts, {image["id"] for image in parts["images"]}
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise UserError(
            f"{path} is not in COCO's format ({error!r}). Unpack it again."
        ) from error


def _joined(parts):
    """One content of [(content, ids of the images that are taken from it)]."""
    if len(parts) == 1:
        return parts[0][0]
    annotations = [
        dict(entry)
        for content, ids in parts
        for entry in content["annotations"]
        if entry["image_id"] in ids
    ]
    # Numbers are unique within a file only.
    for number, entry in enumerate(annotations, start=1):
        entry["id"] = number
    return {
        "images": [
            image
            for content, ids in parts
            for image in content["images"]
            if image["id"] in ids
        ],
        "annotations": annotations,
        "categories": parts[0][0]["categories"],
    }


def category_ids(annotations: dict, names: Iterable[str]) -> list[int]:
    """Return the ids of categories by their names, in any case of letters.

    Raises:
        UserError: the annotations have no such category.
    """
    categories = annotations["categories"]
    known = {entry["name"].lower(): entry["id"] for entry in categories}
    missing = [name for name in names if name.lower() not in known]
    if missing:
        raise UserError(
            f"The annotations have no category {', '.join(missing)}; they have "
            f"{', '.join(sorted(known))}."
        )
    return [known[name.lower()] for name in names]
