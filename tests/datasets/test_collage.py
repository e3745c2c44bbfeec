import itertools

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from datasets.collage import FADE, LEAST_SHOWN, Layer, paste
from datasets.pipeline import training_stream
from keras_recattend.config import Augmentation

SIZE = (24, 24)
# Three objects below, side by side; four above, the last all but hidden by the first
# two of those, the third of which is too small to count.
BELOW = np.zeros(SIZE, np.int32)
BELOW[2:10, 2:10], BELOW[2:10, 12:20], BELOW[14:22, 2:10] = 1, 2, 3
ABOVE = np.zeros(SIZE, np.int32)
ABOVE[4:12, 4:12], ABOVE[12:20, 12:20], ABOVE[0, 0], ABOVE[2:10, 14:21] = 1, 2, 3, 4


def layer(labels, objects, seed, least=2.0):
    image = np.random.default_rng(seed).uniform(size=(*SIZE, 3)).astype(np.float32)
    return Layer(
        tf.constant(image),
        tf.constant(labels),
        tf.fill([objects], least),
        tf.range(objects) + 10 * seed,
    )


LAYER, OTHER = layer(BELOW, 3, seed=1), layer(ABOVE, 4, seed=2)


def pasted(seed, most=4, max_instances=7, below=LAYER, above=OTHER):
    return paste(below, above, most, max_instances, tf.constant([5, seed]))


def many(count=60, **options):
    return [pasted(seed, **options) for seed in range(count)]


def new_ids(result):
    """The ids of pasted objects, as they were called where they come from."""
    ids = np.unique(result.labels)
    return set((ids[ids > 3] - 3).tolist())


def is_behind(result):
    return np.array_equal(np.where(result.labels > 3, 0, result.labels), BELOW)


def test_pixels_come_from_one_of_both():
    for result in many():
        labels = result.labels.numpy()
        new = labels > 3
        np.testing.assert_array_equal(labels[new] - 3, ABOVE[new])
        np.testing.assert_array_equal(labels[~new], BELOW[~new])


def test_in_front_every_pixel_of_an_object_is_there_and_behind_those_that_are_free():
    kinds = set()
    for result in many():
        behind = is_behind(result)
        kinds.add(behind)
        for i in new_ids(result):
            expected = i == ABOVE
            if behind:
                expected &= BELOW == 0
            np.testing.assert_array_equal(result.labels == i + 3, expected)
    assert kinds == {True, False}


def test_what_is_all_but_hidden_is_not_pasted():
    assert ((ABOVE == 4) & (BELOW == 0)).sum() < LEAST_SHOWN * (ABOVE == 4).sum()
    in_front = [new_ids(r) for r in many() if not is_behind(r)]
    behind = [new_ids(r) for r in many() if is_behind(r)]
    assert any(4 in ids for ids in in_front)
    assert not any(4 in ids for ids in behind)
    assert any(1 in ids for ids in behind)


def test_objects_that_do_not_count_are_not_pasted():
    assert not any(3 in new_ids(result) for result in many())


def test_how_many_is_even_from_none_to_the_most():
    # In front of an empty image, where nothing hides anything.
    empty = layer(np.zeros(SIZE, np.int32), 3, seed=1)
    counts = [len(new_ids(r)) for r in many(600, most=2, below=empty)]
    shares = np.bincount(counts, minlength=3) / len(counts)
    np.testing.assert_allclose(shares, 1 / 3, atol=0.06)


@pytest.mark.parametrize("max_instances", [0, 3, 4, 5])
def test_no_more_than_there_is_room_for(max_instances):
    room = max(max_instances - 3, 0)
    counts = [len(new_ids(r)) for r in many(max_instances=max_instances)]
    assert max(counts) == min(room, 3)


def test_colours_are_the_objects_own_and_fade_at_the_edge():
    some = False
    for result in many():
        new = result.labels.numpy() > 3
        square = np.ones((FADE, FADE))
        inside = ndimage.binary_erosion(new, square, border_value=1)
        outside = ~ndimage.binary_dilation(new, square)
        some |= inside.any()
        np.testing.assert_allclose(
            result.image.numpy()[inside], OTHER.image.numpy()[inside], atol=1e-6
        )
        np.testing.assert_array_equal(
            result.image.numpy()[outside], LAYER.image.numpy()[outside]
        )
        between = ~inside & ~outside
        low = np.minimum(LAYER.image, OTHER.image)[between] - 1e-6
        high = np.maximum(LAYER.image, OTHER.image)[between] + 1e-6
        edge = result.image.numpy()[between]
        assert np.all((low <= edge) & (edge <= high))
    assert some


def test_sizes_and_classes_of_both():
    result = pasted(0)
    np.testing.assert_array_equal(result.least, [2.0] * 7)
    np.testing.assert_array_equal(result.classes, [10, 11, 12, 20, 21, 22, 23])


def test_without_objects():
    nothing = np.zeros(SIZE, np.int32)
    result = pasted(0, above=layer(nothing, 0, seed=2))
    np.testing.assert_array_equal(result.labels, BELOW)
    np.testing.assert_array_equal(result.image, LAYER.image)


TURNED = Augmentation(flip_horizontal=True, rotation=40, scale=(0.8, 1.2), paste=3)


def batches(manifest, augmentation=TURNED, count=12, start=0, **options):
    stream = training_stream(
        manifest, manifest.ids, (20, 16), 5, augmentation, 1, 3, start=start, **options
    )
    return list(itertools.islice(stream.as_numpy_iterator(), count))


def same(left, right):
    return all(np.array_equal(left[key], right[key]) for key in left)


@pytest.mark.parametrize("cache", [True, False])
def test_a_stream_that_starts_later_pastes_the_same(tiny_records, cache):
    whole = batches(tiny_records, cache=cache)
    later = batches(tiny_records, count=7, start=5, cache=cache)
    assert all(map(same, whole[5:], later))


def test_the_stream_pastes_and_counts(tiny_records):
    without = batches(tiny_records, Augmentation(), count=40)
    collages = batches(tiny_records, Augmentation(paste=3), count=40)
    more = [
        b["count"][0] - a["count"][0] for a, b in zip(without, collages, strict=True)
    ]
    assert max(more) > 0
    changed = 0
    for a, b in zip(without, collages, strict=True):
        labels, count = b["labels"][0], b["count"][0]
        assert count <= 5
        areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
        assert len(areas) == count
        assert np.all(areas > 0)
        assert np.all(np.diff(areas) <= 0)
        np.testing.assert_array_equal(b["classes"][0] > 0, np.arange(5) < count)
        changed += not same(a, b)
    assert changed > 10


def test_no_place_of_a_collage_in_one_image(tiny_records):
    with pytest.raises(ValueError, match=r"with_places does not go with .*paste=3"):
        batches(tiny_records, with_places=True)
