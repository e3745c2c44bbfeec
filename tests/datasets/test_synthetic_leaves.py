import itertools

import numpy as np
import pytest

from datasets.leaf_shapes import coverage, grow_leaf, leaf_coordinates, outline
from datasets.phyllotaxis import min_visible_area, paint_labels, plant_rosette
from datasets.synthetic_leaves import render_rosette

SMALL = (64, 64)


def make_leaf(angle=0.0, length=40.0, base=(32.0, 10.0), seed=0):
    rng = np.random.default_rng(seed)
    return grow_leaf(rng, base, angle, length, 0.5, 1.7, 0.1, 2.0)


def shown(labels):
    """Ids and areas of the labelled leaves."""
    ids, areas = np.unique(labels[labels > 0], return_counts=True)
    return ids.tolist(), areas


def test_shapes_and_dtypes():
    image, labels = render_rosette(0)
    assert image.shape == (256, 256, 3)
    assert labels.shape == (256, 256)
    assert image.dtype == labels.dtype == np.uint8
    assert image.flags.c_contiguous
    assert labels.flags.c_contiguous


@pytest.mark.parametrize("size", [(48, 96), (97, 61), (32, 32), (106, 100)])
def test_any_size(size):
    image, labels = render_rosette(3, size=size, leaves=(2, 6))
    assert image.shape == (*size, 3)
    assert labels.shape == size
    assert 2 <= labels.max() <= 6


def test_same_seed_same_picture():
    first, second = (render_rosette(11, SMALL) for _ in range(2))
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])


def test_global_numpy_state_is_neither_read_nor_moved():
    np.random.seed(1)
    first = render_rosette(11, SMALL)[0]
    drawn = np.random.uniform()
    np.random.seed(1)
    assert drawn == np.random.uniform()
    np.testing.assert_array_equal(first, render_rosette(11, SMALL)[0])


def test_different_seeds_differ():
    pictures = [render_rosette(seed, SMALL, (5, 5)) for seed in range(6)]
    for one, other in itertools.combinations(pictures, 2):
        assert (one[0] != other[0]).mean() > 0.5
        assert (one[1] != other[1]).any()


@pytest.mark.parametrize(
    ("size", "leaves", "seeds"),
    [(SMALL, (1, 8), 60), (SMALL, (12, 20), 30), ((128, 128), (5, 20), 30)],
)
def test_number_of_leaves_and_smallest_area(size, leaves, seeds):
    counts = set()
    for seed in range(seeds):
        ids, areas = shown(render_rosette(seed, size, leaves)[1])
        assert ids == list(range(1, len(ids) + 1))
        assert leaves[0] <= len(ids) <= leaves[1]
        assert areas.min() >= min_visible_area(size)
        counts.add(len(ids))
    assert {leaves[0], leaves[1]} <= counts


def test_exact_number_of_leaves():
    for seed in range(5):
        assert render_rosette(seed, SMALL, (9, 9))[1].max() == 9


def test_smallest_area_scales_with_the_image():
    assert min_visible_area((256, 256)) == 20
    assert min_visible_area((512, 512)) == 80
    assert min_visible_area((32, 32)) == 3


def test_the_leaves_are_what_is_green():
    # On average over plants, for moss and yellowed leaves exist.
    inside, outside = [], []
    for seed in range(8):
        image, labels = render_rosette(seed, (128, 128))
        red, green, blue = np.moveaxis(image.astype(float), -1, 0)
        excess = 2.0 * green - red - blue
        inside.append(excess[labels > 0].mean())
        outside.append(excess[labels == 0].mean())
    assert np.mean(inside) > np.mean(outside) + 60.0


def test_later_leaf_hides_earlier():
    size = (64, 64)
    masks = [coverage(make_leaf(seed=seed), size) for seed in (1, 2)]
    full = [paint_labels([mask], size) > 0 for mask in masks]
    assert (full[0] & full[1]).any()
    labels = paint_labels(masks, size)
    np.testing.assert_array_equal(labels == 2, full[1])
    np.testing.assert_array_equal(labels == 1, full[0] & ~full[1])


def test_rendered_labels_are_the_planted_leaves():
    size = (128, 128)
    _, masks, _ = plant_rosette(np.random.default_rng(5), size, 14)
    labels = paint_labels(masks, size)
    hidden = 0
    for index, mask in enumerate(masks, start=1):
        full = paint_labels([mask], size) > 0
        visible = labels == index
        assert not (visible & ~full).any()
        assert (labels[full] >= index).all()
        hidden += int(full.sum() - visible.sum())
    assert hidden > 0


def test_too_many_leaves_for_the_image():
    with pytest.raises(ValueError, match=r"size \(32, 32\) has room for 51 leaves"):
        render_rosette(0, (32, 32), (1, 52))


def test_coverage_of_a_leaf():
    leaf = make_leaf()
    alpha, top, left = coverage(leaf, (64, 64))
    points = outline(leaf)
    assert alpha.dtype == np.float32
    assert alpha.min() >= 0.0
    assert alpha.max() == 1.0
    assert top == int(points[:, 0].min())
    assert left == int(points[:, 1].min())
    ys, xs = points[:, 0], points[:, 1]
    area = 0.5 * abs(np.dot(ys, np.roll(xs, 1)) - np.dot(xs, np.roll(ys, 1)))
    assert alpha.sum() == pytest.approx(area, rel=0.03)


def test_coverage_outside_the_image_is_empty():
    alpha, _, _ = coverage(make_leaf(base=(-200.0, 10.0)), (64, 64))
    assert alpha.size == 0
    assert paint_labels([(alpha, 0, 0)], (64, 64)).max() == 0


@pytest.mark.parametrize("seed", range(4))
def test_leaf_coordinates_invert_the_outline(seed):
    leaf = make_leaf(angle=0.7 * seed, seed=seed)
    points = outline(leaf)
    along, across = leaf_coordinates(leaf, points[:, 0], points[:, 1])
    expected = np.sin(np.linspace(0.0, 0.5 * np.pi, len(points) // 2))
    np.testing.assert_allclose(along, np.r_[expected, expected[::-1]], atol=1e-6)
    half = len(points) // 2
    assert (across[:half] <= 1e-6).all()
    assert (across[half:] >= -1e-6).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"leaves": (6, 5)}, "1 <= fewest <= most <= 255; received"),
        ({"leaves": (0, 5)}, "1 <= fewest"),
        ({"leaves": (5, 256)}, "<= 255"),
        ({"leaves": (5,)}, "fewest, most"),
        ({"size": (31, 64)}, "each 32 or more; received"),
        ({"size": (64, 64, 3)}, r"size must be \(height, width\)"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        render_rosette(0, **arguments)
