"""Writes a folder of records: shards first, the manifest last, then one rename."""

import contextlib
import importlib.metadata
import logging
import os
import shutil
import tempfile
import zlib
from pathlib import Path

from tqdm import tqdm

from datasets.errors import DataError
from datasets.example import clean
from datasets.manifest import Entry, Manifest, Shard, checksum
from datasets.records import FOOTER_BYTES, HEADER_BYTES, encode_example
from datasets.source import Source

__all__ = ["write_records"]

SHARD_IMAGES = 64
MOST_SHARDS = 64
_LOG = logging.getLogger(__name__)


def write_records(
    source: Source, directory: str | Path, min_area: int, progress: bool = True
) -> Manifest:
    """Convert a source to a new folder of records.

    Nothing appears under `directory` before all is written: an interrupted
    conversion leaves no half-made records behind.

    Args:
        source: the data set.
        directory: the folder to make; must not exist, or be empty.
        min_area: objects with fewer pixels are dropped, and reported.
        progress: show a progress bar.

    Raises:
        DataError: the folder is in use, two images of one name, no image at all, or
            whatever the source finds wrong with its files.
    """
    directory = Path(directory)
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise DataError(
            f"{directory} exists and is not empty; records are never written over "
            "something else. Delete it or choose another folder."
        )
    directory.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(
        tempfile.mkdtemp(prefix=f".{directory.name}-partial-", dir=directory.parent)
    )
    try:
        manifest = _write(source, partial, min_area, progress)
        manifest.save(partial)
        # mkdtemp makes folders that only their owner may enter.
        partial.chmod(0o777 & ~_umask())
        try:
            os.replace(partial, directory)
        except OSError:
            raise DataError(
                f"{directory} came into being during the conversion (another run?). "
                "Start again to use what is there."
            ) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    if manifest.dropped:
        _LOG.warning(
            "%d objects under %d pixels were dropped (%s); see %s.",
            len(manifest.dropped),
            min_area,
            ", ".join(
                f"{d['source_id']} id {d['id']}: {d['area']} px"
                for d in manifest.dropped[:4]
            )
            + (", ..." if len(manifest.dropped) > 4 else ""),
            directory / "manifest.json",
        )
    return Manifest.load(directory, verify=False)


def _write(source, folder, min_area, progress):
    shards = _ShardWriter(folder, source.dataset, source.total)
    dropped, seen = [], set()
    pairs = source.examples()
    progress_bar = tqdm(
        pairs,
        desc=f"{source.dataset} to records",
        total=source.total,
        unit="image",
        # None: only where someone is watching.
        disable=None if progress else True,
    )
    with contextlib.closing(shards), contextlib.closing(pairs):
        for example, split in progress_bar:
            if example.name in seen:
                raise DataError(
                    f"Two images are called {example.name!r}; names must differ."
                )
            seen.add(example.name)
            example, small = clean(example, min_area)
            dropped += [
                {"source_id": example.name, "id": i, "area": area} for i, area in small
            ]
            shards.write(example, split)
    if len(seen) != source.total or not seen:
        raise DataError(
            f"{source.dataset} gave {len(seen)} images, expected {source.total} and at "
            "least one. Did files change during the conversion? Start again."
        )
    return Manifest(
        directory=str(folder),
        dataset=source.dataset,
        created_by=_program(),
        source=source.description(),
        min_area=min_area,
        shards=tuple(_shard(folder / name, shards.entries) for name in shards.files),
        images=tuple(shards.entries),
        dropped=tuple(dropped),
    )


class _ShardWriter:
    """Writes records one after another and notes where each of them lies."""

    def __init__(self, folder, name, total):
        self._folder, self._name = folder, name
        self._per_shard = max(SHARD_IMAGES, -(-total // MOST_SHARDS))
        self._count = max(1, -(-total // self._per_shard))
        self._writer, self._offset = None, 0
        self.files, self.entries = [], []

    def write(self, example, split):
        if len(self.entries) % self._per_shard == 0:
            self._next_shard()
        serialized = encode_example(example)
        self._writer.write(serialized)
        height, width = example.image.shape[:2]
        entry = Entry(
            source_id=example.name,
            split=split,
            height=height,
            width=width,
            objects=None if example.labels is None else example.count,
            shard=self.files[-1],
            offset=self._offset,
            length=len(serialized),
            crc32=zlib.crc32(serialized),
        )
        self.entries.append(entry)
        self._offset += HEADER_BYTES + len(serialized) + FOOTER_BYTES

    def close(self):
        if self._writer:
            self._writer.close()

    def _next_shard(self):
        import tensorflow as tf

        self.close()
        number = f"{len(self.files):05d}-of-{self._count:05d}"
        self.files.append(f"{self._name}-{number}.tfrecord")
        path = str(self._folder / self.files[-1])
        self._writer, self._offset = tf.io.TFRecordWriter(path), 0


def _shard(path, images):
    records = sum(image.shard == path.name for image in images)
    return Shard(path.name, records, path.stat().st_size, checksum(path))


def _program():
    try:
        version = importlib.metadata.version("keras-recattend")
    except importlib.metadata.PackageNotFoundError:
        version = "(source tree)"
    return f"keras-recattend {version}"


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
