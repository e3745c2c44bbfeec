import dataclasses
import itertools
import os
import subprocess
import sys

import numpy as np
import pytest
from tiny_plants import blocks, picture, source_of

from datasets.errors import DataError
from datasets.example import Example
from datasets.pipeline import training_stream, validation_batches
from datasets.writer import write_records
from keras_recattend.config import Augmentation

SIZE = (20, 16)
STRONG = Augmentation(
    flip_horizontal=True, rotation=90, scale=(0.8, 1.25), shift=0.1, gain=0.2, hue=0.1
)
KEYS = ("image", "labels", "count", "classes")


def stream(manifest, augmentation=STRONG, batch_size=1, seed=0, **options):
    return training_stream(
        manifest, manifest.ids, SIZE, 5, augmentation, batch_size, seed, **options
    )


def take(dataset, count):
    """`count` batches as dicts of arrays."""
    return list(itertools.islice(dataset.as_numpy_iterator(), count))


def same(left, right):
    for key in KEYS:
        np.testing.assert_array_equal(left[key], right[key])


def which(batch):
    """Numbers of the images in an unchanged batch."""
    pictures = [picture(blocks(count=i % 4), i) / 255 for i in range(7)]
    return [
        int(np.argmin([np.abs(image - p).max() for p in pictures]))
        for image in batch["image"]
    ]


def test_shapes_and_types(tiny_records):
    dataset = stream(tiny_records, batch_size=3)
    (batch,) = take(dataset, 1)
    assert set(batch) == set(KEYS)
    assert (batch["image"].shape, batch["image"].dtype) == ((3, 20, 16, 3), np.float32)
    assert (batch["labels"].shape, batch["labels"].dtype) == ((3, 20, 16), np.int32)
    assert (batch["count"].shape, batch["count"].dtype) == ((3,), np.int32)
    assert (batch["classes"].shape, batch["classes"].dtype) == ((3, 5), np.int32)
    assert dataset.element_spec["image"].shape == (3, 20, 16, 3)
    assert dataset.element_spec["labels"].shape == (3, 20, 16)


def test_ids_are_contiguous_and_by_area(tiny_records):
    for batch in take(stream(tiny_records, batch_size=4), 10):
        for labels, count in zip(batch["labels"], batch["count"], strict=True):
            areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
            assert len(areas) == count
            assert np.all(areas > 0)
            assert np.all(np.diff(areas) <= 0)


def test_every_pass_shows_every_image_once_in_another_order(tiny_records):
    batches = take(stream(tiny_records, Augmentation()), 28)
    order = np.array([which(batch) for batch in batches]).reshape(4, 7)
    np.testing.assert_array_equal(np.sort(order, axis=1), [range(7)] * 4)
    assert len({tuple(one) for one in order}) == 4


def test_the_seed_decides(tiny_records):
    first, again = (take(stream(tiny_records, seed=5), 9) for _ in range(2))
    for left, right in zip(first, again, strict=True):
        same(left, right)
    other = take(stream(tiny_records, seed=6), 9)
    assert any(
        np.any(left["image"] != right["image"])
        for left, right in zip(first, other, strict=True)
    )


def test_two_passes_change_an_image_differently(tiny_records):
    images = np.concatenate([b["image"] for b in take(stream(tiny_records), 70)])
    assert len({image.tobytes() for image in images}) == 70


@pytest.mark.parametrize("start", [1, 7, 15])
@pytest.mark.parametrize("cache", [False, True])
def test_a_resumed_stream_goes_on(tiny_records, start, cache):
    whole = take(stream(tiny_records, cache=cache), start + 6)
    rest = take(stream(tiny_records, start=start, cache=cache), 6)
    for left, right in zip(whole[start:], rest, strict=True):
        same(left, right)


@pytest.mark.parametrize("paste", [0, 2])
def test_devices_read_their_rows_of_the_whole_batches(tiny_records, paste):
    """Three devices of two samples each, the last two of them on this machine."""
    augmentation = dataclasses.replace(STRONG, paste=paste)
    options = {"augmentation": augmentation, "batch_size": 6, "start": 12}
    whole = take(stream(tiny_records, **options), 3)
    parts = take(stream(tiny_records, **options, share=(3, 1, 2)), 6)
    for number, part in enumerate(parts):
        first = 2 + 2 * (number % 2)
        rows = {k: whole[number // 2][k][first : first + 2] for k in KEYS}
        same(part, rows)


def test_batches_do_not_end_with_a_pass(tiny_records):
    singles = take(stream(tiny_records), 20)
    for i, batch in enumerate(take(stream(tiny_records, batch_size=4), 5)):
        for key in KEYS:
            parts = [single[key] for single in singles[4 * i : 4 * i + 4]]
            np.testing.assert_array_equal(batch[key], np.concatenate(parts))


def test_a_late_start_is_cheap(tiny_records):
    # Such a number does not fit 32 bits, either; with it a pass begins.
    start = 7 * 2**30
    batches = take(stream(tiny_records, Augmentation(), start=start), 7)
    assert sorted(which(batch)[0] for batch in batches) == list(range(7))


def test_the_largest_objects_are_kept(tiny_records):
    dataset = training_stream(
        tiny_records, ["image3"], SIZE, 2, Augmentation(), batch_size=1, seed=0
    )
    (batch,) = take(dataset, 1)
    # The areas are 16, 20, 24: id 3 becomes 1, id 2 stays, id 1 goes.
    expected = np.array([0, 0, 2, 1])[blocks(count=3)]
    np.testing.assert_array_equal(batch["labels"][0], expected)
    assert batch["count"] == [2]


def test_objects_cut_away_are_dropped(tiny_records):
    far = Augmentation(shift=0.9, min_visible=0.5)
    counts = []
    for batch in take(
        training_stream(tiny_records, ["image3"], SIZE, 5, far, 1, seed=0), 30
    ):
        count = int(batch["count"][0])
        areas = np.bincount(batch["labels"].ravel(), minlength=count + 1)[1:]
        # Objects have 16, 20 and 24 pixels; half of the smallest is 8.
        assert len(areas) == count
        assert np.all(areas >= 8)
        counts.append(count)
    assert min(counts) == 0
    assert max(counts) == 3


@pytest.mark.parametrize(
    ("side", "scale", "least", "kept"),
    [
        # Half the size: 5 x 5 of 10 x 10 pixels, all that can be expected.
        (10, 0.5, 0.9, True),
        # Twice: 20 x 20 of 24 x 24 pixels, 69%, though more than the 144 before.
        (12, 2.0, 0.6, True),
        (12, 2.0, 0.8, False),
    ],
)
def test_zoom_counts_for_what_is_expected(tmp_path, side, scale, least, kept):
    labels = np.zeros((20, 20), np.uint16)
    start = 10 - side // 2
    labels[start : start + side, start : start + side] = 1
    example = Example("a", picture(labels), labels)
    manifest = write_records(source_of([example]), tmp_path / "r", 0)
    zoom = Augmentation(scale=(scale, scale), min_visible=least)
    (batch,) = take(training_stream(manifest, ["a"], (20, 20), 5, zoom, 1, seed=0), 1)
    assert batch["count"] == [int(kept)]


def test_validation_is_in_order_and_unchanged(tiny_records):
    names = ["image6", "image1", "image3"]
    batches = list(
        validation_batches(tiny_records, names, SIZE, 5, 2).as_numpy_iterator()
    )
    assert [which(batch) for batch in batches] == [[6, 1], [3]]
    assert np.concatenate([b["count"] for b in batches]).tolist() == [2, 1, 3]
    # By area descending: of three objects, id 3 is the largest.
    expected = np.array([0, 3, 2, 1])[blocks(count=3)]
    np.testing.assert_array_equal(batches[1]["labels"][0], expected)


@pytest.fixture
def classed_records(tmp_path):
    """Three objects of 16, 20 and 24 pixels and the classes 7, 8, 9."""
    labels = blocks()
    example = Example("a", picture(labels), labels, (7, 8, 9))
    return write_records(source_of([example]), tmp_path / "classed", 0)


@pytest.mark.parametrize("cache", [False, True])
def test_classes_follow_the_order_by_area(classed_records, cache):
    dataset = validation_batches(classed_records, ["a"], SIZE, 5, 1, cache=cache)
    (batch,) = dataset.as_numpy_iterator()
    assert batch["classes"].tolist() == [[9, 8, 7, 0, 0]]
    dataset = validation_batches(classed_records, ["a"], SIZE, 2, 1, cache=cache)
    (batch,) = dataset.as_numpy_iterator()
    assert batch["classes"].tolist() == [[9, 8]]


def test_classes_follow_objects_through_crops(classed_records):
    """The class of an object is seen in its brightness; objects fall out."""
    far = Augmentation(shift=0.4, min_visible=0.6, flip_horizontal=True)
    counts = set()
    for batch in take(training_stream(classed_records, ["a"], SIZE, 5, far, 1, 0), 40):
        labels, classes = batch["labels"][0], batch["classes"][0]
        count = int(batch["count"][0])
        for i in range(1, count + 1):
            # The picture of object k is 40 k brighter than noise of 0 to 89.
            brightness = batch["image"][0][labels == i].mean() * 255 - 44.5
            assert classes[i - 1] == 6 + round(brightness / 40)
        assert not classes[count:].any()
        counts.add(count)
    assert {1, 2, 3} <= counts


def test_without_classes_all_are_class_1(tiny_records):
    dataset = validation_batches(tiny_records, ["image2", "image0"], SIZE, 3, 2)
    (batch,) = dataset.as_numpy_iterator()
    assert batch["classes"].tolist() == [[1, 1, 0], [0, 0, 0]]


def test_last_validation_batch(tiny_records):
    dataset = validation_batches(tiny_records, tiny_records.ids, SIZE, 5, 3)
    assert [len(b["count"]) for b in dataset.as_numpy_iterator()] == [3, 3, 1]


def test_images_without_objects(tiny_records):
    dataset = training_stream(tiny_records, ["image0"], SIZE, 5, STRONG, 2, seed=0)
    (batch,) = take(dataset, 1)
    assert batch["count"].tolist() == [0, 0]
    assert not batch["labels"].any()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"batch_size": 0}, ValueError, "batch_size=0"),
        ({"start": -1}, ValueError, "start=-1"),
        ({"augmentation": Augmentation(transpose=True)}, ValueError, "square"),
        ({"augmentation": Augmentation(paste=-1)}, ValueError, "paste"),
        ({"batch_size": 4, "share": (3, 0, 1)}, ValueError, "batch_size=4.*3 devices"),
    ],
)
def test_bad_settings(tiny_records, options, error, message):
    with pytest.raises(error, match=message):
        stream(tiny_records, **options)


def test_no_and_unknown_images(tiny_records):
    with pytest.raises(DataError, match="No images"):
        validation_batches(tiny_records, [], SIZE, 5, 1)
    with pytest.raises(DataError, match="no image 'x'"):
        training_stream(tiny_records, ["x"], SIZE, 5, STRONG, 1, seed=0)


def test_a_program_may_end_in_the_middle_of_the_stream(tiny_records):
    program = f"""
from datasets.manifest import Manifest
from datasets.pipeline import training_stream
from keras_recattend.config import Augmentation
manifest = Manifest.load({tiny_records.directory!r})
batches = iter(training_stream(
    manifest, manifest.ids, (224, 224), 5, Augmentation(rotation=9), 8, 0, cache=False
))
next(batches)
print("done")
"""
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (0, "done\n"), ended.stderr[-2000:]


def test_places_say_which_image_it_was_and_how_it_was_moved(tiny_records):
    """The sample is image `index`, each pixel fetched through the matrix."""
    flips = Augmentation(flip_horizontal=True, flip_vertical=True, min_visible=0.0)
    still = take(validation_batches(tiny_records, tiny_records.ids, SIZE, 5, 1), 7)
    for batch in take(stream(tiny_records, flips, with_places=True), 20):
        assert set(batch) == {*KEYS, "index", "matrix"}
        source = still[batch["index"][0]]
        matrix = batch["matrix"][0]
        for y, x in np.ndindex(SIZE):
            sy, sx = np.round(matrix @ [y, x, 1]).astype(int)
            # The flip decides which of two objects of equal area comes first.
            assert (batch["labels"][0, y, x] > 0) == (source["labels"][0, sy, sx] > 0)
            np.testing.assert_allclose(
                batch["image"][0, y, x], source["image"][0, sy, sx], atol=1e-5
            )


def test_places_change_nothing_else(tiny_records):
    plain = take(stream(tiny_records), 8)
    placed = take(stream(tiny_records, with_places=True), 8)
    for left, right in zip(plain, placed, strict=True):
        same(left, right)
    start = take(stream(tiny_records, start=5, with_places=True), 3)
    for left, right in zip(placed[5:], start, strict=True):
        np.testing.assert_array_equal(left["index"], right["index"])
        np.testing.assert_array_equal(left["matrix"], right["matrix"])


def test_places_of_unchanged_batches(tiny_records):
    ids = tiny_records.ids
    batches = take(
        validation_batches(tiny_records, ids, SIZE, 5, 3, with_places=True), 3
    )
    assert np.concatenate([b["index"] for b in batches]).tolist() == list(range(7))
    assert set(batches[0]) == {*KEYS, "index"}
