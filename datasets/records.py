"""Examples to TFRecords and back.

Keys are those of TensorFlow's object detection, plus two of our own:

| key | value |
| --- | --- |
| `image/encoded`, `image/format` | PNG of the image (RGB, 8 bits), "png" |
| `image/height`, `image/width` | of the original image |
| `image/filename`, `image/source_id` | name in the data set |
| `image/object/class/label` | class of each object, in the order of ids |
| `image/labels` | one index PNG (8 or 16 bits), "" = unlabelled |
| `image/object/count` | number of objects; ids above it are of small ones |

Everything is lossless and at the original size; resizing is the pipeline's work. A
record can be read by its place in the shard, so that any order costs the same.
"""

import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from datasets.errors import DataError
from datasets.example import Example
from datasets.manifest import Entry, Manifest
from keras_recattend.png import encoded_png, png_of_labels

__all__ = [
    "Encoded",
    "compress",
    "decode_example",
    "examples",
    "read_example",
    "read_serialized",
    "serialize",
]

# A TFRecord is: length (8 bytes), checksum (4), data, checksum (4).
HEADER_BYTES, FOOTER_BYTES = 12, 4
# Level 3 of 9: a third of the time of the default, 5% larger.
_COMPRESSION = 3


class Encoded(NamedTuple):
    """What a record holds, before TensorFlow is needed to serialise it.

    Attributes:
        name: of the image.
        height, width: in pixels.
        image: PNG, RGB with 8 bits.
        labels: index PNG with 8 or 16 bits; b"" = unlabelled.
        count: number of objects; ids above it are of small ones.
        classes: class of each object; () = one class only.
    """

    name: str
    height: int
    width: int
    image: bytes
    labels: bytes
    count: int
    classes: tuple[int, ...]


def compress(example: Example) -> Encoded:
    """Compress image and label map, which is most of the work of a record."""
    height, width = example.image.shape[:2]
    labels = b""
    if example.labels is not None:
        labels = png_of_labels(example.labels, _COMPRESSION)
    return Encoded(
        name=example.name,
        height=height,
        width=width,
        image=encoded_png(example.image, _COMPRESSION),
        labels=labels,
        count=example.count,
        classes=tuple(example.classes),
    )


def serialize(encoded: Encoded) -> bytes:
    """Return the serialised `tf.train.Example`."""
    import tensorflow as tf

    def feature(value):
        values = value if isinstance(value, (list, tuple)) else [value]
        if all(isinstance(v, (bytes, str)) for v in values) and values:
            raw = [v.encode() if isinstance(v, str) else v for v in values]
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=raw))
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    features = {
        "image/encoded": encoded.image,
        "image/format": "png",
        "image/height": encoded.height,
        "image/width": encoded.width,
        "image/filename": encoded.name,
        "image/source_id": encoded.name,
        "image/object/class/label": encoded.classes,
        "image/object/count": encoded.count,
        "image/labels": encoded.labels,
    }
    message = tf.train.Example(
        features=tf.train.Features(
            feature={key: feature(value) for key, value in features.items()}
        )
    )
    return message.SerializeToString(deterministic=True)


def decode_example(serialized: bytes) -> Example:
    """Read what `serialize` wrote.

    Raises:
        DataError: the bytes are no such record.
    """
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    try:
        message = tf.train.Example.FromString(serialized)
    except DecodeError:
        raise DataError("the bytes are no tf.train.Example.") from None
    features = message.features.feature
    for key in ("image/source_id", "image/encoded", "image/labels"):
        if len(features[key].bytes_list.value) != 1:
            raise DataError(f"the record lacks the key {key!r}.")
    name = features["image/source_id"].bytes_list.value[0].decode()
    encoded = features["image/labels"].bytes_list.value[0]
    labels = _decoded(encoded, name).astype(np.uint16) if encoded else None
    (count,) = features["image/object/count"].int64_list.value
    return Example(
        name=name,
        image=np.ascontiguousarray(
            _decoded(features["image/encoded"].bytes_list.value[0], name)[..., ::-1]
        ),
        labels=labels,
        classes=tuple(features["image/object/class/label"].int64_list.value),
        small=int(labels.max(initial=0)) - count if encoded else 0,
    )


def read_example(manifest: Manifest, entry: Entry) -> Example:
    """Read one image's record by its place, and compare its checksum.

    Raises:
        DataError: the shard is missing, cut short or changed.
    """
    path = Path(manifest.directory) / entry.shard
    try:
        serialized = read_serialized(path, entry)
    except OSError as error:
        raise DataError(manifest.broken(entry.shard, str(error))) from error
    if serialized is None:
        raise DataError(
            manifest.broken(entry.shard, f"the record of {entry.source_id} has changed")
        )
    return decode_example(serialized)


def read_serialized(path: Path, entry: Entry) -> bytes | None:
    """Read an entry's record from its shard; None where it is not what was written.

    Raises:
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        file.seek(entry.offset + HEADER_BYTES)
        serialized = file.read(entry.length)
    intact = len(serialized) == entry.length and zlib.crc32(serialized) == entry.crc32
    return serialized if intact else None


def examples(manifest: Manifest, ids: Iterable[str] | None = None) -> Iterator[Example]:
    """Give examples at their original size, in the order of `ids`.

    Args:
        manifest: of the records.
        ids: `source_id`s; None = all, in the order of the records.

    Raises:
        DataError: an id that the records lack, or a damaged shard.
    """
    entries = manifest.images if ids is None else [manifest.entry(i) for i in ids]
    for entry in entries:
        yield read_example(manifest, entry)


def _decoded(data, name):
    array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if array is None:
        raise DataError(f"the image inside the record of {name!r} cannot be decoded.")
    return array
