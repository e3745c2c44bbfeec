import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tiny_plants import blocks, picture, source_of

from datasets.errors import DataError
from datasets.example import Example
from datasets.manifest import Manifest
from datasets.records import compress, serialize
from datasets.samples import Samples, decode, resize_image, resize_labels
from datasets.writer import write_records


def collect(samples, indices):
    numbers = tf.data.Dataset.from_tensor_slices(np.array(indices, np.int64))
    pairs = tf.data.Dataset.zip(numbers, numbers)
    found = samples.map(pairs, lambda number, sample: (number, *sample))
    return list(found.as_numpy_iterator())


@pytest.mark.parametrize(("old", "new"), [((53, 50), (44, 32)), ((20, 30), (48, 40))])
def test_resize_equals_pillow_in_floating_point(random, old, new):
    image = random.integers(0, 256, (*old, 3)).astype(np.uint8)
    resized = resize_image(tf.constant(image), new).numpy()
    for channel in range(3):
        plane = Image.fromarray(image[..., channel].astype(np.float32))
        expected = np.asarray(plane.resize(new[::-1], Image.Resampling.BICUBIC))
        difference = resized[..., channel] - np.clip(expected, 0, 255)
        assert np.abs(difference).max() < 0.51


def test_resize_to_the_same_size_is_the_identity(random):
    image = random.integers(0, 256, (9, 7, 3)).astype(np.uint8)
    np.testing.assert_array_equal(resize_image(tf.constant(image), (9, 7)), image)


@pytest.mark.parametrize(("old", "new"), [((53, 50), (44, 32)), ((20, 30), (48, 40))])
def test_labels_take_the_pixel_below_their_center(random, old, new):
    labels = random.integers(0, 70_000, old).astype(np.int32)
    resized = resize_labels(tf.constant(labels), new).numpy()
    for i in range(new[0]):
        for j in range(new[1]):
            y = int((i + 0.5) * old[0] / new[0])
            x = int((j + 0.5) * old[1] / new[1])
            assert resized[i, j] == labels[y, x]


@pytest.mark.parametrize(
    ("labels", "kind"),
    [(blocks(), tf.uint8), (np.arange(320).reshape(20, 16), tf.int32)],
    ids=["8 bits", "16 bits"],
)
def test_decode(labels, kind):
    most = labels.max()
    record = serialize(compress(Example("a", picture(labels), labels)))
    sample = decode(tf.constant(record), (20, 16), most, kind)
    np.testing.assert_array_equal(sample.image, picture(labels))
    np.testing.assert_array_equal(sample.labels, labels)
    assert sample.labels.dtype == kind
    expected = np.bincount(labels.ravel())[1:]
    np.testing.assert_array_equal(sample.areas, expected)


@pytest.mark.parametrize(
    ("classes", "expected"),
    [((24, 26, 33), [24, 26, 33, 0, 0]), ((), [1, 1, 1, 0, 0])],
    ids=["given", "one class"],
)
def test_classes_are_padded(classes, expected):
    labels = blocks()
    record = serialize(compress(Example("a", picture(labels), labels, classes)))
    sample = decode(tf.constant(record), (20, 16), 5)
    assert sample.classes.numpy().tolist() == expected
    assert sample.classes.dtype == tf.int32


@pytest.mark.parametrize("count", [9, 10])
def test_median_colour(random, count):
    image = random.integers(0, 256, (1, count, 3)).astype(np.uint8)
    record = serialize(compress(Example("a", image, np.zeros((1, count), np.uint16))))
    median = decode(tf.constant(record), (1, count), 0).median
    expected = np.sort(image[0], axis=0)[(count - 1) // 2]
    np.testing.assert_array_equal(median, expected)


def test_kept_in_memory_or_not_is_the_same(tiny_records):
    order = [3, 0, 6, 3]
    names = tiny_records.ids
    kept = collect(Samples(tiny_records, names, (24, 24), cache=True), order)
    read = collect(Samples(tiny_records, names, (24, 24), cache=False), order)
    assert [sample[0] for sample in read] == order
    for one, other in zip(kept, read, strict=True):
        for left, right in zip(one, other, strict=True):
            np.testing.assert_array_equal(left, right)
            assert left.dtype == right.dtype


def test_large_sets_are_not_kept(tiny_records, monkeypatch):
    size = 7 * 24 * 24 * 4
    monkeypatch.setattr("datasets.samples.CACHE_BYTES", size)
    assert Samples(tiny_records, tiny_records.ids, (24, 24))._cache is None
    monkeypatch.setattr("datasets.samples.CACHE_BYTES", size + 1)
    assert Samples(tiny_records, tiny_records.ids, (24, 24))._cache is not None


@pytest.mark.parametrize("cache", [False, True])
def test_more_than_255_objects(tmp_path, cache):
    labels = np.arange(400, dtype=np.uint16).reshape(20, 20)
    example = Example("a", np.zeros((20, 20, 3), np.uint8), labels)
    manifest = write_records(source_of([example]), tmp_path / "r", 0)
    samples = Samples(manifest, ["a"], (20, 20), cache)
    assert samples.most_objects == 399
    ((_, _, found, _, areas, _),) = collect(samples, [0])
    np.testing.assert_array_equal(found, labels)
    assert areas.tolist() == [1] * 399


def test_only_images_without_objects(tmp_path):
    example = Example("a", np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint16))
    manifest = write_records(source_of([example]), tmp_path / "r", 0)
    ((_, _, labels, _, areas, _),) = collect(Samples(manifest, ["a"], (8, 8)), [0])
    assert not labels.any()
    assert areas.shape == (0,)


def test_damaged_records_are_named(tmp_path):
    labels = blocks()
    given = [Example("a", picture(labels), labels)]
    manifest = write_records(source_of(given), tmp_path / "r", 0)
    path = tmp_path / "r" / manifest.shards[0].file
    data = bytearray(path.read_bytes())
    data[50] ^= 1
    path.write_bytes(data)
    manifest = Manifest.load(tmp_path / "r", verify=False)
    with pytest.raises(DataError, match=r"records in .*/r are damaged .* Delete"):
        Samples(manifest, ["a"], (8, 8), cache=True)


def test_unlabelled_and_unknown_images(tmp_path):
    given = [Example("a", np.zeros((8, 8, 3), np.uint8), None)]
    manifest = write_records(source_of(given), tmp_path / "r", 0)
    with pytest.raises(DataError, match="a has no labels"):
        Samples(manifest, ["a"], (8, 8))
    with pytest.raises(DataError, match="has no image 'b'"):
        Samples(manifest, ["b"], (8, 8))
