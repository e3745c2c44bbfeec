"""What most of several label maps agree on."""

import itertools

import numpy as np
import pytest

from keras_recattend.consensus import consensus

SHAPE = (40, 50)
# Places (rows, columns) that do not touch one another.
A, B, C, D = (
    (slice(top, top + 10), slice(left, left + 12))
    for top, left in ((2, 3), (2, 30), (25, 3), (25, 30))
)


def label_map(*places):
    labels = np.zeros(SHAPE, np.uint16)
    for i, place in enumerate(places):
        labels[place] = i + 1
    return labels


def agreed(*maps, scores=None, **settings):
    """The consensus of label maps whose objects all have a score of 1."""
    scores = scores or [np.ones(labels.max()) for labels in maps]
    return consensus(maps, scores, **settings)


def objects(labels):
    """The objects of a label map, as a set: whatever their order."""
    return {(labels == i).tobytes() for i in range(1, labels.max() + 1)}


def test_what_all_say_in_the_order_of_the_first():
    found = agreed(label_map(B, A), label_map(A, B), label_map(A, B))
    np.testing.assert_array_equal(found.labels, label_map(B, A))
    np.testing.assert_array_equal(found.boxes, [[2, 30, 11, 41], [2, 3, 11, 14]])
    assert found.labels.dtype == np.uint16


def test_a_single_map_stays_as_it_is():
    found = agreed(label_map(A, B, C))
    np.testing.assert_array_equal(found.labels, label_map(A, B, C))


def test_objects_of_more_than_half_the_maps():
    """B is in three of five maps, C in two, D in one."""
    maps = [label_map(*p) for p in ((A, B), (C, A), (A, B), (B, A, D), (A, C))]
    for order in itertools.permutations(maps):
        assert objects(agreed(*order).labels) == objects(label_map(A, B))


def test_of_two_halves_the_one_that_is_more_like_all():
    """C and B are in two of four maps each; those with B are more like one another."""
    maps = [label_map(*p) for p in ((A, B), (A, B), (A, C, D), (A, C))]
    for order in itertools.permutations(maps):
        assert objects(agreed(*order).labels) == objects(label_map(A, B))


def test_a_pixel_is_where_half_of_the_maps_that_have_the_object_say_so():
    """The fourth map does not have the object at all."""
    moved = [(slice(2, 12), slice(left, left + 12)) for left in (3, 4, 6)]
    found = agreed(*(label_map(place, D) for place in moved), label_map(D))
    # Columns 3 to 14, 4 to 15, 6 to 17: two of three have 4 to 15.
    expected = label_map((slice(2, 12), slice(4, 16)), D)
    assert objects(found.labels) == objects(expected)


def test_a_pixel_of_two_objects_is_the_ones_that_more_say():
    """The border lies at column 20 for two maps, at 22 for the third."""
    left, right = slice(10, 20), slice(20, 30)
    rows = slice(5, 15)
    maps = [label_map((rows, left), (rows, right))] * 2
    maps.append(label_map((rows, slice(10, 22)), (rows, slice(22, 30))))
    assert objects(agreed(*maps).labels) == objects(maps[0])


def test_a_pixel_of_two_objects_is_the_ones_of_which_a_greater_share_says_so():
    """Columns 18 and 19: left say two of four maps, right two of three."""
    rows = slice(5, 15)

    def halves(border, *, right=True):
        left = (rows, slice(10, border))
        return label_map((rows, slice(border, 30)), left) if right else label_map(left)

    found = agreed(halves(18), halves(18), halves(20), halves(20, right=False))
    np.testing.assert_array_equal(found.labels, halves(18))


def test_an_object_is_like_all_of_the_group():
    """IoU of first and second 16 / 24, second and third 14 / 26, of the others 10 / 30.

    The second map is the best. The third's object is like its, but not like both; and
    of two maps that have an object, one is half.
    """
    first, second, third = (
        label_map((slice(0, 10), slice(by, 20 + by)), D) for by in (0, 4, 10)
    )
    third[D] = 0
    found = agreed(first, second, third)
    expected = label_map((slice(0, 10), slice(0, 24)), D)
    assert objects(found.labels) == objects(expected)


def test_what_overlaps_too_little_are_two_objects():
    """An IoU of 4 / 8 is one object, of 3 / 9 two, neither of which most maps have."""

    def shifted(by):
        return label_map((slice(0, 10), slice(by, 6 + by)))

    assert agreed(shifted(0), shifted(2), shifted(0)).count == 1
    found = agreed(shifted(0), shifted(3), shifted(6))
    assert found.count == 0
    assert not found.labels.any()


def test_each_map_gives_an_object_one_of_its_own_at_most():
    """One map has the object in two halves: the larger is the object's."""
    whole = label_map((slice(0, 10), slice(0, 20)))
    halves = label_map((slice(0, 10), slice(0, 13)), (slice(0, 10), slice(13, 20)))
    found = agreed(whole, halves, whole)
    assert objects(found.labels) == objects(whole)


def test_scores_count_the_maps_without_the_object():
    scores = [np.array([0.9, 0.6]), np.array([0.8, 0.5]), np.array([0.7])]
    found = agreed(label_map(A, B), label_map(B, A), label_map(A), scores=scores)
    by_place = {found.labels[A][0, 0]: (0.9 + 0.5 + 0.7) / 3}
    by_place[found.labels[B][0, 0]] = (0.6 + 0.8) / 3
    assert found.scores == pytest.approx([by_place[1], by_place[2]])
    assert found.scores.dtype == np.float32


def test_which_object_of_the_first_map_each_is():
    found = agreed(label_map(A, B), label_map(B, C, A), label_map(C, B, A))
    by_place = {found.labels[place][0, 0]: k for place, k in ((A, 0), (B, 1), (C, -1))}
    assert found.steps.tolist() == [by_place[i] for i in (1, 2, 3)]


def test_small_objects_are_dropped():
    small = (slice(30, 33), slice(40, 43))
    maps = [label_map(small, A)] * 3
    assert agreed(*maps, min_area=9).count == 2
    found = agreed(*maps, min_area=10)
    np.testing.assert_array_equal(found.labels, label_map(A))
    assert len(found.scores) == len(found.boxes) == 1
    assert found.steps.tolist() == [1]


@pytest.mark.parametrize("with_objects", [0, 1])
def test_where_most_find_nothing(with_objects):
    maps = [label_map(A, B)] * with_objects + [label_map()] * 3
    found = agreed(*maps)
    assert found.count == 0
    assert not found.labels.any()
    assert found.boxes.shape == (0, 4)


def test_noise_about_the_edges_is_less_than_each_maps_own(random):
    """Discs with edges that tremble: the consensus is nearer the truth than any map."""
    y, x = np.indices((80, 100))
    truth = np.zeros((80, 100), np.uint16)
    distances = [np.hypot(y - cy, x - cx) for cy, cx in ((25, 25), (50, 70))]
    for i, distance in enumerate(distances):
        truth[distance < 18] = i + 1
    maps = []
    for _ in range(8):
        labels = np.zeros_like(truth)
        for i, distance in enumerate(distances):
            labels[distance + random.normal(0, 2, truth.shape) < 18] = i + 1
        maps.append(labels)
    found = agreed(*maps)
    wrong = [(labels != truth).mean() for labels in maps]
    assert (found.labels != truth).mean() < 0.7 * min(wrong)
