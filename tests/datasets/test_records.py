import cv2
import numpy as np
import pytest
from tiny_plants import blocks, picture, source_of

from datasets.errors import DataError
from datasets.example import Example
from datasets.manifest import Manifest
from datasets.records import compress, decode_example, examples, serialize
from datasets.writer import write_records

LABELS = blocks()
IMAGE = picture(LABELS)


def same(left, right):
    assert left.name == right.name
    assert left.classes == right.classes
    np.testing.assert_array_equal(left.image, right.image)
    if right.labels is None:
        assert left.labels is None
    else:
        np.testing.assert_array_equal(left.labels, right.labels)
        assert left.labels.dtype == np.uint16


@pytest.mark.parametrize(
    "example",
    [
        Example("plant001", IMAGE, LABELS),
        Example("classes", IMAGE, LABELS, (24, 26, 33)),
        Example("unlabelled", IMAGE, None),
        Example("nothing", IMAGE, np.zeros_like(LABELS)),
        Example("16 bits", IMAGE, LABELS * 300),
        Example("Blattärchen/7", IMAGE, LABELS),
    ],
    ids=lambda example: example.name,
)
def test_round_trip_is_lossless(example):
    same(decode_example(serialize(compress(example))), example)


def test_keys_are_those_of_object_detection():
    import tensorflow as tf

    serialized = serialize(
        compress(Example("plant001", IMAGE, LABELS * 300, (7, 8, 9)))
    )
    features = tf.train.Example.FromString(serialized).features.feature
    assert features["image/height"].int64_list.value == [20]
    assert features["image/width"].int64_list.value == [16]
    assert features["image/format"].bytes_list.value == [b"png"]
    assert features["image/filename"].bytes_list.value == [b"plant001"]
    assert features["image/source_id"].bytes_list.value == [b"plant001"]
    assert features["image/object/class/label"].int64_list.value == [7, 8, 9]
    assert features["image/object/count"].int64_list.value == [3]
    # Other programs can read the PNGs: RGB, and ids with 16 bits.
    image = tf.io.decode_png(features["image/encoded"].bytes_list.value[0])
    np.testing.assert_array_equal(image, IMAGE)
    png = np.frombuffer(features["image/labels"].bytes_list.value[0], np.uint8)
    labels = cv2.imdecode(png, cv2.IMREAD_UNCHANGED)
    assert labels.dtype == np.uint16
    np.testing.assert_array_equal(labels, LABELS * 300)


def test_unlabelled_is_an_empty_string():
    import tensorflow as tf

    serialized = serialize(compress(Example("a", IMAGE, None)))
    features = tf.train.Example.FromString(serialized).features.feature
    assert features["image/labels"].bytes_list.value == [b""]


@pytest.mark.parametrize("serialized", [b"", b"\xff\xff\xff nonsense"])
def test_other_bytes_are_refused(serialized):
    with pytest.raises(DataError):
        decode_example(serialized)


def test_examples_in_the_order_asked_for(tiny_records):
    names = ["image5", "image0", "image5"]
    found = list(examples(tiny_records, names))
    assert [example.name for example in found] == names
    np.testing.assert_array_equal(found[0].labels, blocks(count=1))
    np.testing.assert_array_equal(found[0].image, picture(blocks(count=1), 5))
    assert [e.name for e in examples(tiny_records)] == [f"image{i}" for i in range(7)]


def test_unknown_id(tiny_records):
    with pytest.raises(DataError, match="has no image 'plant9'"):
        list(examples(tiny_records, ["plant9"]))


def test_tensorflow_reads_the_shards_as_they_are(tiny_records):
    import tensorflow as tf

    files = [f"{tiny_records.directory}/{s.file}" for s in tiny_records.shards]
    read = [decode_example(r.numpy()) for r in tf.data.TFRecordDataset(files)]
    assert [example.name for example in read] == tiny_records.ids


@pytest.mark.parametrize("damage", ["changed", "short", "missing"])
def test_damage_after_loading_is_noticed(tmp_path, damage):
    source = source_of([Example("a", IMAGE, LABELS), Example("b", IMAGE, LABELS)])
    manifest = write_records(source, tmp_path / "records", min_area=0)
    path = tmp_path / "records" / manifest.shards[0].file
    data = bytearray(path.read_bytes())
    if damage == "changed":
        data[manifest.images[1].offset + 40] ^= 1
    elif damage == "short":
        data = data[:-30]
    path.write_bytes(data)
    if damage == "missing":
        path.unlink()
    with pytest.raises(DataError, match=r"tiny-00000-of-00001.tfrecord .* Delete"):
        list(examples(manifest, ["b"]))
    with pytest.raises(DataError, match=r"tiny-00000-of-00001.tfrecord .* Delete"):
        Manifest.load(tmp_path / "records")
