"""The eight ways to see an image, and where a window of it lies in each."""

import numpy as np
import pytest

from keras_recattend.postprocess import Window
from keras_recattend.views import VIEWS

ids = [f"{'mirrored' if v.mirrored else 'plain'}-{v.turns}" for v in VIEWS]
of_every_view = pytest.mark.parametrize("view", VIEWS, ids=ids)


def test_there_are_eight_and_they_differ():
    image = np.arange(9).reshape(3, 3)
    assert len({view.of(image).tobytes() for view in VIEWS}) == 8


def test_their_order():
    """As it is, mirrored, upside down both, then on their sides."""
    image = np.array([[1, 2], [3, 4], [5, 6]])
    as_it_is, mirrored, turned, flipped, *sides = (view.of(image) for view in VIEWS)
    np.testing.assert_array_equal(as_it_is, image)
    np.testing.assert_array_equal(mirrored, [[2, 1], [4, 3], [6, 5]])
    np.testing.assert_array_equal(turned, [[6, 5], [4, 3], [2, 1]])
    np.testing.assert_array_equal(flipped, [[5, 6], [3, 4], [1, 2]])
    assert [side.shape for side in sides] == [(2, 3)] * 4
    np.testing.assert_array_equal(sides[0], [[2, 4, 6], [1, 3, 5]])


@of_every_view
@pytest.mark.parametrize("shape", [(5, 7), (6, 4, 3)])
def test_back_again(view, shape, random):
    image = random.integers(0, 255, shape)
    np.testing.assert_array_equal(view.back(view.of(image)), image)
    np.testing.assert_array_equal(view.of(view.back(image)), image)


@of_every_view
def test_a_window_shows_the_same_pixels(view, random):
    image = random.integers(0, 255, (20, 30))
    window = Window(3.0, 11.0, 8.0, 14.0, (64, 64))
    seen = view.window(window, image.shape)
    assert seen.input_size == (64, 64)
    top, left, height, width = map(int, seen[:4])
    np.testing.assert_array_equal(
        view.of(image)[top : top + height, left : left + width],
        view.of(image[3:11, 11:25]),
    )


@of_every_view
def test_the_whole_image_is_the_whole_view(view):
    seen = view.window(Window.whole((20, 30), (64, 64)), (20, 30))
    assert seen == Window.whole((30, 20) if view.turns % 2 else (20, 30), (64, 64))
