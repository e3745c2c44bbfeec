import numpy as np
import pytest

from datasets import example
from datasets.errors import DataError
from datasets.example import Example, clean

IMAGE = np.zeros((2, 3, 3), np.uint8)


def cleaned(labels, min_area=0, classes=()):
    """The new label map, number of its objects that are not small, the small ones."""
    image = np.zeros((*labels.shape, 3), np.uint8)
    example, small = clean(Example("a", image, labels, classes), min_area)
    assert example.small == len(small)
    return example.labels, example.count, small


def test_gaps_are_closed_in_the_order_of_ids():
    labels = np.array([[0, 9, 9], [4, 4, 26_001]], np.int32)
    new, count, small = cleaned(labels)
    np.testing.assert_array_equal(new, [[0, 2, 2], [1, 1, 3]])
    assert new.dtype == np.uint16
    assert (count, small) == (3, [])


def test_small_objects_come_last_and_are_reported():
    labels = np.array([[2, 0, 9], [7, 7, 7]], np.uint8)
    new, count, small = cleaned(labels, min_area=2)
    np.testing.assert_array_equal(new, [[2, 0, 3], [1, 1, 1]])
    assert (count, small) == (1, [(2, 1), (9, 1)])


def test_an_object_of_just_the_least_area_is_not_small():
    new, count, small = cleaned(np.array([[3, 3]], np.uint8), min_area=2)
    assert new.tolist() == [[1, 1]]
    assert (count, small) == (1, [])


def test_no_object_at_all():
    new, count, small = cleaned(np.zeros((2, 3), np.uint8), min_area=5)
    assert not new.any()
    assert (count, small) == (0, [])


def test_a_map_without_background():
    new, _, _ = cleaned(np.array([[5, 5], [6, 6]], np.uint8))
    assert new.tolist() == [[1, 1], [2, 2]]


def test_an_object_in_two_parts_stays_one():
    new, _, _ = cleaned(np.array([[8, 0, 8]], np.uint8), min_area=2)
    assert new.tolist() == [[1, 0, 1]]


def test_negative_ids_are_refused():
    with pytest.raises(DataError, match=r"a: .*0 \(background\) or more, got -1"):
        cleaned(np.array([[-1, 2]]))


def test_more_objects_than_16_bits_hold():
    with pytest.raises(DataError, match="70000 objects, at most 65535"):
        cleaned(np.arange(70_001).reshape(1, -1))


def test_each_object_that_is_not_small_keeps_its_class():
    labels = np.array([[1, 1, 0], [2, 3, 3]], np.uint16)
    example, small = clean(Example("a", IMAGE, labels, (24, 26, 33)), min_area=2)
    assert example.classes == (24, 33)
    np.testing.assert_array_equal(example.labels, [[1, 1, 0], [3, 2, 2]])
    assert small == [(2, 1)]
    assert example.count == 2


def test_clean_leaves_unlabelled_images_alone():
    example = Example("a", IMAGE, None)
    assert clean(example, 25) == (example, [])
    assert example.count == 0


def test_labels_of_another_size_are_refused():
    with pytest.raises(DataError, match=r"plant1: .*\(3, 2\), the image \(2, 3\)"):
        Example("plant1", IMAGE, np.zeros((3, 2), np.uint8))


def test_float_images_are_refused():
    with pytest.raises(ValueError, match="uint8"):
        Example("a", IMAGE.astype(np.float32), None)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("block", [7, 10_000])
def test_counting_equals_sorting(monkeypatch, dtype, block):
    """Numbers of 8 and 16 bits are counted, a part at a time; others are sorted."""
    monkeypatch.setattr(example, "BLOCK", block)
    rng = np.random.default_rng(0)
    ids = rng.choice(np.iinfo(dtype).max + 1, 30, replace=False)
    labels = np.where(rng.random((23, 17)) < 0.3, 0, rng.choice(ids, (23, 17)))
    counted = cleaned(labels.astype(dtype), min_area=9)
    by_sorting = cleaned(labels.astype(np.int64), min_area=9)
    np.testing.assert_array_equal(counted[0], by_sorting[0])
    assert counted[1:] == by_sorting[1:]
    assert counted[2]
