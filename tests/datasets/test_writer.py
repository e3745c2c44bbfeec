import dataclasses
import errno
import json
import logging
import os
import pathlib
import stat
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from tiny_plants import blocks, picture, source_of

from datasets import processes, unfinished, writer
from datasets.errors import DataError
from datasets.example import Example
from datasets.leaves import rendered_leaves
from datasets.manifest import Manifest
from datasets.records import examples
from datasets.samples import Samples
from datasets.source import Item, Source
from keras_recattend import file_lock


def plants(count, labels=None):
    labels = blocks() if labels is None else labels
    return [Example(f"plant{i}", picture(labels, i), labels) for i in range(count)]


def bytes_of(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*.tfrecord")}


@pytest.fixture
def three_a_shard(monkeypatch):
    monkeypatch.setattr(writer, "SHARD_IMAGES", 3)


class Counted:
    """A source of plants that counts what is read and may stop at one of them."""

    def __init__(self, count, stop_at=None, error=KeyboardInterrupt):
        self.examples, self.read = plants(count), []
        self.stop_at, self.error = stop_at, error
        self.sizes = [10] * count

    def source(self, location="/raw", **options):
        items = [
            Item(e.name, files=((f"{e.name}.png", self.sizes[i]),), data=i)
            for i, e in enumerate(self.examples)
        ]
        return Source("tiny", str(location), options, tuple(items), self._read)

    def _read(self, item):
        if item.data == self.stop_at:
            raise self.error
        self.read.append(item.data)
        return self.examples[item.data], {}


def test_shards_are_numbered_and_filled_in_order(tmp_path, three_a_shard):
    manifest = writer.write_records(source_of(plants(8)), tmp_path / "r", 0)
    assert [(shard.file, shard.records) for shard in manifest.shards] == [
        ("tiny-00000-of-00003.tfrecord", 3),
        ("tiny-00001-of-00003.tfrecord", 3),
        ("tiny-00002-of-00003.tfrecord", 2),
    ]
    for shard in manifest.shards:
        assert (tmp_path / "r" / shard.file).stat().st_size == shard.bytes
    for found, given in zip(examples(manifest), plants(8), strict=True):
        assert found.name == given.name
        np.testing.assert_array_equal(found.image, given.image)
    # Nothing but shards and manifest.
    assert len(list((tmp_path / "r").iterdir())) == 4
    assert list(tmp_path.iterdir()) == [tmp_path / "r"]


def test_at_most_so_many_shards(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "SHARD_IMAGES", 1)
    monkeypatch.setattr(writer, "MOST_SHARDS", 2)
    manifest = writer.write_records(source_of(plants(5)), tmp_path / "r", 0)
    assert [shard.records for shard in manifest.shards] == [3, 2]


def test_small_objects_come_last_and_are_reported(tmp_path, caplog):
    labels = 10 * blocks()
    labels[15:17, 3] = 9
    with caplog.at_level(logging.WARNING):
        manifest = writer.write_records(source_of(plants(1, labels)), tmp_path / "r", 3)
    assert manifest.small == ({"source_id": "plant0", "id": 9, "area": 2},)
    assert manifest.min_area == 3
    assert manifest.images[0].objects == 3
    assert "plant0 id 9: 2 px" in caplog.text
    example = next(examples(manifest))
    expected = blocks()
    expected[15:17, 3] = 4
    np.testing.assert_array_equal(example.labels, expected)
    assert (example.count, example.small) == (3, 1)


def test_small_objects_do_not_train(tmp_path):
    labels = blocks()
    labels[15:17, 3] = 9
    manifest = writer.write_records(source_of(plants(1, labels)), tmp_path / "r", 3)
    (batch,) = Samples(manifest, ["plant0"], labels.shape).map(
        tf.data.Dataset.from_tensors((np.int64(0), np.int64(0))), lambda _, s: s
    )
    np.testing.assert_array_equal(batch.labels, blocks())
    np.testing.assert_array_equal(batch.areas, np.bincount(blocks().ravel())[1:])


def test_small_objects_have_no_class(tmp_path):
    example = Example("a", picture(blocks()), blocks(), (3, 1, 2))
    # The first object has 16 pixels, the others more.
    manifest = writer.write_records(source_of([example]), tmp_path / "r", 17)
    assert next(examples(manifest)).classes == (1, 2)


def test_ids_are_made_contiguous(tmp_path):
    labels = np.where(blocks() > 1, blocks() * 1000, blocks())
    manifest = writer.write_records(source_of(plants(1, labels)), tmp_path / "r", 0)
    np.testing.assert_array_equal(next(examples(manifest)).labels, blocks())


def test_splits_and_unlabelled_images(tmp_path):
    image = picture(blocks())
    given = [Example("a", image, blocks()), Example("b", image, None)]
    source = source_of(given, splits=["train", "test"])
    manifest = writer.write_records(source, tmp_path / "r", 0)
    assert [i.split for i in manifest.images] == ["train", "test"]
    assert [i.objects for i in manifest.images] == [3, None]
    with pytest.raises(DataError, match="b has no labels"):
        manifest.select(["b"])


def test_what_was_not_taken_over_is_summed_up(tmp_path, caplog):
    given = plants(3)
    source = Source(
        "tiny",
        "",
        {},
        tuple(Item(e.name, "train", data=i) for i, e in enumerate(given)),
        lambda item: (given[item.data], {"crowds": item.data, "clipped": 0}),
        class_names=("leaf",),
        left_out={"images in no list": 4},
    )
    with caplog.at_level(logging.INFO):
        manifest = writer.write_records(source, tmp_path / "r", 17)
    expected = {
        "images": 3,
        "train images": 3,
        "objects": 6,
        "small objects under 17 pixels": 3,
        "images in no list": 4,
        "crowds": 3,
    }
    assert manifest.summary == expected
    stored = json.loads((tmp_path / "r" / "manifest.json").read_text())
    assert stored["summary"] == expected
    assert {"source_id": "plant2", "what": "crowds", "count": 2} in stored["notes"]
    assert manifest.class_names == ("leaf",)
    assert "crowds: 3" in caplog.text
    assert f'"notes" in {tmp_path / "r" / "manifest.json"}' in caplog.text
    assert Manifest.load(tmp_path / "r") == manifest


# -- interrupted, and gone on with ---------------------------------------------------


def test_an_interrupted_conversion_goes_on(tmp_path, three_a_shard, caplog):
    whole = Counted(8)
    writer.write_records(whole.source(), tmp_path / "whole", 0)
    parts = Counted(8, stop_at=4)
    with pytest.raises(KeyboardInterrupt):
        writer.write_records(parts.source(), tmp_path / "r", 0)
    assert not (tmp_path / "r").exists()
    assert ".r-partial: the same command goes on" in caplog.text
    parts.stop_at, parts.read = None, []
    manifest = writer.write_records(parts.source(), tmp_path / "r", 0)
    # Number 3 was already in the second shard.
    assert parts.read == [4, 5, 6, 7]
    assert bytes_of(tmp_path / "r") == bytes_of(tmp_path / "whole")
    assert manifest.images == Manifest.load(tmp_path / "whole").images
    assert not (tmp_path / ".r-partial").exists()
    assert len(list((tmp_path / "r").iterdir())) == 4


def test_after_a_bad_file_only_what_changed_is_read(tmp_path, three_a_shard):
    parts = Counted(8, stop_at=5, error=DataError("plant5.png is damaged"))
    with pytest.raises(DataError, match=r"plant5.png is damaged"):
        writer.write_records(parts.source(), tmp_path / "r", 0)
    # The bad file is mended, and another one was changed with it.
    parts.stop_at, parts.read = None, []
    parts.sizes[4], parts.sizes[5] = 11, 12
    writer.write_records(parts.source(), tmp_path / "r", 0)
    assert parts.read == [4, 5, 6, 7]


@pytest.mark.parametrize(
    ("count", "read"),
    [(8, [6, 7]), (7, [0, 1, 2, 3, 4, 6])],
    ids=["as many shards", "one shard fewer"],
)
def test_after_a_bad_file_was_taken_away(tmp_path, three_a_shard, count, read):
    """The same command goes on, though there is an image less."""
    parts = Counted(count, stop_at=5, error=DataError("damaged"))
    with pytest.raises(DataError, match="damaged"):
        writer.write_records(parts.source(), tmp_path / "r", 0)
    parts.read = []
    items = tuple(item for item in parts.source().items if item.data != 5)
    source = dataclasses.replace(parts.source(), items=items)
    manifest = writer.write_records(source, tmp_path / "r", 0)
    assert parts.read == read
    assert [e.source_id for e in manifest.images] == [item.name for item in items]
    files = {path.name for path in (tmp_path / "r").glob("*.tfrecord")}
    assert files == {shard.file for shard in manifest.shards}
    writer.write_records(source, tmp_path / "whole", 0)
    assert bytes_of(tmp_path / "r") == bytes_of(tmp_path / "whole")


def test_a_file_that_was_written_since_is_read_again(tmp_path, three_a_shard):
    """Whatever its size is: a TIFF keeps it."""
    (tmp_path / "raw").mkdir()
    files = [tmp_path / "raw" / f"plant{i}.png" for i in range(8)]
    for file in files:
        file.touch()
    parts = Counted(8, stop_at=7)
    with pytest.raises(KeyboardInterrupt):
        writer.write_records(parts.source(tmp_path / "raw"), tmp_path / "r", 0)
    files[4].write_bytes(b"")
    parts.stop_at, parts.read = None, []
    writer.write_records(parts.source(tmp_path / "raw"), tmp_path / "r", 0)
    assert parts.read == [4, 5, 7]


def test_a_second_interruption_keeps_the_first_part(tmp_path, three_a_shard):
    parts = Counted(8, stop_at=2)
    for stop in (2, 2, 7):
        parts.stop_at = stop
        with pytest.raises(KeyboardInterrupt):
            writer.write_records(parts.source(), tmp_path / "r", 0)
    assert parts.read == [0, 1, 2, 3, 4, 5, 6]


def test_damage_to_an_unfinished_shard_is_noticed(tmp_path, three_a_shard):
    parts = Counted(8, stop_at=7)
    with pytest.raises(KeyboardInterrupt):
        writer.write_records(parts.source(), tmp_path / "r", 0)
    path = tmp_path / ".r-partial" / "tiny-00001-of-00003.tfrecord"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    parts.stop_at, parts.read = None, []
    writer.write_records(parts.source(), tmp_path / "r", 0)
    assert parts.read == [4, 5, 7]
    writer.write_records(Counted(8).source(), tmp_path / "whole", 0)
    assert bytes_of(tmp_path / "r") == bytes_of(tmp_path / "whole")


def test_a_shard_without_its_rows_is_made_again(tmp_path, three_a_shard):
    parts = Counted(8, stop_at=7)
    with pytest.raises(KeyboardInterrupt):
        writer.write_records(parts.source(), tmp_path / "r", 0)
    rows = tmp_path / ".r-partial" / "progress" / "tiny-00000-of-00003.json"
    rows.write_text("[{")
    parts.stop_at, parts.read = None, []
    writer.write_records(parts.source(), tmp_path / "r", 0)
    assert parts.read == [0, 1, 2, 7]


def test_other_settings_do_not_go_on(tmp_path, three_a_shard):
    parts = Counted(8, stop_at=4)
    with pytest.raises(KeyboardInterrupt):
        writer.write_records(parts.source(category="zebra"), tmp_path / "r", 5)
    before = bytes_of(tmp_path / ".r-partial")
    with pytest.raises(DataError, match=r"least area 5, not 6.*\.r-partial to start"):
        writer.write_records(parts.source(category="zebra"), tmp_path / "r", 6)
    with pytest.raises(DataError, match=r"zebra.*, not .*person"):
        writer.write_records(parts.source(category="person"), tmp_path / "r", 5)
    assert bytes_of(tmp_path / ".r-partial") == before


def test_nothing_remains_where_nothing_was_converted(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        writer.write_records(Counted(3, stop_at=0).source(), tmp_path / "r", 0)
    assert list(tmp_path.iterdir()) == []


def test_without_locks_no_file_is_open_in_the_folder_that_is_renamed(
    tmp_path, monkeypatch
):
    """As on Windows, which would refuse to rename it."""

    def opened(path, mode):
        raise AssertionError(f"{path} was opened")

    monkeypatch.setattr(file_lock, "fcntl", None)
    monkeypatch.setattr(unfinished, "open", opened, raising=False)
    writer.write_records(Counted(3).source(), tmp_path / "r", 0)
    assert len(Manifest.load(tmp_path / "r").images) == 3


def test_somebody_elses_conversion(tmp_path, monkeypatch):
    def refused(path, mode):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(unfinished, "open", refused, raising=False)
    with pytest.raises(DataError, match=r"Somebody else's conversion.*\.r-partial"):
        writer.write_records(Counted(3).source(), tmp_path / "r", 0)


def test_two_at_once(tmp_path):
    """The second is told while the first, another process, goes on."""
    program = f"""
import sys
sys.path[:0] = {sys.path!r}
from pathlib import Path
from datasets.unfinished import unfinished
with unfinished(Path({str(tmp_path / "r")!r}), {{}}):
    print("locked", flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(DataError, match=r"Another process is converting to .*r "):
            writer.write_records(source_of(plants(1)), tmp_path / "r", 0)
        other.kill()
    # A lock does not outlive the process that held it; what it left is in the way no
    # longer than it is of use.
    (tmp_path / ".r-partial" / "progress" / "description.json").unlink()
    assert writer.write_records(source_of(plants(1)), tmp_path / "r", 0).ids


def test_a_folder_that_comes_into_being_meanwhile(tmp_path):
    given = plants(1)

    def read(item):
        (tmp_path / "r").mkdir()
        (tmp_path / "r" / "thesis.tex").write_text("precious")
        return given[0], {}

    source = Source("t", "", {}, (Item("plant0"),), read)
    with pytest.raises(DataError, match="came into being during the conversion"):
        writer.write_records(source, tmp_path / "r", 0)
    assert (tmp_path / "r" / "thesis.tex").read_text() == "precious"
    assert (tmp_path / ".r-partial" / "manifest.json").is_file()


@pytest.mark.parametrize("several", [1, 2])
def test_the_number_of_processes_makes_no_difference(tmp_path, monkeypatch, several):
    monkeypatch.setattr(processes, "FEW", 1)
    source = rendered_leaves(train=4, val=1, test=1, size=(40, 48), leaves=(3, 5))
    manifest = writer.write_records(source, tmp_path / "r", 25, workers=several)
    for found, (given, _) in zip(examples(manifest), source.examples(), strict=True):
        np.testing.assert_array_equal(found.image, given.image)
    writer.write_records(source, tmp_path / "alone", 25, workers=1)
    assert bytes_of(tmp_path / "r") == bytes_of(tmp_path / "alone")


# -- refused ---------------------------------------------------------------------------


@pytest.mark.parametrize("given", [plants(1) * 2, []], ids=["twice", "none"])
def test_bad_sources(tmp_path, given):
    with pytest.raises(DataError, match=r"names must differ|at least one"):
        writer.write_records(source_of(given), tmp_path / "r", 0)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "thesis.tex").write_text("precious")
    with pytest.raises(DataError, match="exists and is not empty"):
        writer.write_records(source_of(plants(1)), tmp_path / "r", 0)
    assert (tmp_path / "r" / "thesis.tex").read_text() == "precious"


def test_a_place_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="choose another place"):
        writer.write_records(source_of(plants(1)), tmp_path / "file" / "r", 0)


def test_a_full_disk(tmp_path, monkeypatch, three_a_shard):
    import tensorflow as tf

    def write(self, converted):
        if len(self.rows) == 2:
            raise tf.errors.ResourceExhaustedError(None, None, "No space left")
        return whole(self, converted)

    whole = writer.ShardWriter.write
    monkeypatch.setattr(writer.ShardWriter, "write", write)
    with pytest.raises(DataError, match=r"\.r-partial: No space left"):
        writer.write_records(source_of(plants(3)), tmp_path / "r", 0)
    monkeypatch.setattr(writer.ShardWriter, "write", whole)
    assert len(writer.write_records(source_of(plants(3)), tmp_path / "r", 0).ids) == 3


@pytest.mark.parametrize(
    "name", ["description.json", "tiny-00000-of-00001.json", "manifest.json"]
)
def test_a_disk_that_is_full_for_what_python_writes(tmp_path, monkeypatch, name):
    """The description, the rows and the manifest; what is converted stays."""
    write = pathlib.Path.write_text

    def write_text(self, *rest, **options):
        if self.name == f"writing.{name}":
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(self, *rest, **options)

    with monkeypatch.context() as patch:
        patch.setattr(pathlib.Path, "write_text", write_text)
        with pytest.raises(DataError, match=r"r-partial.*No space left.*Make room"):
            writer.write_records(source_of(plants(3)), tmp_path / "r", 0)
    assert not (tmp_path / "r").exists()
    assert len(writer.write_records(source_of(plants(3)), tmp_path / "r", 0).ids) == 3


def test_a_disk_on_which_a_lock_cannot_be_made(tmp_path, monkeypatch):
    def full(path, mode):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(unfinished, "open", full, raising=False)
    with pytest.raises(DataError, match=r"r-partial.*No space left.*Make room"):
        writer.write_records(source_of(plants(1)), tmp_path / "r", 0)


def test_a_raw_file_that_is_gone_is_no_full_disk(tmp_path):
    gone = FileNotFoundError(errno.ENOENT, "No such file", "/raw/plant2.png")
    parts = Counted(3, stop_at=2, error=gone)
    with pytest.raises(FileNotFoundError):
        writer.write_records(parts.source(), tmp_path / "r", 0)


def test_an_empty_folder_is_filled_and_may_be_entered_by_others(tmp_path):
    (tmp_path / "r").mkdir()
    manifest = writer.write_records(source_of(plants(1)), tmp_path / "r", 0)
    assert manifest.directory == str(tmp_path / "r")
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE((tmp_path / "r").stat().st_mode) == 0o777 & ~mask
