"""Text in pictures: its size, its place, and that it stays inside."""

import numpy as np
import pytest

from keras_recattend.lettering import INK, text_size, text_width, write_text


def ink(picture):
    """Rows and columns that differ from white paper."""
    return np.nonzero((picture != 255).any(axis=-1))


def paper():
    return np.full((60, 120, 3), 255, np.uint8)


@pytest.mark.parametrize("size", [10, 20])
def test_digits_have_the_height_that_was_asked_for(size):
    picture = paper()
    write_text(picture, "8", (20, 40), size)
    rows, columns = ink(picture)
    assert rows.max() - rows.min() + 1 == pytest.approx(size, abs=2)
    assert rows.max() == pytest.approx(40, abs=2)  # the baseline
    width = columns.max() - columns.min() + 1
    assert width == pytest.approx(text_width("8", size), abs=1)


@pytest.mark.parametrize(
    ("anchor", "share"), [("left", 0.0), ("centre", 0.5), ("right", 1.0)]
)
def test_anchors(anchor, share):
    picture = paper()
    write_text(picture, "808", (60, 40), 12, anchor=anchor)
    columns = ink(picture)[1]
    assert columns.min() == pytest.approx(60 - share * text_width("808", 12), abs=1)


def test_text_stays_inside():
    picture = paper()
    write_text(picture, "8", (118, 2), 12)
    rows, columns = ink(picture)
    assert len(rows) > 20
    assert rows.min() == 0
    assert columns.max() == 119
    small = paper()[:5, :5]
    write_text(small, "8", (0, 4), 12)
    assert (small == 255).all()


def test_colours():
    plain, halo = paper(), np.full((60, 120, 3), 128, np.uint8)
    write_text(plain, "8", (20, 40), 20)
    write_text(halo, "8", (20, 40), 20, halo=True)
    assert plain.min(axis=(0, 1)).tolist() == list(INK)
    assert halo.max() == 255
    assert halo.min() < 40


def test_larger_pictures_have_larger_digits():
    assert [text_size(rows) for rows in (100, 640, 5000)] == [10.0, 20.0, 40.0]
