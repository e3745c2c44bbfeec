"""A file of COCO annotations, checked."""

import contextlib
import io
import json
from collections.abc import Container
from pathlib import Path

from datasets.errors import DataError

__all__ = ["CocoFile"]

_IMAGE_KEYS = {"id": int, "file_name": str, "height": int, "width": int}
_ANNOTATION_KEYS = {"id": int, "image_id": int, "category_id": int}
_CATEGORY_KEYS = {"id": int, "name": str}


class CocoFile:
    """`instances_*.json`, read through pycocotools.

    Args:
        path: the file.
        labelled: False for a list of test images, which has no annotations.

    Attributes:
        path: the file.
        categories: {id: name}, names in lower case.

    Raises:
        DataError: no JSON, not in COCO's format, or ids that do not match.
    """

    def __init__(self, path: Path, labelled: bool = True):
        self.path = path
        values = self._load()
        if not labelled:
            values["annotations"] = []
        self._check(values)
        self._coco = _indexed(values)
        self.categories = {c["id"]: c["name"].lower() for c in values["categories"]}

    def images(self) -> list[dict]:
        """Return the images' entries by id."""
        return [image for _, image in sorted(self._coco.imgs.items())]

    def annotations(self, image_id: int, categories: Container[int]) -> list[dict]:
        """Return the annotations of one image that belong to the categories, by id."""
        found = [
            annotation
            for annotation in self._coco.imgToAnns.get(image_id, [])
            if annotation["category_id"] in categories
        ]
        return sorted(found, key=lambda annotation: annotation["id"])

    def _load(self):
        try:
            values = json.loads(self.path.read_bytes())
        except (OSError, ValueError) as error:
            raise DataError(
                f"{self.path} is no JSON that can be read ({error}). Download it again."
            ) from error
        if not isinstance(values, dict):
            raise DataError(f"{self.path} holds a list; expected COCO's dictionary.")
        return values

    def _check(self, values):
        for section, keys in (
            ("images", _IMAGE_KEYS),
            ("annotations", _ANNOTATION_KEYS),
            ("categories", _CATEGORY_KEYS),
        ):
            if not isinstance(values.get(section), list):
                raise DataError(
                    f"{self.path} has no list {section!r}; expected COCO's lists "
                    "images, annotations and categories. Captions and keypoints files "
                    "are no instances."
                )
            seen = set()
            for entry in values[section]:
                self._check_entry(section, keys, entry)
                if entry["id"] in seen:
                    raise DataError(
                        f"{self.path} has the id {entry['id']} twice in {section}."
                    )
                seen.add(entry["id"])
        images = {image["id"] for image in values["images"]}
        categories = {category["id"] for category in values["categories"]}
        self._check_references(values, "image_id", images, "images")
        self._check_references(values, "category_id", categories, "categories")

    def _check_entry(self, section, keys, entry):
        for key, kind in keys.items():
            value = entry.get(key) if isinstance(entry, dict) else None
            if not isinstance(value, kind) or isinstance(value, bool):
                raise DataError(
                    f"{self.path}: an entry of {section} has {key} = {value!r}, "
                    f"expected {'a whole number' if kind is int else 'text'}: "
                    f"{str(entry)[:80]}"
                )

    def _check_references(self, values, key, known, section):
        lost = [a for a in values["annotations"] if a[key] not in known]
        if lost:
            raise DataError(
                f"{self.path}: {len(lost)} of {len(values['annotations'])} annotations "
                f"have no entry in {section} (annotation {lost[0]['id']}: {key} "
                f"{lost[0][key]}). The ids do not match; download the file "
                "again, or mend what made it."
            )


def _indexed(values):
    from pycocotools.coco import COCO

    # It tells of its progress on the standard output.
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = values
        coco.createIndex()
    return coco
