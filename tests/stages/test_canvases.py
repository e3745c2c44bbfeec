"""Random canvases against loops and against the shares that they are drawn with."""

import numpy as np
import pytest
import tensorflow as tf

from keras_recattend.stages import canvases as module
from keras_recattend.stages.canvases import (
    CENTER_NOISE,
    blanked,
    claimed_shares,
    claims,
    covered_centers,
    covered_objects,
    distort,
    draw_covered,
    noisy_centers,
    object_ious,
    object_pixels,
    paint,
    spilled,
)

SEED = tf.constant([3, 5])
DRAWS = 6000
# More than four deviations of a share out of so many draws.
CLOSE = 0.03


def exists_of(counts, slots):
    return tf.constant([[float(t < n) for t in range(slots)] for n in counts])


def drawn_sizes(count, slots=8, **options):
    covered = draw_covered(exists_of([count], slots), DRAWS, SEED, **options)
    return covered.numpy()[0].sum(axis=-1)


def expected_shares(count, full, nearly):
    """P(k objects on the canvas), by hand, for k = 0..count."""
    shares = np.zeros(count + 1)
    shares[count] += full
    for left in (1, 2, 3):
        shares[max(count - left, 0)] += nearly / 3
    shares[:count] += (1.0 - full - nearly) / count
    return shares


def test_only_existing_objects_are_covered():
    exists = exists_of([0, 1, 3, 5], slots=5)
    covered = draw_covered(exists, 200, SEED).numpy()
    assert covered.shape == (4, 200, 5)
    assert set(np.unique(covered)) <= {0.0, 1.0}
    assert not (covered * (1.0 - exists.numpy()[:, np.newaxis])).any()


@pytest.mark.parametrize("count", [2, 5, 7])
def test_shares_of_full_and_nearly_full_canvases(count):
    sizes = drawn_sizes(count)
    shares = np.bincount(sizes.astype(int), minlength=count + 1) / DRAWS
    expected = expected_shares(count, module.SHARE_FULL, module.SHARE_NEARLY_FULL)
    np.testing.assert_allclose(shares, expected, atol=CLOSE)


@pytest.mark.parametrize("count", [1, 4])
def test_leave_one_leaves_one(count):
    sizes = drawn_sizes(count, leave_one=True)
    assert sizes.max() == count - 1
    assert sizes.min() == 0


def test_leave_one_with_no_object_covers_nothing():
    assert not drawn_sizes(0, leave_one=True).any()


def test_no_object_gives_blank_canvases():
    assert not drawn_sizes(0).any()


def test_large_objects_are_covered_more_often():
    """Slots are sorted by area: the first ones are drawn first in some canvases."""
    covered = draw_covered(exists_of([6], 8), DRAWS, SEED).numpy()[0]
    rates = covered.mean(axis=0)[:6]
    assert rates[0] > rates[-1] + 0.1
    assert (np.diff(rates) < CLOSE).all()


def test_every_object_is_left_uncovered_at_times():
    covered = draw_covered(exists_of([6], 8), DRAWS, SEED).numpy()[0]
    partly = covered[(covered.sum(axis=-1) > 0) & (covered.sum(axis=-1) < 6)]
    assert (partly.mean(axis=0)[:6] < 0.95).all()
    assert (partly.mean(axis=0)[:6] > 0.05).all()


def test_draws_depend_on_the_seed_alone():
    exists = exists_of([5, 3], 6)
    first = draw_covered(exists, 16, SEED)
    np.testing.assert_array_equal(first, draw_covered(exists, 16, SEED))
    other = draw_covered(exists, 16, SEED + 1)
    assert (first.numpy() != other.numpy()).any()
    graph = tf.function(draw_covered)(exists, 16, SEED)
    np.testing.assert_array_equal(first, graph)


def random_labels(seed, batch=2, size=(9, 12), most=6):
    rng = np.random.default_rng(seed)
    return rng.integers(0, most + 1, (batch, *size)).astype(np.int32)


def test_paint_equals_a_loop():
    labels = random_labels(0)  # ids up to 6, of which 4 have a slot
    covered = np.random.default_rng(1).integers(0, 2, (2, 3, 4)).astype(np.float32)
    canvases = paint(tf.constant(labels), tf.constant(covered)).numpy()
    assert canvases.shape == (6, 9, 12)
    for b in range(2):
        for k in range(3):
            for y in range(9):
                for x in range(12):
                    i = labels[b, y, x]
                    expected = covered[b, k, i - 1] if 1 <= i <= 4 else 0.0
                    assert canvases[b * 3 + k, y, x] == expected


def test_noise_takes_up_to_three_tenths_of_painted_pixels():
    labels = tf.ones([1, 64, 64], tf.int32)
    canvas = paint(labels, tf.ones([1, 1, 1]), noise_seed=SEED).numpy()
    assert 0.7 <= canvas.min() < 0.71
    assert 0.99 < canvas.max() <= 1.0
    assert canvas.mean() == pytest.approx(0.85, abs=0.01)
    blank = paint(labels, tf.zeros([1, 1, 1]), noise_seed=SEED).numpy()
    assert not blank.any()


def test_covered_objects_equals_a_loop_over_every_other_pixel():
    rng = np.random.default_rng(2)
    labels = random_labels(3, size=(16, 20))
    canvases = rng.uniform(0, 1, (2, 3, 16, 20)).astype(np.float32)
    found = covered_objects(
        tf.constant(canvases), object_pixels(tf.constant(labels), 4)
    ).numpy()
    assert found.shape == (2, 3, 4)
    for b in range(2):
        for k in range(3):
            for t in range(4):
                on = area = 0
                for y in range(0, 16, 2):
                    for x in range(0, 20, 2):
                        if labels[b, y, x] == t + 1:
                            area += 1
                            on += canvases[b, k, y, x] > 0.5
                assert found[b, k, t] == (area > 0 and on >= 0.5 * area)


def test_covered_objects_where_the_share_is_clear():
    """A quarter on the canvas is not covered, three quarters are, of all pixels."""
    labels = np.zeros((1, 32, 32), np.int32)
    labels[0, 1:13, 1:13] = 1
    labels[0, 15:27, 5:17] = 2
    canvas = np.zeros((1, 1, 32, 32), np.float32)
    canvas[0, 0, 1:13, 1:4] = 0.9  # 3 of 12 columns
    canvas[0, 0, 15:27, 5:14] = 0.9  # 9 of 12
    found = covered_objects(tf.constant(canvas), object_pixels(tf.constant(labels), 3))
    np.testing.assert_array_equal(found[0, 0], [0.0, 1.0, 0.0])


def test_painted_objects_are_found_covered():
    labels = np.zeros((1, 32, 32), np.int32)
    labels[0, 2:10, 3:9], labels[0, 12:20, 4:30], labels[0, 22:30, 6:20] = 3, 1, 2
    covered = draw_covered(exists_of([3], 4), 20, SEED)
    canvases = paint(tf.constant(labels), covered)[tf.newaxis]
    found = covered_objects(canvases, object_pixels(tf.constant(labels), 4))
    np.testing.assert_array_equal(found, covered)


def test_distortion_moves_outlines_and_little_else():
    """A disc of radius 40: its edge moves by some 4 pixels, its heart stays."""
    y, x = np.mgrid[:200, :200]
    radius = np.hypot(y - 100, x - 100)
    labels = np.where(radius < 40, 3, 0).astype(np.int32)
    moved = distort(tf.constant(labels[np.newaxis]), 0.02, SEED).numpy()[0]
    assert set(np.unique(moved)) == {0, 3}
    changed = moved != labels
    assert not changed[(radius < 20) | (radius > 60)].any()
    ring = np.abs(radius - 40) < 4
    assert 0.2 < changed[ring].mean() < 0.6


def test_distortion_is_drawn_for_every_image_and_by_the_seed():
    y, x = np.mgrid[:64, :96]
    labels = np.tile((np.hypot(y - 30, x - 50) < 20)[np.newaxis], (2, 1, 1))
    labels = tf.constant(labels.astype(np.int32))
    first = distort(labels, 0.02, SEED).numpy()
    assert (first[0] != first[1]).any()
    np.testing.assert_array_equal(first, distort(labels, 0.02, SEED))
    assert (first != distort(labels, 0.02, SEED + 1).numpy()).any()


def test_no_distortion_is_none():
    labels = tf.constant(np.arange(48, dtype=np.int32).reshape(1, 6, 8))
    np.testing.assert_array_equal(distort(labels, 0.0, SEED), labels)


class Head:
    """Of 3 x 4 cells: a blob is 1 in its centre's cell, and its height next to it."""

    def blobs(self, center, size):
        center, size = np.asarray(center), np.asarray(size)
        blobs = np.zeros((*center.shape[:-1], 12), np.float32)
        for at in np.ndindex(center.shape[:-1]):
            cell = int(4 * center[at][0] + center[at][1])
            blobs[at][cell] = 1.0
            blobs[at][(cell + 1) % 12] = size[at][0]
        return tf.constant(blobs)


def test_center_maps_show_what_is_covered():
    center = np.array([[[0, 0], [0, 1], [2, 3]], [[1, 1], [0, 0], [0, 0]]], np.float32)
    size = np.full((2, 3, 2), 0.5, np.float32)
    covered = np.array(
        [[[1, 0, 0], [1, 1, 0]], [[0, 0, 0], [1, 0, 0]]], np.float32
    )  # [B, K, T]
    maps = covered_centers(Head(), center, size, tf.constant(covered)).numpy()
    expected = np.zeros((4, 12))
    expected[0, :2] = 1.0, 0.5
    expected[1, :3] = 1.0, 1.0, 0.5
    expected[3, 5:7] = 1.0, 0.5
    np.testing.assert_array_equal(maps, expected)


def test_noisy_centers_are_off_by_a_share_of_the_object():
    size = tf.constant(np.tile([[[20.0, 80.0]]], (500, 4, 1)), tf.float32)
    moved = noisy_centers(tf.zeros_like(size), size, tf.constant([1, 2]))
    deviation = moved.numpy().std(axis=(0, 1)) / [20.0, 80.0]
    np.testing.assert_allclose(deviation, CENTER_NOISE, rtol=0.1)
    np.testing.assert_allclose(moved.numpy().mean(axis=(0, 1)), 0.0, atol=0.5)


def test_claims_equal_a_loop_over_every_other_pixel():
    labels = random_labels(4, most=3)
    random = np.random.default_rng(7)
    masks = random.uniform(size=labels.shape).astype(np.float32)
    masks[0][labels[0] == 2] = 0.9
    pixels = object_pixels(tf.constant(labels), 4)
    claimed = claims(tf.constant(masks), pixels)
    shares = claimed_shares(claimed, pixels).numpy()
    for b in range(len(labels)):
        on = masks[b, ::2, ::2] > 0.5
        small = labels[b, ::2, ::2]
        shared = [(on & (small == t + 1)).sum() for t in range(4)]
        most = int(np.argmax(shared))
        own = on & (small == most + 1)
        np.testing.assert_array_equal(claimed[b], own.ravel())
        expected = np.zeros(4)
        expected[most] = shared[most] / (small == most + 1).sum()
        np.testing.assert_allclose(shares[b], expected, atol=1e-6)
    # Every pixel of object 2, and what the noise leaves of the others.
    assert shares[0, 1] == 1.0


def test_object_ious_equal_a_loop_over_every_other_pixel():
    labels = random_labels(4, most=3)
    masks = np.random.default_rng(7).uniform(size=labels.shape).astype(np.float32)
    masks[0] = labels[0] == 2
    pixels = object_pixels(tf.constant(labels), 4)
    ious = object_ious(tf.constant(masks), pixels).numpy()
    for b, t in np.ndindex(len(labels), 4):
        on, true = masks[b, ::2, ::2] > 0.5, labels[b, ::2, ::2] == t + 1
        assert ious[b, t] == pytest.approx((on & true).sum() / (on | true).sum())
    assert ious[0, 1] == 1.0


def test_a_mask_of_background_claims_nothing():
    labels = np.zeros((1, 6, 6), np.int32)
    labels[0, :2, :2] = 1
    mask = np.zeros((1, 6, 6), np.float32)
    mask[0, 4:, 4:] = 1.0
    claimed = claims(tf.constant(mask), object_pixels(tf.constant(labels), 2))
    assert not claimed.numpy().any()


def test_spilled_objects_are_painted_beside_the_covered_ones():
    exists = exists_of([3, 1, 0], 4)
    covered = draw_covered(exists, 2000, SEED)
    painted = spilled(covered, exists, 0.25, SEED).numpy()
    covered, exists = covered.numpy(), exists.numpy()[:, np.newaxis]
    assert set(np.unique(painted)) <= {0.0, 1.0}
    assert np.all(painted >= covered)
    assert not (painted * (1 - exists)).any()
    left = (exists * (1 - covered)) > 0
    assert painted[left].mean() == pytest.approx(0.25, abs=CLOSE)


def test_nothing_spills_where_nothing_should():
    exists = exists_of([3, 1], 4)
    covered = draw_covered(exists, 50, SEED)
    np.testing.assert_array_equal(spilled(covered, exists, 0.0, SEED), covered)


def test_blanked_canvases_are_empty_as_a_whole(random):
    canvases = random.uniform(0.1, 1.0, (DRAWS, 2, 3)).astype(np.float32)
    left, kept = (v.numpy() for v in blanked(tf.constant(canvases), 0.3, SEED))
    empty = ~left.any(axis=(1, 2))
    np.testing.assert_array_equal(left[~empty], canvases[~empty])
    np.testing.assert_array_equal(kept, np.float32(~empty))
    assert empty.mean() == pytest.approx(0.3, abs=CLOSE)
    left, kept = blanked(canvases, 0.0, SEED)
    np.testing.assert_array_equal(left, canvases)
    assert kept.numpy().all()
    assert not blanked(canvases, 1.0, SEED)[0].numpy().any()
