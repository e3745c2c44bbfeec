"""Shards of records with a row for each, so that an unfinished one can be gone on with.

Beside the shard `NAME.tfrecord` its rows lie as JSON in a folder of their own: what the
record was made from (a fingerprint), where it lies, and what was not taken over. The
rows are written after the shard; whatever a row says of a record is checked before it
is believed.
"""

import dataclasses
import json
import os
import zlib
from collections.abc import Sequence
from pathlib import Path

from datasets.contents import touched_since
from datasets.conversion import Converted, fingerprint
from datasets.manifest import Entry
from datasets.records import FOOTER_BYTES, HEADER_BYTES, read_serialized, serialize
from datasets.source import Item
from keras_recattend.whole_files import replacing

__all__ = ["Row", "ShardWriter", "finished_rows", "is_complete"]


@dataclasses.dataclass(frozen=True)
class Row:
    """One record of a shard.

    Attributes:
        fingerprint: of the item that it was made from.
        began_ns: the time before its files were read.
        entry: the manifest's entry.
        small: [id, area] of objects under the least area.
        notes: {what: how many} that was not taken over.
    """

    fingerprint: str
    began_ns: int
    entry: Entry
    small: list
    notes: dict[str, int]

    @property
    def end(self) -> int:
        """Place of the first byte after the record."""
        return self.entry.offset + HEADER_BYTES + self.entry.length + FOOTER_BYTES


def finished_rows(
    shard: Path, rows_file: Path, items: Sequence[Item], location: str
) -> list[Row]:
    """Return the rows that still hold: as many from the first on as are unchanged.

    Args:
        shard: the TFRecord file.
        rows_file: its rows.
        items: what the whole shard is made from.
        location: of the items' files.

    Returns:
        Rows of records that are intact and whose items are what they were, as are
        their files: not touched since. [] where there is nothing.
    """
    try:
        rows = [_row(values) for values in json.loads(rows_file.read_text("utf-8"))]
    except (OSError, ValueError, TypeError, KeyError):
        return []
    good = []
    for row, item in zip(rows, items, strict=False):
        try:
            intact = read_serialized(shard, row.entry) is not None
        except OSError:
            intact = False
        if not intact or row.fingerprint != fingerprint(item):
            break
        if touched_since(row.began_ns, location, [name for name, _ in item.files]):
            break
        good.append(row)
    return good


def is_complete(shard: Path, rows: Sequence[Row], items: Sequence[Item]) -> bool:
    """Tell whether the rows are all of the shard and the file has nothing besides."""
    return len(rows) == len(items) and shard.stat().st_size == rows[-1].end


class ShardWriter:
    """Writes one shard under another name; renames it and writes its rows in the end.

    Whatever ends the `with` block, the records that were written until then stay.

    Args:
        shard: the TFRecord file to make.
        rows_file: its rows.
        kept: rows of the shard that lies there already, to begin with.
    """

    def __init__(self, shard: Path, rows_file: Path, kept: Sequence[Row] = ()):
        self._shard, self._rows_file = shard, rows_file
        self._temporary = shard.with_name("writing." + shard.name)
        self._kept = kept
        self.rows = []

    def __enter__(self):
        import tensorflow as tf

        self._writer = tf.io.TFRecordWriter(str(self._temporary))
        for row in self._kept:
            self._writer.write(read_serialized(self._shard, row.entry))
            self.rows.append(row)
        return self

    def write(self, converted: Converted) -> None:
        """Append one record."""
        encoded = converted.encoded
        serialized = serialize(encoded)
        entry = Entry(
            source_id=encoded.name,
            split=converted.split,
            height=encoded.height,
            width=encoded.width,
            objects=encoded.count if encoded.labels else None,
            shard=self._shard.name,
            offset=self.rows[-1].end if self.rows else 0,
            length=len(serialized),
            crc32=zlib.crc32(serialized),
        )
        self._writer.write(serialized)
        self.rows.append(
            Row(
                converted.fingerprint,
                converted.began_ns,
                entry,
                converted.small,
                converted.notes,
            )
        )

    def __exit__(self, *_):
        self._writer.close()
        if not self.rows:
            self._temporary.unlink()
            return
        os.replace(self._temporary, self._shard)
        rows = json.dumps([dataclasses.asdict(row) for row in self.rows])
        with replacing(self._rows_file) as temporary:
            temporary.write_text(rows + "\n", encoding="utf-8")


def _row(values):
    return Row(**values | {"entry": Entry(**values["entry"])})
