import logging
import stat

import numpy as np
import pytest
from tiny_plants import blocks, picture, source_of

from datasets import writer
from datasets.errors import DataError
from datasets.example import Example
from datasets.records import examples
from datasets.source import Source


def plants(count, labels=None):
    labels = blocks() if labels is None else labels
    return [Example(f"plant{i}", picture(labels, i), labels) for i in range(count)]


def test_shards_are_numbered_and_filled_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "SHARD_IMAGES", 3)
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


def test_at_most_so_many_shards(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "SHARD_IMAGES", 1)
    monkeypatch.setattr(writer, "MOST_SHARDS", 2)
    manifest = writer.write_records(source_of(plants(5)), tmp_path / "r", 0)
    assert [shard.records for shard in manifest.shards] == [3, 2]


def test_small_objects_are_dropped_and_reported(tmp_path, caplog):
    labels = blocks()
    labels[15:17, 3] = 9
    with caplog.at_level(logging.WARNING):
        manifest = writer.write_records(source_of(plants(1, labels)), tmp_path / "r", 3)
    assert manifest.dropped == ({"source_id": "plant0", "id": 9, "area": 2},)
    assert manifest.min_area == 3
    assert manifest.images[0].objects == 3
    assert "plant0 id 9: 2 px" in caplog.text
    np.testing.assert_array_equal(next(examples(manifest)).labels, blocks())


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


def test_nothing_remains_of_an_interrupted_conversion(tmp_path):
    def stopped():
        yield plants(1)[0], ""
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        writer.write_records(Source("t", "", {}, (), 2, stopped), tmp_path / "r", 0)
    assert list(tmp_path.iterdir()) == []


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


def test_an_empty_folder_is_filled_and_may_be_entered_by_others(tmp_path):
    (tmp_path / "r").mkdir()
    manifest = writer.write_records(source_of(plants(1)), tmp_path / "r", 0)
    assert manifest.directory == str(tmp_path / "r")
    assert stat.S_IMODE((tmp_path / "r").stat().st_mode) == 0o777 & ~writer._umask()
