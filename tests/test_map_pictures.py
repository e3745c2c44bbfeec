"""Foreground and directions as pictures, against colours worked out by hand."""

import numpy as np
import pytest

from keras_recattend.map_pictures import (
    direction_wheel,
    map_panels,
    maps_figure,
    true_maps,
)

# One hue for every eighth of the circle, of full strength: left is red, above it comes
# yellowish green, then cyan, and below violet.
LEFT, ABOVE, RIGHT, BELOW = (255, 0, 0), (128, 255, 0), (0, 255, 255), (128, 0, 255)
DIRECTIONS = "side of centroid"


def test_the_wheel_shows_the_sides():
    wheel = direction_wheel(41)
    assert wheel.shape == (41, 41, 3)
    places = {(20, 2): LEFT, (2, 20): ABOVE, (20, 38): RIGHT, (38, 20): BELOW}
    for place, colour in places.items():
        assert np.abs(wheel[place].astype(int) - colour).max() <= 1
    assert (wheel[0, 0] == 255).all()
    colours = np.unique(wheel.reshape(-1, 3), axis=0)
    assert len(colours) == 8 + 1


def test_a_disc_has_the_colours_of_the_wheel():
    """By way of the stage's own targets."""
    extent = 41
    wheel = direction_wheel(extent)
    disc = np.int32((wheel != 255).any(axis=-1))
    panels = map_panels(*true_maps(disc), disc.shape)
    inside = disc > 0
    same = (panels[DIRECTIONS] == wheel).all(axis=-1)
    assert same[inside].mean() > 0.99  # but for the centre
    assert (panels[DIRECTIONS][~inside] == 0).all()
    np.testing.assert_array_equal(panels["foreground"][..., 0], 255 * inside)


def test_as_bright_as_the_foreground_is_probable():
    foreground = np.float32([[0.0, 0.2], [0.6, 1.0]])
    angles = np.zeros((2, 2, 8), np.float32)
    angles[..., 4] = 1.0
    panels = map_panels(foreground, angles, (2, 2))
    levels = np.array([[0, 51], [153, 255]])
    for channel in range(3):
        np.testing.assert_array_equal(panels["foreground"][..., channel], levels)
    np.testing.assert_allclose(panels[DIRECTIONS].max(axis=-1), levels, atol=1)
    assert (panels[DIRECTIONS][..., 0] == 0).all()  # cyan


def test_two_objects_have_a_wheel_each():
    labels = np.zeros((20, 44), np.uint16)
    labels[2:18, 2:18] = 7
    labels[2:18, 22:42] = 3
    foreground, angles = true_maps(labels)
    np.testing.assert_array_equal(foreground, labels > 0)
    sides = angles.argmax(axis=-1)
    assert sides[9, 3] == sides[9, 23] == 0
    assert sides[9, 16] == sides[9, 40] == 4
    assert sides[3, 9] == sides[3, 31] == 2


@pytest.mark.parametrize("channels", [8, 0])
def test_a_figure_of_both(channels):
    view = np.full((90, 120, 3), 77, np.uint8)
    labels = np.zeros((45, 60), np.uint16)
    labels[10:30, 10:30] = 1
    found = np.full((32, 32), 0.4, np.float32), np.ones((32, 32, channels), np.float32)
    figure = maps_figure(view, found, true_maps(labels))
    columns = 3 if channels else 2
    assert figure.shape[1] == columns * (120 + 8)
    assert (figure == 77).all(axis=-1).sum() >= 90 * 120
    # The legend is there where there are directions.
    colourful = np.ptp(figure.astype(int), axis=-1) > 100
    assert colourful[:, :120].any() == bool(channels)


def test_nothing_there():
    foreground, angles = true_maps(np.zeros((6, 8), np.uint16))
    assert not foreground.any()
    assert angles.shape == (6, 8, 8)
