"""Area, box and centroid against label maps worked by hand."""

import numpy as np
import pytest

from keras_recattend.regions import regions_of

LABELS = np.array(
    [
        [1, 1, 0, 0, 3],
        [1, 0, 0, 0, 3],
        [0, 0, 0, 0, 3],
        [0, 0, 5, 0, 0],
    ],
    np.uint16,
)


def test_by_hand():
    one, three, five = regions_of(LABELS, [0.9, 0, 0.8, 0, 0.7])
    assert one[:6] == (1, 3, 0, 0, 1, 1)
    assert (one.centroid_y, one.centroid_x) == pytest.approx((1 / 3, 1 / 3))
    assert three[:6] == (3, 3, 0, 4, 2, 4)
    assert (three.centroid_y, three.centroid_x) == (1.0, 4.0)
    assert five[:6] == (5, 1, 3, 2, 3, 2)
    assert (five.centroid_y, five.centroid_x) == (3.0, 2.0)
    assert [r.score for r in (one, three, five)] == pytest.approx([0.9, 0.8, 0.7])


def test_without_scores_and_without_objects():
    assert [r.score for r in regions_of(LABELS)] == [None] * 3
    assert regions_of(np.zeros((3, 4), np.uint16), []) == []


@pytest.mark.parametrize("background", [0, 9])
def test_ids_of_programs_that_draw_them_by_chance(background):
    """A list as long as the greatest id does not fit into memory."""
    large = np.array([background, 65_536, 0, 70_000, 0, 2**31 - 1], np.int32)[LABELS]
    ids = {r.id: (r.area, r.top, r.left) for r in regions_of(large)}
    expected = {65_536: (3, 0, 0), 70_000: (3, 0, 4), 2**31 - 1: (1, 3, 2)}
    if background:
        expected[9] = (13, 0, 0)
    assert ids == expected
    assert list(ids) == sorted(ids)


def test_against_a_plain_loop():
    labels = np.random.default_rng(3).integers(0, 6, (9, 13)).astype(np.uint8)
    for region in regions_of(labels):
        pixels = [
            (y, x) for y in range(9) for x in range(13) if labels[y, x] == region.id
        ]
        rows, columns = zip(*pixels, strict=True)
        assert region.area == len(pixels)
        assert region[2:6] == (min(rows), min(columns), max(rows), max(columns))
        assert region.centroid_y == pytest.approx(sum(rows) / len(rows))
        assert region.centroid_x == pytest.approx(sum(columns) / len(columns))
