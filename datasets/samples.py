"""Records resized to the model's input, read at random; kept in memory if they fit."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from datasets.errors import DataError
from datasets.manifest import Manifest
from keras_recattend.threads import cores

__all__ = [
    "Sample",
    "Samples",
    "decode",
    "parallel",
    "resize_image",
    "resize_labels",
]

_LOG = logging.getLogger(__name__)
# Decoded sets up to this size are kept in memory.
CACHE_BYTES = 2_000_000_000
READ_BUFFER = 262_144
_FEATURES = {
    "image/encoded": tf.io.FixedLenFeature([], tf.string),
    "image/labels": tf.io.FixedLenFeature([], tf.string),
    "image/object/class/label": tf.io.FixedLenSequenceFeature(
        [], tf.int64, allow_missing=True
    ),
    "image/object/count": tf.io.FixedLenFeature([], tf.int64),
}


def parallel() -> dict:
    """How maps over samples run: on all cores, and in order.

    Not AUTOTUNE: batches are made by the same threads, and it lets sixteen wait.
    """
    return {"num_parallel_calls": cores(), "deterministic": True}


class Sample(NamedTuple):
    """One image at the model's size.

    Attributes:
        image: uint8 [H, W, 3].
        labels: [H, W], ids as in the records; uint8, or int32 where ids need it.
        median: float32 [3], the image's median colour, 0 to 255.
        areas: int32 [most objects], pixels of each object.
        classes: int32 [most objects], class of each object, 1 where the records have
            but one; 0 = no such object.
    """

    image: tf.Tensor
    labels: tf.Tensor
    median: tf.Tensor
    areas: tf.Tensor
    classes: tf.Tensor


class Samples:
    """The chosen images of some records, by index.

    Args:
        manifest: of the records.
        ids: labelled images; index i is `ids[i]`.
        image_size: (height, width).
        cache: keep them in memory; None = if they take less than `CACHE_BYTES`.

    Raises:
        DataError: no ids, unknown or unlabelled ones, or damaged records.
    """

    def __init__(
        self,
        manifest: Manifest,
        ids: Sequence[str],
        image_size: tuple[int, int],
        cache: bool | None = None,
    ):
        self._manifest = manifest
        self._entries = manifest.select(ids)
        self._size = tuple(image_size)
        self.most_objects = max(entry.objects for entry in self._entries)
        # The warp knows 8-bit and 32-bit integers, but not 16-bit ones.
        self._labels_dtype = tf.uint8 if self.most_objects <= 255 else tf.int32
        if cache is None:
            pixel = 3 + self._labels_dtype.size
            size = len(self._entries) * self._size[0] * self._size[1] * pixel
            cache = size < CACHE_BYTES
        self._cache = self._read_all() if cache else None

    def __len__(self):
        return len(self._entries)

    def map(self, order: tf.data.Dataset, function) -> tf.data.Dataset:
        """Map `function(number, sample)` over (number, index) pairs, in parallel.

        Args:
            order: int64 pairs; the index says which image, the number is handed on.
            function: of int64 [] and `Sample`.
        """
        if self._cache is not None:

            def load(number, index):
                return function(number, Sample(*(a[index] for a in self._cache)))

            return order.map(load, **parallel())

        def load_and_decode(number, serialized):
            return function(number, self._decode(serialized))

        return self._read(order).map(load_and_decode, **parallel())

    def _decode(self, serialized):
        return decode(serialized, self._size, self.most_objects, self._labels_dtype)

    def _read(self, order):
        """(number, index) to (number, serialized), by the record's place."""
        folder = Path(self._manifest.directory)
        with tf.device("/CPU:0"):
            shards = tf.constant([str(folder / e.shard) for e in self._entries])
            offsets = tf.constant([e.offset for e in self._entries], tf.int64)

        def read(number, index):
            # The op behind `tf.data.TFRecordDataset`, which hides the offset. A
            # Python function would do, but may hang when the interpreter leaves.
            variant = tf.raw_ops.TFRecordDatasetV2(
                filenames=shards[index][None],
                compression_type="",
                buffer_size=READ_BUFFER,
                byte_offsets=offsets[index][None],
            )
            records = tf.data.experimental.from_variant(
                variant, tf.TensorSpec([], tf.string)
            )
            return records.take(1).map(lambda serialized: (number, serialized))

        return order.flat_map(read)

    def _read_all(self):
        total, size = len(self._entries), self._size
        _LOG.info("Reading %d images into memory.", total)
        arrays = Sample(
            np.empty((total, *size, 3), np.uint8),
            np.empty((total, *size), self._labels_dtype.as_numpy_dtype),
            np.empty((total, 3), np.float32),
            np.empty((total, self.most_objects), np.int32),
            np.empty((total, self.most_objects), np.int32),
        )
        numbers = tf.data.Dataset.range(total)
        samples = self._read(tf.data.Dataset.zip(numbers, numbers)).map(
            lambda number, serialized: (number, self._decode(serialized)),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        try:
            for number, sample in samples.as_numpy_iterator():
                for array, value in zip(arrays, sample, strict=True):
                    array[number] = value
        except tf.errors.OpError as error:
            raise DataError(
                f"The records in {self._manifest.directory} are damaged ({error}). "
                "Delete that folder and run the same command again to convert anew."
            ) from error
        # tf.data runs on the CPU; a GPU's memory is for the model.
        with tf.device("/CPU:0"):
            return Sample(*(tf.convert_to_tensor(array) for array in arrays))


def decode(
    serialized: tf.Tensor,
    size: tuple[int, int],
    most_objects: int,
    labels_dtype: tf.DType = tf.uint8,
) -> Sample:
    """Decode and resize one record.

    Args:
        serialized: string [], a `tf.train.Example` of `records`.
        size: (height, width) of the result.
        most_objects: highest id that may occur.
        labels_dtype: tf.uint8 or tf.int32.
    """
    features = tf.io.parse_single_example(serialized, _FEATURES)
    image = resize_image(tf.io.decode_png(features["image/encoded"], 3), size)
    # The bit depth stands in byte 24; 8 bits decoded as 16 would be id * 257.
    encoded = features["image/labels"]
    narrow = tf.strings.substr(encoded, 24, 1) == b"\x08"
    labels = tf.cond(
        narrow,
        lambda: tf.cast(tf.io.decode_png(encoded, 1), tf.int32),
        lambda: tf.cast(tf.io.decode_png(encoded, 1, tf.uint16), tf.int32),
    )
    # Above are the small objects, which are there to be scored.
    count = tf.cast(features["image/object/count"], tf.int32)
    labels = resize_labels(tf.where(labels > count, 0, labels)[..., 0], size)
    areas = tf.math.bincount(
        labels, minlength=most_objects + 1, maxlength=most_objects + 1
    )[1:]
    return Sample(
        image=image,
        labels=tf.ensure_shape(tf.cast(labels, labels_dtype), size),
        median=_median(image),
        areas=tf.ensure_shape(areas, [most_objects]),
        classes=_classes(features, most_objects),
    )


def resize_image(image: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Bicubic with antialiasing; uint8 [h, w, 3] to uint8 [H, W, 3]."""
    resized = tf.image.resize(image, size, "bicubic", antialias=True)
    return tf.saturate_cast(tf.round(resized), tf.uint8)


def resize_labels(labels: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Nearest pixel, pixel centers aligned; [h, w] to [H, W]."""
    return tf.image.resize(labels[..., None], size, "nearest")[..., 0]


def _classes(features, most_objects):
    """Class of each object; int32 [most_objects]."""
    given = tf.cast(features["image/object/class/label"], tf.int32)
    count = tf.cast(features["image/object/count"], tf.int32)
    given = tf.cond(
        tf.size(given) > 0, lambda: given, lambda: tf.ones([count], tf.int32)
    )
    padded = tf.pad(given, [[0, most_objects - tf.size(given)]])
    return tf.ensure_shape(padded, [most_objects])


def _median(image):
    """Lower median of each channel by counting; float32 [3]."""
    values = tf.cast(tf.reshape(image, [-1, 3]), tf.int32) + [0, 256, 512]
    counts = tf.math.bincount(values, minlength=768, maxlength=768)
    below = tf.cumsum(tf.reshape(counts, [3, 256]), axis=1)
    half = (tf.shape(values)[0] + 1) // 2
    return tf.reduce_sum(tf.cast(below < half, tf.float32), axis=1)
