"""`manifest.json`: what a folder of records holds, and whether it is intact."""

import dataclasses
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from datasets.errors import DataError
from keras_recattend.whole_files import replacing

__all__ = ["FORMAT_VERSION", "Entry", "Manifest", "Shard", "checksum"]

# Raise it whenever the format changes. Records of format 1 are those of format 2 with
# one class and no notes; those of format 2 lack the small objects.
FORMAT_VERSION = 3
READABLE = (1, 2, 3)
FILE_NAME = "manifest.json"


@dataclass(frozen=True)
class Shard:
    """One TFRecord file: its name, number of records, size and checksum."""

    file: str
    records: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Entry:
    """One image: what it is, and where in which shard its record lies.

    Attributes:
        source_id: its name in the data set.
        split: "train", "val" or "test" of the benchmark itself; "" = none.
        height, width: of the original image.
        objects: number of objects; None = unlabelled.
        shard, offset, length, crc32: place and checksum of the serialised example.
    """

    source_id: str
    split: str
    height: int
    width: int
    objects: int | None
    shard: str
    offset: int
    length: int
    crc32: int


@dataclass(frozen=True)
class Manifest:
    """The table of contents of a records folder.

    Attributes:
        directory: the folder.
        dataset: name in the catalog.
        created_by: program and version that wrote the records.
        source: location, options and files that they were made from.
        min_area: objects with fewer pixels are small: they do not train.
        shards, images: see `Shard` and `Entry`; images in the order of the records.
        small: {"source_id", "id", "area"} of every object under `min_area`.
        class_names: name of class 1, 2, ... of the records; () = one, unnamed.
        notes: {"source_id", "what", "count"} of what else was not taken over;
            "source_id" is "" where it belongs to no image of the records.
    """

    directory: str
    dataset: str
    created_by: str
    source: dict
    min_area: int
    shards: tuple[Shard, ...]
    images: tuple[Entry, ...]
    small: tuple[dict, ...]
    class_names: tuple[str, ...] = ()
    notes: tuple[dict, ...] = ()

    @property
    def ids(self) -> list[str]:
        """Names of all images, in the order of the records."""
        return [image.source_id for image in self.images]

    @property
    def max_objects(self) -> int:
        """Most objects that one image has."""
        return max((image.objects or 0 for image in self.images), default=0)

    @property
    def summary(self) -> dict[str, int]:
        """What was read, and what of it was not taken over and why: {what: count}."""
        counts = {"images": len(self.images)}
        for image in self.images:
            if image.split:
                key = f"{image.split} images"
                counts[key] = counts.get(key, 0) + 1
        unlabelled = sum(image.objects is None for image in self.images)
        if unlabelled:
            counts["unlabelled images"] = unlabelled
        counts["objects"] = sum(image.objects or 0 for image in self.images)
        if self.small:
            counts[f"small objects under {self.min_area} pixels"] = len(self.small)
        for note in self.notes:
            counts[note["what"]] = counts.get(note["what"], 0) + note["count"]
        return counts

    def crowded(self, most: int) -> list[str]:
        """Return the names of images with more than `most` objects."""
        return [i.source_id for i in self.images if (i.objects or 0) > most]

    def entry(self, source_id: str) -> Entry:
        """Return the entry of one image. Raises DataError if there is none."""
        if source_id not in self._by_id:
            raise DataError(
                f"{self.directory} has no image {source_id!r} (it has "
                f"{len(self.images)}, as {', '.join(self.ids[:3])}). Was the split "
                "made for other records?"
            )
        return self._by_id[source_id]

    @cached_property
    def _by_id(self):
        return {image.source_id: image for image in self.images}

    def select(self, ids: Iterable[str]) -> list[Entry]:
        """Return the entries of labelled images.

        Raises:
            DataError: no ids, an unknown one, or one without labels.
        """
        entries = [self.entry(source_id) for source_id in ids]
        if not entries:
            raise DataError(f"No images were chosen from {self.directory}.")
        for entry in entries:
            if entry.objects is None:
                raise DataError(
                    f"{entry.source_id} has no labels, so it can neither train nor be "
                    "scored; choose ids of labelled images."
                )
        return entries

    def save(self, directory: str | Path) -> None:
        """Write `manifest.json` into the folder."""
        values = dataclasses.asdict(self)
        del values["directory"]
        values = {
            "format_version": FORMAT_VERSION,
            # For the reader: it follows from the rest.
            "summary": self.summary,
            **values,
        }
        text = json.dumps(values, indent=1)
        with replacing(Path(directory) / FILE_NAME) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, directory: str | Path, verify: bool = True) -> "Manifest":
        """Read the manifest of a folder and check its shards.

        Args:
            directory: a folder that `catalog.prepare` wrote.
            verify: compare checksums too, not only the files' sizes.

        Raises:
            DataError: no such folder, another format version, or a damaged shard;
                the message names the file and the way out.
        """
        directory = Path(directory)
        path = directory / FILE_NAME
        if not path.is_file():
            raise DataError(
                f"{directory} holds no records (no {FILE_NAME}). Convert the data "
                "first, or give the folder that holds it."
            )
        manifest = cls._parse(directory, path)
        for shard in manifest.shards:
            manifest._check(shard, verify)
        return manifest

    @classmethod
    def _parse(cls, directory, path):
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            version = values.pop("format_version", 0)
            values.pop("summary", None)
        except (ValueError, AttributeError, TypeError, OSError) as error:
            raise DataError(
                f"{path} cannot be read ({error}). Delete {directory} and convert "
                "again."
            ) from error
        if version not in READABLE:
            raise DataError(
                f"The records in {directory} were made by format {version}, this code "
                f"reads {FORMAT_VERSION}. Delete {directory} to have them converted "
                "again, or choose another folder for the new ones."
            )
        if version < 3 and values.get("dropped"):
            raise DataError(
                f"The records in {directory} lack {len(values['dropped'])} objects "
                f"under {values.get('min_area')} pixels, which are scored today. "
                f"Delete {directory} to have them converted again, or choose another "
                "folder for the new ones."
            )
        try:
            values["shards"] = tuple(Shard(**shard) for shard in values["shards"])
            values["images"] = tuple(Entry(**image) for image in values["images"])
            values["small"] = tuple(values.pop("dropped" if version < 3 else "small"))
            if version > 1:
                values["class_names"] = tuple(values["class_names"])
                values["notes"] = tuple(values["notes"])
            return cls(directory=str(directory), **values)
        except (TypeError, KeyError) as error:
            raise DataError(
                f"{path} is incomplete ({error}). Delete {directory} and convert again."
            ) from error

    def _check(self, shard, verify):
        path = Path(self.directory) / shard.file
        if not path.is_file():
            raise DataError(self.broken(shard.file, "the file is missing"))
        size = path.stat().st_size
        if size != shard.bytes:
            raise DataError(
                self.broken(shard.file, f"{size} bytes, expected {shard.bytes}")
            )
        if verify and checksum(path) != shard.sha256:
            raise DataError(self.broken(shard.file, "its checksum differs"))

    def broken(self, file: str, reason: str) -> str:
        """The message for a damaged shard: which file, what is wrong, what to do."""
        return (
            f"The records are damaged: {Path(self.directory) / file} ({reason}). "
            f"Delete {self.directory} and run the same command again to convert anew."
        )


def checksum(path: str | Path) -> str:
    """Return the SHA-256 of a file, as hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
